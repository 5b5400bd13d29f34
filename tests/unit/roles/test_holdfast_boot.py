# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command that starts a node's boot: what it runs when git is away, whom it tells, and whom it never tells."""

from __future__ import annotations

import fcntl
import io
import json
import os
import subprocess
import sys
import urllib.error
from pathlib import Path
from types import ModuleType
from typing import Any

import botocore.exceptions
import jinja2
import pytest

ROLE = Path(__file__).parents[3] / "roles" / "node_agent"
URL = "https://me:hunter2@git.example.com/holdfast.git"
NODE = (
    f"{{holdfast_git_url: '{URL}', holdfast_git_version: main, holdfast_environment: lab, holdfast_role: kafka, "
    "holdfast_stack_name: nodes, holdfast_stack_resource: KafkaA, holdfast_asg: demo-kafka-a}"
)


class World:
    """A host around the command: files, git, systemd and AWS, with a record of what was run and told."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        text = (ROLE / "templates" / "holdfast-boot.j2").read_text()
        made = jinja2.Environment(autoescape=False).from_string(  # noqa: S701 - Python, not HTML
            text.replace("| comment", "")
        )
        source = made.render(
            node_agent_home="/opt/holdfast",
            node_agent_state_directory=str(root),
            node_agent_source_timeout_seconds=300,
            node_agent_boot_timeout_seconds=600,
            node_agent_kept_retry_seconds=600,
            node_agent_untold_retries=3,
            node_agent_untold_retry_seconds=120,
            ansible_managed="# managed",
        )
        self.boot = ModuleType("holdfast_boot")
        exec(compile(source, "holdfast-boot", "exec"), self.boot.__dict__)  # noqa: S102 - the program under test
        self.root = root
        self.node, self.settings = root / "node.yml", root / "boot.env"
        self.node.write_text(NODE)
        self.settings.write_text("AWS_ENDPOINT_URL=http://192.0.2.2:4566\nAWS_REGION='eu-central-1'\n# no=pair\n")
        self.runs: list[list[str]] = []
        self.environments: list[dict[str, str]] = []
        self.told: list[tuple[str, str]] = []
        self.git_code = 0
        self.git_hangs = False
        self.refuse: dict[str, int] = {}
        self.units: dict[str, list[str]] = {}
        self.state = "running"
        self.timers: list[list[str]] = []
        self.timer_code = 0
        self.words: dict[str, str] = {}
        self.restarts: list[str] = []
        self.powered_off = False
        self.no_group = False
        self.held: Any = None
        self.slept = 0.0
        boot: Any = self.boot
        places = {"NODE": self.node, "SETTINGS": self.settings, "UNTOLD": root / "untold", "STAY": root / "stay"}
        for name, value in {name: str(path) for name, path in places.items()}.items():
            setattr(boot, name, value)
        self.really_shown = boot.shown
        boot.shown = self.shown
        boot.metadata = lambda path: {"meta-data/instance-id": "i-1"}.get(path, "eu-central-1")
        boot.time = self
        monkeypatch.setattr(boot.subprocess, "run", self.run)
        monkeypatch.setattr(boot.boto3.session, "Session", lambda **_: self)
        for name in ("INVOCATION_ID", "SERVICE_RESULT", "EXIT_STATUS", "AWS_ENDPOINT_URL", "AWS_REGION"):
            # Set first, so that what the command itself sets is taken back too.
            monkeypatch.setenv(name, "")
            monkeypatch.delenv(name)
        self.setenv = monkeypatch.setenv

    def monotonic(self) -> float:
        """The clock, which only sleeping moves."""
        return self.slept

    def sleep(self, seconds: float) -> None:
        """Wait."""
        self.slept += seconds

    def shown(self, command: list[str], env: dict[str, str], _directory: str) -> int:
        """Take the place of the play."""
        self.runs.append(command)
        self.environments.append(env)
        return 0

    def run(self, command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        """Take the place of git and systemctl."""
        assert options.get("timeout"), "nothing may hang for ever"
        if command[0] == "systemd-run":
            self.timers.append(command[1:])
            return subprocess.CompletedProcess(command, self.timer_code, "", "no bus" if self.timer_code else "")
        if command[0] == "systemctl":
            if command[1] in ("is-failed", "is-active"):
                return subprocess.CompletedProcess(command, 0, self.words.get(command[-1], "inactive") + "\n", "")
            if "restart" in command:
                assert "--no-block" in command, "it would wait for itself"
                self.restarts.append(command[-1])
                return subprocess.CompletedProcess(command, 0, "", "")
            if "poweroff" in command:
                assert "--no-block" in command, "it would wait for itself"
                self.powered_off = True
                return subprocess.CompletedProcess(command, 0, "", "")
            if command[1] == "is-system-running":
                return subprocess.CompletedProcess(command, 0, self.state, "")
            answers = self.units.get(command[-1], ["ActiveState=inactive\nMainPID=0"])
            return subprocess.CompletedProcess(command, 0, answers.pop(0) if len(answers) > 1 else answers[0], "")
        if "ls-remote" in command:
            assert options["env"]["GIT_TERMINAL_PROMPT"] == "0"
            self.asked = command[-1]
            if self.git_hangs:
                raise subprocess.TimeoutExpired(command, 1)
            return subprocess.CompletedProcess(command, self.git_code, "", f"cannot reach {URL}")
        return subprocess.CompletedProcess(command, 0, "", "")

    def checkout(self) -> None:
        """Leave a checkout, as an earlier boot does."""
        path = self.root / "checkout" / "playbooks" / "node_boot.yml"
        path.parent.mkdir(parents=True)
        path.write_text("[]")

    def client(self, service: str, **_options: Any) -> Any:
        """AWS, which refuses as often as it is told."""
        world = self

        class Client:
            def __getattr__(self, operation: str) -> Any:
                def call(**arguments: Any) -> None:
                    if world.refuse.get(service, 0) > 0:
                        world.refuse[service] -= 1
                        raise botocore.exceptions.ConnectTimeoutError(endpoint_url="http://192.0.2.2")
                    if world.no_group and service == "autoscaling":
                        refusal = {"Error": {"Code": "ValidationError", "Message": "Instance Id not found"}}
                        raise botocore.exceptions.ClientError(refusal, operation)
                    world.told.append((operation, arguments.get("HealthStatus") or arguments["Status"]))

                return call

        return Client()

    def end(self, result: str = "exit-code", status: str = "1") -> None:
        """Systemd runs ExecStopPost."""
        self.setenv("SERVICE_RESULT", result)
        self.setenv("EXIT_STATUS", status)
        assert self.boot.main(["--ended"]) == 0


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(tmp_path, monkeypatch)


TOLD = [("set_instance_health", "Unhealthy"), ("signal_resource", "FAILURE")]
RUNS = "ActiveState=active\nMainPID=7"


def test_a_boot_pulls_the_wanted_version(world: World) -> None:
    world.setenv("INVOCATION_ID", "abc")
    assert world.boot.main(["--unit"]) == 0
    assert world.asked == "main"
    assert world.runs[0][0].endswith("ansible-pull")
    assert "--force" not in world.runs[0]
    assert world.environments[0]["INVOCATION_ID"] == "abc"


@pytest.mark.parametrize("fault", ["away", "hangs", "no_ref"])
def test_a_reboot_without_git_runs_the_last_checkout(
    world: World, fault: str, capsys: pytest.CaptureFixture[str]
) -> None:
    world.checkout()
    world.git_code, world.git_hangs = {"away": (128, False), "hangs": (0, True), "no_ref": (2, False)}[fault]
    assert world.boot.main([]) == 0
    assert world.runs[0][0].endswith("ansible-playbook")
    assert world.slept <= 62
    assert "hunter2" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("at https://me:hunter2@git/x.git: no", "at https://***@git/x.git: no"),
        ("at https://me:hun/ter2@x@git/x.git", "at https://***@git/x.git"),
        ("'https://me:hun'ter2@git/x.git'", "'https://***@git/x.git'"),
        ("'https://git/x.git?token=hunter2' failed", "'https://git/x.git?***' failed"),
        ("https://me:hunter?2@git/x.git?a=hunter2&b=1", "https://***@git/x.git?***"),
        ("https://git/x.git is what? nobody@example", "https://git/x.git is what? nobody@example"),
    ],
)
def test_no_password_of_an_address_is_shown(world: World, text: str, shown: str) -> None:
    assert world.boot.redacted(text) == shown


def test_a_fetch_that_fails_half_way_does_not_cost_a_checkout(world: World) -> None:
    world.checkout()
    assert world.boot.main([]) == 0
    assert "--force" in world.runs[0]


def test_a_broken_checkout_is_fetched_anew(world: World) -> None:
    (world.root / "checkout" / ".git").mkdir(parents=True)
    assert world.boot.main([]) == 0
    assert not (world.root / "checkout").exists()
    assert "--force" not in world.runs[0]


def test_without_git_and_checkout_it_fails_in_bounded_time(world: World) -> None:
    world.git_code = 128
    assert world.boot.main([]) == 1
    assert (world.runs, world.slept) == ([], 300)


@pytest.mark.parametrize(
    ("arguments", "invocation"), [([], ""), ([], "abc"), (["--unit"], ""), (["--unit", "--check"], "abc")]
)
def test_a_check_and_a_run_by_hand_tell_nobody(world: World, arguments: list[str], invocation: str) -> None:
    if invocation:
        world.setenv("INVOCATION_ID", invocation)
    world.boot.main(arguments)
    assert "INVOCATION_ID" not in world.environments[0]
    world.node.write_text("broken: [")
    assert world.boot.main(arguments) == 1
    assert world.told == []


@pytest.mark.parametrize("content", [None, "broken: [", "- a list", "holdfast_role: kafka", NODE])
@pytest.mark.parametrize("result", ["exit-code", "timeout", "oom-kill"])
def test_a_boot_that_could_not_speak_is_given_up(world: World, content: str | None, result: str) -> None:
    world.node.unlink() if content is None else world.node.write_text(content)
    world.end(result)
    assert world.told == (TOLD if content == NODE else TOLD[:1])
    assert os.environ["AWS_ENDPOINT_URL"] == "http://192.0.2.2:4566"


@pytest.mark.parametrize("unit", ["kafka.service", "zookeeper.service"])
def test_a_node_whose_service_runs_is_never_given_up(world: World, unit: str) -> None:
    world.units[unit] = [RUNS]
    world.end()
    assert world.told == []


def test_a_service_between_two_crashes_does_not_run(world: World) -> None:
    world.units["kafka.service"] = [RUNS, "ActiveState=active\nMainPID=8"]
    world.end()
    assert world.told == TOLD


@pytest.mark.parametrize("phase", ["signalled", "gave_up", "kept"])
def test_a_playbook_that_has_spoken_has_the_last_word(world: World, phase: str) -> None:
    boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    (world.root / "boot.json").write_text(json.dumps({"boot_id": boot_id, "phases": {phase: "now"}}))
    world.end()
    assert world.told == []


def recorded(world: World, *names: str) -> None:
    """Leave a record of this boot of the machine."""
    boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    (world.root / "boot.json").write_text(json.dumps({"boot_id": boot_id, "phases": dict.fromkeys(names, "now")}))


def test_a_kept_instance_is_tried_again_and_nobody_else_is(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    recorded(world, "kept")
    world.end()
    assert world.timers == [
        ["--quiet", "--collect", "--on-active=600", "/usr/local/bin/holdfast-boot", "--retry"],
    ]
    assert world.told == []
    assert "tried again in 600 s" in capsys.readouterr().out
    world.end("success", "0")
    world.end("signal", "TERM")
    for names in (("gave_up",), ("kept", "gave_up"), ("signalled",)):
        recorded(world, *names)
        world.end()
    world.boot.__dict__["RETRY_SECONDS"] = 0
    recorded(world, "kept")
    world.end()
    assert len(world.timers) == 1


def test_a_retry_that_cannot_be_had_is_said(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    recorded(world, "kept")
    world.timer_code = 1
    world.end()
    assert "not tried again by itself: no bus" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("unit", "service", "phase", "restarts"),
    [
        ("failed", "active", "kept", ["holdfast-boot.service"]),
        ("activating", "active", "kept", []),
        ("inactive", "active", "kept", []),
        ("failed", "inactive", "kept", []),
        ("failed", "active", "gave_up", []),
    ],
)
def test_a_retry_leaves_alone_what_somebody_took_in_hand(
    world: World, unit: str, service: str, phase: str, restarts: list[str]
) -> None:
    recorded(world, phase)
    world.words = {"holdfast-boot.service": unit, "kafka.service": service}
    assert world.boot.main(["--retry"]) == 0
    assert world.restarts == restarts


def test_success_and_a_stop_are_no_failures(world: World) -> None:
    world.end("success", "0")
    world.end("signal", "TERM")
    world.state = "stopping"
    world.end("exit-code")
    assert world.told == []


def test_the_two_calls_are_tried_again_and_do_not_depend_on_one_another(world: World) -> None:
    world.refuse = {"autoscaling": 2, "cloudformation": 1}
    world.end()
    assert world.told == TOLD
    world.told.clear()
    world.refuse = {"autoscaling": 99}
    world.end()
    assert world.told == TOLD[1:]
    assert world.slept < 300


@pytest.mark.parametrize("who", ["metadata", "autoscaling"])
def test_a_boot_that_could_tell_nobody_runs_again_and_then_powers_off(
    world: World, who: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def silent(_path: str) -> str:
        raise OSError("no route to host")

    if who == "metadata":
        world.boot.__dict__["metadata"] = silent
    else:
        world.refuse = {"autoscaling": 99}
    again = ["--quiet", "--collect", "--on-active=120", "/usr/local/bin/holdfast-boot", "--again"]
    for number in (1, 2, 3):
        world.end()
        assert (world.timers, world.powered_off) == ([again] * number, False)
        assert f"tried again in 120 s ({number} of 3)" in capsys.readouterr().out
    world.end()
    assert (world.timers, world.powered_off) == ([again] * 3, True)
    assert "powering off" in capsys.readouterr().out


@pytest.mark.parametrize("why", ["no node.yml", "no timer"])
def test_what_another_run_cannot_mend_powers_off_at_once(world: World, why: str) -> None:
    world.refuse = {"autoscaling": 99}
    world.node.unlink() if why == "no node.yml" else setattr(world, "timer_code", 1)
    world.end()
    assert world.powered_off


@pytest.mark.parametrize(
    ("meanwhile", "words"),
    [
        ("active", "kafka.service is not known to be down"),
        ("activating", "kafka.service is not known to be down"),
        ("", "kafka.service is not known to be down"),
        ("finished", "a boot has come to its end meanwhile"),
        ("run", "another run is at it"),
        ("stay", "stay is there"),
    ],
)
def test_what_somebody_brought_up_or_works_on_stays_on(
    world: World, meanwhile: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Telling nobody takes minutes, in which a person may have mended what was missing."""
    world.node.unlink()

    def refuse_and_change(**_: object) -> World:
        if meanwhile in ("active", "activating", ""):
            world.words["kafka.service"] = meanwhile
        elif meanwhile == "finished":
            recorded(world, "finished")
        elif meanwhile == "stay":
            (world.root / "stay").touch()
        else:
            held = world.held = (world.root / "boot.lock").open("a", encoding="ascii")
            fcntl.flock(held, fcntl.LOCK_EX)
        return world

    world.boot.__dict__["boto3"].session.Session = refuse_and_change
    world.refuse = {"autoscaling": 99}
    world.end()
    assert not world.powered_off
    assert f"this instance stays on, because {words}" in capsys.readouterr().out.replace(str(world.root) + "/", "")


