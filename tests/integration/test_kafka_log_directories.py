# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a real broker with two log directories leaves on its volumes, and what it does when one of them is lost."""

from __future__ import annotations

import shutil
from pathlib import Path

from ansible_collections.holdfast.kafka.plugins.module_utils.block_device import read_content
from ansible_collections.holdfast.kafka.plugins.module_utils.volume_content import judge
from kazoo.client import KazooClient

from tests.integration.services import KafkaBroker, ZooKeeperEnsemble
from tests.ports import free_ports


def test_a_lost_log_directory_is_made_anew_by_the_broker_and_noticed_only_by_us(
    tmp_path: Path, zookeeper_server: ZooKeeperEnsemble
) -> None:
    volumes = [tmp_path / "0", tmp_path / "1"]
    for volume in volumes:
        volume.mkdir()
    chroot = "/two-directories"
    directories = ",".join(str(volume / "data") for volume in volumes)
    connect = f"{zookeeper_server.connect_string}{chroot}"
    broker = KafkaBroker(3, free_ports(1)[0], "a", connect, tmp_path / "broker", [f"log.dirs={directories}"])
    try:
        broker.start()
        broker.stop()
        verdicts = [judge(read_content(str(volume)), "kafka", 3) for volume in volumes]
        assert [(verdict.reason, verdict.node_id, verdict.blank) for verdict in verdicts] == [("", 3, False)] * 2
        assert verdicts[0].cluster_ids == verdicts[1].cluster_ids != ()
        named = [name for verdict in verdicts for name in verdict.directory_ids]
        assert len(set(named)) == len(named)
        shutil.rmtree(volumes[1] / "data")
        assert judge(read_content(str(volumes[1])), "kafka", 3).blank, "this is what the role refuses as partly_blank"
        broker.start()
        broker.stop()
        assert (volumes[1] / "data" / "meta.properties").is_file(), "the broker itself does not mind"
        # A broker writes meta.properties last of all; what it has written before says that there are no data.
        (volumes[1] / "data" / "meta.properties").unlink()
        left = sorted(path.name for path in (volumes[1] / "data").iterdir())
        assert "recovery-point-offset-checkpoint" in left
        assert judge(read_content(str(volumes[1])), "kafka", 3).blank, left
    finally:
        broker.kill()
        client = KazooClient(hosts=zookeeper_server.connect_string)
        client.start(timeout=20)
        client.delete(chroot, recursive=True)
        client.stop()
        client.close()
