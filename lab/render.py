# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tables for a terminal; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def table(title: str, head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return a titled table with aligned columns; an empty one says so."""
    if not rows:
        return f"{title}: none\n"
    cells = [[str(cell) if cell not in (None, "") else "-" for cell in row] for row in rows]
    widths = [max(len(head[i]), *(len(row[i]) for row in cells)) for i in range(len(head))]
    lines = [f"{title} ({len(rows)})"]
    lines += [
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in ([*head], *cells)
    ]
    return "\n".join(lines) + "\n"


def _by_name(items: Sequence[Mapping[str, Any]], key: str) -> list[Mapping[str, Any]]:
    return sorted(items, key=lambda item: (item.get("name") or "~", item[key]))


def status(found: Mapping[str, Any]) -> str:
    """Return `lab status` for people from what the server answers."""
    addresses = {
        item["attachment"]["instance_id"]: item["private_ip"]
        for item in found["network_interfaces"]
        if item["attachment"] and item["attachment"]["device_index"] == 1
    }
    machine = {item["instance_id"]: item for item in found.get("machine", [])}
    parts = [
        table(
            "Instances",
            ("NAME", "INSTANCE", "STATE", "AZ", "PRIMARY IP", "ETH1 IP", "IMAGE", "ON THIS MACHINE"),
            [
                (
                    item["name"],
                    item["instance_id"],
                    item["state"],
                    item["availability_zone"],
                    item["private_ip"],
                    addresses.get(item["instance_id"]),
                    item["image_id"],
                    _presence(machine.get(item["instance_id"])),
                )
                for item in _by_name(found["instances"], "instance_id")
                if item["state"] != "terminated"
            ],
        ),
        table(
            "Network interfaces of pools",
            ("NAME", "ENI", "IP", "AZ", "STATUS", "INSTANCE"),
            [
                (
                    item["name"],
                    item["eni_id"],
                    item["private_ip"],
                    item["availability_zone"],
                    item["status"],
                    _holder(item["attachment"], "device_index", "eth"),
                )
                for item in _by_name(found["network_interfaces"], "eni_id")
                if not (item["attachment"] and item["attachment"]["device_index"] == 0)
            ],
        ),
        table(
            "Volumes",
            ("NAME", "VOLUME", "GIB", "AZ", "STATUS", "INSTANCE"),
            [
                (
                    item["name"],
                    item["volume_id"],
                    item["size_gib"],
                    item["availability_zone"],
                    item["status"],
                    _holder(item["attachment"], "device", ""),
                )
                for item in _by_name(found["volumes"], "volume_id")
                if not item["root"]
            ],
        ),
        table(
            "Auto Scaling groups",
            ("NAME", "DESIRED", "INSTANCES", "SUSPENDED"),
            [
                (
                    item["name"],
                    item["desired"],
                    " ".join(
                        f"{instance}:{state['lifecycle']}/{state['health']}"
                        for instance, state in item["instances"].items()
                    ),
                    " ".join(str(process) for process in item["suspended"]),
                )
                for item in found["groups"]
            ],
        ),
        table("Stacks", ("NAME", "STATUS"), [(item["name"], item["status"]) for item in found["stacks"]]),
        table(
            "Images",
            ("NAME", "IMAGE", "STATE"),
            [(item["name"], item["image_id"], item["state"]) for item in _by_name(found["images"], "image_id")],
        ),
        faults_set(found.get("faults", []), "none is set"),
    ]
    return "\n".join(parts)


def _presence(item: Mapping[str, Any] | None) -> str:
    if item is None:
        return "nothing"
    return f"process {item['leader_pid']}" if item["running"] else "tree only"


def _holder(attachment: Mapping[str, Any] | None, key: str, prefix: str) -> str | None:
    if attachment is None:
        return None
    settled = "" if attachment["status"] == "attached" else f" ({attachment['status']})"
    return f"{attachment['instance_id']} {prefix}{attachment[key]}{settled}"


class AmbiguousError(LookupError):
    """A name that means no instance, or more than one; the message is one sentence."""


def find_instance(wanted: str, found: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the one instance meant by a Name, an id (or its end) or an address of one of its interfaces."""
    holders = {
        item["private_ip"]: item["attachment"]["instance_id"]
        for item in found["network_interfaces"]
        if item["attachment"]
    }
    alive = [item for item in found["instances"] if item["state"] not in ("terminated", "shutting-down")]
    matches = [
        item
        for item in alive
        if wanted in (item["name"], item["instance_id"], item["private_ip"])
        or holders.get(wanted) == item["instance_id"]
    ] or [item for item in alive if len(wanted) >= 4 and item["instance_id"].endswith(wanted)]
    if not matches:
        known = ", ".join(sorted(item["name"] or item["instance_id"] for item in alive)) or "none"
        raise AmbiguousError(f"no instance is called {wanted!r} (there are: {known})")
    if len(matches) > 1:
        ids = ", ".join(sorted(item["instance_id"] for item in matches))
        raise AmbiguousError(f"{wanted!r} means more than one instance: {ids}")
    return matches[0]


def _value_text(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def faults_set(found: Sequence[Mapping[str, Any]], nothing: str) -> str:
    """Return faults that are set (or were) for people."""
    if not found:
        return f"Faults: {nothing}\n"
    rows = [
        (
            item["id"],
            item["kind"],
            " ".join(f"{key}={_value_text(value)}" for key, value in item["parameters"].items()),
            item["struck"],
            "until cleared" if item["remaining"] is None else item["remaining"],
        )
        for item in found
    ]
    return table("Faults", ("ID", "KIND", "PARAMETERS", "STRUCK", "REMAINING"), rows)


def faults(found: Mapping[str, Any]) -> str:
    """Return `lab fault list` for people."""
    lines = ["Kinds"]
    for kind in found["kinds"]:
        lines.append(f"  {kind['kind']}: {kind['description']}")
        for item in kind["parameters"]:
            default = "" if item["default"] is None else f" [{_value_text(item['default'])}]"
            choices = f" ({'|'.join(item['choices'])})" if item["choices"] else ""
            required = " (required)" if item["required"] else ""
            lines.append(f"      {item['name']}={item['type']}{required}{choices}{default}  {item['description']}")
    return "\n".join(lines) + "\n\n" + faults_set(found["set"], "none is set")
