# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Packing collections: complete, without what no play reads, and the same bytes each time."""

from __future__ import annotations

import io
import json
import os
import tarfile
from pathlib import Path

import pytest
from ansible_collections.holdfast.kafka.plugins.module_utils import collection_packing


@pytest.fixture
def collection(tmp_path: Path) -> Path:
    directory = tmp_path / "ansible_collections" / "some" / "thing"
    for name in ("plugins/modules/a.py", "tests/unit/t.py", "plugins/modules/__pycache__/a.pyc", "docs/d.rst"):
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(name)
    (directory / "plugins/modules/a.py").chmod(0o755)
    (directory / "MANIFEST.json").write_text(json.dumps({"collection_info": {"version": "1.2.3"}}))
    return directory


def test_it_is_found_by_either_kind_of_path(collection: Path) -> None:
    root = collection.parents[1]
    assert collection_packing.find("some.thing", ["/nowhere", str(root)]) == collection
    assert collection_packing.find("some.thing", [str(root.parent)]) == collection
    assert collection_packing.version(collection) == "1.2.3"


def test_where_it_was_looked_for_is_said() -> None:
    with pytest.raises(collection_packing.CollectionNotFoundError, match=r"some\.other.*/nowhere/ansible_collections"):
        collection_packing.find("some.other", ["/nowhere"])


def test_what_is_kept(collection: Path) -> None:
    with tarfile.open(fileobj=io.BytesIO(collection_packing.pack(collection))) as tar:
        modes = {member.name: member.mode for member in tar.getmembers()}
    assert modes == {
        "ansible_collections/some/thing/MANIFEST.json": 0o644,
        "ansible_collections/some/thing/plugins/modules/a.py": 0o755,
    }


def test_the_bytes_depend_on_the_content_alone(collection: Path) -> None:
    before = collection_packing.pack(collection)
    os.utime(collection / "MANIFEST.json", (1, 1))
    assert collection_packing.pack(collection) == before
    (collection / "new").touch()
    assert collection_packing.pack(collection) != before
