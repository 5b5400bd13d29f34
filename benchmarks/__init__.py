# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""`make bench`: how long things take, several rounds, with bounds that are said and not enforced."""
