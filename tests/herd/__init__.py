# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The claim under load: a hundred claimants as processes against a real ensemble, with faults, and a judge."""
