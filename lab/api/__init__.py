# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's EC2 API: moto in-process, made strict, with EC2's delays."""
