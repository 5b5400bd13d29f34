# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kafka and ZooKeeper in Apache's own archive layout, assembled from Maven artifacts for the lab and the tests.

Production does not use this: there the archive's URL and checksum point at Apache's own download site.
"""
