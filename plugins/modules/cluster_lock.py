#!/usr/bin/python
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: cluster_lock
version_added: 0.2.0
short_description: Let one run at a time stop services of a cluster
description:
  - Takes, renews, gives back or shows the lock of a cluster, a record in ZooKeeper beside the cluster's claims.
  - A run that holds the lock renews it at each step. A lock that was not renewed for O(expire_seconds) can be taken
    over by another run. Its former holder finds out before it stops anything more.
  - Whether a lock has expired is judged by ZooKeeper's own clock alone. Only check mode and O(state=read), which write
    nothing, estimate it by the clock of the host they run on.
options:
  cluster:
    description: The name of the cluster.
    type: str
    required: true
  zookeeper_hosts:
    description: ZooKeeper's servers, as C(host) or C(host:port).
    type: list
    elements: str
    required: true
  state:
    description:
      - V(held) takes the lock, or with O(token) renews it.
      - V(released) gives it back; with O(force=true) whoever has it.
      - V(read) only shows it.
    type: str
    choices: [held, released, read]
    default: held
  run_id:
    description: The run that takes the lock; each run has its own. Required to take it.
    type: str
  holder:
    description: Who started the run and where, for people. Required to take the lock.
    type: str
  playbook:
    description: What the run does, for people. Required to take the lock.
    type: str
  expire_seconds:
    description: After how long without a renewal others may take the lock over. At least 30.
    type: float
    default: 3600
  token:
    description: What this module returned as RV(token) when the run took the lock.
    type: dict
  force:
    description:
      - Give the lock back although the run that has it did not; with O(state=released).
      - That run stops nothing more once it finds out, which is before its next stop.
    type: bool
    default: false
  force_reason:
    description: Why, for the record. Required with O(force=true).
    type: str
    default: ""
  by:
    description: Who does so, for the record. Required with O(force=true).
    type: str
    default: ""
extends_documentation_fragment:
  - holdfast.kafka.attributes
  - holdfast.kafka.zookeeper
  - holdfast.kafka.zookeeper.claims
attributes:
  check_mode:
    support: full
    details: Says whether the lock could be had; a renewal only looks whether the lock is still the run's.
  diff_mode:
    support: full
author:
  - Holdfast contributors
"""

EXAMPLES = r"""
- name: Take the lock
  holdfast.kafka.cluster_lock:
    cluster: orders
    zookeeper_hosts: [10.0.1.11, 10.0.2.12, 10.0.3.13]
    run_id: 20260101T120000Z-4f1c
    holder: jane@laptop
    playbook: kafka_rolling_restart
  register: lock

- name: Renew it before the next batch
  holdfast.kafka.cluster_lock:
    cluster: orders
    zookeeper_hosts: [10.0.1.11, 10.0.2.12, 10.0.3.13]
    token: "{{ lock.token }}"

- name: Give it back
  holdfast.kafka.cluster_lock:
    cluster: orders
    zookeeper_hosts: [10.0.1.11, 10.0.2.12, 10.0.3.13]
    state: released
    token: "{{ lock.token }}"
"""

RETURN = r"""
token:
  description: What proves that the run has the lock, for renewals and for the modules that stop services.
  returned: when the lock is held and that is no prediction
  type: dict
  sample: {"path": "/holdfast/orders/locks/roll", "run_id": "20260101T120000Z-4f1c", "generation": 7}
