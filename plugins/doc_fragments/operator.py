# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of the modules that an operator runs over identities."""

from __future__ import annotations


class ModuleDocFragment:
    """Equal to ``operator_module.OPERATOR_OPTIONS`` without the pool's and ZooKeeper's own; a test compares them.

    C(INSTANCE) is ``module_support.ONE_IDENTITY``.
    """

    DOCUMENTATION = r"""
options:
  cluster:
    description: Name of the cluster.
    type: str
    required: true
  zookeeper_hosts:
    description:
      - ZooKeeper servers as C(host:port).
      - By default the fixed addresses of the cluster's C(zookeeper) pool, with O(zookeeper_port).
    type: list
    elements: str
  expected_pools:
    description:
      - The pools as the inventory declares them (C(holdfast_pools)), for the number of volumes of each identity.
      - A module that writes claims refuses a whole identity that EC2's tags tell otherwise than this, or that is not in
        it, with the reason V(configuration_mismatch).
    type: dict
    default: {}
  grace_period_seconds:
    description: A holder that EC2 does not know counts as alive while its claim is younger than this.
    type: int
    default: 60
"""

    INSTANCE = r"""
options:
  role:
    description: The role of the pool.
    type: str
    required: true
    choices: [kafka, zookeeper]
  node_id:
    description: The identity.
    type: int
    required: true
  poll_seconds:
    description: How long to wait between two looks.
    type: float
    default: 5
  timeout_seconds:
    description: How long to wait in all.
    type: float
    default: 1200
"""
