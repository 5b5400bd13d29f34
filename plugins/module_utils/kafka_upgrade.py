# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which roll of an upgrade is due, from what the brokers run and speak and what the inventory wants. No I/O.

Three rolls lead from one release of Kafka to the next: the binaries while every broker speaks the protocol of before,
the protocol, and the message format, which brokers of this protocol ignore. The binaries' roll never lets a broker
speak a newer protocol than one that is spoken already, so that it can be taken back; the protocol's can not.

**PRIVATE** to the collection. It can have breaking changes at any time.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple, TypeVar

from ansible_collections.holdfast.kafka.plugins.module_utils.holdfast_error import HoldfastError
from ansible_collections.holdfast.kafka.plugins.module_utils.release import Version, parse

#: The series between which a roll leads. 4.0 has no ZooKeeper mode.
OLDEST, NEWEST = (3, 8), (3, 9)
#: How many steps (``-IV``) each series' protocol had until its release; its short name means the last one.
LAST_STEPS = {(3, minor): last for minor, last in enumerate((1, 0, 0, 3, 0, 2, 2, 4, 0, 0))}
PROTOCOL_SETTING = "inter.broker.protocol.version"
FORMAT_SETTING = "log.message.format.version"
T = TypeVar("T")
_PROTOCOL = re.compile(r"(\d+)\.(\d+)(?:\.\d+)?(?:-IV(\d+))?")


class Protocol(NamedTuple):
    """The protocol between brokers."""

    major: int
    minor: int
    step: int

    @property
    def series(self) -> tuple[int, int]:
        """Return major and minor."""
        return (self.major, self.minor)

    def __str__(self) -> str:
        """Return it as short as Kafka reads it."""
        short = f"{self.major}.{self.minor}"
        return short if self.step == LAST_STEPS.get(self.series) else f"{short}-IV{self.step}"


@dataclass(frozen=True)
class Broker:
    """One broker: what runs (installed, where nothing runs), what it speaks (None: not registered), what is wanted."""

    node_id: int
    version: str
    protocol: str | None
    to_version: str
    pin: str = ""
    message_format: str = ""


@dataclass(frozen=True)
class Roll:
    """One of the three rolls; ``state`` is ``due``, ``done``, ``later`` or ``never``."""

    name: str
    state: str
    why: str


@dataclass(frozen=True)
class Decision:
    """The rolls in their order, the one that is due (empty: none), and the brokers it is due for, with the reason."""

    rolls: tuple[Roll, ...]
    roll: str
    due: dict[int, str]
    from_versions: tuple[str, ...]
    to_version: str
    from_protocols: tuple[str, ...]
    to_protocol: str

    def as_dict(self) -> dict[str, Any]:
        """Return it as the module returns it."""
        return {**asdict(self), "due": {str(node_id): why for node_id, why in self.due.items()}}


def protocol(text: str) -> Protocol:
    """Read ``3.8``, ``3.8-IV0`` or ``3.8.1``; ValueError when Kafka has no such protocol, or it is older than 3.0."""
    found = _PROTOCOL.fullmatch(text.strip())
    if not found:
        raise ValueError(f"{text!r} is no protocol of brokers, such as 3.8")
    series = (int(found[1]), int(found[2]))
    if series < min(LAST_STEPS):
        raise ValueError(f"{text!r} is older than 3.0, from which no roll leads here; lift it to 3.0 by hand first")
    last = LAST_STEPS.get(series, 0)
    step = int(found[3]) if found[3] else last
    if series in LAST_STEPS and step > last:
        raise ValueError(f"{text!r} is no protocol of brokers; the last of its series is {series[0]}.{series[1]}")
    return Protocol(*series, step)


def own(version: Version) -> Protocol:
    """Return the newest protocol of a release, which its brokers speak when nothing is set."""
    return Protocol(*version.series, LAST_STEPS.get(version.series, 0))


