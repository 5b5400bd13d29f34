# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an inventory may not say: each rule with an inventory in which it fires, and through the lookup."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.holdfast.kafka.plugins.lookup.inventory_faults import faults
from ansible_collections.holdfast.kafka.plugins.module_utils import inventory_rules as rules

ROOT = Path(__file__).resolve().parents[4]
ROLES = {"kafka": ["kafka_heap_mib"], "zookeeper": ["zookeeper_properties"], "inventory_check": ["holdfast_cluster"]}


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("kafka_heap_mb", "kafka_heap_mib"),
        ("zookeeper_propertys", "zookeeper_properties"),
        ("holdfast_clutser", "holdfast_cluster"),
    ],
)
def test_a_misspelt_variable_is_named_with_its_nearest(name: str, nearest: str) -> None:
    found = rules.unknown_names([name, "kafka_heap_mib", "ansible_host", "my_own", "kafka__private"], ROLES)
    assert found == [f"the variable {name} is set, but Holdfast has none of that name; did you mean {nearest}?"]
    assert rules.unknown_names([name], ROLES, [name]) == []


POOL = {"type": "list", "elements": "dict", "options": {"node_id": {"type": "int", "required": True}}}
OPTIONS: dict[str, list[dict[str, Any]]] = {
    "kafka_heap_mib": [{"type": "int"}],
    "kafka_enabled": [{"type": "bool"}],
    "kafka_mode": [{"type": "str", "choices": ["rack", "serial"]}],
    "kafka_version": [{"type": "str"}],
    "kafka_pools": [POOL],
    "kafka_either": [{"type": "int"}, {"type": "dict"}],
    "kafka_password": [{"type": "dict"}],
    "kafka_hidden": [{"type": "int", "no_log": True}],
}


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("kafka_heap_mib", "lots", "kafka_heap_mib is 'lots', which is not of its type int."),
        ("kafka_heap_mib", [512], "kafka_heap_mib is a list, which is not of its type int."),
        ("kafka_enabled", "maybe", "kafka_enabled is 'maybe', which is not of its type bool."),
        ("kafka_mode", "racks", "kafka_mode is 'racks', but it must be one of: rack, serial."),
        ("kafka_pools", "three", "kafka_pools is 'three', which is not of its type list of dict."),
        (
            "kafka_pools",
            [{"node_id": "one"}],
            "kafka_pools is a list, which is not of its type list of dict (in its part node_id).",
        ),
        ("kafka_either", "x", "kafka_either is 'x', which is not of its type int."),
        ("kafka_password", "hunter2", "kafka_password is a str, which is not of its type dict."),
        ("kafka_hidden", "hunter2", "kafka_hidden is a str, which is not of its type int."),
        ("kafka_heap_mib", "512", None),
        ("kafka_heap_mib", None, None),
        ("kafka_heap_mib", "{{ ansible_memtotal_mb // 2 }}", None),
        ("kafka_enabled", "yes", None),
        ("kafka_version", 3.9, None),
        ("kafka_pools", [{"node_id": "{{ number }}"}], None),
        ("kafka_either", {"a": 1}, None),
        ("my_own", object, None),
    ],
)
def test_a_value_of_another_type_is_named_without_its_secrets(name: str, value: Any, sentence: str | None) -> None:
    assert rules.type_faults([(name, value)], OPTIONS) == ([] if sentence is None else [sentence])


@pytest.mark.parametrize(
    ("place", "environment", "fires"),
    [
        ("/x/inventories/mine", "aws", True),
        ("/x/inventories/mine", "mine", False),
        ("/runner/inventory", "mine", False),
        (None, "mine", False),
    ],
)
def test_the_environment_is_the_inventorys_directory(place: str | None, environment: str, fires: bool) -> None:
    assert bool(rules.environment_faults(place, environment)) is fires


@pytest.mark.parametrize(
    ("content", "fires"),
    [
        ({"plugin": "amazon.aws.aws_ec2"}, True),
        ({"plugin": "amazon.aws.aws_ec2", "filters": {"tag:holdfast:cluster": "other"}}, True),
        ({"plugin": "amazon.aws.aws_ec2", "filters": {"tag:holdfast:cluster": ["orders"]}}, False),
        ({"plugin": "other"}, False),
    ],
)
def test_the_dynamic_inventory_is_of_this_cluster(content: Any, fires: bool) -> None:
    assert bool(rules.filter_faults("x.aws_ec2.yml", content, "orders")) is fires


