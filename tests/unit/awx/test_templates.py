# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What awx/ says agrees with playbooks, roles and dependencies; each rule finds what breaks it."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.errors import AnsibleFilterError
from ansible_collections.holdfast.kafka.plugins.filter.awx_survey import survey

ROOT = Path(__file__).resolve().parents[3]
DATA = yaml.safe_load((ROOT / "awx/templates.yml").read_text(encoding="utf-8"))
TEMPLATES: list[dict[str, Any]] = DATA["awx_apply_templates"]
#: A node runs the one itself; the other makes the templates.
WITHOUT_TEMPLATE = {"node_boot", "awx_apply"}
COLLECTION = re.compile(r"\b((?:amazon\.aws|ansible\.posix|awx\.awx|community\.\w+))\.\w+")


def options(role: str) -> dict[str, dict[str, Any]]:
    """Return the options of all entry points of a role."""
    spec = yaml.safe_load((ROOT / "roles" / role / "meta/argument_specs.yml").read_text(encoding="utf-8"))
    return {name: one for entry in spec["argument_specs"].values() for name, one in entry["options"].items()}


def plain(value: Any) -> str:
    """Return a value as a survey has it, which knows no booleans."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def disagreements(question: Mapping[str, Any], option: Mapping[str, Any]) -> list[str]:
    """Return what a survey's question says otherwise than the role's specification."""
    kind, choices = option["type"], [plain(one) for one in option.get("choices", [])]
    if kind == "bool":
        choices = ["false", "true"]
    wanted = "multiplechoice" if choices else {"int": "integer", "str": "text"}.get(kind)
    found = []
    if question["type"] != wanted:
        found.append(f"type {question['type']}, not {wanted}")
    if [plain(one) for one in question.get("choices", [])] != choices:
        found.append(f"choices {question.get('choices')}, not {choices}")
    if plain(question.get("default", "")) != plain(option.get("default", "")):
        found.append(f"default {question.get('default')!r}, not {option.get('default')!r}")
    if bool(question.get("required", False)) != bool(option.get("required", False)):
        found.append("required or not")
    return found


def missing(playbooks: set[str], templates: set[str]) -> set[str]:
    """Return the playbooks without a template, and templates without a playbook."""
    return (playbooks - WITHOUT_TEMPLATE) ^ templates


def test_every_playbook_has_a_template() -> None:
    playbooks = {path.stem for path in (ROOT / "playbooks").glob("*.yml")}
    assert missing(playbooks, {one["playbook"] for one in TEMPLATES}) == set()
    assert len({one["playbook"] for one in TEMPLATES}) == len(TEMPLATES)


def test_a_missing_template_is_found() -> None:
    assert missing({"site", "node_boot", "new"}, {"site", "gone"}) == {"new", "gone"}


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda one: one["playbook"])
def test_surveys_ask_for_what_is_read(template: dict[str, Any]) -> None:
    text = (ROOT / "playbooks" / f"{template['playbook']}.yml").read_text(encoding="utf-8")
    for question in template.get("survey", []):
        variable = question["variable"]
        if "role" not in question:
            assert variable.startswith(template["playbook"]), variable
            assert variable in text, f"{template['playbook']} does not read {variable}"
            continue
        assert question["role"] in text, f"{template['playbook']} does not use the role {question['role']}"
        assert disagreements(question, options(question["role"])[variable]) == [], variable


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"type": "text"}, "type"),
        ({"choices": ["serial"]}, "choices"),
        ({"default": "rack"}, "default"),
        ({"required": True}, "required"),
    ],
)
def test_a_disagreement_is_found(change: dict[str, Any], found: str) -> None:
    template = next(one for one in TEMPLATES if one["playbook"] == "kafka_rolling_restart")
    question = next(one for one in template["survey"] if one["variable"] == "kafka_roll_mode")
    option = options("kafka_roll")["kafka_roll_mode"]
    assert disagreements(question, option) == []
    (told,) = disagreements({**copy.deepcopy(question), **change}, option)
    assert found in told


def test_schedules_start_templates_with_answers_that_are_asked_for() -> None:
    asked = {one["playbook"]: {question["variable"] for question in one.get("survey", [])} for one in TEMPLATES}
    for schedule in DATA["awx_apply_schedules"]:
        assert set(schedule.get("extra_data", {})) <= asked[schedule["template"]]
        assert schedule["rrule"].startswith("DTSTART:")


def test_the_filter_writes_what_awx_wants() -> None:
    asked = [{"variable": "x", "question": "How many?", "type": "integer", "default": 0, "min": 0, "max": 9}]
    made = survey(asked, "Restart")
    assert made["spec"][0]["question_name"] == "How many?"
    assert (made["spec"][0]["min"], made["spec"][0]["max"], made["spec"][0]["required"]) == (0, 9, False)
    assert survey([], "Restart") == {}


def test_the_filter_refuses_what_awx_does_not_have() -> None:
    with pytest.raises(AnsibleFilterError, match="x has the type 'slider'"):
        survey([{"variable": "x", "question": "?", "type": "slider"}], "Restart")


# ---- the execution environment ---------------------------------------------------------------------------------------


def used_collections() -> set[str]:
    """Return the collections that templates' playbooks, the roles and the inventories use."""
    files = [ROOT / "playbooks" / f"{one['playbook']}.yml" for one in TEMPLATES]
    files += [*(ROOT / "roles").rglob("*.yml"), *(ROOT / "playbooks/tasks").glob("*.yml")]
    files += [*(ROOT / "inventories").rglob("*.yml"), *(ROOT / "plugins").rglob("*.py")]
    found = set()
    for path in files:
        text = "\n".join(
            line for line in path.read_text(encoding="utf-8").splitlines() if not line.strip().startswith("#")
        )
        found |= set(COLLECTION.findall(text))
        found |= {f"{space}.{name}" for space, name in re.findall(r"ansible_collections\.(\w+)\.(\w+)\.", text)}
    return found - {"holdfast.kafka"}


def test_the_execution_environment_carries_what_the_plays_need_and_no_more() -> None:
    environment = yaml.safe_load((ROOT / "execution-environment.yml").read_text(encoding="utf-8"))["dependencies"]
    carried = {one["name"]: one["version"] for one in environment["galaxy"]["collections"]}
    assert set(carried) == used_collections()
    floors = yaml.safe_load((ROOT / "requirements.yml").read_text(encoding="utf-8"))["collections"]
    assert carried.items() <= {one["name"]: one["version"] for one in floors}.items()
    pinned = (ROOT / "requirements-dev.txt").read_text(encoding="utf-8").split()
    assert environment["ansible_core"]["package_pip"] in pinned, "jobs run what the tests have run"
    assert environment["ansible_runner"]["package_pip"] in pinned
    python = (ROOT / environment["python"]).read_text(encoding="utf-8").splitlines()
    assert all("==" in line for line in python if line and not line.startswith("#"))
