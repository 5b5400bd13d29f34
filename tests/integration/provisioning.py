# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run playbooks as an operator of the lab does, against a strict EC2."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from lab.api.server import LabApi

ROOT = Path(__file__).resolve().parents[2]
SECRETS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")


def command(api: LabApi, name: str, *arguments: str, credentials: bool = True) -> subprocess.CompletedProcess[str]:
    """Run an Ansible command with the lab's environment; without C(credentials) nobody finds any."""
    subnets = [
        {"availability_zone": s.availability_zone, "subnet_id": s.subnet_id, "cidr": s.cidr} for s in api.seed.subnets
    ]
    environment = {
        **os.environ,
        **api.environment(),
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "ANSIBLE_NOCOLOR": "1",
        "HOLDFAST_LAB_VPC_ID": api.seed.vpc_id,
        "HOLDFAST_LAB_KEY_NAME": api.seed.key_name,
        "HOLDFAST_LAB_GIT_URL": "http://10.77.0.2:8080/holdfast.git",
        "HOLDFAST_LAB_SUBNETS": json.dumps(subnets),
    }
    if not credentials:
        environment = {key: value for key, value in environment.items() if key not in SECRETS}
        environment |= {"AWS_EC2_METADATA_DISABLED": "true", "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
    program = str(Path(sys.executable).with_name(name))
    return subprocess.run(
        [program, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=180, check=False
    )


def run(api: LabApi, name: str, *arguments: str) -> str:
    """Run an Ansible command with the lab's environment; return what it printed on stdout."""
    done = command(api, name, *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def changed(printed: str) -> int:
    """The number of changed tasks in a recap."""
    match = re.search(r"changed=(\d+)", printed)
    assert match, printed
    return int(match.group(1))


def play(api: LabApi, name: str, *more: str) -> int:
    """Run a playbook as the operator does; return its count of changes."""
    return changed(run(api, "ansible-playbook", "-i", "inventories/lab/node.yml", f"playbooks/{name}.yml", *more))
