# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the API calls have as consequences: instances, interfaces, block devices."""
