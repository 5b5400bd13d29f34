# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lint steps exist once: the commit hooks are the front door's steps."""

from __future__ import annotations

import shutil
from pathlib import Path

import yaml

from tests.frontdoor import lint
from tests.frontdoor.checks.__main__ import CHECKS

ROOT = Path(__file__).resolve().parents[2]


def differences(hooks: list[dict[str, object]], steps: list[lint.Step]) -> list[str]:
    """What a commit hook and the front door would judge differently."""
    found = []
    if [hook["id"] for hook in hooks] != [step.step_id for step in steps]:
        found.append("not the same steps in the same order")
    for hook, step in zip(hooks, steps, strict=False):
        if hook["entry"] != " ".join(step.command):
            found.append(f"{step.step_id}: another command")
        if hook.get("pass_filenames") is not False or hook.get("always_run") is not True:
            found.append(f"{step.step_id}: a hook that sees only changed files is not the lint step")
    return found


def _hooks() -> list[dict[str, object]]:
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    return [hook for repo in config["repos"] for hook in repo["hooks"]]


def test_commit_hooks_are_the_lint_steps() -> None:
    assert differences(_hooks(), lint.steps(ROOT)) == []


def test_a_different_hook_is_noticed() -> None:
    hooks = _hooks()
    assert differences(hooks[1:], lint.steps(ROOT))
    assert differences([{**hooks[0], "entry": "true"}, *hooks[1:]], lint.steps(ROOT)) == [
        "ruff-format: another command"
    ]
    assert differences([{**hooks[0], "pass_filenames": True}, *hooks[1:]], lint.steps(ROOT))


def test_every_check_of_our_own_is_a_step() -> None:
    ours = {step.command[-1] for step in lint.steps(ROOT) if "tests.frontdoor.checks" in step.command}
    assert ours == set(CHECKS)


def test_steps_are_read_from_the_given_root(tmp_path: Path) -> None:
    shutil.copy(ROOT / ".pre-commit-config.yaml", tmp_path)
    config = yaml.safe_load((tmp_path / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    config["repos"][0]["hooks"] = config["repos"][0]["hooks"][:1]
    (tmp_path / ".pre-commit-config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    assert [step.step_id for step in lint.steps(tmp_path)] == ["ruff-format"]
