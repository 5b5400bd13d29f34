#!/usr/bin/python
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: eni_routing_wait
short_description: Wait until an ENI is routed in its own table, as the kernel tells it
version_added: 0.1.0
author:
  - Holdfast contributors
description:
  - Reads the kernel's state through C(ip -j), never a manager's word, until the address, the source rule, the connected
    and the default route are there. Ends with the kernel settings that multi-homing needs.
options:
  interface:
    description: The ENI's interface on this host.
    type: str
    required: true
  address:
    description: The ENI's private address.
    type: str
    required: true
  subnet_cidr:
    description: The ENI's subnet.
    type: str
    required: true
  gateway:
    description: The subnet's router.
    type: str
    required: true
  table_id:
    description: The routing table of the ENI.
    type: int
    required: true
  priority:
    description: The priority of the rule that leads to the table.
    type: int
    required: true
  mtu:
    description: The interface's MTU in bytes; V(0) for any.
    type: int
    default: 0
  sysctl:
    description: Kernel settings that must hold, by their dotted name.
    type: dict
    default: {}
  timeout_seconds:
    description: How long to wait, in seconds.
    type: float
    default: 30
attributes:
  check_mode:
    description: In check mode it looks once and never fails, because nothing was applied before it.
    support: full
  diff_mode:
    description: Nothing is changed, so there is nothing to show.
    support: none
seealso:
  - module: holdfast.kafka.eni_routing_info
"""

EXAMPLES = r"""
- name: Wait for the ENI's routing
  holdfast.kafka.eni_routing_wait:
    interface: eth1
    address: 10.0.1.21
    subnet_cidr: 10.0.1.0/24
    gateway: 10.0.1.1
    table_id: 1001
    priority: 1001
"""

RETURN = r"""
missing:
  description: What was still missing; empty on success.
  returned: always
  type: list
  elements: str
waited_seconds:
  description: How long it took, in seconds.
  returned: always
  type: float
reason:
  description: V(timeout) (something is missing), V(sysctl) (a kernel setting differs) or V(ip_failed).
  returned: failure
  type: str
"""

import json
import time
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.holdfast.kafka.plugins.module_utils import eni_routing

POLL_SECONDS = 0.25


def ask_ip(module: AnsibleModule, arguments: list[str], may_fail: bool = False) -> list[dict[str, Any]]:
    """C(ip -j -N ...) as data. C(may_fail): an interface or table that does not exist yet is an empty answer."""
    code, out, err = module.run_command(["ip", "-j", "-N", *arguments])
    if code != 0:
        if may_fail:
            return []
        module.fail_json(msg=f"'ip {' '.join(arguments)}' failed: {err.strip()}", reason="ip_failed")
    return json.loads(out or "[]")


def look(module: AnsibleModule, wanted: eni_routing.Wanted) -> list[str]:
    links = ask_ip(module, ["addr", "show", "dev", wanted.interface], may_fail=True)
    rules = ask_ip(module, ["rule", "show"])
    routes = ask_ip(module, ["route", "show", "table", str(wanted.table_id)], may_fail=True)
    return eni_routing.missing(wanted, links, rules, routes)


def read_sysctl(names: list[str]) -> dict[str, str]:
    """Current values; a name that the kernel does not know is left out."""
    values = {}
    for name in names:
        try:
            values[name] = Path("/proc/sys", *name.split(".")).read_text(encoding="utf-8").strip()
        except OSError:
            continue
    return values


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "interface": {"type": "str", "required": True},
            "address": {"type": "str", "required": True},
            "subnet_cidr": {"type": "str", "required": True},
            "gateway": {"type": "str", "required": True},
            "table_id": {"type": "int", "required": True},
            "priority": {"type": "int", "required": True},
            "mtu": {"type": "int", "default": 0},
            "sysctl": {"type": "dict", "default": {}},
            "timeout_seconds": {"type": "float", "default": 30},
        },
        supports_check_mode=True,
    )
    params = module.params
    keys = ("interface", "address", "subnet_cidr", "gateway", "table_id", "priority", "mtu")
    wanted = eni_routing.Wanted(**{key: params[key] for key in keys})
    started = time.monotonic()
    gaps = look(module, wanted)
    while gaps and not module.check_mode and time.monotonic() - started < params["timeout_seconds"]:
        time.sleep(POLL_SECONDS)
        gaps = look(module, wanted)
    result = {"changed": False, "missing": gaps, "waited_seconds": round(time.monotonic() - started, 2)}
    settings = {key: str(value) for key, value in params["sysctl"].items()}
    wrong = eni_routing.sysctl_gaps(settings, read_sysctl(list(settings)))
    if module.check_mode:
        module.exit_json(**result)
    if gaps:
        module.fail_json(
            msg=f"{wanted.interface} is not routed after {params['timeout_seconds']:g} s, missing: {'; '.join(gaps)}",
            reason="timeout",
            **result,
        )
    if wrong:
        module.fail_json(msg=f"Kernel settings do not hold: {'; '.join(wrong)}", reason="sysctl", **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
