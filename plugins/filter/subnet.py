# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters on subnets that need no library beyond Python's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.holdfast.kafka.plugins.module_utils import eni_routing


def subnet_gateway(cidr: str) -> str:
    """The address of a VPC subnet's router."""
    try:
        return eni_routing.subnet_gateway(cidr)
    except ValueError as error:
        raise AnsibleFilterError(f"subnet_gateway: {cidr!r} is not a subnet: {error}") from error


class FilterModule:
    """The collection's subnet filters."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"subnet_gateway": subnet_gateway}
