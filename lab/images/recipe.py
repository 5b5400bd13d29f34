# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the base image is made of; its content decides its key, so that a change of the recipe builds a new image."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

FILES = Path(__file__).resolve().parent / "files"
RECIPE_VERSION = 1
SUITE = "bookworm"

PACKAGES = (
    "ca-certificates",
    "cloud-init",
    "curl",
    "dbus",
    "e2fsprogs",
    "git",
    "iproute2",
    "iputils-arping",
    "iputils-ping",
    "less",
    "netcat-openbsd",
    "openjdk-17-jre-headless",
    "openssh-server",
    "procps",
    "python3",
    "python3-venv",
    "sudo",
    "systemd",
    "systemd-sysv",
    "xfsprogs",
)

# Kept out of the tree: nobody reads them in an instance, and they cost time and space. (The manual pages stay: the
# alternatives system fails without their directories.)
PATH_EXCLUDES = (
    "/usr/share/doc/*",
    "/usr/share/locale/*",
)

# (file in FILES, place in the tree)
PLACED = (
    ("cloud.cfg", "etc/cloud/cloud.cfg.d/90_holdfast_lab.cfg"),
    ("DataSourceEc2.py", "usr/lib/python3/dist-packages/holdfast_lab/DataSourceEc2.py"),
    ("holdfast-lab-fstab.service", "etc/systemd/system/holdfast-lab-fstab.service"),
    ("journald.conf", "etc/systemd/journald.conf.d/10-holdfast-lab.conf"),
    ("wait-online.conf", "etc/systemd/system/systemd-networkd-wait-online.service.d/10-holdfast-lab.conf"),
)

ENABLED = ("systemd-networkd.service", "ssh.service", "holdfast-lab-fstab.service")

# No terminal is attached to an instance, and nothing may wake up by itself and compete for two cores.
MASKED = (
    "apt-daily-upgrade.timer",
    "apt-daily.timer",
    "cloud-init-hotplugd.service",
    "cloud-init-hotplugd.socket",
    "console-getty.service",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "fstrim.timer",
    "getty.target",
    "systemd-pstore.service",
)


@dataclass(frozen=True)
class Recipe:
    """The inputs of a base image."""

    suite: str = SUITE
    packages: tuple[str, ...] = PACKAGES
    path_excludes: tuple[str, ...] = PATH_EXCLUDES
    placed: tuple[tuple[str, str], ...] = PLACED
    enabled: tuple[str, ...] = ENABLED
    masked: tuple[str, ...] = MASKED

    def key(self) -> str:
        """Return a short hash of everything that goes into the image, the placed files' contents included."""
        inputs = {
            "version": RECIPE_VERSION,
            "suite": self.suite,
            "packages": sorted(self.packages),
            "excludes": sorted(self.path_excludes),
            "placed": [
                (target, hashlib.sha256((FILES / name).read_bytes()).hexdigest()) for name, target in self.placed
            ],
            "enabled": sorted(self.enabled),
            "masked": sorted(self.masked),
        }
        return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()[:16]

    def mmdebstrap(self, target: Path, mirror: str | None = None) -> list[str]:
        """Return the command that unpacks the packages into *target*; no mirror means mmdebstrap's own choice."""
        command = [
            "mmdebstrap",
            "--variant=minbase",
            "--mode=root",
            "--format=directory",
            f"--include={','.join(self.packages)}",
            '--aptopt=Acquire::Languages "none"',
            *(f"--dpkgopt=path-exclude={pattern}" for pattern in self.path_excludes),
            self.suite,
            str(target),
        ]
        return [*command, mirror] if mirror else command
