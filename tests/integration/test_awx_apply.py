# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""awx_apply against AWX's API as its modules use it: it makes what the data say, and nothing the second time."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.integration.awx_server import Awx, awx_server

ROOT = Path(__file__).resolve().parents[2]
DATA = yaml.safe_load((ROOT / "awx/templates.yml").read_text(encoding="utf-8"))


def apply(address: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Run the playbook."""
    proxies = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), "")
    return subprocess.run(
        [str(Path(sys.executable).with_name("ansible-playbook")), "playbooks/awx_apply.yml", *options],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        env={
            **os.environ,
            **proxies,
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "ANSIBLE_NOCOLOR": "1",
            "CONTROLLER_HOST": address,
            "CONTROLLER_OAUTH_TOKEN": "of a test",
            "CONTROLLER_VERIFY_SSL": "false",
        },
        timeout=400,
    )


def changes(done: subprocess.CompletedProcess[str]) -> int:
    """Return how many tasks changed something; the run must not fail."""
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    found = re.search(r"changed=(\d+)", done.stdout)
    assert found
    return int(found[1])


def look(awx: Awx) -> None:
    """Require what the data say."""
    templates = {f"holdfast-{one['playbook']}": one for one in DATA["awx_apply_templates"]}
    assert awx.names("job_templates") == set(templates)
    for name, wanted in templates.items():
        made = awx.named("job_templates", name)
        assert made["playbook"] == f"playbooks/{wanted['playbook']}.yml"
        assert (made["allow_simultaneous"], made["ask_job_type_on_launch"], made["ask_limit_on_launch"]) == (
            False,
            True,
            True,
        )
        assert made["survey_enabled"] is ("survey" in wanted)
        asked = [one["variable"] for one in awx.surveys.get(made["id"], {}).get("spec", [])]
        assert asked == [one["variable"] for one in wanted.get("survey", [])]
    source = awx.named("inventory_sources", "holdfast-project")
    assert (source["source"], source["source_path"], source["update_on_launch"]) == ("scm", "inventories/aws", False)
    assert awx.names("schedules") == {"holdfast-status-daily", "holdfast-leaders-weekly", "holdfast-hourly"}
    assert awx.named("schedules", "holdfast-leaders-weekly")["enabled"] is False


@pytest.mark.slow
def test_it_makes_everything_once_and_mends_what_was_changed() -> None:
    with awx_server() as (address, awx):
        credentials = ("-e", json.dumps({"awx_apply_credentials": ["nodes", "aws"]}))
        assert changes(apply(address, *credentials)) > 0
        look(awx)
        template = awx.named("job_templates", "holdfast-kafka_rolling_restart")
        assert sorted(template["credentials"]) == sorted(awx.objects["credentials"])
        awx.writes.clear()
        template["allow_simultaneous"] = True
        assert changes(apply(address, *credentials)) == 1
        assert awx.writes == [("PATCH", f"job_templates/{template['id']}")], "all else is as it was"
        look(awx)


def test_without_an_address_nobody_is_asked() -> None:
    done = apply("")
    assert done.returncode != 0
    assert "CONTROLLER_HOST is not set" in done.stdout
