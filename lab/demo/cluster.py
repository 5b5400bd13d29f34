# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A whole cluster on the stage: artifacts and image made once, `site` run, and wholeness asked for."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lab.demo import artifacts, evidence, fleet, images
from lab.demo.playbooks import INVENTORY, ansible_environment, playbook
from lab.demo.stage import REPOSITORY, Say, Stage, StageError, wait_until

CLUSTER = "demo"
SITE_TIMEOUT_SECONDS = 900
WHOLE_TIMEOUT_SECONDS = 300


def prepare(stage: Stage) -> float:
    """What needs the outside world, before the lab is up; return the seconds it took."""
    images.tidy(stage)
    return artifacts.gather(stage)


def run_site(stage: Stage, inventory: str = INVENTORY) -> float:
    """Bake the image if there is none, provision pools and nodes, wait until every node has signalled."""
    images.reuse(stage)
    try:
        # A creation that failed stays as it is: its instances are the evidence. The next run removes it.
        command = playbook("site.yml", "-e", "nodes_stack_on_create_failure=DO_NOTHING", inventory=inventory)
        return stage.step("site", command, SITE_TIMEOUT_SECONDS, env=ansible_environment())
    except StageError:
        keep_evidence(stage)
        raise
    finally:
        images.remember(stage)


@contextmanager
def on_stage(
    name: str, logs: Path, say: Say, inventory: str = INVENTORY, existing: str | None = None
) -> Iterator[Stage]:
    """A whole cluster in a lab of its own, from inside its network.

    ``existing`` names a lab that is up with its cluster; it is used instead and left up.
    """
    stage = Stage(existing or name, logs, say)
    # Whoever comes with a lab of theirs has written no log yet.
    logs.mkdir(parents=True, exist_ok=True)
    if existing:
        with stage.inside():
            yield stage
        return
    prepare(stage)
    try:
        stage.up()
        with stage.inside():
            run_site(stage, inventory)
            yield stage
    finally:
        stage.down()


def keep_evidence(stage: Stage) -> None:
    """Write console and journal of every instance, and what EC2 noted, beside the other logs, and say where."""
    stage.logs.mkdir(parents=True, exist_ok=True)
    for source in ("server", "events"):
        with (stage.logs / f"{source}.log").open("wb") as out:
            command = stage.command("logs", source, "--lines", "5000")
            subprocess.run(command, stdout=out, stderr=subprocess.STDOUT, check=False, cwd=REPOSITORY)
    for reservation in fleet.client("ec2").describe_instances()["Reservations"]:
        for instance in reservation["Instances"]:
            log = stage.logs / f"{instance['InstanceId']}.log"
            with log.open("wb") as out:
                command = stage.command("logs", instance["InstanceId"], "--lines", "2000")
                subprocess.run(command, stdout=out, stderr=subprocess.STDOUT, check=False, cwd=REPOSITORY)
            stage.say(f"    {instance['State']['Name']:<12} console and journal in {log}")


def addresses(role: str) -> list[str]:
    """The fixed addresses of a role's identities."""
    return [holder.private_ip for holder in fleet.holders(CLUSTER) if holder.role == role]


def cluster_missing() -> str | None:
    """What keeps the cluster from being whole: a holder, the quorum, a broker's ISR. None when it is whole."""
    everyone = fleet.holders(CLUSTER)
    if not everyone:
        return "the pool is empty"
    free = [holder.name for holder in everyone if holder.instance_id is None]
    if free:
        return f"without holder: {', '.join(free)}"
    quorum = fleet.quorum_missing([holder.private_ip for holder in everyone if holder.role == "zookeeper"])
    if quorum:
        return quorum
    brokers = [holder for holder in everyone if holder.role == "kafka"]
    ensemble = [holder.private_ip for holder in everyone if holder.role == "zookeeper"]
    try:
        registered = fleet.registrations(ensemble, [one.node_id for one in brokers])
    except OSError as error:
        return str(error)
    unregistered = [one.name for one in brokers if one.node_id not in registered]
    if unregistered:
        return f"not registered: {', '.join(unregistered)}"
    return fleet.replication_missing([one.private_ip for one in brokers], {one.node_id for one in brokers})


def await_whole(timeout_seconds: float = WHOLE_TIMEOUT_SECONDS) -> float:
    """Wait until the cluster is whole; return seconds waited."""
    return wait_until(
        "the whole cluster", cluster_missing, timeout_seconds, evidence=lambda: evidence.of_the_vacant(CLUSTER)
    )
