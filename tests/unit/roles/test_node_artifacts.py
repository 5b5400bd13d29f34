# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an image's content is judged by: what it takes of the artifacts, and nothing that lies beside it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.unit.roles.role_run import run_plays

TAKEN = ("archives/kafka.tgz", "collections/one.tar.gz", "wheels/boto3.whl", "requirements-node.txt")


def sums(directory: Path, tmp_path: Path) -> str:
    """Let the role write the sums; return them."""
    inventory = tmp_path / "hosts.yml"
    inventory.write_text(
        f"all: {{hosts: {{here: {{ansible_connection: local, ansible_python_interpreter: {sys.executable}}}}}}}\n"
    )
    include = {"name": "holdfast.kafka.node_artifacts", "tasks_from": "checksums"}
    task = {"include_role": include, "vars": {"node_artifacts_directory": str(directory)}}
    status, output = run_plays([{"hosts": "here", "gather_facts": False, "tasks": [task]}], inventory)
    assert status == 0, output
    return (directory / "SHA512SUMS").read_text(encoding="utf-8")


def test_the_sums_are_of_what_an_image_takes(tmp_path: Path) -> None:
    directory = tmp_path / "artifacts"
    for name in TAKEN:
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name, encoding="utf-8")
    first = sums(directory, tmp_path)
    assert [line.split("  ")[1] for line in first.splitlines()] == [*TAKEN[:2], TAKEN[3], TAKEN[2]]
    subprocess.run(["sha512sum", "--check", "--quiet", "SHA512SUMS"], cwd=directory, check=True)
    (directory / "kafka_2.13-3.8.1.tgz").write_text("another release, for somebody else", encoding="utf-8")
    assert sums(directory, tmp_path) == first
    (directory / "archives/kafka.tgz").write_text("another archive", encoding="utf-8")
    assert sums(directory, tmp_path) != first
