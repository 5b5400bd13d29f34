# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's command line: arguments, and which command does what."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from typing import Any

from lab import client, fault_command, images_command, render, teardown
from lab import up as up_module
from lab.config import LOGIN_USER, PRESETS, ConfigError, LabConfig, load
from lab.images.build import ImageBuildError
from lab.logs import logs
from lab.machine.shell import MachineError

Command = Callable[[LabConfig, argparse.Namespace], int]
EXPECTED = (MachineError, ImageBuildError, client.LabDownError, client.LabRefusedError, render.AmbiguousError)


def say(line: str) -> None:
    """Print progress where it does not disturb what is piped."""
    print(line, file=sys.stderr, flush=True)


def show(data: Any) -> None:
    """Print data as JSON."""
    print(json.dumps(data, indent=2, default=str))


def parser() -> argparse.ArgumentParser:
    """Return the parser of `lab`."""
    top = argparse.ArgumentParser(prog="lab", description="EC2 on this machine: a place to run Holdfast without AWS.")
    top.add_argument("--name", help="which lab (default: $HOLDFAST_LAB_NAME, or 'lab')")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, run: Command, text: str, as_json: bool = False) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(run=run)
        if as_json:
            sub.add_argument("--json", action="store_true", help="print JSON")
        return sub

    sub = add("up", up, "Bring the lab up: the base image (built once), the VPC and EC2's API.", True)
    sub.add_argument("--preset", choices=PRESETS, help="how slow EC2 is (default: short)")
    sub.add_argument("--mirror", help="Debian mirror for the base image (default: mmdebstrap's own)")
    add("down", down, "Remove everything that the lab made.", True)
    add("status", status, "Show instances, interfaces, volumes, groups, stacks and images.", True)
    add("env", env, "Print what an AWS client needs, to be evaluated by a shell.", True)
    sub = add("exec", execute, "Run a command inside the lab's network with its environment.")
    sub.add_argument("argv", nargs=argparse.REMAINDER, metavar="-- COMMAND")
    sub = add("ssh", ssh, "Log in to an instance, or run a command there.")
    sub.add_argument("instance", help="its Name, id (or the id's end) or an address")
    sub.add_argument("argv", nargs=argparse.REMAINDER, metavar="-- COMMAND")
    sub = add("logs", show_logs, "Show the server's log, EC2's events, or an instance's console and journal.", True)
    sub.add_argument("source", nargs="?", default="server", help="'server', 'events' or an instance (default: server)")
    sub.add_argument("--lines", type=int, default=200, help="how many of the last lines (default: 200)")
    sub = add("image", images_command.run, "List, build, keep, use or remove images.", True)
    sub.add_argument("action", nargs="?", choices=images_command.ACTIONS, default="ls")
    sub.add_argument("arguments", nargs="*", metavar="ARG", help="keep AMI KEY | use KEY | rm KEY")
    sub = add("fault", fault_command.run, "List, set and clear faults of EC2, of its metadata and of instances.", True)
    sub.add_argument("action", nargs="?", choices=fault_command.ACTIONS, default="list")
    sub.add_argument("arguments", nargs="*", metavar="ARG", help="set KIND [key=value ...] | clear [KIND or id]")
    add("sync", sync, "Commit the work tree as it is now for the instances to pull.", True)
    sub = add("delays", delays, "Show or set how long EC2's transitions take.", True)
    sub.add_argument("--preset", choices=PRESETS)
    sub.add_argument("settings", nargs="*", metavar="NAME=SECONDS")
    return top


def up(config: LabConfig, options: argparse.Namespace) -> int:
    """`lab up`."""
    try:
        timings = up_module.up(config, say, options.mirror)
    except up_module.RefusedError as error:
        for line in str(error).splitlines():
            say(f"lab: {line}")
        return 2
    found = client.description(config)
    if options.json:
        show({**found, "image_seconds": timings.image_seconds, "up_seconds": timings.up_seconds})
        return 0
    name = f" --name {config.name}" if config.name != "lab" else ""
    print(
        f"Lab '{config.name}' is up after {timings.up_seconds:.1f} s: "
        f"EC2 at {config.api_url}, delays as in '{found['preset']}'."
    )
    print(f"  lab{name} status            what there is")
    print(f"  lab{name} exec -- COMMAND   run a client in the lab's network")
    print(f"  lab{name} down              remove all of it")
    return 0


