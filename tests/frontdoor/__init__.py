# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tests' front door: what `make test` and `make lint` run, and the one line they end with."""
