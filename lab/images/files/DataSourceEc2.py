# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""cloud-init's Ec2 data source, told that this is AWS.

cloud-init asks for an IMDSv2 token only where the firmware says Amazon; an instance of the lab has no firmware. The
rest is the stock data source. This file goes into the lab's images as the package ``holdfast_lab``; see
``datasource_pkg_list`` in the image's cloud.cfg.
"""

# mypy: disable-error-code="import-not-found"
from __future__ import annotations

import cloudinit.sources.DataSourceEc2 as stock  # noqa: N813 - what it extends
from cloudinit import sources


class DataSourceEc2(stock.DataSourceEc2):
    """The stock data source on a machine without Amazon's firmware."""

    def _get_cloud_name(self) -> str:
        """Say what the firmware would say."""
        return str(stock.CloudNames.AWS)


datasources = [(DataSourceEc2, (sources.DEP_FILESYSTEM, sources.DEP_NETWORK))]


def get_datasource_list(depends: tuple[str, ...]) -> list[type]:
    """Return the data sources that fit a boot stage (cloud-init's interface)."""
    return list(sources.list_from_depends(depends, datasources))