lock:
  description: The lock as it was read or written, or as it was when the task failed.
  returned: success, and with RV(reason=locked) and RV(reason=lock_lost)
  type: dict
  contains:
    path:
      description: The znode.
      type: str
    held:
      description: Whether a run has it, in time or not.
      type: bool
    readable:
      description: Whether the content is the record of a lock.
      type: bool
    generation:
      description: How often the lock has been taken.
      type: int
    run_id:
      description: The run; with it come the holder, what it does, since when, and its time to renew.
      type: str
      returned: when RV(lock.held) and RV(lock.readable)
    holder:
      description: Who started it.
      type: str
    playbook:
      description: What it does.
      type: str
    since:
      description: When it began, by its controller's clock.
      type: str
    expire_seconds:
      description: After how long without a renewal the lock may be taken over.
      type: float
    renewed_at:
      description: When the record was last written, by ZooKeeper's clock.
      type: str
    seconds_left:
      description: How long the lock still lives without a renewal; 0 or less means that it has expired.
      type: float
    ended:
      description: How the lock before this one ended, C(released), C(expired) or C(forced), of whom, when, by whom.
      type: dict
previous_run_id:
  description: The run whose expired lock was taken over, or whose lock was released by force.
  returned: when there is one
  type: str
reason:
  description:
    - V(locked), V(lock_lost), V(lost_race), V(zookeeper_unreachable), V(zookeeper_refused),
      V(zookeeper_auth_failed), V(bad_parameter) or V(missing_library).
  returned: failure
  type: str
"""

import time
from contextlib import closing
from typing import Any

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible_collections.holdfast.kafka.plugins.module_utils import cluster_lock, lock_record, zk_security
from ansible_collections.holdfast.kafka.plugins.module_utils.holdfast_error import HoldfastError
from ansible_collections.holdfast.kafka.plugins.module_utils.lock_record import Owner, Record, Stamp
from ansible_collections.holdfast.kafka.plugins.module_utils.lock_store import LockStore
from ansible_collections.holdfast.kafka.plugins.module_utils.number_bounds import require_numbers
from ansible_collections.holdfast.kafka.plugins.module_utils.utc_time import utc_time
from ansible_collections.holdfast.kafka.plugins.module_utils.zk_session import missing_library

LEAST_EXPIRE_SECONDS = 30.0


def estimate(record: Record) -> float:
    """Return about how many seconds the lock has left, by this host's clock, since ZooKeeper's tells only writers."""
    return lock_record.seconds_left(record, Stamp(time.time(), record.written.epoch))


def opened(params: dict[str, Any]) -> LockStore:
    """Return the lock's store, not connected; HoldfastError for parameters that can never work."""
    try:
        chroot = zk_security.checked_chroot(params["zookeeper_chroot"], "zookeeper_chroot")
        path = lock_record.lock_path(params["cluster"], chroot)
        token = None if params["token"] is None else lock_record.token_from(params["token"])
        require_numbers(params, ["expire_seconds"], LEAST_EXPIRE_SECONDS)
        hosts, security = zk_security.checked_hosts(params) or [], zk_security.from_parameters(params)
    except ValueError as error:
        raise HoldfastError("bad_parameter", f"{str(error).rstrip('.')}.") from error
    state = params["state"]
    wanted: list[str] = []
    if params["force"]:
        wanted = ["force_reason", "by"]
    elif state == "released":
        wanted = ["token"]
    elif state == "held" and token is None:
        wanted = ["run_id", "holder", "playbook"]
    missing = [name for name in wanted if not str(params[name] or "").strip()]
    fault = ""
    if not hosts:
        fault = "zookeeper_hosts is empty; name at least one server"
    elif params["force"] and state != "released":
        fault = f"force is for state released, and state is {state}"
    elif missing:
        fault = f"state {state} needs {' and '.join(missing)}"
    elif token is not None and token.path != path:
        fault = f"the token is for {token.path}, and the lock of this cluster is {path}"
    if fault:
        raise HoldfastError("bad_parameter", f"{fault}.")
    library = missing_library(params["zookeeper_auth"])
    if library:
        raise HoldfastError("missing_library", missing_required_lib(library))
    return LockStore(hosts, path, security)


def predict(store: LockStore, record: Record | None, run_id: str) -> dict[str, Any]:
    """Say whether the lock could be taken, and write nothing."""
    left = estimate(record) if record is not None and record.owner else None
    mine = record is not None and record.owner is not None and record.owner.run_id == run_id
    if record is not None and not record.free and not mine and (left is None or left > 0):
        cluster_lock.refuse(store.path, record, left)
    return {"changed": not mine, "lock": lock_record.told(store.path, record, left)}