def down(config: LabConfig, options: argparse.Namespace) -> int:
    """`lab down`."""
    if os.geteuid() != 0:
        say("lab: removing a lab needs root")
        return 2
    if not config.state_root.is_dir():
        outcome = teardown.Outcome()
    else:
        with up_module.state_lock(config):
            outcome = teardown.teardown(config, say)
    for problem in outcome.problems:
        say(f"lab: {problem}")
    if options.json:
        show({"found": outcome.found, "removed": outcome.removed, "problems": outcome.problems})
    elif not outcome.problems:
        what = ", ".join(f"{number} {thing}" for thing, number in outcome.removed.items())
        print(f"Lab '{config.name}' is down{f': removed {what}' if what else ' (there was nothing to remove)'}.")
    return 1 if outcome.problems else 0


def status(config: LabConfig, options: argparse.Namespace) -> int:
    """`lab status`."""
    found = client.description(config)
    client.enter(config)
    state = client.call("GET", "status")
    if options.json:
        shown = {key: value for key, value in found.items() if key != "environment"}
        show({"server": shown, **state})
        return 0
    print(f"Lab '{config.name}', up since {found['started_at']}, EC2 at {config.api_url} in {config.vpc_netns}\n")
    print(render.status(state), end="")
    return 0


def env(config: LabConfig, options: argparse.Namespace) -> int:
    """`lab env`."""
    found = client.environment(config)
    if options.json:
        show(found)
    else:
        for name, value in found.items():
            print(f"export {name}={shlex.quote(value)}")
    return 0


def _command(argv: Sequence[str]) -> list[str]:
    return list(argv[1:] if argv and argv[0] == "--" else argv)


def execute(config: LabConfig, options: argparse.Namespace) -> int:
    """`lab exec`: becomes the command."""
    command = _command(options.argv)
    if not command:
        say("lab: exec wants a command, as in `lab exec -- aws ec2 describe-instances`")
        return 2
    environment = {**os.environ, **client.environment(config)}
    client.enter(config)
    return _become(command, environment)


def ssh(config: LabConfig, options: argparse.Namespace) -> int:
    """`lab ssh`: becomes ssh."""
    client.enter(config)
    instance = render.find_instance(
        options.instance, client.call("GET", "status?sections=instances,network_interfaces")
    )
    command = [
        "ssh",
        *("-i", str(config.key_file), "-o", "IdentitiesOnly=yes", "-o", "LogLevel=ERROR"),
        # An address has another host key with each instance that takes it; the network is this machine's own.
        *("-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"),
        f"{LOGIN_USER}@{instance['private_ip']}",
        *_command(options.argv),
    ]
    return _become(command, dict(os.environ))


def _become(command: list[str], environment: dict[str, str]) -> int:
    try:
        os.execvpe(command[0], command, environment)  # noqa: S606 - a list of words, no shell
    except FileNotFoundError:
        say(f"lab: the program {command[0]} was not found")
        return 127
    except PermissionError:
        say(f"lab: {command[0]} cannot be run")
        return 126


def show_logs(config: LabConfig, options: argparse.Namespace) -> int:
    """`lab logs`."""
    lines = logs(config, options.source, options.lines)
    if options.json:
        show({"source": options.source, "lines": lines})
    else:
        for line in lines:
            print(line)
    return 0


def sync(config: LabConfig, options: argparse.Namespace) -> int:
    """`lab sync`."""
    client.enter(config)
    found = client.call("POST", "sync", timeout=150)
    if options.json:
        show(found)
    else:
        print(f"The instances now pull {found['commit'][:12]} from {config.git_url}.")
    return 0


def delays(config: LabConfig, options: argparse.Namespace) -> int:
    """`lab delays`."""
    wish: dict[str, Any] = {"preset": options.preset} if options.preset else {}
    for setting in options.settings:
        name, separator, value = setting.partition("=")
        try:
            wish[name] = float(value)
        except ValueError:
            separator = ""
        if not separator:
            say(f"lab: a delay is set as NAME=SECONDS, not {setting!r}")
            return 2
    client.enter(config)
    found = client.call("PUT" if wish else "GET", "delays", wish or None)
    if options.json:
        show(found)
    else:
        for name, seconds in sorted(found.items()):
            print(f"{name:32} {seconds:g}")
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; 0 done, 1 it failed, 2 it was refused or asked for wrongly."""
    options = parser().parse_args(arguments)
    try:
        config = load(name=options.name, preset=getattr(options, "preset", None))
    except ConfigError as error:
        say(f"lab: {error}")
        return 2
    try:
        return int(options.run(config, options))
    except EXPECTED as error:
        say(f"lab: {error}")
        return 1
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        say("lab: interrupted")
        return 130
