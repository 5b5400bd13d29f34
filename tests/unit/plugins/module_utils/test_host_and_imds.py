# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The metadata client and the search for devices on the host."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from ansible_collections.holdfast.kafka.plugins.module_utils import host_devices, imds
from ansible_collections.holdfast.kafka.plugins.module_utils.imds import Imds, ImdsError, Myself

TEXTS = {
    "/latest/meta-data/instance-id": "i-1\n",
    "/latest/meta-data/placement/availability-zone": "us-west-2-lax-1a",
    "/latest/meta-data/placement/region": "us-west-2",
    "/latest/meta-data/network/interfaces/macs/02:00:00:00:00:01/interface-id": "eni-1",
    "/latest/meta-data/network/interfaces/macs/02:00:00:00:00:01/subnet-ipv4-cidr-block": "10.0.1.0/24",
}


class Service(HTTPServer):
    """A metadata service that hands out tokens, forgets them on demand, and breaks for a while on demand."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.tokens = 0
        self.forget = 0
        self.broken = 0


class Handler(BaseHTTPRequestHandler):
    """Answers one request."""

    server: Service

    def _reply(self, code: int, text: str = "") -> None:
        self.send_response(code)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def do_PUT(self) -> None:
        """Give a token."""
        assert int(self.headers["X-aws-ec2-metadata-token-ttl-seconds"]) > 0
        self.server.tokens += 1
        self._reply(200, f"token-{self.server.tokens}")

    def do_GET(self) -> None:
        """Answer a path, for whoever has the newest token."""
        if self.server.broken:
            self.server.broken -= 1
            self._reply(503)
        elif self.server.forget or self.headers["X-aws-ec2-metadata-token"] != f"token-{self.server.tokens}":
            self.server.forget = 0
            self._reply(401)
        elif self.path in TEXTS:
            self._reply(200, TEXTS[self.path])
        else:
            self._reply(404)

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    """A running service that the environment names; proxies lead nowhere, and pauses take no time."""
    server = Service()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setenv(imds.ENDPOINT_VARIABLE, f"http://127.0.0.1:{server.server_port}/")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setattr(imds.time, "sleep", lambda _seconds: None)
    yield server
    server.shutdown()
    server.server_close()


def test_who_am_i_with_one_token(service: Service) -> None:
    client = Imds()
    assert client.myself() == Myself("i-1", "us-west-2-lax-1a", "us-west-2")
    assert client.interface_id("02:00:00:00:00:01") == "eni-1"
    assert client.interface_id("02:00:00:00:00:02") is None
    assert client.interface_value("02:00:00:00:00:01", "subnet-ipv4-cidr-block") == "10.0.1.0/24"
    assert service.tokens == 1


def test_forgotten_token_is_fetched_again_and_a_short_outage_is_sat_out(service: Service) -> None:
    client = Imds()
    client.myself()
    service.forget = 1
    assert client.require("meta-data/instance-id") == "i-1"
    assert service.tokens == 2
    service.broken = 3
    assert client.require("meta-data/instance-id") == "i-1"


def test_long_outage_and_missing_answers_are_errors(service: Service) -> None:
    service.broken = 100
    with pytest.raises(ImdsError, match=r"no answer to meta-data/instance-id in 5 attempts \(HTTP 503\)"):
        Imds().require("meta-data/instance-id")
    service.broken = 0
    with pytest.raises(ImdsError, match="does not know meta-data/mac"):
        Imds().require("meta-data/mac")


def test_nobody_there_and_no_http(service: Service) -> None:
    with pytest.raises(ImdsError, match="refused"):
        Imds("http://127.0.0.1:9").get("x")
    with pytest.raises(ImdsError, match="is not an http address"):
        Imds("file:///etc")


# ---- devices ---------------------------------------------------------------------------------------------------------

LINKS = json.dumps(
    [
        {"ifname": "lo", "link_type": "loopback", "address": "00:00:00:00:00:00"},
        {"ifname": "eth0", "link_type": "ether", "address": "02:00:00:00:00:01"},
        {"ifname": "eth1", "link_type": "ether", "address": "02:00:00:00:00:02"},
    ]
)


def test_interface_by_mac_from_netlink(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = subprocess.CompletedProcess(["ip"], 0, stdout=LINKS)
    monkeypatch.setattr(host_devices.subprocess, "run", lambda *_arguments, **_options: answer)
    assert host_devices.find_interface("02:00:00:00:00:02".upper()) == "eth1"
    assert host_devices.find_interface("02:00:00:00:00:03") is None
    assert host_devices.interface_in_links(LINKS, "00:00:00:00:00:00") is None
    assert host_devices.interface_in_links("", "02:00:00:00:00:02") is None


def test_interface_by_mac_from_sysfs_where_there_is_no_ip(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def missing(*_arguments: object, **_options: object) -> None:
        raise FileNotFoundError("ip")

    monkeypatch.setattr(host_devices.subprocess, "run", missing)
    address = tmp_path / "sys/class/net/ens6/address"
    address.parent.mkdir(parents=True)
    address.write_text("02:00:00:00:00:02\n")
    assert host_devices.find_interface("02:00:00:00:00:02", tmp_path) == "ens6"
    assert host_devices.find_interface("02:00:00:00:00:03", tmp_path) is None


def test_volume_by_link_by_serial_and_by_xen_name(tmp_path: Path) -> None:
    assert host_devices.find_volume("vol-0a", "/dev/sdf", tmp_path) is None
    (tmp_path / "dev/disk/by-id").mkdir(parents=True)
    (tmp_path / "dev/xvdf").touch()
    assert host_devices.find_volume("vol-0a", "/dev/sdf", tmp_path) == "/dev/xvdf"
    assert host_devices.find_volume("vol-0a", None, tmp_path) is None
    serial = tmp_path / "sys/block/nvme1n1/device/serial"
    serial.parent.mkdir(parents=True)
    serial.write_text("vol0b   \n")
    assert host_devices.find_volume("vol-0b", None, tmp_path) == "/dev/nvme1n1"
    assert host_devices.find_volume("vol-0a", "/dev/sdf", tmp_path) is None, "a name means nothing beside NVMe"
    (tmp_path / "dev/nvme1n1").touch()
    (tmp_path / "dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_vol0b").symlink_to("../../nvme1n1")
    expected = "/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_vol0b"
    assert host_devices.find_volume("vol-0b", None, tmp_path) == expected
