# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names, addresses and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.config import SUBNETS, ConfigError, LabConfig, load


def test_the_defaults():
    config = load({})
    assert (config.name, config.preset) == ("lab", "short")
    assert config.state_dir == Path("/var/lib/holdfast-lab/lab")
    assert config.vpc_netns == "hf-lab-vpc"
    assert config.instance_netns("i-0123456789abcdef0") == "hf-lab-9abcdef0"
    assert config.git_url == "http://10.77.0.2:8080/holdfast.git"


def test_the_environment_and_the_command_line():
    environment = {
        "HOLDFAST_LAB_NAME": "other",
        "HOLDFAST_LAB_STATE": "/somewhere",
        "HOLDFAST_LAB_CACHE": "/cache",
        "HOLDFAST_LAB_PRESET": "none",
    }
    config = load(environment)
    assert (config.name, config.preset) == ("other", "none")
    assert config.state_dir == Path("/somewhere/other")
    assert config.images_dir == Path("/cache/images")
    assert load(environment, name="mine", preset="realistic").name == "mine"


@pytest.mark.parametrize("name", ["", "Lab", "with-dash", "toolongname", "a/b", "x y", "ä"])
def test_a_name_that_cannot_be_part_of_an_interface(name):
    with pytest.raises(ConfigError, match="1 to 8 characters"):
        LabConfig(name=name)


def test_an_unknown_preset():
    with pytest.raises(ConfigError, match="choose one of none, short, realistic"):
        LabConfig(preset="fast")


@pytest.mark.parametrize("path", ["relative/path", "/with:colon", "/with,comma"])
def test_paths_that_mount_options_cannot_carry(path):
    with pytest.raises(ConfigError, match="absolute path"):
        LabConfig(state_root=Path(path))


def test_the_subnets_are_one_per_zone():
    assert [subnet.availability_zone for subnet in SUBNETS] == ["eu-central-1a", "eu-central-1b", "eu-central-1c"]
    assert [(subnet.bridge, subnet.gateway, subnet.prefix_length) for subnet in SUBNETS][1] == (
        "br-b",
        "10.77.2.1",
        24,
    )
