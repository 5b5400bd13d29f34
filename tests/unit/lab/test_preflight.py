# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each precondition that fails is one clear sentence."""

from __future__ import annotations

import dataclasses

import pytest

from lab import preflight
from lab.config import ConfigError, LabConfig
from lab.preflight import Facts, Occupied, judge, judge_names


def test_a_machine_that_can():
    assert judge(Facts()) == []


@pytest.mark.parametrize(
    ("fact", "sentence"),
    [
        ({"system": "Darwin"}, "the lab needs Linux, and this is Darwin"),
        ({"root": False}, "the lab needs root: it makes namespaces, mounts and loop devices"),
        (
            {"missing_tools": ("ip", "systemd-nspawn")},
            "missing programs: ip, systemd-nspawn (apt-get install iproute2 systemd-container)",
        ),
        (
            {"namespace_error": "unshare failed: Operation not permitted"},
            "this kernel or container does not allow new namespaces: unshare failed: Operation not permitted",
        ),
        ({"overlay": False}, "this kernel has no overlay file system (modprobe overlay)"),
        (
            {"loop_control": False},
            "there is no /dev/loop-control, so volumes cannot become devices (modprobe loop)",
        ),
        ({"cgroups_writable": False}, "the control groups below /sys/fs/cgroup are not writable"),
        (
            {"unfit_filesystem": "overlay"},
            "the state directory is on overlay, which cannot hold an instance's tree"
            " (set HOLDFAST_LAB_STATE to a directory on ext4, xfs or btrfs)",
        ),
        (
            {"memory_mib": 900},
            "900 MiB of memory are available, the lab wants 4096 (set HOLDFAST_LAB_MIN_MEMORY_MIB to try with less)",
        ),
        (
            {"disk_mib": {"/var": 9000, "/cache": 12}},
            "12 MiB of disk are free at /cache, the lab wants 6144 (set HOLDFAST_LAB_MIN_DISK_MIB to try with less)",
        ),
        (
            {"image_built": False, "mmdebstrap": False},
            "the base image is not built yet and mmdebstrap is missing (apt-get install mmdebstrap)",
        ),
    ],
)
def test_one_sentence_per_failure(fact, sentence):
    assert judge(dataclasses.replace(Facts(), **fact)) == [sentence]


def test_the_keyring_matters_only_until_the_image_is_built():
    assert judge(Facts(keyring=False)) == []
    (sentence,) = judge(Facts(keyring=False, image_built=False))
    assert "debian-archive-keyring" in sentence


def test_not_linux_and_not_root_come_alone():
    assert len(judge(Facts(system="Darwin", root=False, missing_tools=("ip",)))) == 1
    assert len(judge(Facts(root=False, missing_tools=("ip",), memory_mib=0))) == 1


def test_everything_else_is_said_at_once():
    assert len(judge(Facts(missing_tools=("ip",), overlay=False, memory_mib=1))) == 3


def test_names_that_are_taken():
    occupied = Occupied(("hf-lab-vpc",), "/var/lib/holdfast-lab/lab", ("/sys/fs/cgroup/holdfast-lab-lab",))
    assert judge_names("lab", occupied) == [
        "a network namespace named hf-lab-vpc exists and is not lab 'lab's: "
        "remove it or choose another name with --name",
        "/var/lib/holdfast-lab/lab exists and is not a lab's: remove it or choose another name with --name",
        "the control group /sys/fs/cgroup/holdfast-lab-lab exists and is not lab 'lab's: "
        "remove it or choose another name with --name",
    ]
    assert judge_names("lab", Occupied()) == []


def test_only_the_labs_own_names_count(tmp_path, monkeypatch):
    monkeypatch.setattr(preflight, "NETNS_DIR", tmp_path)
    for name in ("hf-lab-vpc", "hf-lab2-vpc", "hf-other-vpc", "lab"):
        (tmp_path / name).touch()
    found = preflight.gather_names(LabConfig(state_root=tmp_path / "state"))
    assert found.namespaces == ("hf-lab-vpc",)
    assert found.state_dir == ""


def test_gathering_changes_nothing_and_fits_the_judge(tmp_path):
    config = LabConfig(state_root=tmp_path / "state", cache_dir=tmp_path / "cache")
    judge(preflight.gather(config))
    assert list(tmp_path.iterdir()) == []


def test_a_limit_that_is_no_number(monkeypatch):
    monkeypatch.setenv("HOLDFAST_LAB_MIN_MEMORY_MIB", "plenty")
    with pytest.raises(ConfigError, match="whole number of MiB"):
        preflight.gather(LabConfig())
    assert "HOLDFAST_LAB_MIN_MEMORY_MIB must be" in (preflight.blocking_reason() or "")
