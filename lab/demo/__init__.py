# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The demonstration: a whole cluster in the lab, deaths while a producer writes, and the figures of it.

The small modules here (stage, fleet, workload, replacement) are what the whole-cluster scenarios use as well.
"""
