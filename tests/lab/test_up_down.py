# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""`lab up` and `lab down` leave the machine as it was, whatever happened in between, and touch nothing of others."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.config import LabConfig, load
from lab.ledger import Ledger
from lab.machine import netns
from lab.machine.trees import is_mounted, mounts
from lab.teardown import teardown
from tests.lab.conftest import REPOSITORY, session_name

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module", autouse=True)
def _image(_able: None) -> None:
    """Build the base image before anything is timed."""
    done = lab("image", "build")
    assert done.returncode == 0, done.stderr


@pytest.fixture
def config() -> Iterator[LabConfig]:
    """A name of this test's own; what it leaves is removed, and was a failure."""
    config = load(name=session_name("u"))
    before = machine_state(config)
    yield config
    outcome = teardown(config, print)
    assert outcome.problems == []
    assert not outcome.found, "the test left its lab behind"
    assert machine_state(config) == before


@pytest.fixture
def netns_directory() -> Iterator[None]:
    """The directory of names is a mount already: tests that use `ip netns add` themselves would make it one."""
    if is_mounted(netns.NETNS_DIR):
        yield
        return
    subprocess.run(["ip", "netns", "add", session_name("x")], check=True)
    subprocess.run(["ip", "netns", "delete", session_name("x")], check=True)
    yield
    subprocess.run(["umount", str(netns.NETNS_DIR)], check=True)


def lab(*arguments: str, config: LabConfig | None = None, timeout: float = 300) -> subprocess.CompletedProcess[str]:
    """Run the command line."""
    name = ["--name", config.name] if config else []
    return subprocess.run(
        [sys.executable, "-m", "lab", *name, *arguments],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout,
    )


def machine_state(config: LabConfig) -> dict[str, list[str]]:
    """Return all that a lab could leave on this machine; other labs' things, which come and go, are left out."""
    other = re.compile(
        rf"\bhf-(?!{config.name}-)[a-z0-9]+-|/holdfast-lab/(?!{config.name}/)|holdfast-lab-(?!{config.name}\b)"
    )
    names = [path.name for path in netns.NETNS_DIR.iterdir()] if netns.NETNS_DIR.is_dir() else []
    loops = subprocess.run(["losetup", "--all", "--noheadings"], capture_output=True, text=True, check=True).stdout
    links = subprocess.run(["ip", "-o", "link"], capture_output=True, text=True, check=True).stdout
    found = {
        "namespaces": [f"{name} {(netns.NETNS_DIR / name).stat().st_ino}" for name in names],
        "mounts": [f"{mount.fstype} {mount.source} {mount.target}" for mount in mounts()],
        "loops": [line.split()[-1] for line in loops.splitlines()],
        "links": [line.split()[1] for line in links.splitlines()],
        "cgroups": [str(path) for path in Path("/sys/fs/cgroup").glob("**/holdfast-lab-*")],
        "processes": [line for line in _command_lines() if config.name in line],
        "state": [str(config.state_dir)] if config.state_dir.exists() else [],
    }
    return {kind: sorted(item for item in items if not other.search(item)) for kind, items in found.items()}


def _command_lines() -> list[str]:
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if path.parent.name != str(os.getpid()):
            lines.append(line)
    return lines


def test_a_whole_life(config: LabConfig) -> None:
    done = lab("up", "--preset", "none", "--json", config=config)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["preset"] == "none"
    again = lab("up", config=config)
    assert again.returncode == 2
    assert "is up already" in again.stderr
    state = json.loads(lab("status", "--json", config=config).stdout)
    assert state["instances"] == []
    assert state["server"]["lab"] == config.name
    environment = json.loads(lab("env", "--json", config=config).stdout)
    assert environment["AWS_ENDPOINT_URL"] == "http://10.77.0.2:4566"
    assert environment["ANSIBLE_SSH_CONTROL_PATH_DIR"] == str(config.state_dir / "ssh"), "another lab's would be found"
    assert len(json.loads(environment["HOLDFAST_LAB_SUBNETS"])) == 3
    assert "export AWS_ENDPOINT_URL=" in lab("env", config=config).stdout
    listing = lab("exec", "--", "git", "ls-remote", environment["HOLDFAST_LAB_GIT_URL"], "HEAD", config=config)
    assert re.match(r"[0-9a-f]{40}\tHEAD", listing.stdout), listing.stderr
    assert lab("exec", "--", "false", config=config).returncode == 1
    outside = lab("exec", "--", "ip", "route", "get", "1.1.1.1", config=config)
    assert outside.returncode != 0, "the lab's network has a way out"
    assert json.loads(lab("delays", "pending_seconds=3", "--json", config=config).stdout)["pending_seconds"] == 3
    assert lab("delays", "no_such=3", config=config).returncode == 1
    assert "serves http://10.77.0.2:4566" in lab("logs", "server", config=config).stdout
    assert "no instance is called" in lab("ssh", "nobody", config=config).stderr
    down = lab("down", config=config)
    assert down.returncode == 0, down.stderr
    second = lab("down", config=config)
    assert second.returncode == 0
    assert "nothing to remove" in second.stdout
    assert lab("status", config=config).returncode == 1


