# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run a tool and turn its failure into one sentence."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence


class MachineError(RuntimeError):
    """A consequence that did not happen on this machine; the message is one sentence."""


class CommandError(MachineError):
    """A tool ended with a status other than 0."""

    def __init__(self, command: Sequence[str], status: int, output: str) -> None:
        """Keep the command and what it said."""
        said = " ".join(output.split()) or "it said nothing"
        super().__init__(f"`{' '.join(command)}` ended with status {status}: {said}")
        self.command = tuple(command)
        self.status = status
        self.output = output


def run(command: Sequence[str], *, timeout: float = 60.0, text_input: str | None = None) -> str:
    """Run *command* without a terminal and return its standard output; raise CommandError with its error output."""
    try:
        done = subprocess.run(
            command,
            input=text_input,
            stdin=subprocess.DEVNULL if text_input is None else None,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise MachineError(f"`{' '.join(command)}` did not end within {timeout:.0f} s") from error
    except FileNotFoundError as error:
        raise MachineError(f"the program {command[0]} is not installed") from error
    if done.returncode != 0:
        raise CommandError(command, done.returncode, done.stderr.strip() or done.stdout.strip())
    return done.stdout
