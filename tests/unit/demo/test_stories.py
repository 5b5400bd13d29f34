# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""User-data with one more variable."""

from __future__ import annotations

import base64

import pytest
import yaml

from tests.scenarios.stories import with_node_variable

USER_DATA = """#cloud-config
write_files:
  - path: /etc/holdfast/node.yml
    content: |
      holdfast_cluster: "demo"
      holdfast_role: "kafka"
"""


def test_the_variable_is_added_to_node_yml() -> None:
    changed = base64.b64decode(with_node_variable(base64.b64encode(USER_DATA.encode()).decode(), "some_seconds", 40))
    node = yaml.safe_load(yaml.safe_load(changed)["write_files"][0]["content"])
    assert node == {"some_seconds": 40, "holdfast_cluster": "demo", "holdfast_role": "kafka"}


def test_user_data_without_node_yml_is_refused() -> None:
    with pytest.raises(ValueError, match=r"no node\.yml"):
        with_node_variable(base64.b64encode(b"#!/bin/sh\n").decode(), "some_seconds", 40)
