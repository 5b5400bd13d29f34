# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tag from which a blank ZooKeeper server learns that its ensemble is not new."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.holdfast.kafka.plugins.module_utils.pool import INITIALIZED_TAG, build_pools
from ansible_collections.holdfast.kafka.plugins.module_utils.pool_tags import TagScheme

from tests.unit.plugins.module_utils.pool_answers import CLUSTER, eni, volume


@pytest.mark.parametrize(("value", "initialized"), [("true", True), ("false", False), (None, False)])
def test_a_volume_tells_whether_an_ensemble_has_served_from_it(value: str | None, initialized: bool) -> None:
    answer: dict[str, Any] = volume("vol-1", role="zookeeper")
    if value is not None:
        answer["Tags"].append({"Key": INITIALIZED_TAG, "Value": value})
    reading = build_pools(CLUSTER, [eni("eni-1", role="zookeeper")], [answer], TagScheme())
    assert [item["initialized"] for item in reading.pools()["zookeeper"][0]["volumes"]] == [initialized]
