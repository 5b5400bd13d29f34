# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every reason word that the code can emit, against the pages in docs/runbooks/reasons."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

PAGES = "docs/runbooks/reasons"
HEADINGS = ("## What it means", "## How to look", "## How to resolve", "## How to be sure")
WORD = re.compile(r"[a-z]+(_[a-z]+)*")
#: Where a reason stands among a call's arguments; ``reason=`` and ``kind=`` are found everywhere.
POSITIONS = {
    "fail": 1,
    "HoldfastError": 0,
    "Refused": 0,
    "Unavailable": 0,
    "Fail": 0,
    "ReadError": 0,
    "RegistryError": 0,
    "DeviceError": 0,
    "Verdict": 0,
    "_fail": 0,
    "refuse": 0,
    "_refuse": 0,
    "fault": 0,
    "_hopeless": 1,
    "_wait": 3,
    "_failed": 1,
    "_problem": 0,
    "Fault": 0,
    "Row": 3,
    "_pause": 1,
    "Refusal": 0,
    "_about": 2,
}
#: Dictionaries whose keys, or whose values, are such words.
KEYED = {"NEXT_STEPS"}
VALUED = {"REASONS"}
#: Words that healthy outcomes and other vocabularies share the places with.
NO_REASONS = {"held", "blank"}
#: In a sentence, or as the option of the module C(refuse).
IN_YAML = re.compile(r"reason: ([a-z]+(?:_[a-z]+)+)(?:\)|$)", re.MULTILINE)


def _words(node: ast.expr | None) -> Iterator[str]:
    """Return the words of a literal, or of both branches of a choice."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and WORD.fullmatch(node.value):
        yield node.value
    elif isinstance(node, ast.IfExp):
        yield from _words(node.body)
        yield from _words(node.orelse)


def _of_call(call: ast.Call) -> Iterator[str]:
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    place = POSITIONS.get(name)
    if place is not None and place < len(call.args):
        yield from _words(call.args[place])
    for keyword in call.keywords:
        if keyword.arg in ("reason", "kind"):
            yield from _words(keyword.value)


def _of_assignment(targets: list[ast.expr], value: ast.expr | None) -> Iterator[str]:
    names = {target.id for target in targets if isinstance(target, ast.Name)}
    if names & {"reason", "kind"}:
        yield from _words(value)
    if isinstance(value, ast.Dict):
        found = value.keys if names & KEYED else value.values if names & VALUED else []
        for one in found:
            yield from _words(one)


def _of_tree(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield from _of_call(node)
        elif isinstance(node, ast.Assign):
            yield from _of_assignment(node.targets, node.value)
        elif isinstance(node, ast.AnnAssign):
            yield from _of_assignment([node.target], node.value)
        elif isinstance(node, ast.FunctionDef) and node.name.startswith("reason"):
            # It translates an error into a word.
            for inner in ast.walk(node):
                if isinstance(inner, ast.Return):
                    yield from _words(inner.value)


def emitted(root: Path) -> dict[str, set[str]]:
    """Return every reason that plugins, roles and playbooks can emit, and the files that do."""
    found: dict[str, set[str]] = {}
    for path in sorted((root / "plugins").rglob("*.py")):
        for word in _of_tree(ast.parse(path.read_text(encoding="utf-8"))):
            if word not in NO_REASONS:
                found.setdefault(word, set()).add(str(path.relative_to(root)))
    for path in sorted([*(root / "roles").rglob("*.yml"), *(root / "playbooks").rglob("*.yml")]):
        for word in IN_YAML.findall(path.read_text(encoding="utf-8")):
            found.setdefault(word, set()).add(str(path.relative_to(root)))
    return found


def documented(root: Path) -> set[str]:
    """Return the words that have a page."""
    return {path.stem for path in (root / PAGES).glob("*.md")}


def faults(root: Path) -> list[str]:
    """Return one line for each reason without a page, page without a reason, and page that is not whole."""
    said, written = emitted(root), documented(root)
    found = [
        f"reason {word} of {', '.join(sorted(said[word]))} has no page {PAGES}/{word}.md"
        for word in sorted(set(said) - written)
    ]
    found += [f"{PAGES}/{word}.md explains a reason that nothing emits" for word in sorted(written - set(said))]
    index = root / "docs" / "runbooks" / "README.md"
    listed = index.read_text(encoding="utf-8") if index.is_file() else ""
    for word in sorted(written):
        text = (root / PAGES / f"{word}.md").read_text(encoding="utf-8")
        found += [f"{PAGES}/{word}.md has no section {one!r}" for one in HEADINGS if one not in text]
        if not text.startswith(f"# {word}\n"):
            found.append(f"{PAGES}/{word}.md does not begin with its word")
        if f"(reasons/{word}.md)" not in listed:
            found.append(f"docs/runbooks/README.md does not list {word}")
    return found
