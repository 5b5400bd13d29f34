#!/usr/bin/python
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: eni_routing
short_description: Route a second ENI in a table of its own
version_added: 0.1.0
author:
  - Holdfast contributors
description:
  - Gives an ENI's interface its address, and the address a rule and a routing table with a connected and a default
    route, through the host's network manager; sets the kernel up for two interfaces in one network.
  - Refuses, before anything is written, a network manager that it does not know and everything else that routes this
    ENI or would. Two managers that write rules for one interface undo each other's work, mostly at the next reboot.
  - Ends with what the kernel says (C(ip -j)), never with a manager's word. What the kernel lacks is applied again, also
    when the files were right already.
  - One module for all of it, because a node's boot is on the clock.
options:
  eni_id:
    description: The ENI, for the name of the C(.network) file.
    type: str
    required: true
  interface:
    description: The ENI's interface on this host.
    type: str
    required: true
  mac:
    description: The ENI's MAC address, by which the interface is found at each boot.
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
    description: The number of the ENI's routing table.
    type: int
    required: true
  table_name:
    description: The name of that table.
    type: str
    default: holdfast
  priority:
    description: The priority of the rule that leads the ENI's address to its table.
    type: int
    required: true
  mtu:
    description: The ENI's MTU in bytes; V(0) for that of the primary interface.
    type: int
    default: 0
  sysctl:
    description: Kernel settings that must hold, by their dotted name.
    type: dict
    default: {}
  timeout_seconds:
    description: How long to wait until the kernel has it all, in seconds.
    type: float
    default: 30
attributes:
  check_mode:
    description: Can run in check mode and return what it would without changing the target.
    support: full
  diff_mode:
    description: Shows each file that differs.
    support: full
"""

EXAMPLES = r"""
- name: Route the ENI
  holdfast.kafka.eni_routing:
    eni_id: eni-0123456789abcdef0
    interface: eth1
    mac: 02:3f:11:aa:bb:cc
    address: 10.0.1.21
    subnet_cidr: 10.0.1.0/24
    gateway: 10.0.1.1
    table_id: 1001
    priority: 1001
    sysctl:
      net.ipv4.conf.all.rp_filter: 2
"""

RETURN = r"""
manager:
  description: The network manager of this host.
  returned: when it could be told
  type: str
  sample: systemd-networkd
mtu:
  description: The MTU that the ENI has, in bytes.
  returned: success
  type: int
files:
  description: The files that were written, or would be.
  returned: success
  type: list
  elements: str
missing:
  description: What the kernel lacked at last; empty on success.
  returned: when the kernel was asked
  type: list
  elements: str
waited_seconds:
  description: How long the kernel took, in seconds.
  returned: success
  type: float
reason:
  description:
    - V(bad_parameter), V(network_conflict) (an unknown network manager, or somebody else who routes this ENI),
      V(mtu_unknown) (there is no primary interface to take it from), V(apply_failed) (a command that applies the
      files), V(timeout) (something is missing), V(sysctl) (a kernel setting differs) or V(ip_failed).
  returned: failure
  type: str
"""

import ipaddress
import json
import time
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.holdfast.kafka.plugins.module_utils import eni_routing, eni_routing_files, text_file

NETWORK_DIRECTORIES = (eni_routing_files.NETWORKD_DIRECTORY, "/run/systemd/network", "/usr/lib/systemd/network")
KNOWN_MANAGERS = ("systemd-networkd",)
POLL_SECONDS = 0.1


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


def ask_ip(module: AnsibleModule, *arguments: str, may_fail: bool = False) -> list[dict[str, Any]]:
    """C(ip -j -N ...) as data. C(may_fail): an interface or table that does not exist yet is an empty answer."""
    code, out, err = module.run_command(["ip", "-j", "-N", *arguments])
    if code != 0:
        if may_fail:
            return []
        module.fail_json(msg=f"'ip {' '.join(arguments)}' failed: {err.strip()}", reason="ip_failed")
    data: list[dict[str, Any]] = json.loads(out or "[]")
    return data


def require_no_conflict(module: AnsibleModule, wanted: eni_routing.Wanted) -> str:
    """Return this host's network manager; fail when it is not known or somebody else routes this ENI."""
    params = module.params
    interfaces = read_files([Path("/etc/network/interfaces"), *sorted(Path("/etc/network/interfaces.d").glob("*"))])
    network_files = read_files([path for name in NETWORK_DIRECTORIES for path in sorted(Path(name).glob("*.network"))])
    others = ["amazon-ec2-net-utils"] if any(Path(p).exists() for p in eni_routing.EC2_NET_UTILS_PATHS) else []
    manager = eni_routing.main_manager(active_units(module), "\n".join(interfaces.values()))
    own_file = eni_routing_files.networkd_name(params["eni_id"])
    rules = ask_ip(module, "rule", "show")
    found = eni_routing.conflicts(wanted, params["mac"], network_files, own_file, rules, others)
    if manager not in KNOWN_MANAGERS or found:
        told = "".join(f" {sentence}." for sentence in found)
        module.fail_json(
            msg=(
                f"This host's network is managed by '{manager}' (known: {', '.join(KNOWN_MANAGERS)}).{told} Nothing "
                f"was written. Disable the other manager for {wanted.interface} ({params['eni_id']}) in the image."
            ),
            reason="network_conflict",
            manager=manager,
        )
    return manager


