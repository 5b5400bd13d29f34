# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""`python -m tests.frontdoor.checks NAME`: run one check over the repository; 0 clean, 1 faults, 77 cannot run here."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.frontdoor.checks import argument_specs, cloudformation, shell, templates
from tests.frontdoor.lint import SKIPPED_STATUS

CHECKS = {
    "argument-specs": argument_specs.faults,
    "cloudformation": cloudformation.faults,
    "shell": shell.faults,
    "templates": templates.faults,
}


def main(arguments: list[str]) -> int:
    """Print the faults of the named check."""
    if len(arguments) != 1 or arguments[0] not in CHECKS:
        print(f"usage: python -m tests.frontdoor.checks {{{','.join(CHECKS)}}}")
        return 2
    root = Path(__file__).resolve().parents[3]
    try:
        found = CHECKS[arguments[0]](root)
    except shell.CannotRunError as reason:
        print(reason)
        return SKIPPED_STATUS
    for fault in found:
        print(fault)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
