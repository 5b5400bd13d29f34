# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The record of a boot keeps the first time of a phase, and begins anew with the machine."""

from __future__ import annotations

import pytest
from ansible_collections.holdfast.kafka.plugins.module_utils import boot_record

TIMES = {"system_start": "2030-01-01T00:00:00.000Z"}


def test_a_new_boot_begins_a_new_record():
    old = {"boot_id": "one", "phases": {"healthy": "2029-01-01T00:00:00.000Z"}}
    record, begun = boot_record.open_record(old, "two", TIMES)
    assert begun
    assert record == {"boot_id": "two", "phases": TIMES}


def test_a_second_run_keeps_the_first_times():
    record, _begun = boot_record.open_record({}, "one", TIMES)
    assert boot_record.add_phase(record, "healthy", 1_900_000_000.5)
    again, begun = boot_record.open_record(record, "one", {})
    assert not begun
    assert not boot_record.add_phase(again, "healthy", 1_900_000_099)
    assert again["phases"]["healthy"] == "2030-03-17T17:46:40.500Z"


@pytest.mark.parametrize("ending", ["signalled", "finished", "gave_up", "kept"])
def test_a_run_is_the_first_until_one_has_finished(ending):
    record, _begun = boot_record.open_record({}, "one", TIMES)
    boot_record.add_phase(record, "service_start", 1_900_000_000)
    again, begun = boot_record.open_record(record, "one", {})
    assert not begun
    assert boot_record.first_run(again), "the run before was killed"
    boot_record.add_phase(again, ending, 1_900_000_001)
    assert not boot_record.first_run(again)


def test_a_record_cut_off_is_no_record(tmp_path):
    path = tmp_path / "state" / "boot.json"
    assert boot_record.read(str(path)) == {}
    boot_record.write(str(path), {"boot_id": "one", "phases": {}})
    assert boot_record.read(str(path))["boot_id"] == "one"
    path.write_text('{"boot_id": ')
    assert boot_record.read(str(path)) == {}
    path.write_text("[]")
    assert boot_record.read(str(path)) == {}


def test_the_start_of_a_process_with_a_strange_name():
    stat = "1 (a) b (c)) S 0 " + " ".join(["0"] * 17) + " 250 0 0"
    assert boot_record.process_start(stat, 1000.0, 100) == 1002.5


def test_cloud_init_that_has_not_ended_is_left_out():
    status = {"v1": {"init-local": {"start": 0.001, "finished": 1}, "init": {"start": 1, "finished": None}}}
    assert list(boot_record.cloud_init_times(status)) == ["cloud_init_start"]