def decide(brokers: Sequence[Broker], *, downgrade_allowed: bool = False) -> Decision:
    """Return which roll is due; HoldfastError with the reason when none may be, before anything is touched."""
    target, pin = _wanted(brokers)
    running = _running(brokers, target)
    spoken = _spoken(brokers)
    highest = max(spoken.values())
    _refuse_the_way_back(target, running, spoken, downgrade_allowed)
    wanted = _wanted_protocol(pin, target)
    if wanted < highest:
        raise HoldfastError(
            "protocol_finalized",
            f"protocol {highest} is spoken ({_who(spoken, highest)}), and {PROTOCOL_SETTING} is to be {wanted}. "
            f"What is spoken is not taken back: set '{highest}' in kafka_properties.",
        )
    behind = [node_id for node_id, version in running.items() if version != target]
    if behind and wanted > highest:
        raise HoldfastError(
            "protocol_not_pinned",
            f"{_those(behind)} run{_s(behind)} not yet {target}, and {PROTOCOL_SETTING} is to be {wanted}"
            f"{'' if pin else ' (by the release itself)'}, which nobody speaks: a node that is replaced meanwhile "
            f"would. Set '{highest}' in the kafka_properties that nodes boot with until all have {target}.",
        )
    lagging = [node_id for node_id, one in spoken.items() if one != wanted]
    due = {node_id: f"it speaks protocol {spoken[node_id]}, and {wanted} is wanted" for node_id in lagging}
    due |= {node_id: f"it runs {running[node_id]}, and {target} is wanted" for node_id in behind}
    return Decision(
        rolls=(
            _binaries(target, wanted, behind),
            _lift(target, wanted, behind, lagging),
            Roll("format", "never", _format({one.message_format for one in brokers})),
        ),
        roll="binaries" if behind else "protocol" if lagging else "",
        due=dict(sorted(due.items())),
        from_versions=tuple(str(version) for version in sorted(set(running.values()))),
        to_version=str(target),
        from_protocols=tuple(str(one) for one in sorted(set(spoken.values()))),
        to_protocol=str(wanted),
    )


def refuse_by_configuration(brokers: Iterable[Broker]) -> None:
    """HoldfastError when a restart with the wanted configuration would change what a broker speaks.

    Also of releases that no roll leads to or from, so what cannot be told of them is left alone.
    """
    for broker in brokers:
        if broker.protocol is None or broker.pin == broker.protocol or not (broker.pin or broker.version):
            continue
        now = _read(protocol, broker.protocol, "upgrade_unsupported", f"broker {broker.node_id} speaks")
        if broker.pin:
            after = _read(protocol, broker.pin, "pins_disagree", f"{PROTOCOL_SETTING}:")
        else:
            after = own(_read(parse, broker.version, "upgrade_unsupported", f"broker {broker.node_id} runs"))
        if now != after:
            raise HoldfastError(
                "protocol_change",
                f"broker {broker.node_id} speaks protocol {now}, and would speak {after} after a restart with what the "
                "inventory says. That has an order of its own: run kafka_rolling_upgrade for it.",
            )


def _wanted(brokers: Sequence[Broker]) -> tuple[Version, str]:
    """Return the one release and the one pin that the inventory wants."""
    if not brokers:
        raise HoldfastError("bad_parameter", "brokers: nobody is named")
    for what, values in (
        ("kafka_version", {one.to_version for one in brokers}),
        (PROTOCOL_SETTING, {one.pin for one in brokers}),
        (FORMAT_SETTING, {one.message_format for one in brokers}),
    ):
        if len(values) > 1:
            told = ", ".join(sorted(repr(value) for value in values))
            raise HoldfastError(
                "pins_disagree",
                f"{what} is not the same for all brokers ({told}). Set it in group_vars, for all of them.",
            )
    target = _read(parse, brokers[0].to_version, "bad_parameter", "kafka_version:")
    if target.series > NEWEST:
        why = "has no ZooKeeper mode" if target.major > NEWEST[0] else "is not known here"
        raise HoldfastError("upgrade_unsupported", f"kafka_version {target} {why}; rolls lead to 3.8 and 3.9.")
    if target.series < OLDEST:
        raise HoldfastError(
            "upgrade_unsupported", f"kafka_version {target} is older than 3.8; rolls lead to 3.8 and 3.9."
        )
    return target, brokers[0].pin


def _wanted_protocol(pin: str, target: Version) -> Protocol:
    if not pin:
        return own(target)
    wanted = _read(protocol, pin, "pins_disagree", f"{PROTOCOL_SETTING}:")
    if wanted > own(target):
        raise HoldfastError(
            "pins_disagree",
            f"{PROTOCOL_SETTING} is to be {wanted}, which Kafka {target} does not know. Correct one of them.",
        )
    return wanted