def require_subnet(module: AnsibleModule) -> None:
    """Fail on a subnet that is none, before anything is asked."""
    try:
        ipaddress.ip_network(module.params["subnet_cidr"], strict=False)
    except ValueError as error:
        module.fail_json(msg=f"subnet_cidr is no subnet: {error}. Nothing was written.", reason="bad_parameter")


def mtu_bytes(module: AnsibleModule) -> int:
    """The MTU as the task says, or that of the primary interface; fail when there is none."""
    if module.params["mtu"]:
        return int(module.params["mtu"])
    interface = module.params["interface"]
    routes, links = ask_ip(module, "route", "show", "default"), ask_ip(module, "link", "show")
    primary = eni_routing.primary_mtu(interface, routes, links)
    if primary:
        return primary
    module.fail_json(
        msg=(
            f"The main table has no default route by another interface than {interface}, so there is no primary "
            f"interface to take the MTU from. Nothing was written. Set mtu (eni_routing_mtu)."
        ),
        reason="mtu_unknown",
    )
    raise AssertionError("fail_json returned")


def look(module: AnsibleModule, wanted: eni_routing.Wanted) -> list[str]:
    """What the kernel lacks."""
    links = ask_ip(module, "addr", "show", "dev", wanted.interface, may_fail=True)
    rules = ask_ip(module, "rule", "show")
    routes = ask_ip(module, "route", "show", "table", str(wanted.table_id), may_fail=True)
    return eni_routing.missing(wanted, links, rules, routes)


def wrong_settings(settings: dict[str, str]) -> list[str]:
    """Kernel settings that do not hold; a name that the kernel does not know does not either."""
    values = {}
    for name in settings:
        try:
            values[name] = Path("/proc/sys", *name.split(".")).read_text(encoding="utf-8").strip()
        except OSError:
            continue
    return eni_routing.sysctl_gaps(settings, values)


def apply(module: AnsibleModule, argv: list[str]) -> None:
    """Run a command that applies a file."""
    code, _out, err = module.run_command(argv)
    if code != 0:
        module.fail_json(msg=f"'{' '.join(argv)}' failed: {err.strip()}", reason="apply_failed")


def wait(module: AnsibleModule, wanted: eni_routing.Wanted, gaps: list[str]) -> float:
    """Wait until the kernel lacks nothing; return the seconds, fail at the bound."""
    started = time.monotonic()
    bound: float = module.params["timeout_seconds"]
    while gaps and time.monotonic() - started < bound:
        gaps = look(module, wanted)
        if gaps:
            time.sleep(POLL_SECONDS)
    if gaps:
        module.fail_json(
            msg=f"{wanted.interface} is not routed after {bound:g} s, missing: {'; '.join(gaps)}",
            reason="timeout",
            missing=gaps,
        )
    return round(time.monotonic() - started, 2)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "eni_id": {"type": "str", "required": True},
            "interface": {"type": "str", "required": True},
            "mac": {"type": "str", "required": True},
            "address": {"type": "str", "required": True},
            "subnet_cidr": {"type": "str", "required": True},
            "gateway": {"type": "str", "required": True},
            "table_id": {"type": "int", "required": True},
            "table_name": {"type": "str", "default": "holdfast"},
            "priority": {"type": "int", "required": True},
            "mtu": {"type": "int", "default": 0},
            "sysctl": {"type": "dict", "default": {}},
            "timeout_seconds": {"type": "float", "default": 30},
        },
        supports_check_mode=True,
    )
    require_subnet(module)
    params = module.params
    keys = ("interface", "address", "subnet_cidr", "gateway", "table_id", "priority")
    wanted = eni_routing.Wanted(**{key: params[key] for key in keys}, mtu=mtu_bytes(module))
    manager = require_no_conflict(module, wanted)
    settings = {key: str(value) for key, value in params["sysctl"].items()}
    network_path = f"{eni_routing_files.NETWORKD_DIRECTORY}/{eni_routing_files.networkd_name(params['eni_id'])}"
    texts = {
        network_path: eni_routing_files.networkd_text(wanted, params["mac"]),
        eni_routing_files.SYSCTL_PATH: eni_routing_files.sysctl_text(settings),
        eni_routing_files.TABLES_PATH: eni_routing_files.tables_text(params["table_id"], params["table_name"]),
    }
    wanted_files = [text_file.TextFile(path, text) for path, text in texts.items()]
    diffs = {file.path: diff for file in wanted_files if (diff := text_file.ensure(module, file))}
    gaps, wrong = look(module, wanted), wrong_settings(settings)
    reload_network, reload_kernel = network_path in diffs or gaps, eni_routing_files.SYSCTL_PATH in diffs or wrong
    result: dict[str, Any] = {
        "changed": bool(diffs or gaps or wrong),
        "manager": manager,
        "mtu": wanted.mtu,
        "files": sorted(diffs),
        "missing": gaps,
        "waited_seconds": 0.0,
        **({"diff": [{"prepared": text} for text in diffs.values()]} if diffs else {}),
    }
    if module.check_mode:
        module.exit_json(**result)
    if reload_kernel:
        apply(module, ["sysctl", f"--load={eni_routing_files.SYSCTL_PATH}"])
    if reload_network:
        # Reconfigures the links whose file is new or changed, and no other.
        apply(module, ["networkctl", "reload"])
    result["waited_seconds"] = wait(module, wanted, gaps)
    wrong = wrong_settings(settings)
    if wrong:
        module.fail_json(msg=f"Kernel settings do not hold: {'; '.join(wrong)}", reason="sysctl", missing=[])
    module.exit_json(**{**result, "missing": []})


if __name__ == "__main__":
    main()
