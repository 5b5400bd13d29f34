# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's base image: a Debian tree that boots as an EC2 instance."""