def _running(brokers: Iterable[Broker], target: Version) -> dict[int, Version]:
    """Return each broker's release."""
    found = {}
    for broker in brokers:
        told = f"broker {broker.node_id} runs"
        version = _read(parse, broker.version, "upgrade_unsupported", told)
        if not OLDEST <= version.series <= NEWEST:
            raise HoldfastError("upgrade_unsupported", f"{told} {version}; rolls lead from 3.8 and 3.9.")
        found[broker.node_id] = version
    if len({version.series for version in found.values() if version != target}) > 1:
        told = ", ".join(f"broker {node_id} {version}" for node_id, version in sorted(found.items()))
        raise HoldfastError(
            "versions_mixed",
            f"besides {target} there are two series: {told}. Bring all to the newest of what runs first, then further.",
        )
    return found


def _refuse_the_way_back(
    target: Version, running: Mapping[int, Version], spoken: Mapping[int, Protocol], allowed: bool
) -> None:
    """HoldfastError when the release that is wanted is older than one that runs, and that is not possible or meant."""
    highest = max(spoken.values())
    if highest.series > target.series:
        raise HoldfastError(
            "protocol_finalized",
            f"protocol {highest} is spoken ({_who(spoken, highest)}), which Kafka {target} does not know. There is no "
            f"way back behind it: set kafka_version to a release of {highest.major}.{highest.minor}.",
        )
    older = sorted(node_id for node_id, version in running.items() if version > target)
    if older and not allowed:
        told = ", ".join(f"broker {node_id} {running[node_id]}" for node_id in older)
        raise HoldfastError(
            "upgrade_unsupported",
            f"kafka_version {target} is older than what runs ({told}). That is the way back from an upgrade, and has "
            "to be allowed: kafka_roll_downgrade_allowed.",
        )


def _spoken(brokers: Iterable[Broker]) -> dict[int, Protocol]:
    """Return what each registered broker speaks."""
    found = {
        one.node_id: _read(protocol, one.protocol, "upgrade_unsupported", f"broker {one.node_id} speaks")
        for one in brokers
        if one.protocol is not None
    }
    if not found:
        raise HoldfastError(
            "broker_not_registered", "no broker is registered, so nobody can tell which protocol is spoken."
        )
    return found


def _binaries(target: Version, wanted: Protocol, behind: Collection[int]) -> Roll:
    if behind:
        return Roll("binaries", "due", f"{_those(behind)} to {target}, speaking protocol {wanted}")
    return Roll("binaries", "done", f"all brokers run {target}")


def _lift(target: Version, wanted: Protocol, behind: Collection[int], lagging: Collection[int]) -> Roll:
    newest = own(target)
    if not behind and lagging:
        return Roll("protocol", "due", f"{_those(lagging)} to protocol {wanted}; there is no way back behind it")
    if wanted < newest:
        when = f"once all brokers run {target}" if behind else "when you have seen enough"
        why = f"{PROTOCOL_SETTING} holds it at {wanted}; {when}, set '{newest}' in kafka_properties and start again"
        return Roll("protocol", "later", why)
    return Roll("protocol", "done", f"whoever runs speaks protocol {wanted}")


def _format(told: Iterable[str]) -> str:
    why = f"from protocol 3.0 on Kafka ignores {FORMAT_SETTING}"
    values = sorted(value for value in told if value)
    if values:
        why += f"; it is set to {values[0]} for nothing, and 4.0 does not know it: take it out of kafka_properties"
    return why


def _read(reader: Callable[[str], T], text: str, reason: str, told: str) -> T:
    try:
        return reader(text)
    except ValueError as error:
        raise HoldfastError(reason, f"{told} {error}.") from error


def _those(node_ids: Iterable[int]) -> str:
    ids = sorted(node_ids)
    return f"broker{'s' if len(ids) > 1 else ''} {', '.join(map(str, ids))}"


def _who(spoken: Mapping[int, Protocol], which: Protocol) -> str:
    return _those(node_id for node_id, one in spoken.items() if one == which)


def _s(ids: Collection[int]) -> str:
    return "s" if len(ids) == 1 else ""
