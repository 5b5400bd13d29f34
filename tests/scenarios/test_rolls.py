# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A roll, short: three brokers in three zones while a producer and a consumer run. `make test-rolls` has the rest."""

from __future__ import annotations

from contextlib import closing

from lab.demo import cluster, playbooks
from lab.demo.stage import Stage
from tests.rolls.traffic import Traffic
from tests.rolls.world import World, restarted


def test_a_roll_restarts_each_broker_once_and_loses_nothing(stage: Stage) -> None:
    with closing(World(stage, playbooks.INVENTORY)) as world:
        before = world.census()
        with Traffic(cluster.addresses("kafka"), "short-roll", world.logs) as traffic:
            controller = world.controller_id()
            ended = world.play("kafka_rolling_restart", {"kafka_roll_mode": "rack"})
            verdict = traffic.verdict()
        assert ended.status == 0, ended.output[-5000:]
        assert sorted(ended.batches) == [[1], [2], [3]]
        assert ended.batches[-1] == [controller]
        after = world.census()
        assert restarted(before, after) == {1, 2, 3}
        assert (verdict.lost, verdict.failed_sends) == (0, 0), verdict
        stage.say(f"    {verdict}")
        again = world.play("kafka_rolling_restart", {"kafka_roll_scope": "pending"})
        assert (again.status, again.changed, again.batches) == (0, 0, []), again.output[-3000:]
        assert world.census() == after
