# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's names, addresses and paths: the one place where they are decided."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

VPC_CIDR = "10.77.0.0/16"
VPC_ADDRESS = "10.77.0.2"
IMDS_ADDRESS = "169.254.169.254"
IMDS_PORT = 80
API_PORT = 4566
GIT_PORT = 8080
REGION = "eu-central-1"
ACCOUNT_ID = "123456789012"
LOGIN_USER = "admin"
KEY_NAME = "holdfast-lab"
PRESETS = ("none", "short", "realistic")
STATE_ROOT = Path("/var/lib/holdfast-lab")
REPOSITORY = Path(__file__).resolve().parent.parent

_NAME = re.compile(r"[a-z0-9]{1,8}")


class ConfigError(ValueError):
    """A setting of the lab that cannot be used; the message is one sentence for the user."""


@dataclass(frozen=True)
class Subnet:
    """A subnet of the VPC: one bridge, one Availability Zone."""

    letter: str
    cidr: str
    gateway: str

    @property
    def availability_zone(self) -> str:
        """Return the zone's name as EC2 writes it."""
        return f"{REGION}{self.letter}"

    @property
    def bridge(self) -> str:
        """Return the name of the subnet's bridge inside the VPC's namespace."""
        return f"br-{self.letter}"

    @property
    def prefix_length(self) -> int:
        """Return the length of the subnet's prefix in bits."""
        return int(self.cidr.partition("/")[2])


SUBNETS = tuple(
    Subnet(letter, f"10.77.{number}.0/24", f"10.77.{number}.1") for number, letter in enumerate("abc", start=1)
)


@dataclass(frozen=True)
class LabConfig:
    """One lab: its name, where it keeps its things, and how fast its EC2 is."""

    name: str = "lab"
    state_root: Path = STATE_ROOT
    cache_dir: Path = field(default=REPOSITORY / ".cache" / "lab")
    preset: str = "short"
    repository: Path = REPOSITORY

    def __post_init__(self) -> None:
        """Refuse what could not be part of a namespace's or an interface's name."""
        if not _NAME.fullmatch(self.name):
            raise ConfigError(f"a lab's name is 1 to 8 characters out of a-z and 0-9, not {self.name!r}")
        if self.preset not in PRESETS:
            raise ConfigError(f"unknown preset {self.preset!r}: choose one of {', '.join(PRESETS)}")
        for label, path in (("state", self.state_root), ("cache", self.cache_dir)):
            if not path.is_absolute() or any(character in str(path) for character in ":,\\\n"):
                raise ConfigError(
                    f"the {label} directory must be an absolute path without ':', ',' or '\\', not {path}"
                )

    @property
    def state_dir(self) -> Path:
        """Return the directory that holds everything of this lab that `down` removes."""
        return self.state_root / self.name

    @property
    def ledger_path(self) -> Path:
        """Return the journal of what this lab made."""
        return self.state_dir / "ledger.jsonl"

    @property
    def server_path(self) -> Path:
        """Return the file in which the running server says what it serves."""
        return self.state_dir / "server.json"

    def kept_console(self, instance_id: str) -> Path:
        """Return where the console of a terminated instance is kept until the lab goes down."""
        return self.log_dir / f"{instance_id.replace('/', '_')}.console.log"

    @property
    def log_dir(self) -> Path:
        """Return the directory of the server's logs."""
        return self.state_dir / "logs"

    @property
    def key_file(self) -> Path:
        """Return the private key of the lab's key pair."""
        return self.state_dir / "keys" / KEY_NAME

    @property
    def git_dir(self) -> Path:
        """Return the directory that the git server serves."""
        return self.state_dir / "git"

    @property
    def images_dir(self) -> Path:
        """Return the directory of the base images, which outlive the lab."""
        return self.cache_dir / "images"

    @property
    def artifacts_dir(self) -> Path:
        """Return the directory into which artifacts are gathered, which outlives the lab."""
        return self.cache_dir / "artifacts"

    @property
    def vpc_netns(self) -> str:
        """Return the name of the namespace that is the VPC."""
        return f"hf-{self.name}-vpc"

    def instance_netns(self, instance_id: str) -> str:
        """Return the name of an instance's namespace."""
        return f"hf-{self.name}-{instance_id[-8:]}"

    @property
    def cgroup(self) -> str:
        """Return the name of the control group (in each hierarchy) below which the instances run."""
        return f"holdfast-lab-{self.name}"

    @property
    def api_url(self) -> str:
        """Return the endpoint of the EC2 API."""
        return f"http://{VPC_ADDRESS}:{API_PORT}"

    @property
    def git_url(self) -> str:
        """Return the address at which instances find this repository."""
        return f"http://{VPC_ADDRESS}:{GIT_PORT}/holdfast.git"


def load(environment: Mapping[str, str] | None = None, name: str | None = None, preset: str | None = None) -> LabConfig:
    """Build the configuration from the command line's choices and the environment's.

    HOLDFAST_LAB_NAME, HOLDFAST_LAB_STATE (the directory above the lab's own), HOLDFAST_LAB_CACHE and
    HOLDFAST_LAB_PRESET are read; a choice on the command line wins.
    """
    environment = os.environ if environment is None else environment
    return LabConfig(
        name=name or environment.get("HOLDFAST_LAB_NAME") or "lab",
        state_root=Path(environment.get("HOLDFAST_LAB_STATE") or STATE_ROOT),
        cache_dir=Path(environment.get("HOLDFAST_LAB_CACHE") or REPOSITORY / ".cache" / "lab"),
        preset=preset or environment.get("HOLDFAST_LAB_PRESET") or "short",
    )
