# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tree keeps the house's rules, and every rule fires when it is broken."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.house import tree

ROOT = Path(__file__).resolve().parents[2]
RULES: list[Callable[[Path], list[str]]] = [
    tree.long_files,
    tree.incomplete_roles,
    tree.machine_paths,
    tree.readme_gaps,
    tree.playbooks_without_runbook,
    tree.broken_links,
    tree.action_group_faults,
    tree.unexplained_suppressions,
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_repository_keeps_the_rule(rule: Callable[[Path], list[str]]) -> None:
    assert rule(ROOT) == []


def _write(root: Path, name: str, text: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A small house that keeps every rule."""
    _write(tmp_path, "README.md", "`make demo`, `make test`; not tested on real AWS; [guide](docs/guide.md#part)\n")
    _write(tmp_path, "docs/guide.md", "see [here](https://example.org/x)\n")
    _write(tmp_path, ".ci/run", "make test\n")
    _write(tmp_path, "meta/runtime.yml", "action_groups:\n  aws:\n    - one_verb\n")
    _write(tmp_path, "plugins/modules/one_verb.py", "\n")
    _write(tmp_path, "playbooks/site.yml", "---\n")
    _write(tmp_path, "docs/runbooks/site.md", "# site\n")
    _write(tmp_path, "roles/thing/README.md", "# thing\n")
    _write(tmp_path, "roles/thing/meta/argument_specs.yml", "---\n")
    _write(tmp_path, "roles/thing/tasks/main.yml", "---\n")
    _write(tmp_path, "molecule/thing/molecule.yml", "---\n")
    _write(
        tmp_path,
        "lab/explained.py",
        "x = 1  # noqa: S310, E501 - the lab\ny = 1  # type: ignore[misc]  # a lambda\nz = 1  # noqa: S1 (why)\n",
    )
    _write(
        tmp_path,
        "molecule/thing/verify.yml",
        "- any: # noqa: no-handler - now\n  failed_when: false # the next task fails\n",
    )
    return tmp_path


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_a_good_house_breaks_no_rule(house: Path, rule: Callable[[Path], list[str]]) -> None:
    assert rule(house) == []


@pytest.mark.parametrize(
    ("rule", "name", "text"),
    [
        (tree.long_files, "playbooks/site.yml", "#\n" * 151),
        (tree.long_files, "roles/thing/tasks/main.yml", "#\n" * 151),
        (tree.long_files, "lab/large.py", "#\n" * 501),
        (tree.incomplete_roles, "roles/other/README.md", "# other\n"),
        (tree.machine_paths, "docs/guide.md", "run it in /home/somebody/holdfast\n"),
        (tree.readme_gaps, "README.md", "`make demo`; not tested on real AWS\n"),
        (tree.readme_gaps, "README.md", "`make demo`, `make test`\n"),
        (tree.readme_gaps, ".ci/run", "pytest\n"),
        (tree.playbooks_without_runbook, "playbooks/other.yml", "---\n"),
        (tree.broken_links, "docs/guide.md", "[gone](gone.md)\n"),
        (tree.action_group_faults, "plugins/modules/another_verb.py", "AnsibleAWSModule\n"),
        (tree.action_group_faults, "meta/runtime.yml", "action_groups:\n  aws:\n    - gone_verb\n"),
        (tree.unexplained_suppressions, "lab/bare.py", "x = 1  # noqa\n"),
        (tree.unexplained_suppressions, "lab/codes.py", "x = 1  # noqa: S310, E501\n"),
        (tree.unexplained_suppressions, "lab/types.py", "x = 1  # type: ignore[arg-type, misc]\n"),
        (tree.unexplained_suppressions, "roles/thing/tasks/main.yml", "- any:\n  failed_when: false\n"),
        (tree.unexplained_suppressions, "roles/thing/tasks/main.yml", "- any:\n  ignore_errors: true\n"),
        (tree.unexplained_suppressions, "playbooks/site.yml", "a: # noqa: var-naming[no-role-prefix]\n"),
    ],
)
def test_a_breach_is_found(house: Path, rule: Callable[[Path], list[str]], name: str, text: str) -> None:
    _write(house, name, text)
    assert rule(house)
