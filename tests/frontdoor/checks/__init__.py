# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lint steps of our own: functions that return one line per fault found."""
