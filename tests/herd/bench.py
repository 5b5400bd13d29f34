# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One round after the other: a pool, a herd, faults while it claims, and the judge over what ZooKeeper logged."""

from __future__ import annotations

import json
import logging
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kazoo.client import KazooClient

from lab.api.seed import SeedPlan, SubnetSeed
from lab.api.server import start_strict_ec2
from tests.herd import txnlog
from tests.herd.checker import Violation, check
from tests.herd.figures import summary
from tests.herd.history import ClaimWrite, Expectation, Final, History, Verdict, holder_of
from tests.herd.processes import Cutter, Nursery
from tests.integration.claim_world import ClaimWorld
from tests.integration.services import ServiceError, ZooKeeperEnsemble, ZooKeeperServer

ROLE, ZONE = "kafka", "a"
EC2_CALL_SECONDS = 0.1
LIMIT_SECONDS = 150.0


@dataclass(frozen=True)
class Plan:
    """One round; C(fault_share) is the share of identities that are claimed when the server's fault strikes."""

    name: str
    claimants: int = 100
    identities: int = 100
    holders_dead: bool = False
    server_fault: str = ""
    fault_share: float = 0.15
    fault_seconds: float = 4.0
    cut_writes: float = 0.0
    cut_reads: float = 0.0
    killed: int = 0
    bound_seconds: float = 60.0

    @property
    def faults(self) -> list[str]:
        """The round's faults, as the report names them."""
        found = [self.server_fault] if self.server_fault else []
        found += ["connections_cut", "sessions_expired"] if self.cut_writes else []
        return found + (["claimants_killed"] if self.killed else [])


@dataclass
class Round:
    """What came of one."""

    plan: Plan
    history: History
    expected: Expectation
    violations: list[Violation]
    figures: dict[str, Any]


