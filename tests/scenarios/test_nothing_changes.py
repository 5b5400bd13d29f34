# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What must change nothing changes nothing: a reboot, a second site, a second boot, a check-mode boot."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from lab.demo import cluster, fleet, playbooks
from lab.demo.stage import Stage, wait_until
from tests.scenarios.stories import boot_by_hand, nodes


@pytest.mark.parametrize("role", ["zookeeper", "kafka"])
def test_a_reboot_keeps_the_identity_and_disturbs_nobody(stage: Stage, role: str) -> None:
    before = fleet.census(cluster.CLUSTER)
    victim = nodes(role)[0]
    fleet.client("ec2").reboot_instances(InstanceIds=[str(victim.instance_id)])

    def not_yet() -> str | None:
        try:
            now = fleet.running_process(victim)
        except (OSError, ValueError) as error:
            return f"{victim.name} does not run its service: {error}"
        return None if now.start_ticks != before[victim.name].start_ticks else f"{victim.name} has not rebooted yet"

    wait_until(f"the reboot of {victim.name}", not_yet, 180)
    cluster.await_whole()
    after = fleet.census(cluster.CLUSTER)
    holder = fleet.holder_of(cluster.CLUSTER, role, victim.node_id)
    assert dataclasses.asdict(holder) == dataclasses.asdict(victim), "the same instance holds the same identity"
    assert after[victim.name].configuration_sha256 == before[victim.name].configuration_sha256
    assert fleet.restarted(before, after, {victim.name}) == []
    assert fleet.reconfigured(before, after, set()) == []


def test_a_second_site_changes_nothing(stage: Stage) -> None:
    before = fleet.census(cluster.CLUSTER)
    cluster.run_site(stage)
    output = (stage.logs / "site.log").read_text(encoding="utf-8")
    assert set(playbooks.changed(output).values()) == {0}
    assert fleet.census(cluster.CLUSTER) == before


@pytest.mark.parametrize("arguments", [(), ("--check",)], ids=["again", "check-mode"])
def test_a_second_boot_changes_nothing(stage: Stage, arguments: tuple[str, ...]) -> None:
    before = fleet.census(cluster.CLUSTER)
    for holder in [*nodes("zookeeper")[:1], *nodes("kafka")[:1]]:
        assert set(boot_by_hand(holder, *arguments).values()) == {0}, holder.name
    assert fleet.census(cluster.CLUSTER) == before


def test_the_demonstration_of_a_change_fires(stage: Stage, tmp_path: Path) -> None:
    """The two tests above can fail: a touched configuration is seen by the census and mended by a boot as a change."""
    victim = nodes("zookeeper")[0]
    before = fleet.census(cluster.CLUSTER)
    path = fleet.CONFIGURATION["zookeeper"]
    fleet.ssh(victim.private_ip, f"cp -p {path} {path}.kept && echo '# touched' >> {path}")
    try:
        assert fleet.reconfigured(before, fleet.census(cluster.CLUSTER), set()) == [victim.name]
        assert max(boot_by_hand(victim, "--check").values()) > 0
    finally:
        fleet.ssh(victim.private_ip, f"mv {path}.kept {path}")
    assert fleet.census(cluster.CLUSTER) == before
