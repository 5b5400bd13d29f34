#!/usr/bin/python
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Decide which roll of an upgrade of Kafka is due, or refuse it."""

from __future__ import annotations

DOCUMENTATION = r"""
module: kafka_upgrade_plan
short_description: Decide which roll of an upgrade of Kafka is due, or refuse it
version_added: 0.1.0
author:
  - Holdfast contributors
extends_documentation_fragment:
  - holdfast.kafka.attributes
  - holdfast.kafka.kafka
description:
  - Asks every registered broker which protocol it speaks, and decides from that, from the releases that run and from
    what the inventory wants, which of the three rolls is due, the binaries', the protocol's or none. The message
    format's is never due, because brokers ignore the setting from protocol 3.0 on.
  - With O(kind=configure) it only refuses a configuration that would change what a broker speaks.
  - Nothing is changed. Neighbouring releases of ZooKeeper mode are known, 3.8 and 3.9.
options:
  bootstrap_servers:
    required: true
  kind:
    description: What the roll brings.
    type: str
    choices: [upgrade, configure]
    default: upgrade
  brokers:
    description:
      - Every broker of the pool by node id, each a dictionary with C(version), the release that runs, or that is
        installed where nothing runs; C(to_version), the wanted one; C(pin), the wanted
        C(inter.broker.protocol.version), empty for the release's own; and C(message_format), the wanted
        C(log.message.format.version), empty for none.
    type: dict
    required: true
  downgrade_allowed:
    description: Whether the wanted release may be older than one that runs, while the protocol of before is spoken.
    type: bool
    default: false
  artifacts_directory:
    description:
      - The directory of artifacts on the host that runs this, with its C(SHA512SUMS). When brokers are to get other
        binaries, O(archive_name) has to be there and to be what the list says.
    type: path
  archive_name:
    description: The wanted release's archive below C(archives/).
    type: str
attributes:
  check_mode:
    support: full
    details: It only reads.
  diff_mode:
    support: none
seealso:
  - module: holdfast.kafka.kafka_roll_plan
  - module: holdfast.kafka.service_process_info
"""

EXAMPLES = r"""
- name: Decide which roll of the upgrade is due
  holdfast.kafka.kafka_upgrade_plan:
    bootstrap_servers: [10.77.1.21, 10.77.2.22, 10.77.3.23]
    brokers:
      "1": {version: 3.9.1, to_version: 3.9.1, pin: "3.8"}
      "2": {version: 3.8.1, to_version: 3.9.1, pin: "3.8"}
      "3": {version: 3.8.1, to_version: 3.9.1, pin: "3.8"}
  register: upgrade

- name: Say it
  ansible.builtin.debug:
    msg: "{{ upgrade.decision.rolls | map(attribute='why') }}"
"""

RETURN = r"""
decision:
  description: What is due. Empty with O(kind=configure).
  returned: success
  type: dict
  contains:
    roll:
      description: The roll that is due, V(binaries) or V(protocol); empty when none is.
      type: str
    rolls:
      description:
        - The three rolls in their order, as C(name), C(state) (V(due), V(done), V(later) or V(never)) and C(why).
      type: list
      elements: dict
    due:
      description: The brokers that the roll is due for, by node id, with the reason.
      type: dict
      sample: {"2": "it runs 3.8.1, and 3.9.1 is wanted"}
    from_versions:
      description: The releases that run.
      type: list
      elements: str
    to_version:
      description: The wanted one.
      type: str
    from_protocols:
      description: The protocols that are spoken.
      type: list
      elements: str
    to_protocol:
      description: The one that the inventory wants now.
      type: str
reason:
  description:
    - V(upgrade_unsupported), V(versions_mixed), V(protocol_not_pinned), V(protocol_finalized), V(pins_disagree),
      V(protocol_change), V(broker_not_registered), V(artifact_missing), V(bad_parameter), V(missing_library),
      V(unreachable), V(auth) or V(kafka_error).
  returned: failure
  type: str
"""

import contextlib
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.holdfast.kafka.plugins.module_utils import kafka_reader, kafka_settings, kafka_upgrade
from ansible_collections.holdfast.kafka.plugins.module_utils.holdfast_error import HoldfastError
from ansible_collections.holdfast.kafka.plugins.module_utils.kafka_upgrade import Broker


def brokers_of(told: Mapping[str, Mapping[str, Any]], spoken: Mapping[int, str]) -> list[Broker]:
    """Return the brokers; HoldfastError when one is told without its releases."""
    found = []
    for node_id, one in told.items():
        try:
            found.append(
                Broker(
                    node_id=int(node_id),
                    version=str(one["version"]),
                    protocol=spoken.get(int(node_id)),
                    to_version=str(one["to_version"]),
                    pin=str(one.get("pin") or ""),
                    message_format=str(one.get("message_format") or ""),
                )
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise HoldfastError("bad_parameter", f"brokers: {node_id}: {one!r} lacks or misspells {error}.") from error
    return found


def read_protocols(options: Mapping[str, Any]) -> dict[int, str]:
    """Return which protocol each registered broker says it speaks."""
    with contextlib.closing(kafka_settings.Settings(options)) as settings:
        described = settings.describe(settings.node_ids())
    return {node_id: str(one[kafka_upgrade.PROTOCOL_SETTING]["value"]) for node_id, one in described.items()}


def require_archive(directory: str, name: str) -> None:
    """HoldfastError unless the archive is there and is what SHA512SUMS says."""
    place = Path(directory)
    archive, sums = place / "archives" / name, place / "SHA512SUMS"
    try:
        lines = sums.read_text(encoding="utf-8").splitlines()
        with archive.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha512").hexdigest()
    except OSError as error:
        told = "Set node_artifacts_kafka_version to kafka_version, and run artifacts_gather."
        message = f"{error.filename}: {error.strerror}. {told}"
        raise HoldfastError("artifact_missing", message) from error
    if f"{digest}  archives/{name}" not in lines:
        message = f"{archive} is not what {sums} says. Run artifacts_gather again."
        raise HoldfastError("artifact_missing", message)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **kafka_reader.argument_spec(),
            "bootstrap_servers": {"type": "list", "elements": "str", "required": True},
            "kind": {"type": "str", "choices": ["upgrade", "configure"], "default": "upgrade"},
            "brokers": {"type": "dict", "required": True},
            "downgrade_allowed": {"type": "bool", "default": False},
            "artifacts_directory": {"type": "path"},
            "archive_name": {"type": "str"},
        },
        required_together=[("artifacts_directory", "archive_name")],
        supports_check_mode=True,
    )
    parameters = module.params
    kafka_reader.require_library(module)
    decision: dict[str, Any] = {}
    try:
        spoken = read_protocols(kafka_reader.client_options(parameters))
        brokers = brokers_of(parameters["brokers"], spoken)
        if parameters["kind"] == "configure":
            kafka_upgrade.refuse_by_configuration(brokers)
        else:
            made = kafka_upgrade.decide(brokers, downgrade_allowed=parameters["downgrade_allowed"])
            if made.roll == "binaries" and parameters["archive_name"]:
                require_archive(parameters["artifacts_directory"], parameters["archive_name"])
            decision = made.as_dict()
    except (kafka_reader.ReadError, HoldfastError) as error:
        module.fail_json(msg=f"{str(error).rstrip('.')}. Nothing was touched.", reason=error.reason)
    module.exit_json(changed=False, decision=decision)


if __name__ == "__main__":
    main()