class Bench:
    """The parts that rounds share; close it, and start it from a thread that lives as long as it."""

    def __init__(self, ensemble: ZooKeeperEnsemble, say: Callable[[str], None] = lambda _text: None) -> None:
        self.ensemble = ensemble
        self.say = say
        self.nursery = Nursery()
        self.rounds = 0
        self._directory = tempfile.TemporaryDirectory(prefix="holdfast-herd-")
        self.directory = Path(self._directory.name)

    def close(self) -> None:
        """End everything but the ensemble."""
        self.nursery.close()
        self._directory.cleanup()

    # ---- EC2's side --------------------------------------------------------------------------------------------------

    @contextmanager
    def world(self) -> Iterator[ClaimWorld]:
        """Have a fresh strict EC2, and a cluster that no round before has claimed in."""
        subnet = SubnetSeed(f"eu-central-1{ZONE}", "10.77.0.0/20")
        api = start_strict_ec2(imds=True, seed_plan=SeedPlan(subnets=(subnet,)))
        self.rounds += 1
        try:
            yield ClaimWorld(api, self.ensemble.hosts, cluster=f"herd{self.rounds}")
        except BaseException:  # its claimants may still run, and its answer must not be taken for the next round's
            self.nursery.close()
            self.nursery = Nursery()
            raise
        finally:
            api.stop()

    def launch(self, world: ClaimWorld, count: int) -> list[str]:
        """Run instances."""
        answer = world.ec2.run_instances(
            ImageId=world.api.seed.image_id,
            InstanceType="m5.large",
            MinCount=count,
            MaxCount=count,
            SubnetId=world.subnet(ZONE),
        )
        world.api.wait_idle(60)
        return [str(instance["InstanceId"]) for instance in answer["Instances"]]

    def _job(self, world: ClaimWorld, plan: Plan, hosts: list[str]) -> dict[str, Any]:
        filters = [{"Name": "tag:holdfast:cluster", "Values": [world.cluster]}]
        interfaces = world.ec2.describe_network_interfaces(Filters=filters)["NetworkInterfaces"]
        volumes = world.ec2.describe_volumes(Filters=filters)["Volumes"]
        states = {
            instance["InstanceId"]: instance["State"]["Name"]
            for page in world.ec2.get_paginator("describe_instances").paginate()
            for reservation in page["Reservations"]
            for instance in reservation["Instances"]
        }
        job = {
            "cluster": world.cluster,
            "role": ROLE,
            "zone": f"eu-central-1{ZONE}",
            "hosts": hosts,
            "interfaces": interfaces,
            "volumes": volumes,
            "states": states,
            "ec2_call_seconds": EC2_CALL_SECONDS,
            "timeout_seconds": plan.bound_seconds,
            "poll_seconds": 5.0,
        }
        return dict(json.loads(json.dumps(job, default=str)))

    # ---- a round -----------------------------------------------------------------------------------------------------

    def run(self, plan: Plan, seed: int) -> Round:
        """Run one round to its end and judge it."""
        with self.world() as world:
            round_ = self._run(world, plan, seed)
        self.say(line(round_.figures))
        return round_

    def _run(self, world: ClaimWorld, plan: Plan, seed: int) -> Round:
        dice = random.Random(seed)
        identities = list(range(plan.identities))
        for node_id in identities:
            world.add_identity(ROLE, node_id, ZONE)
        names = self.launch(world, plan.claimants)
        dead = self.launch(world, 1) if plan.holders_dead else []
        if dead:
            world.terminate(dead[0])
        path = f"/holdfast/{world.cluster}/{ROLE}/claims"
        watcher = self._client()
        cutter = None
        try:
            if dead:
                self._bury(watcher, path, world.cluster, identities, dead[0])
            hosts = self.ensemble.hosts
            if plan.cut_writes or plan.cut_reads:
                cutter = Cutter(hosts, seed, plan.cut_writes, plan.cut_reads)
                hosts = cutter.hosts
            results = self.directory / f"{world.cluster}.jsonl"
            order = {
                "kind": "claim",
                "job": self._job(world, plan, hosts),
                "claimants": self._orders(plan, names, dice),
                "results": str(results),
                "limit_seconds": LIMIT_SECONDS,
            }
            self.nursery.tell(order)
            told = self._strike(plan, watcher, path) if plan.server_fault else {}
            ended = self.nursery.answer(LIMIT_SECONDS + 60)
            self.ensemble.start()
            cuts = dict(cutter.collect()) if cutter else {}
            final, raw = self.final(path)
        finally:
            if cutter:
                cutter.close()
            watcher.stop()
            watcher.close()
        history = History(self.writes(path, raw), final, verdicts(results), ended)
        expected = Expectation(tuple(names), tuple(identities), frozenset(dead), plan.bound_seconds)
        violations = check(history, expected)
        violations += [Violation("crash", text) for text in ended["crashed"]]
        figures = {
            "name": plan.name,
            "faults": plan.faults,
            "seed": seed,
            **summary(history, expected, violations),
            "claimants_restarted": ended["restarts"],
            "cuts": cuts,
            **told,
        }
        return Round(plan, history, expected, violations, figures)

    def _client(self) -> KazooClient:
        quiet = logging.getLogger("herd.kazoo")
        quiet.addHandler(logging.NullHandler())
        quiet.propagate = False
        client = KazooClient(hosts=self.ensemble.connect_string, timeout=10, logger=quiet)
        client.start(timeout=30)
        return client

    def _orders(self, plan: Plan, names: list[str], dice: random.Random) -> list[dict[str, Any]]:
        orders: list[dict[str, Any]] = [{"instance_id": name} for name in names]
        for number, victim in enumerate(dice.sample(orders, plan.killed)):
            if number % 3 == 2:
                victim["kill_after_seconds"] = dice.uniform(0.25, 1.5)
            else:
                victim["die_at"] = ("before_write", "after_write")[number % 3]
        return orders

    def _bury(self, client: KazooClient, path: str, cluster: str, identities: list[int], holder: str) -> None:
        """Let every identity be claimed by an instance that EC2 calls terminated."""
        client.ensure_path(path)
        for node_id in identities:
            value = {"version": 1, "cluster": cluster, "role": ROLE, "node_id": node_id, "instance_id": holder}
            client.create(f"{path}/{node_id}", json.dumps(value).encode())

    def _strike(self, plan: Plan, watcher: KazooClient, path: str) -> dict[str, Any]:
        """Wait until enough is claimed, let the fault happen, and end it after its time."""
        victim = self.ensemble.follower() if plan.server_fault.startswith("follower") else self.ensemble.leader()
        wanted = max(1, int(plan.fault_share * min(plan.claimants, plan.identities)))
        claimed = self._await_claims(watcher, path, wanted)
        struck = time.monotonic()
        if plan.server_fault.endswith("killed"):
            victim.kill()
        else:
            victim.pause()
        led = self._led_again(victim, struck + plan.fault_seconds)
        time.sleep(max(0.0, struck + plan.fault_seconds - time.monotonic()))
        victim.resume()
        victim.launch()
        return {
            "claimed_when_struck": claimed,
            "fault_seconds": round(time.monotonic() - struck, 2),
            "leader_again_seconds": None if led is None else round(led - struck, 2),
        }

    def _await_claims(self, watcher: KazooClient, path: str, wanted: int) -> int:
        """Return the number of claims as soon as it is this or more; it is asked for often, since a herd is fast."""
        deadline = time.monotonic() + LIMIT_SECONDS
        while time.monotonic() < deadline:
            claims = len(watcher.get_children(path)) if watcher.exists(path) else 0
            if claims >= wanted:
                return claims
            time.sleep(0.005)
        raise ServiceError(f"{wanted} claims: not within {LIMIT_SECONDS:.0f} s")

    def _led_again(self, victim: ZooKeeperServer, deadline: float) -> float | None:
        others = [server for server in self.ensemble.servers if server is not victim]
        while time.monotonic() < deadline:
            if any(server.mode() == "leader" for server in others):
                return time.monotonic()
            time.sleep(0.02)
        return None

    # ---- the history -------------------------------------------------------------------------------------------------

    def final(self, path: str) -> tuple[tuple[Final, ...], dict[str, tuple[int, int]]]:
        client = self._client()
        try:
            client.sync("/")
            found, raw = [], {}
            for name in client.get_children(path) if client.exists(path) else []:
                value, stat = client.get(f"{path}/{name}")
                found.append(Final(int(name), stat.version, stat.mzxid, holder_of(value)[0]))
                raw[f"{path}/{name}"] = (stat.version, stat.mzxid)
        finally:
            client.stop()
            client.close()
        return tuple(found), raw

    def writes(self, path: str, final: dict[str, tuple[int, int]]) -> tuple[ClaimWrite, ...]:
        logs = {
            server.server_id: txnlog.read_server(server.directory / "data", path) for server in self.ensemble.servers
        }
        writes = []
        for entry in txnlog.settle(logs, final):
            holder, readable = holder_of(entry.data)
            node_id = int(entry.path.rsplit("/", 1)[1])
            writes.append(ClaimWrite(entry.zxid, node_id, entry.version, holder, entry.session_id, readable))
        return tuple(writes)


def verdicts(results: Path) -> tuple[Verdict, ...]:
    """Read what the claimants wrote, a line each."""
    found = []
    for text in results.read_text().splitlines():
        fields = json.loads(text)
        fields["attempts"] = tuple((node_id, action, result) for node_id, action, result in fields["attempts"])
        fields |= {key: tuple(fields[key]) for key in ("waits", "requests")}
        found.append(Verdict(**fields))
    return tuple(found)


def line(figures: dict[str, Any]) -> str:
    """One round as a person reads it."""
    bad = figures["violations"]
    return (
        f"{figures['name']:<22} {figures['claimants']:>3} for {figures['identities']:<3}  "
        f"p50 {figures['claim_p50_seconds']:>6.2f} s  p99 {figures['claim_p99_seconds']:>6.2f} s  "
        f"max {figures['claim_max_seconds']:>6.2f} s  lost races {figures['lost_races']:>3}  "
        f"unknown {figures['unknown_replies']:>2}  double {figures['double_identity']}"
        + (f"  VIOLATIONS {len(bad)}: {bad[:3]}" if bad else "")
    )
