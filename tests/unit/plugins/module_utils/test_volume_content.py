# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The comparison of a data volume's content with a claim; each reason to refuse fires once."""

from __future__ import annotations

import pytest
from ansible_collections.holdfast.kafka.plugins.module_utils.volume_content import (
    Content,
    judge,
    parse_properties,
    relevant,
)

META = "#\n#Sat Jan 01 00:00:00 UTC 2028\nversion=0\nbroker.id={}\ncluster.id={}\n"


def test_meta_properties_are_read_as_kafka_writes_them():
    assert parse_properties(META.format(3, "abc")) == {"version": "0", "broker.id": "3", "cluster.id": "abc"}


def test_lost_and_found_says_nothing():
    assert relevant(["lost+found", "data"]) == ["data"]


@pytest.mark.parametrize("role", ["kafka", "zookeeper"])
def test_an_empty_volume_is_blank_for_everyone(role):
    verdict = judge(Content(), role, 1)
    assert verdict.blank
    assert verdict.reason == ""


def test_the_claimed_brokers_data_are_its_own():
    verdict = judge(Content(kafka_meta={"data": META.format(3, "abc")}), "kafka", 3)
    assert (verdict.reason, verdict.node_id, verdict.cluster_ids, verdict.blank) == ("", 3, ("abc",), False)


def test_log_directories_with_ids_of_their_own_are_told():
    named = judge(Content(kafka_meta={"data": META.format(3, "abc") + "directory.id=x\n"}), "kafka", 3)
    assert (named.reason, named.directory_ids) == ("", ("x",))
    assert judge(Content(kafka_meta={"data": META.format(3, "abc")}), "kafka", 3).directory_ids == ()


def test_a_node_id_of_newer_kafka_is_read_too():
    assert judge(Content(kafka_meta={"data": "version=1\nnode.id=3\n"}), "kafka", 3).reason == ""


def test_the_claimed_servers_data_are_its_own():
    assert judge(Content(zookeeper_myid={"data": "2\n"}), "zookeeper", 2).node_id == 2


@pytest.mark.parametrize(
    ("content", "role", "reason"),
    [
        (Content(kafka_meta={"data": META.format(7, "abc")}), "kafka", "id_mismatch"),
        (Content(zookeeper_myid={"data": "7"}), "zookeeper", "id_mismatch"),
        (Content(zookeeper_myid={"data": "1"}), "kafka", "wrong_role"),
        (Content(kafka_meta={"data": META.format(1, "abc")}), "zookeeper", "wrong_role"),
        (Content(zookeeper_orphans=("data/version-2",)), "kafka", "wrong_role"),
        (Content(kafka_orphans=("data/orders-0",)), "zookeeper", "wrong_role"),
        (Content(kafka_meta={"data": "version=0\n"}), "kafka", "unreadable_id"),
        (Content(kafka_meta={"data": "broker.id=one\n"}), "kafka", "unreadable_id"),
        (Content(zookeeper_myid={"data": "one"}), "zookeeper", "unreadable_id"),
        (Content(zookeeper_myid={"data": ""}), "zookeeper", "unreadable_id"),
        (
            Content(
                kafka_meta={
                    "a": META.format(1, "abc") + "directory.id=x\n",
                    "b": META.format(1, "abc") + "directory.id=x\n",
                }
            ),
            "kafka",
            "duplicate_directory",
        ),
        (Content(kafka_meta={"data": META.format(1, "abc")}, links=("data/orders-0 -> /srv",)), "kafka", "symlink"),
        (Content(links=("data -> /srv",)), "zookeeper", "symlink"),
        (Content(kafka_orphans=("data/orders-0",)), "kafka", "unidentified_data"),
        (Content(strangers=("mysql",)), "kafka", "unknown_content"),
        (Content(strangers=("mysql",)), "zookeeper", "unknown_content"),
        (Content(kafka_meta={".": META.format(1, "abc")}), "kafka", "data_elsewhere"),
        (Content(kafka_meta={"kafka/logs": META.format(1, "abc")}), "kafka", "data_elsewhere"),
        (Content(kafka_meta={"kafka/logs": META.format(2, "abc")}), "kafka", "id_mismatch"),
        (Content(zookeeper_myid={".": "1"}, zookeeper_databases=(".",)), "zookeeper", "data_elsewhere"),
        (Content(zookeeper_myid={"data": "1", "zk": "1"}), "zookeeper", "data_elsewhere"),
        (Content(zookeeper_orphans=("data/version-2",)), "zookeeper", "unidentified_data"),
        (
            Content(kafka_meta={"a": META.format(1, "abc"), "b": META.format(1, "xyz")}),
            "kafka",
            "cluster_mismatch",
        ),
    ],
)
def test_each_contradiction_is_refused_with_its_reason(content, role, reason):
    verdict = judge(content, role, 1)
    assert verdict.reason == reason
    assert verdict.message


def test_what_lies_beside_a_nodes_own_data_is_nobodys_business():
    assert judge(Content(kafka_meta={"data": META.format(3, "abc")}, strangers=("notes",)), "kafka", 3).reason == ""


@pytest.mark.parametrize(
    ("content", "role", "found", "expected"),
    [
        (Content(kafka_meta={".": META.format(1, "abc")}), "kafka", "'meta.properties'", "'logs/meta.properties'"),
        (Content(zookeeper_myid={"data": "1"}), "zookeeper", "'data/myid'", "'logs/myid'"),
    ],
)
def test_data_elsewhere_names_both_places(content, role, found, expected):
    verdict = judge(content, role, 1, "logs")
    assert verdict.reason == "data_elsewhere"
    assert found in verdict.message
    assert expected in verdict.message