def take(store: LockStore, params: dict[str, Any]) -> dict[str, Any]:
    """Take the lock."""
    run_id, holder, playbook = (params[name].strip() for name in ("run_id", "holder", "playbook"))
    since, expire_seconds = utc_time(time.time()), params["expire_seconds"]
    taken = cluster_lock.acquire(store, Owner(run_id, holder, playbook, since, expire_seconds))
    record = cluster_lock.confirm(store, taken.token)
    previous = {"previous_run_id": taken.expired_owner.run_id} if taken.expired_owner else {}
    lock = lock_record.told(store.path, record, record.owner.expire_seconds if record.owner else None)
    return {"changed": taken.changed, "token": taken.token.as_dict(), "lock": lock, **previous}


def keep(store: LockStore, params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """Renew the lock."""
    token = lock_record.token_from(params["token"])
    record = cluster_lock.confirm(store, token) if check_mode else cluster_lock.renew(store, token)
    return {"changed": False, "token": token.as_dict(), "lock": lock_record.told(store.path, record)}


def give_back(store: LockStore, before: Record | None, params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """Release the lock, the run's own or by force."""
    at = utc_time(time.time())
    held = None if before is None or before.free else before
    if not params["force"]:
        token = lock_record.token_from(params["token"])
        if check_mode and held:
            cluster_lock.confirm(store, token)
        changed = bool(held) if check_mode else cluster_lock.release(store, token, at)
        return {"changed": changed, "lock": lock_record.told(store.path, cluster_lock.look(store))}
    by, why = params["by"].strip(), params["force_reason"].strip()
    robbed = held if check_mode else cluster_lock.release_by_force(store, by, why, at)
    previous = {"previous_run_id": robbed.owner.run_id} if robbed and robbed.owner else {}
    return {"changed": robbed is not None, "lock": lock_record.told(store.path, cluster_lock.look(store)), **previous}


def show(store: LockStore, record: Record | None) -> dict[str, Any]:
    """Show the lock."""
    left = estimate(record) if record is not None and record.owner else None
    return {"changed": False, "lock": lock_record.told(store.path, record, left)}


def done(store: LockStore, params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """Do what is asked for and return the module's result; raises HoldfastError."""
    if params["state"] == "held" and params["token"] is not None:
        return keep(store, params, check_mode)
    before = cluster_lock.look(store)
    wanted = None
    if params["state"] == "read":
        return show(store, before)
    if params["state"] == "released":
        result = give_back(store, before, params, check_mode)
    else:
        wanted = params["run_id"].strip()
        result = predict(store, before, wanted) if check_mode else take(store, params)
    if result["changed"]:
        owner = before.owner if before else None
        had = {"lock": store.path, "run_id": owner.run_id if owner else None}
        result["diff"] = {"before": had, "after": {"lock": store.path, "run_id": wanted}}
    return result


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "cluster": {"type": "str", "required": True},
            "zookeeper_hosts": {"type": "list", "elements": "str", "required": True},
            "state": {"type": "str", "choices": ["held", "released", "read"], "default": "held"},
            "run_id": {"type": "str"},
            "holder": {"type": "str"},
            "playbook": {"type": "str"},
            "expire_seconds": {"type": "float", "default": 3600},
            "token": {"type": "dict", "no_log": False},
            "force": {"type": "bool", "default": False},
            "force_reason": {"type": "str", "default": ""},
            "by": {"type": "str", "default": ""},
            **zk_security.claims_argument_spec(),
        },
        supports_check_mode=True,
    )
    zk_security.show_who(module)
    try:
        with closing(opened(module.params)) as store:
            result = done(store, module.params, module.check_mode)
    except HoldfastError as error:
        module.fail_json(msg=error.message, reason=error.reason, **error.extra)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
