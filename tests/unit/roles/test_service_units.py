# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The services' units wait for their mounts, which are nofail, and never start without them."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from pathlib import Path

import jinja2
import pytest
import yaml

ROLES = Path(__file__).parents[3] / "roles"
VALUES = {
    "ansible_managed": "managed",
    "kafka_volume_paths": ["/var/lib/kafka/0", "/var/lib/kafka/1"],
    "kafka_jvm_options": [],
    "kafka_user": "root",
    "kafka_heap_mib": 256,
    "kafka_stop_timeout_seconds": 600,
    "kafka_open_files_limit": 1024,
    "__kafka_collectors": [],
    "__kafka_zookeeper_jvm_options": ["-Djava.security.auth.login.config=/etc/kafka/zookeeper-jaas.conf"],
    "__kafka_jvm_performance": [],
    "__kafka_home": "/opt",
    "__kafka_configuration_directory": "/etc/kafka",
    "__kafka_stamped_files": ["/etc/kafka/server.properties", "/etc/systemd/system/kafka.service"],
    "__zookeeper_security_jvm_options": ["-Djava.security.auth.login.config=/etc/zookeeper/jaas.conf"],
    "zookeeper_volume_path": "/var/lib/zookeeper/0",
    "zookeeper_version": "3.8.4",
    "zookeeper_jvm_options": [],
    "zookeeper_user": "root",
    "zookeeper_heap_mib": 256,
    "zookeeper_stop_timeout_seconds": 60,
    "zookeeper_open_files_limit": 1024,
    "__zookeeper_home": "/opt",
    "__zookeeper_configuration_directory": "/etc/zookeeper",
    "__zookeeper_stamped_files": ["/etc/zookeeper/zoo.cfg", "/etc/systemd/system/zookeeper.service"],
}


def unit(role: str) -> str:
    """The unit as the role writes it."""
    environment = jinja2.Environment(autoescape=False, trim_blocks=True, undefined=jinja2.StrictUndefined)  # noqa: S701 - unit files
    environment.filters |= {"comment": "# {}".format, "quote": shlex.quote}
    text = (ROLES / role / "templates" / f"{role}.service.j2").read_text()
    return environment.from_string(text).render(VALUES)


@pytest.mark.parametrize(
    ("role", "paths"),
    [("kafka", VALUES["kafka_volume_paths"]), ("zookeeper", [VALUES["zookeeper_volume_path"]])],
)
def test_a_service_comes_after_its_mounts_and_not_without_them(role: str, paths: list[str]) -> None:
    lines = unit(role).splitlines()
    for path in paths:
        assert f"RequiresMountsFor={path}" in lines
        assert f"ConditionPathIsMountPoint={path}" in lines


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
@pytest.mark.parametrize("role", ["kafka", "zookeeper"])
def test_systemd_understands_the_unit_where_no_mount_unit_exists(role: str, tmp_path: Path) -> None:
    path = tmp_path / f"{role}.service"
    path.write_text(unit(role).replace("/usr/bin/java", "/bin/true"))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(path)], capture_output=True, text=True, check=False, timeout=60
    )
    complaints = [line for line in done.stderr.splitlines() if f"{role}.service" in line]
    assert (done.returncode, complaints) == (0, []), done.stderr


@pytest.mark.parametrize("role", ["kafka", "zookeeper"])
def test_the_process_is_told_of_its_login_by_a_file_and_of_no_secret(role: str) -> None:
    assert unit(role).count("  -Djava.security.auth.login.config=/etc/") == 1


@pytest.mark.parametrize("role", ["kafka", "zookeeper"])
def test_the_health_check_watches_the_service(role: str) -> None:
    tasks = yaml.safe_load((ROLES / role / "tasks" / "health.yml").read_text())
    waits = [value for task in tasks for key, value in task.items() if key.endswith("_wait")]
    assert [wait["service"] for wait in waits] == [f"{role}.service"]
