# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""eni_routing: what it writes and applies, what it waits for, and every failure."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.holdfast.kafka.plugins.module_utils import eni_routing_files
from ansible_collections.holdfast.kafka.plugins.modules import eni_routing

from tests.unit.plugins.modules.in_process import run_module

ARGUMENTS = {
    "eni_id": "eni-1",
    "interface": "eth1",
    "mac": "02:00:00:00:00:01",
    "address": "10.0.1.21",
    "subnet_cidr": "10.0.1.0/24",
    "gateway": "10.0.1.1",
    "table_id": 1001,
    "priority": 1001,
    "timeout_seconds": 0.3,
}
BARE: dict[str, Any] = {
    "addr": [{"ifname": "eth1", "flags": [], "addr_info": [], "mtu": 1500}],
    "rule": [],
    "table": [],
    "default": [{"dst": "default", "gateway": "10.0.2.1", "dev": "eth0"}],
    "link": [{"ifname": "eth0", "mtu": 9001}, {"ifname": "eth1", "mtu": 1500}],
}
ROUTED: dict[str, Any] = {
    **BARE,
    "addr": [{"ifname": "eth1", "flags": ["UP", "LOWER_UP"], "addr_info": [{"local": "10.0.1.21"}], "mtu": 9001}],
    "rule": [{"priority": 1001, "src": "10.0.1.21", "table": "1001"}],
    "table": [{"dst": "default", "gateway": "10.0.1.1", "dev": "eth1"}, {"dst": "10.0.1.0/24", "dev": "eth1"}],
}


