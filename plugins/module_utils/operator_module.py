# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the modules share that an operator runs over identities: options, early refusals, a reader."""

from __future__ import annotations

from typing import Any

from ansible.module_utils.basic import missing_required_lib
from ansible_collections.holdfast.kafka.plugins.module_utils.claim_record import claims_path
from ansible_collections.holdfast.kafka.plugins.module_utils.cluster_reader import ClusterReader, Ec2Port, make_reader
from ansible_collections.holdfast.kafka.plugins.module_utils.module_support import POOL_OPTIONS, fail
from ansible_collections.holdfast.kafka.plugins.module_utils.number_bounds import require_numbers
from ansible_collections.holdfast.kafka.plugins.module_utils.pool_tags import PatternError, scheme_from_options
from ansible_collections.holdfast.kafka.plugins.module_utils.zk_security import claims_argument_spec, show_who
from ansible_collections.holdfast.kafka.plugins.module_utils.zk_session import missing_library

OPERATOR_OPTIONS: dict[str, dict[str, Any]] = {
    "cluster": {"type": "str", "required": True},
    "zookeeper_hosts": {"type": "list", "elements": "str"},
    "expected_pools": {"type": "dict", "default": {}},
    "grace_period_seconds": {"type": "int", "default": 60},
    **POOL_OPTIONS,
    **claims_argument_spec(),
}


def operator_reader(module: Any, ec2: Ec2Port, roles: list[str]) -> ClusterReader:
    """Return the reader for the module's parameters; fail on what can never work."""
    params = module.params
    show_who(module)
    try:
        for role in roles:
            claims_path(params["cluster"], role)
        scheme = scheme_from_options(params)
        reader = make_reader(params, ec2, scheme)
        require_numbers(params, ["grace_period_seconds"], 0)
    except (PatternError, ValueError) as error:
        fail(module, "bad_parameter", str(error))
    library = missing_library(params["zookeeper_auth"]) if roles else None
    if library:
        fail(module, "missing_library", missing_required_lib(library))
    return reader
