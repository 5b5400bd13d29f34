# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings of every suite."""

from __future__ import annotations

import hypothesis

# A busy machine is no failure: no example has a time limit of its own, the suite's bound remains.
hypothesis.settings.register_profile("holdfast", deadline=None)
hypothesis.settings.load_profile("holdfast")