@pytest.mark.parametrize(
    ("line", "delay"),
    [("making the VPC", 0.0), ("making the VPC", 0.05), ("committing", 0.0), ("starting", 0.0), ("starting", 0.8)],
)
def test_down_after_an_up_that_was_killed(config: LabConfig, line: str, delay: float) -> None:
    _killed_up(config, line, delay)
    down = lab("down", config=config)
    assert down.returncode == 0, down.stderr
    assert lab("down", config=config).returncode == 0


def test_up_after_an_up_that_was_killed(config: LabConfig) -> None:
    _killed_up(config, "starting", 0.1)
    done = lab("up", config=config)
    assert done.returncode == 0, done.stderr
    assert "half up" in done.stderr
    assert lab("down", config=config).returncode == 0


def _killed_up(config: LabConfig, line: str, delay: float) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "lab", "--name", config.name, "up"],
        cwd=REPOSITORY,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    for said in process.stderr:
        if line in said:
            break
    time.sleep(delay)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stderr.close()


def test_down_with_a_dead_server(config: LabConfig) -> None:
    assert lab("up", config=config).returncode == 0
    (entry,) = [e for e in Ledger(config.ledger_path).entries("process") if e.facts["what"] == "server"]
    os.kill(entry.facts["pid"], signal.SIGKILL)
    time.sleep(0.2)
    status = lab("status", config=config)
    assert status.returncode == 1
    assert "its server does not run" in status.stderr
    assert lab("down", config=config).returncode == 0


def test_a_namespace_of_the_same_name_stops_up_and_survives_down(netns_directory: None, config: LabConfig) -> None:
    subprocess.run(["ip", "netns", "add", config.vpc_netns], check=True)
    try:
        inode = netns.inode_of(config.vpc_netns)
        done = lab("up", config=config)
        assert done.returncode == 2
        assert f"a network namespace named {config.vpc_netns} exists" in done.stderr
        assert lab("down", config=config).returncode == 0
        assert netns.inode_of(config.vpc_netns) == inode
    finally:
        subprocess.run(["ip", "netns", "delete", config.vpc_netns], check=True)


def test_a_namespace_that_took_a_name_over_survives_down(netns_directory: None, config: LabConfig) -> None:
    assert lab("up", config=config).returncode == 0
    name = config.instance_netns("i-0123456789abcdef0")
    Ledger(config.ledger_path).intend("netns", name=name, inode=4)
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        inode = netns.inode_of(name)
        down = lab("down", config=config)
        assert down.returncode == 0
        assert "was left alone" in down.stderr
        assert netns.inode_of(name) == inode
    finally:
        subprocess.run(["ip", "netns", "delete", name], check=True)


def test_a_state_directory_of_somebody_else_is_left_alone(config: LabConfig) -> None:
    config.state_dir.mkdir(parents=True)
    precious = config.state_dir / "precious"
    precious.write_text("mine")
    try:
        done = lab("up", config=config)
        assert done.returncode == 2
        assert "is not a lab's" in done.stderr
        down = lab("down", config=config)
        assert down.returncode == 1
        assert "nothing was removed" in down.stderr
        assert precious.read_text() == "mine"
    finally:
        precious.unlink()
        config.state_dir.rmdir()


def test_a_foreign_mount_in_the_state_directory_is_not_deleted_across(config: LabConfig) -> None:
    assert lab("up", config=config).returncode == 0
    place = config.state_dir / "foreign"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "foreign", str(place)], check=True)
    try:
        (place / "precious").write_text("mine")
        down = lab("down", config=config)
        assert down.returncode == 1
        assert "the lab did not do it" in down.stderr
        assert (place / "precious").read_text() == "mine"
    finally:
        subprocess.run(["umount", str(place)], check=True)
    assert lab("down", config=config).returncode == 0
