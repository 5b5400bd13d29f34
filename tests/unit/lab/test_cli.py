# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the command line understands, and how it refuses."""

from __future__ import annotations

import pytest

from lab import cli, up
from lab.teardown import Outcome


@pytest.fixture
def nowhere(tmp_path, monkeypatch):
    """No lab is up, whatever this machine has."""
    for name in ("HOLDFAST_LAB_NAME", "HOLDFAST_LAB_PRESET"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOLDFAST_LAB_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("HOLDFAST_LAB_CACHE", str(tmp_path / "cache"))
    return tmp_path


def test_the_name_comes_before_the_command():
    options = cli.parser().parse_args(["--name", "x", "up", "--preset", "none", "--json"])
    assert (options.name, options.command, options.preset, options.json) == ("x", "up", "none", True)


@pytest.mark.parametrize("argv", [["exec", "--", "ls", "-l"], ["exec", "ls", "-l"]])
def test_exec_takes_everything_behind_it(argv):
    assert cli._command(cli.parser().parse_args(argv).argv) == ["ls", "-l"]


def test_ssh_takes_an_instance_and_a_command():
    options = cli.parser().parse_args(["ssh", "KAFKA-1", "--", "systemctl", "status", "-l"])
    assert options.instance == "KAFKA-1"
    assert cli._command(options.argv) == ["systemctl", "status", "-l"]


@pytest.mark.parametrize("argv", [[], ["fly"], ["up", "--preset", "fast"], ["image", "burn"]])
def test_what_it_does_not_know_is_status_2(argv, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(argv)
    assert ended.value.code == 2
    assert "usage" in capsys.readouterr().err


@pytest.mark.parametrize(
    "argv",
    [["status"], ["env"], ["exec", "true"], ["ssh", "x"], ["logs"], ["logs", "x"], ["sync"], ["delays"], ["fault"]],
)
def test_without_a_lab_each_command_says_so(nowhere, argv, capsys):
    assert cli.main(argv) == 1
    err = capsys.readouterr().err
    assert err.startswith("lab: ")
    assert err.count("\n") == 1
    assert "not up" in err
    assert not (nowhere / "state").exists()


def test_a_bad_name_is_one_sentence(nowhere, capsys):
    assert cli.main(["--name", "No-Good", "status"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_bad_delay_is_refused_before_anything_is_asked(nowhere, capsys):
    assert cli.main(["delays", "pending_seconds"]) == 2
    assert "NAME=SECONDS" in capsys.readouterr().err


def test_exec_without_a_command(nowhere, capsys):
    assert cli.main(["exec"]) == 2
    assert "wants a command" in capsys.readouterr().err


def test_a_refused_up_is_status_2_with_every_sentence(nowhere, monkeypatch, capsys):
    def refuse(*_arguments):
        raise up.RefusedError("one\ntwo")

    monkeypatch.setattr(up, "up", refuse)
    assert cli.main(["up"]) == 2
    assert capsys.readouterr().err == "lab: one\nlab: two\n"


def test_down_reports_what_it_could_not_remove(nowhere, monkeypatch, capsys):
    monkeypatch.setattr(cli.os, "geteuid", lambda: 0)
    (nowhere / "state").mkdir()
    monkeypatch.setattr(cli.teardown, "teardown", lambda *_: Outcome(True, {}, ["/dev/loop7 is still mounted"]))
    assert cli.main(["down"]) == 1
    assert "still mounted" in capsys.readouterr().err


def test_down_needs_root(nowhere, monkeypatch, capsys):
    monkeypatch.setattr(cli.os, "geteuid", lambda: 1000)
    assert cli.main(["down"]) == 2
    assert "needs root" in capsys.readouterr().err


@pytest.mark.parametrize(("argv", "usage"), [(["image", "rm"], "rm KEY"), (["image", "keep", "ami-1"], "keep AMI KEY")])
def test_image_actions_say_what_they_want(nowhere, argv, usage, capsys):
    assert cli.main(argv) == 2
    assert usage in capsys.readouterr().err


def test_an_image_that_a_lab_stands_on_is_not_removed(nowhere, capsys):
    (nowhere / "state/other").mkdir(parents=True)
    (nowhere / "state/other/server.json").write_text('{"base_image_key": "abc"}')
    (nowhere / "cache/images/base-abc").mkdir(parents=True)
    assert cli.main(["image", "rm", "abc"]) == 1
    assert "in use by lab 'other'" in capsys.readouterr().err
    assert (nowhere / "cache/images/base-abc").is_dir()


def test_an_empty_cache_is_listed_and_nothing_can_be_removed_from_it(nowhere, capsys):
    assert cli.main(["image", "ls"]) == 0
    assert capsys.readouterr().out == "Base images: none\n\nKept images: none\n"
    assert cli.main(["image", "rm", "nothing"]) == 1
