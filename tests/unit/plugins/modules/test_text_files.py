# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""text_files: contents, modes and owners as wanted, shown as a difference, and nothing in the host's log."""

from __future__ import annotations

import getpass
import grp
import os
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.basic import AnsibleModule
from ansible_collections.holdfast.kafka.plugins.modules import text_files

from tests.unit.plugins.modules.in_process import run_module

TEXT = "a.property=1\nanother.property=two\n"


def write(place: Path, *, check: bool = False, **more: Any) -> dict[str, Any]:
    """Let one file be as wanted."""
    arguments = {"files": [{"path": str(place), **more}], "contents": {place.name: TEXT}}
    return run_module(text_files, arguments, check=check, diff=True)


def test_a_missing_file_is_written_and_the_second_run_changes_nothing(tmp_path: Path) -> None:
    place = tmp_path / "etc" / "some.conf"
    result = write(place, mode="0640", owner=getpass.getuser(), group=grp.getgrgid(os.getegid()).gr_name)
    assert (result["changed"], result["changed_files"]) == (True, [str(place)])
    assert place.read_text(encoding="utf-8") == TEXT
    assert place.stat().st_mode & 0o777 == 0o640
    assert "+another.property=two\n" in result["diff"][0]["prepared"]
    again = write(place, mode="0640")
    assert (again["changed"], again["changed_files"], "diff" in again) == (False, [], False)


def test_only_what_differs_is_changed_and_shown(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    write(first)
    second.write_text("a.property=0\nanother.property=two\n", encoding="utf-8")
    files = [{"path": str(path)} for path in (first, second)]
    result = run_module(text_files, {"files": files, "contents": {"first": TEXT, "second": TEXT}}, diff=True)
    assert result["changed_files"] == [str(second)]
    (diff,) = result["diff"]
    assert diff["prepared"].splitlines()[3:] == ["-a.property=0", "+a.property=1", " another.property=two"]


@pytest.mark.parametrize("before", [None, "something else\n"])
def test_a_check_predicts_and_writes_nothing(tmp_path: Path, before: str | None) -> None:
    place = tmp_path / "some.conf"
    if before is not None:
        place.write_text(before, encoding="utf-8")
    result = write(place, check=True)
    assert result["changed_files"] == [str(place)]
    assert (place.read_text(encoding="utf-8") if place.exists() else None) == before
    assert write(place)["diff"] == result["diff"]


@pytest.mark.parametrize("check", [True, False])
def test_a_mode_is_mended_and_shown(tmp_path: Path, check: bool) -> None:
    place = tmp_path / "some.conf"
    place.write_text(TEXT, encoding="utf-8")
    place.chmod(0o666)
    result = write(place, check=check)
    assert result["changed"]
    assert "mode 0666" in result["diff"][0]["prepared"]
    assert "mode 0644" in result["diff"][0]["prepared"]
    assert place.stat().st_mode & 0o777 == (0o666 if check else 0o644)


def test_the_contents_stay_out_of_the_hosts_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    logged: list[str] = []
    monkeypatch.setattr(AnsibleModule, "log", lambda _module, message, **_options: logged.append(str(message)))
    write(tmp_path / "some.conf")
    assert logged
    assert "another.property" not in "".join(logged)


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ([{"path": "etc/some.conf"}], "must be absolute"),
        ([{"path": "/nowhere/some.conf", "mode": "u=rw"}], "mode 'u=rw' of /nowhere/some.conf"),
        ([{"path": "/nowhere/some.conf"}, {"path": "/elsewhere/some.conf"}], "each file needs one text"),
        ([{"path": "/nowhere/other.conf"}], "files name other.conf and contents some.conf"),
    ],
)
def test_what_cannot_be_meant_is_refused(files: list[dict[str, str]], words: str) -> None:
    result = run_module(text_files, {"files": files, "contents": {"some.conf": TEXT}})
    assert (result["failed"], result["reason"]) == (True, "bad_parameter")
    assert words in result["msg"]


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    result = write(tmp_path / "file" / "some.conf")
    assert (result["failed"], result["reason"]) == (True, "write_failed")
    assert str(tmp_path / "file" / "some.conf") in result["msg"]
