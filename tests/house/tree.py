# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules about the tree itself, each a function of a root that returns one line per breach."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable
from pathlib import Path

import yaml

PLAYBOOK_LINES = 150
TASK_FILE_LINES = 150
PYTHON_LINES = 500
# Folders that belong to one machine: a checkout's parent, a home, a tool manager's place.
_MACHINE_PATH = re.compile(r"(^|[^A-Za-z0-9_./-])/(work|farm|home)/[a-z]|/root/\.(pyenv|m2|cache)|/Users/")
_TEXT_LIMIT_BYTES = 500_000
_CODES = r"[\w\[\]-]+(?:, *[\w\[\]-]+)*"
_SWITCHED_OFF = re.compile(
    rf"# noqa\b(?:: *{_CODES})?|# type: ignore\b(?:\[{_CODES}\])?|^ *(?:failed_when: false|ignore_errors: (?:true|yes))"
)
_WHY = re.compile(r"\s*(?:-|#|\()\s*\w")


def tracked(root: Path) -> list[Path]:
    """Files git tracks or would track under ``root``; every file when it is not a repository."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    out = subprocess.run(command, cwd=root, capture_output=True, check=False)
    if out.returncode != 0:
        return sorted(path for path in root.rglob("*") if path.is_file())
    names = {name.decode() for name in out.stdout.split(b"\0") if name}
    return sorted(path for name in names if (path := root / name).is_file() and not path.is_symlink())


def _too_long(root: Path, paths: Iterable[Path], limit: int) -> list[str]:
    found = []
    for path in sorted(paths):
        lines = len(path.read_text(encoding="utf-8").splitlines())
        if lines > limit:
            found.append(f"{path.relative_to(root)}: {lines} lines, at most {limit}")
    return found


def long_files(root: Path) -> list[str]:
    """Playbooks, task files and Python files over their limits."""
    return [
        *_too_long(root, root.glob("playbooks/*.yml"), PLAYBOOK_LINES),
        *_too_long(root, root.glob("roles/*/tasks/*.yml"), TASK_FILE_LINES),
        *_too_long(root, (path for path in tracked(root) if path.suffix == ".py"), PYTHON_LINES),
    ]


def incomplete_roles(root: Path) -> list[str]:
    """Roles without a README, a specification of their variables or a molecule scenario of their name."""
    found = []
    for role in sorted(path for path in (root / "roles").glob("*") if path.is_dir()):
        wanted = [
            role / "README.md",
            role / "meta" / "argument_specs.yml",
            root / "molecule" / role.name / "molecule.yml",
        ]
        found += [f"role {role.name}: {path.relative_to(root)} is missing" for path in wanted if not path.is_file()]
    return found


def machine_paths(root: Path) -> list[str]:
    """Tracked lines that name a folder only one machine has."""
    found = []
    for path in tracked(root):
        if path.stat().st_size > _TEXT_LIMIT_BYTES or path == Path(__file__) or path.name == "test_tree.py":
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
            if _MACHINE_PATH.search(line):
                found.append(f"{path.relative_to(root)}:{number}: {line.strip()[:100]}")
    return found


def readme_gaps(root: Path) -> list[str]:
    """What a reader must find in the README, and what CI must call."""
    readme = (root / "README.md").read_text(encoding="utf-8")
    found = [f"README.md does not name `{command}`" for command in ("make demo", "make test") if command not in readme]
    if "not tested on real aws" not in readme.lower():
        found.append("README.md does not say that real AWS is untried")
    if "make test" not in (root / ".ci" / "run").read_text(encoding="utf-8"):
        found.append(".ci/run does not call `make test`")
    return found


def playbooks_without_runbook(root: Path) -> list[str]:
    """Playbooks nobody wrote a runbook for."""
    return [
        f"docs/runbooks/{path.stem}.md is missing"
        for path in sorted(root.glob("playbooks/*.yml"))
        if not (root / "docs" / "runbooks" / f"{path.stem}.md").is_file()
    ]


def broken_links(root: Path) -> list[str]:
    """Relative links of the Markdown pages that lead nowhere."""
    found = []
    for page in (path for path in tracked(root) if path.suffix == ".md"):
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            if "://" not in target and not target.startswith("mailto:") and not (page.parent / target).exists():
                found.append(f"{page.relative_to(root)}: {target}")
    return found


def action_group_faults(root: Path) -> list[str]:
    """AWS modules that module_defaults would miss, and names in meta/runtime.yml that are no module."""
    groups = yaml.safe_load((root / "meta" / "runtime.yml").read_text(encoding="utf-8"))["action_groups"]
    modules = {path.stem: path for path in root.glob("plugins/modules/*.py")}
    named = {name for group in groups.values() for name in group if isinstance(name, str)}
    found = [f"meta/runtime.yml names {name}, which is no module" for name in sorted(named - set(modules))]
    for name, path in sorted(modules.items()):
        if "AnsibleAWSModule" in path.read_text(encoding="utf-8") and name not in groups["aws"]:
            found.append(f"{name} talks to AWS and is not in the action group aws")
    return found


def unexplained_suppressions(root: Path) -> list[str]:
    """Tracked lines that switch a rule or a failure off without the reason beside it."""
    found = []
    for path in (path for path in tracked(root) if path.suffix in (".py", ".yml")):
        if path == Path(__file__) or path.name == "test_tree.py":
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            off = _SWITCHED_OFF.search(line)
            if off and not _WHY.match(line, off.end()):
                found.append(f"{path.relative_to(root)}:{number}: {line.strip()[:100]}")
    return found
