# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults against a whole cluster: each one injected while a producer writes, watched from outside, and judged.

`model` are the words, `verdict` and `samples` judge (no I/O), `observer` and `world` look and act, `runner` runs one
fault, `theme_*` are the faults by theme and `table` puts them in order. `python -m tests.faults` runs them.
"""