@pytest.mark.parametrize(
    ("url", "fires"),
    [
        ("https://me:secret@git.example.com/x.git", True),
        ("https://token@git.example.com/x.git", True),
        ("ssh://git:secret@git.example.com/x.git", True),
        ("ssh://git@git.example.com/x.git", False),
        ("git@git.example.com:x.git", False),
        ("http://10.77.0.2:8080/holdfast.git", False),
        (None, False),
    ],
)
def test_credentials_do_not_go_into_user_data(url: str | None, fires: bool) -> None:
    found = rules.git_url_faults(url)
    assert bool(found) is fires
    assert "secret" not in " ".join(found)


def test_tags_are_tags_and_ones_own() -> None:
    assert rules.tag_faults({"team/unit x": "y"}) == []
    for key in ("aws:x", "holdfast:cluster", "Name", "what?"):
        assert repr(key) in rules.tag_faults({key: "y"})[0]


def test_an_address_is_one_identitys_in_all_pools() -> None:
    one = {"node_id": 1, "private_ip": "10.77.1.21"}
    other = {"node_id": 2, "private_ip": "10.77.2.22"}
    assert rules.address_faults({"kafka": [one, other], "zookeeper": []}) == []
    assert rules.address_faults(
        {"kafka": [one, other], "zookeeper": [{"node_id": 3, "private_ip": "10.77.2.22 "}]}
    ) == [
        "holdfast_pools gives the address 10.77.2.22 to kafka 2 and to zookeeper 3; each identity needs one of its own."
    ]
    for no_pool in (None, {"kafka": "three"}, {"kafka": ["three", {"node_id": 1}]}):
        assert rules.address_faults(no_pool) == []


def test_ports_are_fixed() -> None:
    assert rules.port_faults([("kafka_port", 9092), ("zookeeper_client_port", "2181"), ("other_port", 1)]) == []
    assert "kafka_port is 9093, but the port is fixed at 9092" in rules.port_faults([("kafka_port", 9093)])[0]


def test_the_fixed_ports_are_the_roles_own() -> None:
    defaults: dict[str, Any] = {}
    for role in ("kafka", "zookeeper"):
        defaults.update(yaml.safe_load((ROOT / f"roles/{role}/defaults/main.yml").read_text(encoding="utf-8")))
    assert {name: defaults[name] for name in rules.PORTS} == rules.PORTS


def look(directory: Path, **variables: Any) -> list[str]:
    """What the lookup finds for a host of the inventory in this directory."""
    return faults({"inventory_dir": str(directory), **variables}, "x", "orders")


def test_the_groups_files_are_read_too(tmp_path: Path) -> None:
    for path, text in {
        "group_vars/zookeeper/service.yml": "zookeeper_propertys: {}\n",
        "group_vars/kafka.yml": "kafka_heap_mb: 5\nkafka_port: 9093\n",
        "group_vars/all/secret.yml": "$ANSIBLE_VAULT;1.1;AES256\n3132\n",
        "group_vars/all/one.yml": "holdfast_region: !vault x\n",
        "group_vars/all/notes.txt": "kafka_nothing: 1\n",
        "x.aws_ec2.yml": "plugin: amazon.aws.aws_ec2\n",
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text, encoding="utf-8")
    found = "\n".join(look(tmp_path))
    assert "group_vars/zookeeper/service.yml: the variable zookeeper_propertys" in found
    assert "did you mean zookeeper_properties?" in found
    assert "group_vars/kafka.yml: the variable kafka_heap_mb is set" in found
    assert "kafka_port is 9093" in found
    assert "x.aws_ec2.yml has the filter" in found
    assert len(look(tmp_path)) == 4
    assert "pool_stack_namee" in "".join(look(tmp_path, pool_stack_namee=1))


@pytest.mark.parametrize("name", ["aws", "lab"])
def test_the_shipped_inventories_have_no_fault(name: str) -> None:
    place = {"inventory_dir": str(ROOT / "inventories" / name)}
    assert faults(place, name, {"aws": "orders", "lab": "demo"}[name]) == []


PLAYBOOKS = [
    "artifacts_gather",
    "claims_restore",
    "cluster_status",
    "cluster_wait",
    "identity_release",
    "image_bake",
    "nodes_provision",
    "pool_adopt",
    "pool_provision",
]


@pytest.mark.parametrize("name", PLAYBOOKS)
def test_a_playbook_checks_the_inventory_first(name: str) -> None:
    plays = yaml.safe_load((ROOT / f"playbooks/{name}.yml").read_text(encoding="utf-8"))
    assert plays[0]["tasks"][0]["ansible.builtin.include_role"] == {"name": "holdfast.kafka.inventory_check"}


def test_the_site_begins_with_such_a_playbook() -> None:
    site = yaml.safe_load((ROOT / "playbooks/site.yml").read_text(encoding="utf-8"))
    assert site[0]["ansible.builtin.import_playbook"].removesuffix(".yml") in PLAYBOOKS
