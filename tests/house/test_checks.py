# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Our own lint checks: each one fires on a fault and is silent without one."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.frontdoor.checks import argument_specs, cloudformation, shell, templates

SPEC = """---
argument_specs:
  main:
    short_description: A role
    options:
      thing_size_bytes:
        type: int
        default: {default}
        description: How large.
      thing_name:
        type: str
        required: true
        description: Its name.
"""


def _role(root: Path, spec: str, defaults: str) -> Path:
    role = root / "roles" / "thing"
    (role / "meta").mkdir(parents=True)
    (role / "defaults").mkdir()
    (role / "meta" / "argument_specs.yml").write_text(spec, encoding="utf-8")
    (role / "defaults" / "main.yml").write_text(defaults, encoding="utf-8")
    return role


def test_matching_specification_is_clean(tmp_path: Path) -> None:
    _role(tmp_path, SPEC.format(default=1), "thing_size_bytes: 1\n")
    assert argument_specs.faults(tmp_path) == []


def test_templated_default_need_not_be_repeated(tmp_path: Path) -> None:
    role = _role(tmp_path, SPEC.format(default=1), "thing_size_bytes: '{{ other }}'\n")
    assert argument_specs.role_faults(role) == []


def test_required_option_may_come_from_the_inventory(tmp_path: Path) -> None:
    role = _role(tmp_path, SPEC.format(default=1), "thing_size_bytes: 1\nthing_name: '{{ holdfast_name }}'\n")
    assert argument_specs.role_faults(role) == []


@pytest.mark.parametrize(
    ("spec", "defaults", "fault"),
    [
        (SPEC.format(default=1), "thing_size_bytes: 2\n", "declares default 1, defaults/main.yml sets 2"),
        (SPEC.format(default=1), "{}\n", "declares a default that defaults/main.yml does not set"),
        (
            SPEC.format(default=1),
            "thing_size_bytes: 1\nthing_other: 1\n",
            "default thing_other is not in argument_specs",
        ),
        (SPEC.format(default=1), "thing_size_bytes: 1\nthing_name: x\n", "thing_name is required and has a default"),
        (SPEC.format(default=1).replace("description: Its name.", ""), "thing_size_bytes: 1\n", "has no description"),
    ],
)
def test_specification_fault_is_named(tmp_path: Path, spec: str, defaults: str, fault: str) -> None:
    _role(tmp_path, spec, defaults)
    found = argument_specs.faults(tmp_path)
    assert len(found) == 1
    assert fault in found[0]


def test_missing_specification_is_named(tmp_path: Path) -> None:
    (tmp_path / "roles" / "bare").mkdir(parents=True)
    assert argument_specs.faults(tmp_path) == ["bare: meta/argument_specs.yml is missing"]


def test_broken_template_is_named_with_its_line(tmp_path: Path) -> None:
    folder = tmp_path / "roles" / "thing" / "templates"
    folder.mkdir(parents=True)
    (folder / "good.j2").write_text("{% for x in y %}{{ x | anything }}{% endfor %}", encoding="utf-8")
    assert templates.faults(tmp_path) == []
    (folder / "bad.j2").write_text("line\n{% if x %}\n", encoding="utf-8")
    assert [line.split(":")[:2] for line in templates.faults(tmp_path)] == [["roles/thing/templates/bad.j2", "2"]]


@pytest.mark.skipif(not shutil.which("shellcheck"), reason="shellcheck is not installed on this machine")
def test_shell_fault_is_named(tmp_path: Path) -> None:
    (tmp_path / "good.sh").write_text('#!/bin/sh\necho "$1"\n', encoding="utf-8")
    assert shell.faults(tmp_path) == []
    (tmp_path / "tool").write_text("#!/usr/bin/env bash\necho $1\n", encoding="utf-8")
    assert any("SC2086" in line for line in shell.faults(tmp_path))


def test_without_shellcheck_the_check_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shell.shutil, "which", lambda _name: None)
    with pytest.raises(shell.CannotRunError, match="not installed"):
        shell.faults(tmp_path)


def test_cloudformation_fault_is_named(tmp_path: Path) -> None:
    template = tmp_path / "bad.yml"
    template.write_text(
        "Resources:\n  Volume:\n    Type: AWS::EC2::Volume\n    Properties:\n      Size: 1\n      Colour: red\n",
        encoding="utf-8",
    )
    assert any("Colour" in line for line in cloudformation.lint([template]))
