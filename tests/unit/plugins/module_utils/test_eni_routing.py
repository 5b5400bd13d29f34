# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who manages the network, who is in the way, and what is missing; each gate fires."""

from __future__ import annotations

import copy
import dataclasses
from types import SimpleNamespace

import pytest
from ansible_collections.holdfast.kafka.plugins.module_utils import eni_routing, eni_routing_files
from ansible_collections.holdfast.kafka.plugins.module_utils.eni_routing import Wanted

MAC = "02:00:00:00:00:01"
OWN = "70-holdfast-eni-1.network"
WANTED = Wanted("eth1", "10.0.1.21", "10.0.1.0/24", "10.0.1.1", 1001, 1001)
LINKS = [{"ifname": "eth1", "flags": ["UP", "LOWER_UP"], "addr_info": [{"local": "10.0.1.21"}]}]
RULES = [{"priority": 0, "src": "all", "table": "255"}, {"priority": 1001, "src": "10.0.1.21", "table": "1001"}]
ROUTES = [
    {"dst": "default", "gateway": "10.0.1.1", "dev": "eth1"},
    {"dst": "10.0.1.0/24", "dev": "eth1", "scope": "link"},
]


def test_the_router_has_the_first_address():
    assert eni_routing.subnet_gateway("10.0.1.128/25") == "10.0.1.129"


@pytest.mark.parametrize(
    ("units", "interfaces", "manager"),
    [
        (["systemd-networkd.service"], "", "systemd-networkd"),
        (["NetworkManager.service", "systemd-networkd.service"], "", "NetworkManager"),
        (["networking.service"], "auto lo\nauto eth0\n", "ifupdown"),
        (["networking.service", "systemd-networkd.service"], "auto lo\n", "systemd-networkd"),
        ([], "", "none"),
    ],
)
def test_the_manager_is_told(units, interfaces, manager):
    assert eni_routing.main_manager(units, interfaces) == manager


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ("[Match]\nName=eth1\n", True),
        ("[Match]\nName=e* !eth1\n", False),
        ("[Match]\nName=en*\n", False),
        (f"[Match]\nMACAddress={MAC.upper()}\n", True),
        ("[Match]\nMACAddress=02:00:00:00:00:99\n", False),
        ("[Match]\nType=ether\n", True),
        ("[Match]\nDriver=ena\n", False),
        ("[Network]\nDHCP=yes\n", False),
        ("# [Match]\n[Match]\nName=eth0\n[Network]\nName=eth1\n", False),
    ],
)
def test_a_network_file_matches_as_networkd_would(text, matches):
    assert eni_routing.network_file_matches(text, "eth1", MAC) is matches


def conflicts(files=None, rules=None, others=None):
    return eni_routing.conflicts(WANTED, MAC, files or {}, OWN, RULES if rules is None else rules, others or [])


def test_our_own_files_and_rules_are_no_conflict():
    own = {f"/etc/systemd/network/{OWN}": f"[Match]\nMACAddress={MAC}\n"}
    later = {"/etc/systemd/network/99-default.network": "[Match]\nName=*\n"}
    assert conflicts(own | later) == []


def test_an_earlier_file_of_netplan_is_a_conflict():
    (sentence,) = conflicts({"/run/systemd/network/10-netplan-eth1.network": "[Match]\nName=eth1\n"})
    assert "netplan" in sentence
    assert "sorts before" in sentence


def test_cloud_inits_rule_is_a_conflict():
    (sentence,) = conflicts(rules=[{"priority": 32765, "src": "10.0.1.21", "table": "101"}])
    assert "table 101" in sentence


def test_ec2_net_utils_is_a_conflict():
    assert len(conflicts(others=["amazon-ec2-net-utils"])) == 1


def test_nothing_is_missing_when_all_is_there():
    assert eni_routing.missing(WANTED, LINKS, RULES, ROUTES) == []


def test_a_missing_interface_is_said_alone():
    assert eni_routing.missing(WANTED, [], RULES, ROUTES) == ["interface eth1"]


