# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an operator reads of a cluster that runs: every boot's story on the node, and a status without a problem."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

from lab.demo import cluster, fleet, playbooks
from lab.demo.stage import Stage
from tests.scenarios.stories import nodes

ORDER = ["claim_start", "claim_end", "attach_end", "configure_end", "service_start", "healthy", "signalled"]


def test_every_boot_tells_its_story_in_order_and_without_secrets(stage: Stage) -> None:
    for holder in [*nodes("zookeeper")[:1], *nodes("kafka")[:1]]:
        journal = fleet.ssh(holder.private_ip, "journalctl -u holdfast-boot -b -o cat")
        lines = [line for line in journal.splitlines() if re.match(r"holdfast: +\w+ +[0-9.]+ s ", line)]
        told = [line.split()[1] for line in lines]
        assert [name for name in told if name in ORDER][: len(ORDER)] == ORDER, journal
        story = "\n".join(lines)
        assert f"{holder.role} {holder.node_id}" in story
        assert holder.private_ip in story
        assert "FAILED" not in story
        # Ansible's own lines name such parameters, without their values.
        assert not re.search(
            r"(?i)(password|secret|token)\w*[=:] ?(?!NOT_LOGGING_PARAMETER|None\b)|//[^/@\s]+@", journal
        )


def status(stage: Stage, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run cluster_status as an operator does."""
    return subprocess.run(
        playbooks.playbook("cluster_status.yml", *arguments),
        env=playbooks.ansible_environment(),
        cwd=stage.logs,
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )


def test_the_status_of_a_whole_cluster_has_no_problem(stage: Stage, tmp_path: Path) -> None:
    report = tmp_path / "status.json"
    done = status(stage, "-e", "cluster_status_fail=true", "-e", f"cluster_status_file={report}")
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(report.read_text(encoding="utf-8"))
    assert (found["problems"], found["claims_known"]) == ([], True)
    assert {one["name"] for one in found["identities"] if one["kind"] == "held"} == {
        f"{cluster.CLUSTER}-{holder.role}-{holder.node_id}" for holder in fleet.holders(cluster.CLUSTER)
    }
