# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""collection_archive: changed once, foreseen in check mode, and a reason in each failure."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.holdfast.kafka.plugins.modules import collection_archive


def run(capsys: pytest.CaptureFixture[str], **arguments: Any) -> dict[str, Any]:
    with patch_module_args(arguments), pytest.raises(SystemExit):
        collection_archive.main()
    result = json.loads(capsys.readouterr().out)
    assert isinstance(result, dict)
    return result


@pytest.fixture
def collections(tmp_path: Path) -> Path:
    directory = tmp_path / "ansible_collections" / "some" / "thing"
    directory.mkdir(parents=True)
    (directory / "MANIFEST.json").write_text(json.dumps({"collection_info": {"version": "1.2.3"}}))
    return tmp_path


def test_check_real_check_real(collections: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = {"name": "some.thing", "search_paths": [str(collections)], "directory": str(tmp_path)}
    changed = [run(capsys, **arguments, _ansible_check_mode=check)["changed"] for check in (True, False, True, False)]
    assert changed == [True, True, False, False]
    assert (tmp_path / "some-thing-1.2.3.tar.gz").is_file()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"name": "something", "directory": "/"}, "bad_parameter"),
        ({"name": "some.thing", "directory": "/nowhere"}, "bad_parameter"),
        ({"name": "no.such", "directory": "/"}, "not_found"),
    ],
)
def test_failures(arguments: dict[str, Any], reason: str, capsys: pytest.CaptureFixture[str]) -> None:
    result = run(capsys, **arguments)
    assert (result["failed"], result["reason"]) == (True, reason)