@pytest.mark.parametrize(
    ("break_it", "sentence"),
    [
        (lambda kernel: kernel.links[0].update(flags=["LOWER_UP"]), "eth1 up"),
        (lambda kernel: kernel.links[0].update(flags=["UP"]), "carrier on eth1"),
        (lambda kernel: kernel.links[0].update(addr_info=[]), "address 10.0.1.21 on eth1"),
        (
            lambda kernel: kernel.links[0]["addr_info"][0].update(tentative=True),
            "address 10.0.1.21 still tentative",
        ),
        (lambda kernel: kernel.rules.pop(), "rule from 10.0.1.21 lookup 1001 priority 1001"),
        (lambda kernel: kernel.rules[1].update(priority=7), "rule from 10.0.1.21 lookup 1001 priority 1001"),
        (lambda kernel: kernel.routes.pop(0), "default route via 10.0.1.1 in table 1001"),
        (lambda kernel: kernel.routes[0].update(dev="eth0"), "default route via 10.0.1.1 in table 1001"),
        (lambda kernel: kernel.routes.pop(1), "connected route 10.0.1.0/24 in table 1001"),
    ],
)
def test_each_missing_piece_is_named(break_it, sentence):
    kernel = SimpleNamespace(links=copy.deepcopy(LINKS), rules=copy.deepcopy(RULES), routes=copy.deepcopy(ROUTES))
    break_it(kernel)
    assert eni_routing.missing(WANTED, kernel.links, kernel.rules, kernel.routes) == [sentence]


def test_a_setting_that_does_not_hold_is_named():
    wanted = {"net.ipv4.conf.all.rp_filter": "2", "net.ipv4.conf.all.arp_ignore": "1"}
    gaps = eni_routing.sysctl_gaps(wanted, {"net.ipv4.conf.all.rp_filter": "1"})
    assert gaps == ["net.ipv4.conf.all.rp_filter=1, wanted 2", "net.ipv4.conf.all.arp_ignore=unreadable, wanted 1"]


def test_an_mtu_that_differs_is_named_and_any_is_right_without_one():
    jumbo = Wanted("eth1", "10.0.1.21", "10.0.1.0/24", "10.0.1.1", 1001, 1001, 9001)
    links = [{**LINKS[0], "mtu": 1500}]
    assert eni_routing.missing(jumbo, links, RULES, ROUTES) == ["MTU 9001 on eth1 (it is 1500)"]
    assert eni_routing.missing(jumbo, [{**LINKS[0], "mtu": 9001}], RULES, ROUTES) == []
    assert eni_routing.missing(WANTED, links, RULES, ROUTES) == []


@pytest.mark.parametrize(
    ("routes", "mtu"),
    [
        ([{"dst": "default", "dev": "eth0"}], 9001),
        ([{"dst": "default", "dev": "eth1", "metric": 1}, {"dst": "default", "dev": "eth0", "metric": 100}], 9001),
        ([{"dst": "default", "dev": "eth2", "metric": 200}, {"dst": "default", "dev": "eth0", "metric": 100}], 9001),
        ([{"dst": "default", "dev": "eth1"}], None),
        ([{"dst": "default", "dev": "gone"}], None),
        ([], None),
    ],
)
def test_the_primary_interface_has_the_best_default_route(routes, mtu):
    links = [{"ifname": "eth0", "mtu": 9001}, {"ifname": "eth1", "mtu": 1500}, {"ifname": "eth2", "mtu": 1400}]
    assert eni_routing.primary_mtu("eth1", routes, links) == mtu


def test_the_file_for_networkd_says_all_of_it():
    text = eni_routing_files.networkd_text(dataclasses.replace(WANTED, mtu=9001), MAC)
    sections = [section.partition("]")[::2] for section in text.split("\n[")[1:]]
    lines = [(name, *line.split("=")) for name, body in sections for line in body.split("\n") if "=" in line]
    assert ("Match", "MACAddress", MAC) in lines
    assert ("Link", "MTUBytes", "9001") in lines
    assert ("Address", "Address", "10.0.1.21/24") in lines
    assert ("Address", "AddPrefixRoute", "false") in lines
    assert ("RoutingPolicyRule", "From", "10.0.1.21/32") in lines
    assert ("Route", "Destination", "10.0.1.0/24") in lines
    assert ("Route", "Gateway", "10.0.1.1") in lines
    assert [line[2] for line in lines if line[1] == "Table"] == ["1001"] * 3


def test_the_other_files_are_what_their_readers_expect():
    assert eni_routing_files.sysctl_text({"b.c": 2, "a.b": 1}).splitlines()[1:] == ["a.b = 1", "b.c = 2"]
    assert eni_routing_files.tables_text(1001, "holdfast").splitlines()[1:] == ["1001\tholdfast"]
