#!/usr/bin/python
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: kafka_id_info
short_description: Ask ZooKeeper whether a Kafka cluster knows a broker id already
version_added: 0.1.0
author:
  - Holdfast contributors
extends_documentation_fragment:
  - holdfast.kafka.zookeeper
description:
  - A broker id is known when it is registered, or when a topic's assignment names it.
  - Asked before a broker starts. With O(volume_empty) a known id is refused; where its data are gone and the cluster
    still counts on them, somebody has to decide whether the broker may fetch them again from its peers.
  - With O(volume_cluster_ids) the cluster that the data belong to must be the one in ZooKeeper. Kafka compares them
    too, but only after its start, and then ends again and again.
  - Asks ZooKeeper and not the brokers, because all brokers may be down; and only a server of the quorum, after a sync.
options:
  zookeeper_hosts:
    description: C(host:port) of the ensemble's servers.
    type: list
    elements: str
    required: true
  chroot:
    description: Where the Kafka cluster lives in ZooKeeper.
    type: str
    default: /kafka
  broker_id:
    description: The broker id.
    type: int
    required: true
  volume_empty:
    description: Whether a volume of the broker carries no data. A known id is then refused (V(refill_refused)).
    type: bool
    default: false
  volume_cluster_ids:
    description: The cluster ids in C(meta.properties) of the broker's volumes.
    type: list
    elements: str
    default: []
  unknown_cluster_allowed:
    description:
      - Whether O(volume_cluster_ids) may name a cluster while ZooKeeper has no cluster id at all.
      - Kafka itself refuses that as well, until C(<chroot>/cluster/id) is restored.
    type: bool
    default: false
  advice:
    description: What to tell a person, by reason; added to the refusal.
    type: dict
    default: {}
  answer_required:
    description:
      - Whether it is a failure that no ZooKeeper server answers. Else there is a warning, and RV(answered) is false.
      - For a broker with its own data, which Kafka compares as well once ZooKeeper is back; never for an empty volume.
    type: bool
    default: true
  timeout_seconds:
    description: How long to try to reach ZooKeeper, in seconds.
    type: float
    default: 60
attributes:
  check_mode:
    description: Can run in check mode and return what it would without changing the target.
    support: full
  diff_mode:
    description: Nothing is changed, so there is nothing to show.
    support: none
"""

EXAMPLES = r"""
- name: Ask whether the cluster counts on broker 3
  holdfast.kafka.kafka_id_info:
    zookeeper_hosts: [192.0.2.11:2181, 192.0.2.12:2181, 192.0.2.13:2181]
    broker_id: 3
"""

RETURN = r"""
answered:
  description: Whether ZooKeeper answered.
  returned: success
  type: bool
known:
  description: Whether the cluster knows the id.
  returned: when ZooKeeper answered
  type: bool
registered:
  description: Whether a broker with this id is registered now, or its session has not expired yet.
  returned: when ZooKeeper answered
  type: bool
topics:
  description: Topics with a replica on this id.
  returned: when ZooKeeper answered
  type: list
  elements: str
cluster_id:
  description: The cluster's id in ZooKeeper, empty before the first broker's first start.
  returned: when ZooKeeper answered
  type: str
give_up:
  description: V(false), another instance would find the same volumes, the same cluster and the same password.
  returned: when the volumes contradict the cluster, or an empty one cannot be judged, or ZooKeeper refuses this client
  type: bool
reason:
  description:
    - One of V(refill_refused), V(cluster_id_mismatch), V(cluster_id_unknown), V(zookeeper_unreachable),
      V(zookeeper_auth_failed), V(zookeeper_failed), V(bad_parameter) or V(dependency).
    - V(zookeeper_auth_failed) says that ZooKeeper does not accept O(zookeeper_auth) or O(zookeeper_tls), or that an ACL
      is in the way. It is a failure even where no answer is required.
  returned: failure
  type: str
