#!/usr/bin/python
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Set the brokers' cluster-wide dynamic settings, without a restart."""

from __future__ import annotations

DOCUMENTATION = r"""
module: kafka_dynamic_config
short_description: Set the brokers' cluster-wide dynamic settings, without a restart
version_added: 0.1.0
author:
  - Holdfast contributors
extends_documentation_fragment:
  - holdfast.kafka.attributes
  - holdfast.kafka.kafka
description:
  - Sets broker settings for the whole cluster that Kafka changes while it runs, as C(kafka-configs.sh) does with
    C(--entity-default).
  - All settings are looked at before the first is changed. Refused are names that a broker does not know, settings that
    Kafka reads at a start only, secrets, and what O(static_properties) names, because the dynamic value would win over
    C(server.properties) without anybody seeing it there.
  - Kafka judges the values first without applying them, also in check mode.
  - Afterwards every registered broker is asked until it follows.
options:
  properties:
    description: The settings and their values; V(null) takes the cluster-wide value away. Others are left as they are.
    type: dict
    required: true
  static_properties:
    description: Names of the settings that the brokers' C(server.properties) is given by the inventory.
    type: list
    elements: str
    default: []
  timeout_seconds:
    description: How long to wait until every broker follows.
    type: float
    default: 60
attributes:
  check_mode:
    support: full
    details: Kafka validates the values; nothing is changed.
  diff_mode:
    support: full
"""

EXAMPLES = r"""
- name: Let replication use more threads, at once
  holdfast.kafka.kafka_dynamic_config:
    bootstrap_servers: [10.77.1.21, 10.77.2.22, 10.77.3.23]
    properties:
      num.replica.fetchers: 4
      log.cleaner.threads:
    static_properties: "{{ kafka_properties.keys() | list }}"
"""

RETURN = r"""
changes:
  description: What was set, or would be; V(null) for what was taken away.
  returned: success
  type: dict
unmanaged:
  description: Cluster-wide dynamic settings that are there and that the task does not name.
  returned: success
  type: dict
refusals:
  description: Each setting that is refused as a dictionary of C(property) and C(why).
  returned: when the reason is C(properties_refused)
  type: list
  elements: dict
reason:
  description:
    - V(properties_refused), V(properties_rejected) (Kafka does not take a value), V(properties_not_followed) (set, and
      a broker does not follow in time), V(bad_parameter), V(missing_library), V(unreachable), V(auth) or
      V(kafka_error).
  returned: failure
  type: str
"""

import contextlib
import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.holdfast.kafka.plugins.module_utils import kafka_dynamic, kafka_reader, kafka_settings
from ansible_collections.holdfast.kafka.plugins.module_utils.holdfast_error import HoldfastError
from ansible_collections.holdfast.kafka.plugins.module_utils.number_bounds import require_numbers

POLL_SECONDS = 0.5


def wanted_values(properties: dict[str, Any]) -> dict[str, str | None]:
    """Return the values as Kafka writes them; HoldfastError names the one that is none."""
    wanted = {}
    for name, value in properties.items():
        try:
            wanted[name] = kafka_dynamic.normal(value)
        except ValueError as error:
            raise HoldfastError("bad_parameter", f"properties: {name}: {error}. Nothing was changed.") from error
    return wanted


def set_properties(settings: kafka_settings.Settings, parameters: dict[str, Any], check: bool) -> dict[str, Any]:
    """Let the settings be as wanted; return the module's result. Raises HoldfastError."""
    wanted = wanted_values(parameters["properties"])
    described = settings.describe(settings.node_ids())
    refused = kafka_dynamic.refusals(wanted, parameters["static_properties"], described)
    if refused:
        told = "; ".join(f"{one['property']}: {one['why']}" for one in refused)
        raise HoldfastError("properties_refused", f"{told}. Nothing was changed.", refusals=refused)
    first = next(iter(described.values()))
    changes = kafka_dynamic.differing(wanted, first)
    result = {
        "changed": bool(changes),
        "changes": changes,
        "unmanaged": kafka_dynamic.others(wanted, first),
    }
    if changes:
        before = {name: kafka_dynamic.cluster_wide(name, first) for name in changes}
        result["diff"] = {"before": kafka_dynamic.lines(before), "after": kafka_dynamic.lines(changes)}
        try:
            settings.alter(changes, validate_only=True)
            if not check:
                settings.alter(changes, validate_only=False)
        except kafka_settings.RejectedError as error:
            names = ", ".join(changes)
            message = f"Kafka does not take {names}: {error}. Nothing was changed."
            raise HoldfastError("properties_rejected", message) from error
    if not check:
        await_followers(settings, wanted, parameters["timeout_seconds"])
    return result


def await_followers(settings: kafka_settings.Settings, wanted: dict[str, str | None], timeout_seconds: float) -> None:
    """Wait until every registered broker has the wanted values; HoldfastError names those that do not."""
    deadline = time.monotonic() + timeout_seconds
    while True:
        told = kafka_dynamic.not_following(wanted, settings.describe(settings.node_ids()))
        if not told:
            return
        if time.monotonic() >= deadline:
            message = f"set, but not followed within {timeout_seconds:g} s: {'; '.join(told)}."
            raise HoldfastError("properties_not_followed", message)
        time.sleep(POLL_SECONDS)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **kafka_reader.argument_spec(),
            "properties": {"type": "dict", "required": True},
            "static_properties": {"type": "list", "elements": "str", "default": []},
            "timeout_seconds": {"type": "float", "default": 60},
        },
        supports_check_mode=True,
    )
    kafka_reader.require_library(module)
    try:
        require_numbers(module.params, ["timeout_seconds"])
    except ValueError as error:
        module.fail_json(msg=f"{error}. Nothing was changed.", reason="bad_parameter")
    try:
        options = kafka_reader.client_options(module.params)
        with contextlib.closing(kafka_settings.Settings(options)) as settings:
            result = set_properties(settings, module.params, module.check_mode)
    except (kafka_reader.ReadError, HoldfastError) as error:
        module.fail_json(msg=str(error), reason=error.reason, **getattr(error, "extra", {}))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
