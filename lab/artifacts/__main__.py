# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m lab.artifacts [DIR]``: put the archives of Kafka, ZooKeeper and the agent into a directory."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from lab.artifacts import catalogue
from lab.artifacts.assemble import assemble, default_directory
from lab.artifacts.maven import MavenError


def main(arguments: list[str] | None = None) -> int:
    """Run the command; 0 when all archives are there, 1 with one sentence when not."""
    parser = argparse.ArgumentParser(prog="python -m lab.artifacts", description=__doc__)
    parser.add_argument("directory", nargs="?", type=Path, default=default_directory(), help="default: %(default)s")
    for name in catalogue.names(catalogue.load()):
        parser.add_argument(f"--{name.replace('_', '-')}", dest=name, metavar="VERSION", help=f"another {name} version")
    options = vars(parser.parse_args(arguments))
    directory = options.pop("directory").resolve()
    versions = {name: version for name, version in options.items() if version}
    try:
        paths = assemble(directory, lambda text: print(text, flush=True), versions)
    except (MavenError, ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for path in paths.values():
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
