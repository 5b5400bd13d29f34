# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A world to claim in: EC2 with stale reads, ZooKeeper with lost replies, instances that die, and any interleaving.

Carrying a step out and hearing its answer are two moments, so everything can happen in between. The checks at the end
are what the product promises; ``Bugs`` plants the mistakes that the checks must find.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from ansible_collections.holdfast.kafka.plugins.module_utils import claim_steps as steps
from ansible_collections.holdfast.kafka.plugins.module_utils.claim_machine import ClaimMachine, Settings
from ansible_collections.holdfast.kafka.plugins.module_utils.claim_record import Claim
from ansible_collections.holdfast.kafka.plugins.module_utils.claim_rules import NOT_FOUND, InstanceBook, Life
from ansible_collections.holdfast.kafka.plugins.module_utils.pool import Eni, Identity, PoolReading, Volume

ROLE = "kafka"
STALE_SECONDS = 20.0
GRACE_SECONDS = 60.0
TIMEOUT_SECONDS = 1200.0


@dataclass(frozen=True)
class Bugs:
    """Mistakes to plant."""

    use_what_was_read: bool = False
    not_found_is_dead: bool = False
    takeover_without_version: bool = False
    release_deletes: bool = False
    stopped_is_dead: bool = False
    outage_frees: bool = False


class CarelessBook(InstanceBook):
    """Believes the first answer: an instance that EC2 does not know is dead."""

    def life(self, instance_id: str) -> Life:
        """Judge as a careless claimant would."""
        if self.states.get(instance_id) == NOT_FOUND:
            return Life.DEAD
        return super().life(instance_id)


class StoppedIsDeadBook(InstanceBook):
    """Takes a stopped instance for a dead one."""

    def life(self, instance_id: str) -> Life:
        """Judge as a careless claimant would."""
        if self.states.get(instance_id) == "stopped":
            return Life.DEAD
        return super().life(instance_id)


class TrustsTheOutage(ClaimMachine):
    """Takes an identity that looks free when ZooKeeper cannot say whose it is."""

    def _held_without_claims(self, now: float) -> Identity | None:
        """Decide as a careless claimant would."""
        assert self.reading is not None
        near = [one for one in self.reading.identities if one.availability_zone == self.settings.availability_zone]
        return super()._held_without_claims(now) or next((one for one in near if not one.attached_instances()), None)


@dataclass(frozen=True)
class Snapshot:
    """EC2's truth at one moment."""

    since: float
    states: dict[str, str]
    eni: dict[int, str | None]
    volume: dict[int, str | None]


@dataclass
class Claimant:
    """One instance and its current run; ``believes`` is the node id it would start a broker as."""

    instance_id: str
    zone: str
    machine: ClaimMachine
    step: steps.Step | None = None
    answer: steps.Answer | None = None
    wakes_at: float = 0.0
    believes: int | None = None
    failed: steps.Fail | None = None
    running: bool = True
    history: list[str] = field(default_factory=list)


