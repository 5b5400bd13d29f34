# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every kind of fault that the lab knows."""

from __future__ import annotations

from lab.api.faults_catalogue import MAX_SECONDS, Kind, Parameter

TIMES = Parameter("times", "count", "how often it strikes (default: until it is cleared)")
SKIP = Parameter("skip", "natural", "let that many matching events pass first", 0)
GROUP = Parameter("group", "group", "only instances of this Auto Scaling group")
WHOSE = (
    Parameter("instance", "instance", "only this instance (Name, id or address)"),
    GROUP,
    Parameter("new", "flag", "only instances launched after the fault was set", default=False),
)
RESOURCE = Parameter("resource", "resource", "only this interface, volume or instance (its id)")
ACTIONS = Parameter("actions", "actions", "calls by name, comma-separated, with * (default: every call)", ("*",))
HOW_OFTEN = (
    Parameter("every", "count", "strike every n-th matching call", 1),
    Parameter("rate", "rate", "strike a matching call with this probability", 1.0),
    Parameter("seed", "natural", "the random generator's seed for rate", 0),
)
CALLS = (ACTIONS, *WHOSE, RESOURCE, SKIP, *HOW_OFTEN, TIMES)


def _seconds(summary: str, default: float | None = None) -> Parameter:
    return Parameter("seconds", "seconds", summary, default, required=default is None)


API = (
    Kind(
        "api_throttle",
        "Calls are refused because there are too many.",
        (
            *CALLS,
            Parameter(
                "code",
                "word",
                "the error's code (default: the service's own)",
                choices=("RequestLimitExceeded", "Throttling", "ThrottlingException"),
            ),
        ),
    ),
    Kind(
        "api_error",
        "Calls are refused with an error.",
        (
            *CALLS,
            Parameter("code", "word", "the error's code", "InternalError"),
            Parameter("status", "status", "the HTTP status (default: the one that goes with the code)"),
            Parameter("message", "text", "the error's message (default: AWS' own where it is known)"),
        ),
    ),
    Kind(
        "api_slow",
        "Calls take longer.",
        (
            *CALLS,
            _seconds("how much longer"),
            Parameter(
                "before",
                "word",
                "wait before the call is carried out, or before its reply",
                "call",
                choices=("call", "reply"),
            ),
        ),
    ),
    Kind(
        "api_stale",
        "EC2's Describe calls answer with what was so many seconds ago (at first: when the fault was set).",
        (
            Parameter("actions", "describe_actions", "calls by name, comma-separated, with *", ("Describe*",)),
            _seconds("how old the answer is"),
            *CALLS[1:],
        ),
    ),
    Kind(
        "api_reply_lost",
        "Calls are carried out, and the connection is cut before the reply.",
        CALLS,
    ),
)

LIFECYCLE = (
    Kind(
        "shutting_down_long",
        "Instances that are terminated stay shutting-down, and run, for longer.",
        (_seconds("how much longer"), *WHOSE, SKIP, TIMES),
    ),
    Kind(
        "detach_long",
        "Interfaces and volumes stay detaching for longer.",
        (_seconds("how much longer"), *WHOSE, RESOURCE, SKIP, TIMES),
    ),
    Kind(
        "attaching_stuck",
        "Attachments stay attaching until the fault is cleared; nothing appears in the instance.",
        (*WHOSE, RESOURCE, SKIP, TIMES),
    ),
    Kind(
        "eni_late",
        "Interfaces that EC2 calls attached appear in the instance later.",
        (_seconds("how much later"), *WHOSE, RESOURCE, SKIP, TIMES),
    ),
    Kind(
        "volume_late",
        "Volumes that EC2 calls attached appear in the instance later.",
        (_seconds("how much later"), *WHOSE, RESOURCE, SKIP, TIMES),
    ),
    Kind(
        "instance_not_found_for",
        "Instances launched from now on are not described at first.",
        (_seconds("for how long after the launch"), GROUP, SKIP, TIMES),
    ),
)

IMDS = (
    Kind(
        "imds_late",
        "After an instance's boot (or reboot) its metadata service does not answer at first.",
        (_seconds("for how long after the boot"), *WHOSE),
    ),
    Kind(
        "imds_refuse_tokens",
        "The metadata service gives no tokens.",
        (Parameter("status", "status", "the answer's HTTP status", 503), *WHOSE, SKIP, TIMES),
    ),
    Kind(
        "imds_slow",
        "The metadata service takes its time.",
        (_seconds("how much longer"), Parameter("path", "text", "only these paths, with *", "*"), *WHOSE, SKIP, TIMES),
    ),
)

ONE = Parameter("instance", "instance", "the instance (Name, id or address)", required=True)
UNIT = Parameter("unit", "word", "a systemd unit of it (default: the whole instance)")
MOUNT = Parameter("mount", "path", "where a volume is mounted in it", required=True)

HOST = (
    Kind(
        "partition",
        "An instance lives on, but its network interfaces carry nothing; they stay up.",
        (ONE, Parameter("index", "natural", "only the interface with this device index (default: all)")),
        at_once=True,
    ),
    Kind(
        "freeze",
        "All processes of an instance, or of a unit, stop where they stand and go on when the fault is cleared.",
        (ONE, UNIT),
        at_once=True,
    ),
    Kind(
        "kill",
        "The processes of a unit get a signal; or the whole instance loses its power, and EC2 terminates it.",
        (ONE, UNIT, Parameter("signal", "word", "the signal", "KILL", choices=("KILL", "TERM", "INT", "QUIT", "ABRT"))),
        at_once=True,
        passing=True,
    ),
    Kind(
        "disk_full",
        "One file takes all free space of a mounted volume; it stays with the volume until the fault is cleared.",
        (ONE, MOUNT, Parameter("leave_bytes", "natural", "how much stays free", 0)),
        at_once=True,
    ),
    Kind(
        "disk_readonly",
        "A mounted ext4 volume goes read-only, as after an error of its journal; only a new mount writes again.",
        (ONE, MOUNT),
        at_once=True,
    ),
    Kind(
        "disk_dead",
        "Every read and write of a mounted volume fails until the fault is cleared; then it wants a new mount.",
        (ONE, MOUNT),
        at_once=True,
    ),
)

PHASES = (
    *("claim_start", "claim_end", "eni_attached", "volume_attached", "attach_end", "mounted", "configure_end"),
    *("service_start", "healthy", "signalled"),
)
BOOT = (
    Kind(
        "boot_kill",
        "An instance dies, is terminated or reboots the moment its boot comes to a phase.",
        (
            Parameter("phase", "word", "the phase", required=True, choices=PHASES),
            Parameter("action", "word", "what happens", "kill_power", choices=("kill_power", "terminate", "reboot")),
            *WHOSE,
            SKIP,
            Parameter("times", "count", "how often it strikes", 1),
        ),
    ),
)

SCALING = (
    Kind(
        "launch_before_gone",
        "Auto Scaling launches the replacement of an unhealthy instance first, and terminates that one afterwards.",
        (
            Parameter("seconds", "seconds", "how long both are in service", MAX_SECONDS),
            Parameter("extra", "natural", "how many more than desired the group has until the fault is cleared", 0),
            *WHOSE,
            SKIP,
            TIMES,
        ),
    ),
)

KINDS = {kind.name: kind for kind in (*API, *LIFECYCLE, *IMDS, *HOST, *BOOT, *SCALING)}
