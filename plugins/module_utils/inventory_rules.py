# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an inventory may not say beside its types: unknown names, another cluster's filter, secrets, moved ports.

PRIVATE to the collection. Pure functions; each fault is one sentence that names the variable and what to do.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.holdfast.kafka.plugins.module_utils.pool_plan import unknown_variables

OWN_PREFIX = "holdfast_"
# Facts that one playbook of a run leaves to the next.
HANDED_ON = ("node_image_id", "node_image_failure", "node_image_complete", "node_image_to_be_made")
# The security groups, the claim, the brokers and the status all speak of the same ports, so they are not for setting.
PORTS = {
    "kafka_port": 9092,
    "kafka_zookeeper_port": 2181,
    "kafka_zookeeper_secure_port": 2281,
    "zookeeper_client_port": 2181,
    "zookeeper_secure_client_port": 2281,
    "zookeeper_peer_port": 2888,
    "zookeeper_election_port": 3888,
}
CLUSTER_FILTER = "tag:holdfast:cluster"
# A value under such a name is not repeated.
SECRET = re.compile(r"auth|jaas|login|password|secret|token")
SHOWN_CHARACTERS = 60
TAG_KEY = re.compile(r"^[A-Za-z0-9 +\-=._:/@]{1,128}$")


def unknown_names(names: Iterable[str], roles: Mapping[str, Iterable[str]], known: Iterable[str] = ()) -> list[str]:
    """Return a sentence for each name that begins like one of ours and is none.

    C(roles) maps each role to the options of its argument specification. Names with two underscores in a row are a
    role's private facts and never an inventory's.
    """
    prefixes = (OWN_PREFIX, *(f"{role}_" for role in roles))
    ours = {name for name in names if name.startswith(prefixes) and "__" not in name}
    every = {name for options in roles.values() for name in options} | {*known, *HANDED_ON}
    return unknown_variables(ours - every, every) if ours - every else []


def option_names(specification: Mapping[str, Any]) -> set[str]:
    """Return the options of all entry points of a C(meta/argument_specs.yml)."""
    entries = (specification.get("argument_specs") or {}).values()
    return {name for entry in entries for name in (entry.get("options") or {})}


def options_by_name(specifications: Iterable[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    """Return what each option may be, by its name; what several roles or entry points have may be several things."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for specification in specifications:
        for entry in (specification.get("argument_specs") or {}).values():
            for name, option in (entry.get("options") or {}).items():
                if option not in found.setdefault(name, []):
                    found[name].append(option)
    return found


def type_faults(values: Iterable[tuple[str, Any]], options: Mapping[str, Iterable[Mapping[str, Any]]]) -> list[str]:
    """Return a sentence for each value that none of its option's types takes, by Ansible's own rules of conversion.

    What is empty, encrypted or a template is judged where it is used; so are the names that are no options.
    """
    faults = []
    for name, value in sorted(values, key=lambda item: item[0]):
        kinds = list(options.get(name, ()))
        if not kinds or value is None or _templated(value):
            continue
        errors = [ArgumentSpecValidator({name: dict(kind)}).validate({name: value}).error_messages for kind in kinds]
        if all(errors):
            faults.append(_type_fault(name, value, kinds[0], errors[0][0]))
    return faults


def _templated(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(map(_templated, [*value, *value.values()]))
    if isinstance(value, list):
        return any(map(_templated, value))
    return isinstance(value, str) and ("{{" in value or "{%" in value)


def _type_fault(name: str, value: Any, option: Mapping[str, Any], error: str) -> str:
    """The sentence; Ansible's own repeats values, which may be secrets."""
    plain = isinstance(value, str | int | float) and not option.get("no_log") and not SECRET.search(name)
    shown = repr(value)[:SHOWN_CHARACTERS] if plain else f"a {type(value).__name__}"
    inner = re.match(r"(?:argument|Elements value for option|value of) '?(\w+)'?", error)
    within = f" (in its part {inner[1]})" if inner and inner[1] != name else ""
    if option.get("choices") and not within:
        return f"{name} is {shown}, but it must be one of: {', '.join(map(str, option['choices']))}."
    elements = f" of {option['elements']}" if option.get("elements") else ""
    return f"{name} is {shown}, which is not of its type {option.get('type', 'str')}{elements}{within}."


def environment_faults(inventory_dir: str | None, environment: str) -> list[str]:
    """A directory below C(inventories) is what nodes boot with; it must be the one that they are told."""
    parts = (inventory_dir or "").rstrip("/").split("/")
    if len(parts) < 2 or parts[-2] != "inventories" or parts[-1] == environment:
        return []
    return [
        f"holdfast_environment is {environment!r}, but the inventory is inventories/{parts[-1]}: nodes would boot with "
        f"inventories/{environment}; set holdfast_environment to {parts[-1]!r} and push, since nodes pull it from git."
    ]


def filter_faults(name: str, content: Any, cluster: str) -> list[str]:
    """The dynamic inventory lists this cluster's nodes and no other's."""
    if not isinstance(content, Mapping) or not str(content.get("plugin", "")).endswith("aws_ec2"):
        return []
    found = (content.get("filters") or {}).get(CLUSTER_FILTER)
    if found in (cluster, [cluster]):
        return []
    return [
        f"{name} has the filter {CLUSTER_FILTER}: {found!r}, but holdfast_cluster is {cluster!r}: a play would reach "
        f"other clusters' nodes or miss its own; write '{CLUSTER_FILTER}: {cluster}' there."
    ]


def git_url_faults(url: str | None) -> list[str]:
    """What is in user data can be read by whoever may describe the instance; a secret has no place there."""
    parts = urlsplit(url or "")
    if not (parts.password or (parts.username and parts.scheme in ("http", "https"))):
        return []
    place = f"{parts.scheme}://{parts.hostname}{parts.path}"
    return [
        f"holdfast_git_url carries credentials for {place}; it goes into user data, which others read. Leave them out "
        "and let your base image bring a deploy key or a credential helper."
    ]


def address_faults(pools: Mapping[str, Any] | None) -> list[str]:
    """An address is one identity's for good; what is no pool at all, is refused by its type elsewhere."""
    owners: dict[str, list[str]] = {}
    for role, items in (pools or {}).items():
        for item in items if isinstance(items, list) else []:
            if isinstance(item, Mapping) and item.get("private_ip"):
                owners.setdefault(str(item["private_ip"]).strip(), []).append(f"{role} {item.get('node_id')}")
    return [
        f"holdfast_pools gives the address {address} to {' and to '.join(names)}; each identity needs one of its own."
        for address, names in sorted(owners.items())
        if len(names) > 1
    ]


def tag_faults(tags: Mapping[str, Any] | None) -> list[str]:
    """Tags of one's own must be tags for AWS, and none of Holdfast's or AWS' own."""
    faults = []
    for key in tags or {}:
        if not TAG_KEY.match(str(key)):
            faults.append(
                f"holdfast_tags has the key {key!r}, which AWS refuses; use letters, digits, spaces, +-=._:/@."
            )
        elif str(key).startswith(("aws:", "holdfast:")) or key == "Name":
            faults.append(f"holdfast_tags has the key {key!r}, which is not yours to set; choose another.")
    return faults


def port_faults(values: Iterable[tuple[str, Any]]) -> list[str]:
    """Ports are fixed: a variable that says otherwise would move one side of a connection only."""
    return [
        f"{name} is {value!r}, but the port is fixed at {PORTS[name]}: security groups, claims and status use it too; "
        f"remove the variable."
        for name, value in sorted(values, key=lambda item: item[0])
        if name in PORTS and str(value).strip() != str(PORTS[name])
    ]