class World:
    """The truth, and the moves that change it."""

    def __init__(self, zones: list[str], strategy: str = "zookeeper", bugs: Bugs | None = None) -> None:
        self.strategy = strategy
        self.bugs = bugs or Bugs()
        self.zones = dict(enumerate(zones))
        self.now = 0.0
        self.zookeeper_serves = True
        self.claims: dict[int, Claim] = {}
        self.states: dict[str, str] = {}
        self.eni: dict[int, str | None] = dict.fromkeys(self.zones)
        self.volume: dict[int, str | None] = dict.fromkeys(self.zones)
        self.snapshots: list[Snapshot] = []
        self.claimants: list[Claimant] = []
        self.launched_at: dict[str, float] = {}
        self._remember()

    # ---- EC2 ---------------------------------------------------------------------------------------------------------

    def _remember(self) -> None:
        self.snapshots.append(Snapshot(self.now, dict(self.states), dict(self.eni), dict(self.volume)))

    def stale(self, back: int) -> Snapshot:
        """Return what a read may show: the newest truth, or an older one that is not older than STALE_SECONDS."""
        oldest = max(i for i, item in enumerate(self.snapshots) if i == 0 or item.since <= self.now - STALE_SECONDS)
        return self.snapshots[max(oldest, len(self.snapshots) - 1 - back)]

    def launch(self, zone: str) -> Claimant:
        """Start an instance and its first run."""
        instance_id = f"i-{len(self.claimants):04d}"
        self.states[instance_id] = "running"
        self.launched_at[instance_id] = self.now
        self._remember()
        claimant = Claimant(instance_id, zone, self._machine(instance_id, zone))
        self.claimants.append(claimant)
        return claimant

    def _machine(self, instance_id: str, zone: str) -> ClaimMachine:
        settings = Settings(
            instance_id,
            zone,
            "c",
            ROLE,
            self.strategy,
            grace_seconds=GRACE_SECONDS,
            timeout_seconds=TIMEOUT_SECONDS,
        )
        machine = (TrustsTheOutage if self.bugs.outage_frees else ClaimMachine)(settings, self.now)
        if self.bugs.not_found_is_dead:
            machine.book = CarelessBook(GRACE_SECONDS)
        if self.bugs.stopped_is_dead:
            machine.book = StoppedIsDeadBook(GRACE_SECONDS)
        return machine

    def stop(self, claimant: Claimant) -> None:
        """Stop the instance: its run is over, its identity stays its own."""
        if self.states.get(claimant.instance_id) == "running":
            self.states[claimant.instance_id] = "stopped"
            claimant.running = False
            self._remember()

    def kill(self, claimant: Claimant) -> None:
        """Begin to terminate the instance; its processes may still run."""
        if self.states.get(claimant.instance_id) in ("running", "stopped"):
            self.states[claimant.instance_id] = "shutting-down"
            self._remember()

    def bury(self, claimant: Claimant) -> None:
        """Finish a termination: processes gone, parts free."""
        if self.states.get(claimant.instance_id) != "shutting-down":
            return
        self.states[claimant.instance_id] = "terminated"
        claimant.running = False
        claimant.believes = None
        for parts in (self.eni, self.volume):
            for node_id, holder in parts.items():
                if holder == claimant.instance_id:
                    parts[node_id] = None
        self._remember()

    def forget(self, claimant: Claimant) -> None:
        """Let EC2 forget a terminated instance, as it does after about an hour."""
        if self.states.get(claimant.instance_id) == "terminated":
            del self.states[claimant.instance_id]
            self._remember()

    def reboot(self, claimant: Claimant) -> None:
        """Crash whatever runs, wherever it is, and run from the start."""
        if self.states.get(claimant.instance_id) not in ("running", "stopped"):
            return
        self.states[claimant.instance_id] = "running"
        claimant.machine = self._machine(claimant.instance_id, claimant.zone)
        claimant.step = claimant.answer = claimant.failed = None
        claimant.running = True
        self._remember()

    def zookeeper(self, serves: bool) -> None:
        """Let ZooKeeper go away, or come back with everything that it knew."""
        self.zookeeper_serves = serves

    def tick(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds

    def attach(self, claimant: Claimant) -> None:
        """Attach what was claimed, as far as EC2 lets it (it refuses what is in use)."""
        node_id = claimant.believes
        if node_id is None or self.states.get(claimant.instance_id) != "running":
            return
        for parts in (self.eni, self.volume):
            if parts[node_id] is None:
                parts[node_id] = claimant.instance_id
        self._remember()

    def release(self, claimant: Claimant) -> None:
        """Give the claim back as the module does: only when nothing is attached, by compare-and-set."""
        node_id = claimant.believes
        if (
            node_id is None
            or not self.zookeeper_serves
            or self.strategy != "zookeeper"
            or claimant.instance_id in (self.eni[node_id], self.volume[node_id])
        ):
            return
        claim = self.claims.get(node_id)
        claimant.believes = None
        claimant.running = False
        if claim is not None and claim.instance_id == claimant.instance_id:
            if self.bugs.release_deletes:
                del self.claims[node_id]
            else:
                self.claims[node_id] = replace(claim, version=claim.version + 1, instance_id=None, modified_at=self.now)

    # ---- one claimant's moves ----------------------------------------------------------------------------------------

    def move(self, claimant: Claimant, back: int = 0, reply: str = "heard") -> bool:
        """Advance one claimant by half a step: decide, or carry out, or hear; False when there is nothing to do.

        ``back`` is how many snapshots an EC2 read lags; ``reply`` is ``heard``, ``lost`` (the write happened) or
        ``dropped`` (it did not).
        """
        if not claimant.running or self.states.get(claimant.instance_id) not in ("running", "shutting-down"):
            return False
        if claimant.answer is not None:
            claimant.machine.feed(claimant.answer, self.now)
            claimant.answer = claimant.step = None
            return True
        if claimant.step is None:
            claimant.step = claimant.machine.next_step(self.now)
            if isinstance(claimant.step, steps.Wait):
                claimant.wakes_at = self.now + claimant.step.seconds
            self._settle(claimant)
            return True
        if isinstance(claimant.step, steps.Wait) and self.now < claimant.wakes_at:
            return False
        claimant.answer = self._carry_out(claimant, claimant.step, back, reply)
        return True

    def _settle(self, claimant: Claimant) -> None:
        step = claimant.step
        if isinstance(step, steps.Done):
            node_id = step.identity.node_id
            assert claimant.believes in (None, node_id), (
                f"{claimant.instance_id} was {claimant.believes}, is now {node_id}"
            )
            claimant.history.append(f"{node_id} {step.outcome}")
            if step.claim_pending and not self.bugs.outage_frees:
                assert not step.changed
                assert self.eni[node_id] == claimant.instance_id, "kept without the ENI"
            claimant.believes = node_id
            claimant.running = False
        elif isinstance(step, steps.Fail):
            claimant.failed = step
            claimant.running = False

    def _carry_out(self, claimant: Claimant, step: steps.Step, back: int, reply: str) -> steps.Answer:
        if isinstance(step, steps.Wait):
            return steps.Waited()
        if isinstance(step, steps.ReadPool):
            return steps.PoolRead(self.reading(self.stale(back), self.stale(back // 2)))
        if isinstance(step, (steps.ReadClaims, steps.CreateClaim, steps.SetClaim)) and not self.zookeeper_serves:
            return steps.Unavailable("zookeeper_unreachable", "Nobody answers.", ("ZooKeeper",))
        if isinstance(step, steps.ReadClaims):
            return steps.ClaimsRead(dict(self.claims))
        if isinstance(step, steps.DescribeInstances):
            known = self.stale(back).states
            return steps.InstancesRead({one: known[one] for one in step.instance_ids if one in known})
        if reply == "dropped":
            return steps.Unknown("connection loss")
        answer = self._write(claimant, step)
        return steps.Unknown("connection loss") if reply == "lost" else answer

    def _write(self, claimant: Claimant, step: steps.Step) -> steps.Answer:
        me = claimant.instance_id
        if isinstance(step, steps.AttachEni):
            return self._attach_eni(me, step.identity.node_id)
        assert isinstance(step, (steps.CreateClaim, steps.SetClaim))
        node_id = step.identity.node_id
        there = self.claims.get(node_id)
        if isinstance(step, steps.CreateClaim):
            if there is not None and not self.bugs.use_what_was_read:
                return steps.Lost()
            version = 0
        else:
            right = there is not None and there.version == step.version
            if not right and not self.bugs.takeover_without_version:
                return steps.Lost()
            version = (there.version if there else 0) + 1
        self.claims[node_id] = Claim(node_id, version, me, self.now)
        return steps.Won(version)

    def _attach_eni(self, me: str, node_id: int) -> steps.Answer:
        if me in self.eni.values() and self.eni[node_id] != me:
            return steps.IndexOccupied()
        if self.eni[node_id] is not None and not self.bugs.use_what_was_read:
            return steps.Lost()
        if self.states[me] != "running":
            return steps.Refused("api_error", "IncorrectState")
        self.eni[node_id] = me
        self._remember()
        return steps.Won(attachment_id=f"eni-attach-{node_id}")

    def reading(self, enis: Snapshot, volumes: Snapshot) -> PoolReading:
        """Return the pool as two describes show it."""
        return PoolReading("c", tuple(self._identity(node_id, enis, volumes) for node_id in self.zones))

    def _identity(self, node_id: int, enis: Snapshot, volumes: Snapshot) -> Identity:
        zone, has_eni, has_volume = self.zones[node_id], enis.eni[node_id], volumes.volume[node_id]
        eni = Eni(
            f"eni-{node_id}", "02:00", "10.0.0.1", "subnet-1", zone, "in-use" if has_eni else "available", has_eni
        )
        volume = Volume(f"vol-{node_id}", 0, 1, zone, "in-use" if has_volume else "available", has_volume)
        return Identity(node_id, "c", ROLE, zone, f"c-kafka-{node_id}", eni, (volume,))

    # ---- what is promised --------------------------------------------------------------------------------------------

    def holders(self, node_id: int) -> list[str]:
        """Return every instance that is not terminated and would run as this node."""
        return [
            one.instance_id
            for one in self.claimants
            if one.believes == node_id and self.states.get(one.instance_id, "terminated") != "terminated"
        ]

    def check_one_holder(self) -> None:
        """Never two live holders of one identity."""
        for node_id in self.zones:
            holders = self.holders(node_id)
            assert len(holders) <= 1, f"node {node_id} has {len(holders)} holders: {', '.join(holders)}"

    def calm_down(self) -> None:
        """End all faults, ZooKeeper's outage too; let every instance without an identity run until nothing moves."""
        self.zookeeper(True)
        for claimant in self.claimants:
            self.bury(claimant)
        for _round in range(4):
            self.tick(STALE_SECONDS + GRACE_SECONDS)
            for claimant in self.claimants:
                if claimant.believes is None:
                    self.reboot(claimant)
            self._run_all()

    def _run_all(self) -> None:
        for _move in range(20000):
            moved = [self.move(claimant) for claimant in self.claimants]
            self.check_one_holder()
            if not any(moved):
                if not any(one.running and self.states.get(one.instance_id) == "running" for one in self.claimants):
                    return
                self.tick(1.0)
        raise AssertionError("the world does not come to rest")

    def check_nobody_stuck(self) -> None:
        """After calm_down: whoever lives holds an identity, or all of its zone's are held by somebody who lives."""
        for claimant in self.claimants:
            if self.states.get(claimant.instance_id) != "running" or claimant.believes is not None:
                continue
            free = [
                node_id for node_id, zone in self.zones.items() if zone == claimant.zone and not self.holders(node_id)
            ]
            why = claimant.failed.message if claimant.failed else "still running"
            assert not free, f"{claimant.instance_id} has nothing while {free} are free: {why}"

    def check_runs_again_the_same(self) -> None:
        """After calm_down: a second run of every holder gives the same identity and changes nothing."""
        for claimant in [one for one in self.claimants if one.believes is not None]:
            if self.states.get(claimant.instance_id) != "running":
                continue
            self.reboot(claimant)
            while claimant.running:
                if not self.move(claimant):
                    self.tick(1.0)
            assert isinstance(claimant.step, steps.Done), claimant.failed
            assert claimant.step.outcome == "already_held"
            assert not claimant.step.changed
