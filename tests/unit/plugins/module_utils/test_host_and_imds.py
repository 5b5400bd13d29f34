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
    # A good half minute of errors, at pauses of at most 4 s.
    service.broken = 10
    assert client.require("meta-data/instance-id") == "i-1"


def test_long_outage_and_missing_answers_are_errors(service: Service) -> None:
    service.broken = 100
    with pytest.raises(ImdsError, match=r"no answer to meta-data/instance-id in 14 attempts \(HTTP 503\)"):
        Imds().require("meta-data/instance-id")
    service.broken = 0
    with pytest.raises(ImdsError, match="does not know meta-data/mac"):
        Imds().require("meta-data/mac")


def test_nobody_there_and_no_http(service: Service) -> None:
    with pytest.raises(ImdsError, match=r"in 5 attempts \(.*refused"):
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


VOLUME, SERIAL = "vol-0a", "vol0a"
EBS, OWN_DISK = "Amazon Elastic Block Store", "Amazon EC2 NVMe Instance Storage"


def disk(root: Path, name: str, serial: str = "", model: str = "") -> None:
    """Make a block device as the kernel shows it."""
    (root / "dev").mkdir(exist_ok=True)
    (root / "dev" / name).touch()
    device = root / "sys/block" / name / "device"
    device.mkdir(parents=True)
    for key, value in (("serial", serial), ("model", model)):
        if value:
            (device / key).write_text(f"{value}   \n")


def link(root: Path, serial: str, name: str) -> str:
    """Make udev's link of a serial to a device; return its path on the host."""
    path = root / "dev/disk/by-id" / f"nvme-Amazon_Elastic_Block_Store_{serial}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(f"../../{name}")
    return "/" + str(path.relative_to(root))


def test_volume_by_its_link(tmp_path: Path) -> None:
    disk(tmp_path, "nvme1n1", SERIAL, EBS)
    expected = link(tmp_path, SERIAL, "nvme1n1")
    assert host_devices.find_volume(VOLUME, None, tmp_path) == expected


def test_volume_by_a_link_where_the_kernel_tells_no_serial(tmp_path: Path) -> None:
    disk(tmp_path, "nvme1n1")
    assert host_devices.find_volume(VOLUME, None, tmp_path) is None
    expected = link(tmp_path, SERIAL, "nvme1n1")
    assert host_devices.find_volume(VOLUME, None, tmp_path) == expected


def test_link_that_is_older_than_the_disk_behind_it_is_not_believed(tmp_path: Path) -> None:
    disk(tmp_path, "nvme1n1", "vol0b", EBS)
    link(tmp_path, SERIAL, "nvme1n1")
    assert host_devices.find_volume(VOLUME, "/dev/sdf", tmp_path) is None
    disk(tmp_path, "nvme2n1", "vol-0a", EBS)
    assert host_devices.find_volume(VOLUME, None, tmp_path) == "/dev/nvme2n1"


def test_link_that_leads_nowhere_is_no_device(tmp_path: Path) -> None:
    (tmp_path / "dev").mkdir()
    link(tmp_path, SERIAL, "nvme1n1")
    assert host_devices.find_volume(VOLUME, None, tmp_path) is None


@pytest.mark.parametrize(
    ("devices", "ec2_device", "expected"),
    [
        (["xvdf"], "/dev/sdf", "/dev/xvdf"),
        (["sdf"], "/dev/xvdf", "/dev/sdf"),
        (["xvdf"], "/dev/xvdf", "/dev/xvdf"),
        (["xvdf"], "xvdf", "/dev/xvdf"),
        (["xvdba"], "/dev/xvdba", "/dev/xvdba"),
        (["xvdg"], "/dev/sdf", None),
        (["xvdf"], None, None),
        (["xvdf", "sdf"], "/dev/sdf", None),
        ([], "/dev/sdf", None),
    ],
)
def test_volume_on_xen_by_the_name_that_ec2_gave(
    tmp_path: Path, devices: list[str], ec2_device: str | None, expected: str | None
) -> None:
    for name in devices:
        disk(tmp_path, name)
    assert host_devices.find_volume(VOLUME, ec2_device, tmp_path) == expected


def test_two_names_of_one_disk_are_one_disk(tmp_path: Path) -> None:
    disk(tmp_path, "xvdf")
    (tmp_path / "dev/sdf").symlink_to("xvdf")
    assert host_devices.find_volume(VOLUME, "/dev/sdf", tmp_path) == "/dev/sdf"


@pytest.mark.parametrize(("model", "found"), [(OWN_DISK, "/dev/xvdf"), (EBS, None), ("", None)])
def test_a_name_means_nothing_beside_a_volume_on_nvme(tmp_path: Path, model: str, found: str | None) -> None:
    """A Xen type with NVMe disks of its own (i3) still shows its volumes by name."""
    disk(tmp_path, "xvdf")
    disk(tmp_path, "nvme0n1", "AWS1234", model)
    assert host_devices.find_volume(VOLUME, "/dev/sdf", tmp_path) == found


def test_letters_that_the_host_uses(tmp_path: Path) -> None:
    assert host_devices.names_in_use(tmp_path) == set()
    for name in ("xvda", "sdf", "xvdg1", "nvme0n1", "loop7", "xvdba"):
        disk(tmp_path, name)
    assert host_devices.names_in_use(tmp_path) == {"/dev/sda", "/dev/sdf", "/dev/sdg"}
