# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every reason that the code can say has a runbook, every such runbook has a reason, and the rule fires."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from tests.house import reasons

ROOT = Path(__file__).resolve().parents[2]


def test_code_and_runbooks_say_the_same_words() -> None:
    assert reasons.faults(ROOT) == []


def test_the_words_in_the_modules_documentation_have_a_page() -> None:
    pages, missing = reasons.documented(ROOT), []
    for path in sorted((ROOT / "plugins/modules").glob("*.py")):
        found = re.search(r'^RETURN = r"""\n(.*?)^"""', path.read_text(encoding="utf-8"), re.M | re.S)
        told = (yaml.safe_load(found.group(1)) if found else {}).get("reason", {}).get("description", "")
        for word in re.findall(r"\bV\(([a-z_]+)\)", " ".join(told) if isinstance(told, list) else told):
            if word not in pages:
                missing.append(f"{path.name}: {word}")
    assert missing == []


@pytest.mark.parametrize(
    "word", ["no_candidate", "zone_mismatch", "claim_missing", "database_missing", "auth", "offline"]
)
def test_the_collector_sees_each_way_of_saying_a_word(word: str) -> None:
    assert word in reasons.emitted(ROOT)


PAGE = "# bad_thing\n\n" + "\n\n".join(f"{heading}\n\nx" for heading in reasons.HEADINGS) + "\n"
SPEAKERS = [
    'fail(module, "bad_thing", "text")',
    'raise HoldfastError("bad_thing", "text")',
    'module.fail_json(msg="text", reason="bad_thing")',
    'reason = "bad_thing" if x else other',
    'NEXT_STEPS: dict[str, str] = {"bad_thing": "go"}',
    'REASONS = {1: "bad_thing"}',
    'def reason_of(error):\n    return "bad_thing"',
]


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A house with one reason, its page and its index."""
    for name, text in (
        ("plugins/modules/thing.py", SPEAKERS[0]),
        ("docs/runbooks/reasons/bad_thing.md", PAGE),
        ("docs/runbooks/README.md", "[x](reasons/bad_thing.md)\n"),
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("code", SPEAKERS)
def test_a_good_house_breaks_no_rule_however_the_word_is_said(house: Path, code: str) -> None:
    (house / "plugins/modules/thing.py").write_text(code, encoding="utf-8")
    assert reasons.faults(house) == []


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("plugins/modules/other.py", 'fail(module, "new_word", "text")', "new_word"),
        ("roles/x/tasks/main.yml", "fail_msg: no (reason: yaml_word).", "yaml_word"),
        ("docs/runbooks/reasons/gone.md", PAGE, "nothing emits"),
        ("docs/runbooks/reasons/bad_thing.md", PAGE.replace("## How to look", ""), "How to look"),
        ("docs/runbooks/reasons/bad_thing.md", PAGE.replace("# bad_thing", "# other", 1), "begin"),
        ("docs/runbooks/README.md", "nothing\n", "does not list"),
    ],
)
def test_a_breach_is_found(house: Path, name: str, text: str, complaint: str) -> None:
    (house / name).parent.mkdir(parents=True, exist_ok=True)
    (house / name).write_text(text, encoding="utf-8")
    assert [one for one in reasons.faults(house) if complaint in one]
