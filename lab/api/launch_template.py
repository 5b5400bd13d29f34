# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Launch templates: a later version's user data is as usable as the first one's."""

from __future__ import annotations

from typing import Any

from moto.ec2.models.launch_templates import LaunchTemplate
from moto.ec2.utils import parse_user_data

from lab.api.context import LabContext
from lab.api.patching import PatchSet

PATCHES = PatchSet()


def install(context: LabContext) -> None:
    """Apply the patches."""
    PATCHES.apply()


@PATCHES.function(LaunchTemplate, "create_version")
def _create_version(
    context: LabContext, original: Any, self: Any, data: dict[str, Any], *args: Any, **kwargs: Any
) -> Any:
    """moto decodes the first version's user data only; a group that launches from a later one breaks on it."""
    user_data = data.get("UserData")
    parsed = parse_user_data(user_data) if isinstance(user_data, str | bytes) else user_data
    return original(self, {**data, "UserData": parsed} if parsed is not None else data, *args, **kwargs)