"""

import json
from typing import Any

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible_collections.holdfast.kafka.plugins.module_utils import zk_security
from ansible_collections.holdfast.kafka.plugins.module_utils.number_bounds import require_numbers
from ansible_collections.holdfast.kafka.plugins.module_utils.volume_content import Verdict, judge_cluster
from ansible_collections.holdfast.kafka.plugins.module_utils.zk_errors import (
    ZkAuthError,
    ZkRefusedError,
    ZkUnreachableError,
)
from ansible_collections.holdfast.kafka.plugins.module_utils.zk_session import (
    HAS_KAZOO,
    KazooException,
    ZkSession,
    missing_library,
)

if HAS_KAZOO:
    from kazoo.exceptions import NoNodeError


def topics_on(assignments: dict[str, bytes], broker_id: int) -> list[str]:
    """Topics whose assignment (the znode C(/brokers/topics/<name>)) names the broker."""
    found = []
    for topic, data in assignments.items():
        partitions: dict[str, list[int]] = json.loads(data or b"{}").get("partitions", {})
        if any(broker_id in replicas for replicas in partitions.values()):
            found.append(topic)
    return sorted(found)


def children(client: Any, path: str) -> list[str]:
    """Children of a znode; a znode that does not exist has none (a cluster's first start)."""
    try:
        return client.get_children(path)
    except NoNodeError:
        return []


def ask(client: Any, chroot: str, broker_id: int) -> dict[str, Any]:
    """Read registrations, assignments and the cluster's id below the chroot."""
    # The server that answers may be behind the others, and an id that it has not heard of yet would pass.
    client.sync("/")
    registered = str(broker_id) in children(client, f"{chroot}/brokers/ids")
    assignments = {}
    for topic in children(client, f"{chroot}/brokers/topics"):
        try:
            assignments[topic] = client.get(f"{chroot}/brokers/topics/{topic}")[0]
        except NoNodeError:
            continue
    topics = topics_on(assignments, broker_id)
    return {
        "changed": False,
        "answered": True,
        "known": registered or bool(topics),
        "registered": registered,
        "topics": topics,
        "cluster_id": cluster_id_of(client, f"{chroot}/cluster/id"),
    }


def cluster_id_of(client: Any, path: str) -> str:
    """The cluster's id; empty when no broker has made one yet. ValueError or KeyError when the znode holds none."""
    try:
        return str(json.loads(client.get(path)[0])["id"])
    except NoNodeError:
        return ""


def judge_answer(answer: dict[str, Any], params: dict[str, Any]) -> Verdict:
    """Compare ZooKeeper's answer with what the volumes said."""
    allowed = params["unknown_cluster_allowed"]
    verdict = judge_cluster(params["volume_cluster_ids"], answer["cluster_id"] or None, allowed)
    if not verdict.reason and params["volume_empty"] and answer["known"]:
        topics = ", ".join(answer["topics"][:10]) or "none"
        return Verdict(
            "refill_refused",
            f"a volume of broker {params['broker_id']} is empty, but the cluster knows this id "
            f"(registered: {answer['registered']}, topics: {topics})",
        )
    return verdict


def question(module: AnsibleModule, session: ZkSession, chroot: str) -> dict[str, Any]:
    """Ask, and end the module when there is no answer."""
    hosts = ",".join(session.hosts)
    try:
        session.connect(module.params["timeout_seconds"])
        return ask(session.client, chroot, module.params["broker_id"])
    except ZkUnreachableError as error:
        message = f"No ZooKeeper server of {hosts} answers: {error}."
        if module.params["answer_required"] or module.params["volume_empty"]:
            # Another instance with the same empty volume would have to ask the same servers.
            module.fail_json(msg=message, reason="zookeeper_unreachable", give_up=False)
        module.warn(f"{message} The data of broker {module.params['broker_id']} were not compared with the cluster.")
        module.exit_json(changed=False, answered=False)
    except (ZkRefusedError, KazooException, ValueError, KeyError, TypeError) as error:
        told = error if isinstance(error, ZkRefusedError) else session.explain(error, "reading below", chroot or "/")
        if isinstance(told, ZkAuthError):
            module.fail_json(msg=f"{told}.", reason=told.reason, give_up=False)
        module.fail_json(msg=f"ZooKeeper at {hosts} failed: {told}.", reason="zookeeper_failed", give_up=False)
    finally:
        session.close()
    raise AssertionError("the module has ended")


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "zookeeper_hosts": {"type": "list", "elements": "str", "required": True},
            "chroot": {"type": "str", "default": "/kafka"},
            "broker_id": {"type": "int", "required": True},
            "volume_empty": {"type": "bool", "default": False},
            "volume_cluster_ids": {"type": "list", "elements": "str", "default": []},
            "unknown_cluster_allowed": {"type": "bool", "default": False},
            "advice": {"type": "dict", "default": {}},
            "answer_required": {"type": "bool", "default": True},
            "timeout_seconds": {"type": "float", "default": 60},
            **zk_security.argument_spec(),
        },
        supports_check_mode=True,
    )
    zk_security.show_who(module)
    library = missing_library(module.params["zookeeper_auth"])
    if library:
        module.fail_json(msg=missing_required_lib(library), reason="dependency")
    try:
        chroot = zk_security.checked_chroot(module.params["chroot"], "chroot")
        hosts = zk_security.checked_hosts(module.params)
        require_numbers(module.params, ["timeout_seconds"])
        session = ZkSession(hosts or [], zk_security.from_parameters(module.params))
    except ValueError as error:
        module.fail_json(msg=str(error), reason="bad_parameter")
    result = question(module, session, chroot)
    verdict = judge_answer(result, module.params)
    if verdict.reason:
        words = f"Volume refused: {verdict.message}. {module.params['advice'].get(verdict.reason, '')}".strip()
        module.fail_json(msg=words, reason=verdict.reason, give_up=False, **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
