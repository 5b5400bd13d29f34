# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab: EC2 on one machine. Nothing of the product imports it."""
