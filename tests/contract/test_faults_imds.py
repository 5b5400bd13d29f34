# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults of the metadata service, over its own socket."""

from __future__ import annotations

import http.client
import time
from collections.abc import Iterator

import pytest

from lab.api.server import LabApi
from tests.contract.ec2_harness import Probe
from tests.contract.fault_client import FaultClient


class Host:
    """An instance's view of its metadata, from loopback."""

    def __init__(self, api: LabApi) -> None:
        assert api.imds is not None
        self.imds = api.imds

    def become(self, instance_id: str | None) -> None:
        """Be this instance from now on."""
        self.imds.map_source("127.0.0.1", instance_id)

    def ask(self, method: str, path: str, headers: dict[str, str], timeout: float = 10) -> tuple[int, str]:
        """Return status and body."""
        connection = http.client.HTTPConnection(self.imds.host, self.imds.port, timeout=timeout)
        try:
            connection.request(method, path, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def token(self, timeout: float = 10) -> tuple[int, str]:
        """Ask for a token."""
        return self.ask("PUT", "/latest/api/token", {"X-aws-ec2-metadata-token-ttl-seconds": "60"}, timeout)

    def get(self, path: str) -> str:
        """Ask for a token and then for the path."""
        status, body = self.ask("GET", path, {"X-aws-ec2-metadata-token": self.token()[1]})
        assert status == 200
        return body


@pytest.fixture
def host(strict_api: tuple[Probe, LabApi]) -> Iterator[Host]:
    """A host that is nobody's again afterwards."""
    made = Host(strict_api[1])
    yield made
    made.become(None)


def test_nothing_answers_right_after_a_boot(strict: Probe, faults: FaultClient, host: Host) -> None:
    """EC2 User Guide, "Use the Instance Metadata Service": a client must retry while the service cannot be reached."""
    instance = strict.run()
    host.become(instance)
    fault = faults.set("imds_late", seconds=3600, instance=instance)
    with pytest.raises(TimeoutError):
        host.token(timeout=0.4)
    assert faults.events(fault["id"])[0]["request"] == "PUT /latest/api/token"
    faults.clear("imds_late")
    assert host.get("/latest/meta-data/instance-id") == instance


def test_it_answers_when_the_time_since_the_boot_is_over(strict: Probe, faults: FaultClient, host: Host) -> None:
    instance = strict.run()
    host.become(instance)
    with faults.during("imds_late", seconds=1):
        began = time.monotonic()
        with pytest.raises(http.client.RemoteDisconnected):
            host.token()
        assert time.monotonic() - began < 2
        assert host.get("/latest/meta-data/instance-id") == instance


def test_an_instance_that_was_there_before_is_not_concerned(strict: Probe, faults: FaultClient, host: Host) -> None:
    old = strict.run()
    with faults.during("imds_late", seconds=3600, new="true"):
        host.become(old)
        assert host.get("/latest/meta-data/instance-id") == old
        host.become(strict.run())
        with pytest.raises(TimeoutError):
            host.token(timeout=0.3)


@pytest.mark.parametrize("status", [401, 403, 503])
def test_tokens_are_refused_and_given_again(strict: Probe, faults: FaultClient, host: Host, status: int) -> None:
    """EC2 User Guide, "Use the Instance Metadata Service": 401 and 403 are its refusals; 503 is an overloaded one."""
    instance = strict.run()
    host.become(instance)
    token = host.token()[1]
    faults.set("imds_refuse_tokens", status=status, times=2)
    assert [host.token()[0] for _ in range(3)] == [status, status, 200]
    faults.set("imds_refuse_tokens", status=status)
    assert host.token() == (status, "")
    headers = {"X-aws-ec2-metadata-token": token}
    assert host.ask("GET", "/latest/meta-data/instance-id", headers) == (200, instance)
    faults.clear("imds_refuse_tokens")
    assert host.token()[0] == 200


def test_only_the_paths_that_are_meant_are_slow(strict: Probe, faults: FaultClient, host: Host) -> None:
    host.become(strict.run())

    def duration() -> float:
        began = time.monotonic()
        host.get("/latest/meta-data/instance-id")
        return time.monotonic() - began

    with faults.during("imds_slow", seconds=0.5, path="/latest/meta-data/*"):
        assert 0.5 <= duration() < 1
    with faults.during("imds_slow", seconds=0.5, path="/latest/user-data"):
        assert duration() < 0.4
    assert duration() < 0.4
