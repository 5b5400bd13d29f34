# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    """How the resources of a pool are recognised."""

    DOCUMENTATION = r"""
options:
  tag_cluster:
    description: Key of the tag that names the cluster.
    type: str
    default: holdfast:cluster
  tag_role:
    description: Key of the tag that names the role.
    type: str
    default: holdfast:role
  tag_node_id:
    description: Key of the tag that holds the node id, a decimal number without leading zeros.
    type: str
    default: holdfast:node-id
  tag_volume:
    description: Key of the tag that holds the index of a volume's data directory.
    type: str
    default: holdfast:volume
  name_patterns:
    description:
      - Recognise a pool that is only named; then the C(Name) tag is the only label that is read.
      - "A dictionary: role to one pattern or a list of patterns, such as V(KAFKA-{node_id}). A pattern holds
        V({node_id}) once, and V({volume}) where several volumes of one node have to be told apart (without it the
        index is 0)."
      - Names do not say which cluster they belong to, so the names of one account and region must be of one cluster.
    type: dict
    default: {}
"""