@pytest.mark.parametrize("node", [NODE.replace(", holdfast_asg: demo-kafka-a", ""), None])
def test_an_instance_that_auto_scaling_did_not_bring_is_left_to_a_person(
    world: World, node: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    world.node.unlink() if node is None else world.node.write_text(node)
    answers = world.boot.metadata

    def metadata(path: str) -> str:
        if "autoscaling" in path:
            raise urllib.error.HTTPError("", 404, "", None, io.BytesIO())  # type: ignore[arg-type]  # no headers
        return str(answers(path))

    world.boot.__dict__["metadata"] = metadata
    world.refuse = {"autoscaling": 99}
    world.end()
    assert (world.timers, world.powered_off) == ([], False)
    assert "left to a person" in capsys.readouterr().out


def test_an_instance_that_is_told_of_or_serves_or_has_no_group_stays_on(world: World) -> None:
    world.end()
    world.no_group = True
    world.end()
    world.no_group = False
    world.refuse = {"autoscaling": 99}
    world.units["kafka.service"] = [RUNS]
    world.end()
    world.end("signal", "TERM")
    assert (world.timers, world.powered_off) == ([], False)


@pytest.mark.parametrize(("unit", "restarts"), [("failed", ["holdfast-boot.service"]), ("activating", [])])
def test_a_boot_that_runs_is_not_run_again(world: World, unit: str, restarts: list[str]) -> None:
    world.words = {"holdfast-boot.service": unit}
    assert (world.boot.main(["--again"]), world.restarts) == (0, restarts)
    (world.root / "stay").touch()
    assert (world.boot.main(["--again"]), world.restarts) == (0, restarts)


def test_a_second_run_waits_for_the_first(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    first = (world.root / "boot.lock").open("a", encoding="ascii")
    fcntl.flock(first, fcntl.LOCK_EX)

    def the_first_ends(seconds: float) -> None:
        assert world.runs == [], "not while the first run is at it"
        world.slept += seconds
        if world.slept >= 3:
            first.close()

    world.__dict__["sleep"] = the_first_ends
    assert world.boot.main([]) == 0
    assert len(world.runs) == 1
    assert capsys.readouterr().out.count("waiting for its end") == 1


def test_a_first_run_that_never_ends_is_not_waited_for_for_ever(world: World) -> None:
    with (world.root / "boot.lock").open("a", encoding="ascii") as first:
        fcntl.flock(first, fcntl.LOCK_EX)
        assert world.boot.main([]) == 1
    assert (world.runs, world.slept) == ([], 600)
    assert world.boot.main([]) == 0


def test_an_image_that_is_only_tried_out_is_no_failure(world: World) -> None:
    world.setenv("INVOCATION_ID", "abc")
    world.node.unlink()
    assert world.boot.main(["--unit"]) == 1, "it has user-data, which did not write node.yml"

    def nothing(_path: str) -> str:
        raise urllib.error.HTTPError("", 404, "", None, io.BytesIO())  # type: ignore[arg-type]  # no headers

    world.boot.__dict__["metadata"] = nothing
    assert world.boot.main(["--unit"]) == 0


def test_a_run_by_hand_has_the_settings_of_a_boot_and_closes_the_files(world: World) -> None:
    world.settings.chmod(0o644)
    world.boot.main(["--check"])
    env = world.environments[0]
    assert (env["AWS_ENDPOINT_URL"], env["AWS_REGION"]) == ("http://192.0.2.2:4566", "eu-central-1")
    assert [path.stat().st_mode & 0o777 for path in (world.node, world.settings)] == [0o600, 0o600]


def test_the_output_of_the_play_has_no_passwords(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    command = [sys.executable, "-c", f"print('ansible-pull --url {URL} --full'); raise SystemExit(3)"]
    assert world.really_shown(command, dict(os.environ), str(world.root)) == 3
    world.boot.say(f"fetching {URL}")
    assert capsys.readouterr().out.splitlines() == [
        "ansible-pull --url https://***@git.example.com/holdfast.git --full",
        "holdfast-boot: fetching https://***@git.example.com/holdfast.git",
    ]


def test_the_unit_ends_by_saying_so() -> None:
    unit = (ROLE / "templates" / "holdfast-boot.service.j2").read_text().splitlines()
    assert "ExecStart=/usr/local/bin/holdfast-boot --unit" in unit
    assert "ExecStopPost=/usr/local/bin/holdfast-boot --ended" in unit
    assert not [line for line in unit if line.startswith("ConditionPathExists")]
