# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""CloudFormation templates, rendered as the playbooks render them, are clean for cfn-lint."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

# Without an image id the role would ask AWS for the newest one.
_IMAGE = "ami-0123456789abcdef0"
_PLAY = Path(__file__).with_name("render_stacks.yml")


def render(root: Path, inventory: str, target: Path) -> list[Path]:
    """Render every stack template with an inventory's group_vars; raise with Ansible's words on failure."""
    command = [
        str(Path(sys.executable).parent / "ansible-playbook"),
        *(
            "-i",
            str(root / inventory),
            "-e",
            f"render_target={target}",
            "-e",
            f"holdfast_image_id={_IMAGE}",
            str(_PLAY),
        ),
    ]
    out = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=120, check=False)
    if out.returncode != 0:
        raise RuntimeError(f"the stack templates do not render: {out.stdout[-1500:]}{out.stderr[-500:]}")
    return sorted(target.glob("*.yml"))


def lint(templates: list[Path]) -> list[str]:
    """Return cfn-lint's findings, one line each."""
    command = [str(Path(sys.executable).parent / "cfn-lint"), "--format", "parseable", *map(str, templates)]
    out = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    return out.stdout.splitlines() or (out.stderr.splitlines() if out.returncode else [])


def faults(root: Path) -> list[str]:
    """Render and lint; no template at all is a fault of this check."""
    with tempfile.TemporaryDirectory() as folder:
        rendered = render(root, "inventories/aws/node.yml", Path(folder))
        return lint(rendered) if rendered else ["no stack template was rendered"]