class Host:
    """A host: what C(ip) says, which manager is active, and what was run. Reloading makes the kernel C(after)."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.kernel: dict[str, Any] = copy.deepcopy(BARE)
        self.after: dict[str, Any] = copy.deepcopy(ROUTED)
        self.units = "inactive\ninactive\nactive\n"
        self.failing: str | None = None
        self.applied: list[str] = []

    def answer(self, argv: list[str]) -> tuple[int, str, str]:
        """Answer one command."""
        if argv[0] == "systemctl":
            return 3, self.units, ""
        if argv[0] != "ip":
            self.applied.append(argv[0])
            if argv[0] == self.failing:
                return 1, "", "no such thing"
            if argv[0] == "networkctl":
                self.kernel = self.after
            return 0, "", ""
        words = argv[3:]
        what = words[2] if words[0] == "route" else words[0]
        answer = self.kernel[what]
        return (2, "", "no") if answer is None else (0, json.dumps(answer), "")

    def route(self, *, check: bool = False, **more: Any) -> dict[str, Any]:
        """Run the module."""
        return run_module(eni_routing, {**ARGUMENTS, **more}, check=check, diff=True)


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    """A host of systemd-networkd whose files are below a directory of the test."""
    made = Host(tmp_path)
    for name, place in (
        ("NETWORKD_DIRECTORY", "network"),
        ("SYSCTL_PATH", "sysctl.conf"),
        ("TABLES_PATH", "rt/x.conf"),
    ):
        monkeypatch.setattr(eni_routing_files, name, str(tmp_path / place))
    monkeypatch.setattr(eni_routing, "NETWORK_DIRECTORIES", (str(tmp_path / "network"),))
    monkeypatch.setattr(
        "ansible.module_utils.basic.AnsibleModule.run_command", lambda _module, argv, **_options: made.answer(argv)
    )
    return made


def test_a_bare_eni_is_routed_and_the_second_run_changes_nothing(host: Host) -> None:
    first = host.route()
    assert (first["failed"], first["changed"], first["missing"], first["mtu"]) == (False, True, [], 9001)
    assert host.applied == ["sysctl", "networkctl"]
    assert len(first["files"]) == len(first["diff"]) == 3
    network = host.root / "network" / "70-holdfast-eni-1.network"
    assert "MTUBytes=9001" in network.read_text(encoding="utf-8")
    assert network.stat().st_mode & 0o777 == 0o644
    host.applied.clear()
    second = host.route()
    assert (second["failed"], second["changed"], second["files"], host.applied) == (False, False, [], [])


def test_a_check_predicts_and_touches_nothing(host: Host) -> None:
    result = host.route(check=True)
    assert (result["failed"], result["changed"], host.applied) == (False, True, [])
    shown = "".join(diff["prepared"] for diff in result["diff"])
    assert [path for path in result["files"] if f"+++ {path} (after)" not in shown] == []
    assert list(host.root.iterdir()) == []
    assert host.route()["files"] == result["files"]
    assert host.route(check=True)["changed"] is False


def test_a_kernel_that_lost_it_is_told_again(host: Host) -> None:
    host.route()
    host.applied.clear()
    host.kernel = copy.deepcopy(BARE)
    result = host.route()
    assert (result["failed"], result["changed"], result["files"]) == (False, True, [])
    assert host.applied == ["networkctl"]


def test_a_file_with_another_mode_is_mended(host: Host) -> None:
    host.route()
    (host.root / "sysctl.conf").chmod(0o600)
    result = host.route()
    assert result["files"] == [str(host.root / "sysctl.conf")]
    assert "mode 0600" in result["diff"][0]["prepared"]
    assert (host.root / "sysctl.conf").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize(
    ("more", "mtu"), [({}, 9001), ({"mtu": 1400}, 1400)], ids=["of the primary interface", "as told"]
)
def test_the_mtu(host: Host, more: dict[str, Any], mtu: int) -> None:
    host.after["addr"][0]["mtu"] = mtu
    assert host.route(**more)["mtu"] == mtu


def _change(**kernel: Any) -> Callable[[Host], None]:
    return lambda host: host.kernel.update(kernel)


def _other_file(host: Host) -> None:
    (host.root / "network").mkdir()
    (host.root / "network" / "10-netplan-eth1.network").write_text("[Match]\nName=eth1\n", encoding="utf-8")


@pytest.mark.parametrize(
    ("prepare", "reason", "words"),
    [
        (lambda host: setattr(host, "units", "active\n"), "network_conflict", "managed by 'NetworkManager'"),
        (lambda host: setattr(host, "units", "inactive\n"), "network_conflict", "managed by 'none'"),
        (_other_file, "network_conflict", "10-netplan-eth1.network"),
        (_change(rule=[{"priority": 7, "src": "10.0.1.21", "table": "101"}]), "network_conflict", "table 101"),
        (_change(default=[]), "mtu_unknown", "eni_routing_mtu"),
        (_change(default=None), "ip_failed", "route show default"),
        (_change(link=None), "ip_failed", "link show"),
        (_change(rule=None), "ip_failed", "rule show"),
    ],
)
def test_what_is_refused_before_anything_is_written(
    host: Host, prepare: Callable[[Host], None], reason: str, words: str
) -> None:
    prepare(host)
    result = host.route()
    assert (result["failed"], result["reason"]) == (True, reason)
    assert words in result["msg"]
    assert host.applied == []
    assert not (host.root / "network" / "70-holdfast-eni-1.network").exists()


def test_a_subnet_that_is_none_is_refused(host: Host) -> None:
    assert host.route(subnet_cidr="here")["reason"] == "bad_parameter"
    assert list(host.root.iterdir()) == []


@pytest.mark.parametrize("command", ["networkctl", "sysctl"])
def test_a_command_that_fails_is_named(host: Host, command: str) -> None:
    host.failing = command
    result = host.route()
    assert result["reason"] == "apply_failed"
    assert f"'{command} " in result["msg"]
    assert "no such thing" in result["msg"]


@pytest.mark.parametrize(
    ("after", "missing"),
    [
        ({"rule": []}, "rule from 10.0.1.21 lookup 1001 priority 1001"),
        ({"addr": None}, "interface eth1"),
        ({"addr": [{**ROUTED["addr"][0], "mtu": 1500}]}, "MTU 9001 on eth1 (it is 1500)"),
    ],
)
def test_what_never_comes_is_named(host: Host, after: dict[str, Any], missing: str) -> None:
    host.after.update(after)
    result = host.route()
    assert (result["reason"], result["missing"]) == ("timeout", [missing])
    assert missing in result["msg"]


def test_a_setting_that_does_not_hold_is_named(host: Host) -> None:
    result = host.route(sysctl={"net.ipv4.conf.all.rp_filter": 77})
    assert result["reason"] == "sysctl"
    assert "rp_filter" in result["msg"]
    assert "wanted 77" in result["msg"]
