# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""All of the lab's changes to moto's EC2, installed once per process."""

from __future__ import annotations

import moto

MOTO_VERSION = "5.2.5"


def check_version(version: str = moto.__version__) -> None:
    """Raise ``RuntimeError`` unless moto is the very version whose internals the patches know."""
    if version != MOTO_VERSION:
        raise RuntimeError(
            f"the lab's EC2 API patches internals of moto {MOTO_VERSION}, but moto {version} is installed: "
            f"install moto[server]=={MOTO_VERSION}, or port lab/api and run tests/contract"
        )


def install() -> None:
    """Patch moto's EC2; a second call does nothing. Raises ``RuntimeError`` on another moto than the pinned one."""
    check_version()
    from lab.api import (
        faults_unseen,
        filters,
        strict_eni,
        strict_images,
        strict_instances,
        strict_launch,
        strict_volumes,
    )

    for module in (strict_volumes, strict_eni, strict_launch, strict_instances, strict_images, filters, faults_unseen):
        module.PATCHES.apply()
