#!/usr/bin/python
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: eni_routing_info
short_description: Tell which network manager a host has and who else routes an ENI
version_added: 0.1.0
author:
  - Holdfast contributors
description:
  - Two managers that both write rules for one interface undo each other's work, mostly at the next reboot.
    This module finds the host's manager and everything that already routes the ENI or would.
options:
  interface:
    description: The ENI's interface on this host.
    type: str
    required: true
  mac:
    description: The ENI's MAC address.
    type: str
    required: true
  address:
    description: The ENI's private address.
    type: str
    required: true
  table_id:
    description: The routing table that is ours.
    type: int
    required: true
  priority:
    description: The rule's priority that is ours.
    type: int
    required: true
  own_file:
    description: Name of the C(.network) file that is ours; files sorting before it win over it.
    type: str
    required: true
attributes:
  check_mode:
    description: Can run in check mode and return what it would without changing the target.
    support: full
  diff_mode:
    description: Nothing is changed, so there is nothing to show.
    support: none
seealso:
  - module: holdfast.kafka.eni_routing_wait
"""

EXAMPLES = r"""
- name: Find out who manages the network
  holdfast.kafka.eni_routing_info:
    interface: eth1
    mac: 02:3f:11:aa:bb:cc
    address: 10.0.1.21
    table_id: 1001
    priority: 1001
    own_file: 70-holdfast-eni-0123456789abcdef0.network
  register: routing
"""

RETURN = r"""
manager:
  description: One of V(systemd-networkd), V(NetworkManager), V(ifupdown), V(none).
  returned: success
  type: str
primary_mtu:
  description: MTU of the interface that the main table's default route leaves by, in bytes; null if there is none.
  returned: success
  type: int
conflicts:
  description: A sentence for everything else that routes this ENI, or would.
  returned: success
  type: list
  elements: str
reason:
  description: V(ip_failed) when the C(ip) command did not answer.
  returned: failure
  type: str
"""

import json
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.holdfast.kafka.plugins.module_utils import eni_routing

NETWORK_DIRECTORIES = ("/etc/systemd/network", "/run/systemd/network", "/usr/lib/systemd/network")


def active_units(module: AnsibleModule) -> list[str]:
    """Those of the known units that are active. is-active answers one line per unit and fails unless all are."""
    names = list(eni_routing.UNITS)
    _code, out, _err = module.run_command(["systemctl", "is-active", *names])
    return [name for name, state in zip(names, out.split(), strict=False) if state == "active"]


def read_files(paths: list[Path]) -> dict[str, str]:
    """Texts by path. A file in a directory of higher precedence hides the one of the same name below."""
    texts: dict[str, str] = {}
    seen: set[str] = set()
    for path in paths:
        if path.name in seen or not path.is_file():
            continue
        seen.add(path.name)
        texts[str(path)] = path.read_text(encoding="utf-8", errors="replace")
    return texts


def ask_ip(module: AnsibleModule, *arguments: str) -> list[dict[str, Any]]:
    """C(ip -j -N ...) as data."""
    code, out, err = module.run_command(["ip", "-j", "-N", *arguments])
    if code != 0:
        module.fail_json(msg=f"'ip {' '.join(arguments)}' failed: {err.strip()}", reason="ip_failed")
    data: list[dict[str, Any]] = json.loads(out or "[]")
    return data


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "interface": {"type": "str", "required": True},
            "mac": {"type": "str", "required": True},
            "address": {"type": "str", "required": True},
            "table_id": {"type": "int", "required": True},
            "priority": {"type": "int", "required": True},
            "own_file": {"type": "str", "required": True},
        },
        supports_check_mode=True,
    )
    params = module.params
    rules = ask_ip(module, "rule", "show")
    routes, links = ask_ip(module, "route", "show", "default"), ask_ip(module, "link", "show")
    interfaces = read_files([Path("/etc/network/interfaces"), *sorted(Path("/etc/network/interfaces.d").glob("*"))])
    network_files = read_files([path for name in NETWORK_DIRECTORIES for path in sorted(Path(name).glob("*.network"))])
    wanted = eni_routing.Wanted(params["interface"], params["address"], "", "", params["table_id"], params["priority"])
    others = ["amazon-ec2-net-utils"] if any(Path(p).exists() for p in eni_routing.EC2_NET_UTILS_PATHS) else []
    module.exit_json(
        changed=False,
        manager=eni_routing.main_manager(active_units(module), "\n".join(interfaces.values())),
        primary_mtu=eni_routing.primary_mtu(params["interface"], routes, links),
        conflicts=eni_routing.conflicts(wanted, params["mac"], network_files, params["own_file"], rules, others),
    )


if __name__ == "__main__":
    main()
