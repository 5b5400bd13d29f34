# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Assembling archives: the catalogue, reproducible bytes, and what is in the cache is used."""

from __future__ import annotations

import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest

from lab.artifacts import __main__ as command
from lab.artifacts import archive, assemble, catalogue, maven
from lab.artifacts.archive import Member


@pytest.fixture
def maven_calls(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    calls: list[list[str]] = []

    def copy(coordinates: Any, _plugin: str, work: Path, _say: Any) -> list[Path]:
        calls.append(list(coordinates))
        jars = [work / "one.jar", work / "two.jar"]
        for jar in jars:
            jar.write_bytes(jar.name.encode())
        return jars

    monkeypatch.setattr(maven, "copy_dependencies", copy)
    return calls


def test_the_catalogue_names_the_archives_as_apache_does() -> None:
    known = catalogue.load()
    found = {name: catalogue.distribution(known, name).archive for name in catalogue.names(known)}
    assert found["kafka"] == "kafka_2.13-3.9.1.tgz"
    assert found["zookeeper"] == "apache-zookeeper-3.8.4-bin.tar.gz"


def test_another_version_brings_what_its_line_needs() -> None:
    maven_39 = catalogue.distribution(catalogue.load(), "zookeeper", "3.9.3").maven
    assert any(coordinate.startswith("ch.qos.logback:") for coordinate in maven_39)
    with pytest.raises(ValueError, match=r"3\.4\.14 cannot be assembled"):
        catalogue.distribution(catalogue.load(), "zookeeper", "3.4.14")


def test_an_archive_depends_on_its_content_alone(tmp_path: Path) -> None:
    source = tmp_path / "jar"
    source.write_bytes(b"x")
    forwards = {"libs/a.jar": Member(source), "bin/run.sh": Member(b"#!/bin/sh\n", 0o755)}
    archive.write_tar_gz(tmp_path / "1.tgz", "root", forwards)
    archive.write_tar_gz(tmp_path / "2.tgz", "root", dict(reversed(forwards.items())))
    assert archive.sha512(tmp_path / "1.tgz") == archive.sha512(tmp_path / "2.tgz")
    with tarfile.open(tmp_path / "1.tgz") as tar:
        assert [(m.name, m.mode) for m in tar] == [
            ("root", 0o755),
            ("root/bin", 0o755),
            ("root/libs", 0o755),
            ("root/bin/run.sh", 0o755),
            ("root/libs/a.jar", 0o644),
        ]


def test_a_second_run_asks_maven_nothing(tmp_path: Path, maven_calls: list[list[str]]) -> None:
    said: list[str] = []
    first = assemble.assemble(tmp_path, said.append, only=["zookeeper", "jmx_agent"])
    assert len(maven_calls) == 2
    assert assemble.assemble(tmp_path, said.append, only=["zookeeper", "jmx_agent"]) == first
    assert len(maven_calls) == 2
    assert said[-1].endswith("is there")
    for path in first.values():
        assert path.with_name(path.name + ".sha512").read_text() == f"{archive.sha512(path)}  {path.name}\n"


def test_a_truncated_archive_is_made_anew(tmp_path: Path, maven_calls: list[list[str]]) -> None:
    path = assemble.assemble(tmp_path, print, only=["zookeeper"])["zookeeper"]
    checksum = archive.sha512(path)
    path.write_bytes(path.read_bytes()[:-1])
    assemble.assemble(tmp_path, print, only=["zookeeper"])
    assert len(maven_calls) == 2
    assert archive.sha512(path) == checksum


def test_the_archive_holds_jars_scripts_and_logging(tmp_path: Path, maven_calls: list[list[str]]) -> None:
    path = assemble.assemble(tmp_path, print, only=["kafka"])["kafka"]
    with tarfile.open(path) as tar:
        names = set(tar.getnames())
    root = "kafka_2.13-3.9.1"
    wanted = {"libs/one.jar", "bin/kafka-topics.sh", "bin/kafka-run-class.sh", "config/log4j.properties"}
    assert {f"{root}/{name}" for name in wanted} <= names


def test_every_script_is_valid_shell() -> None:
    known = catalogue.load()
    for name in ("kafka", "zookeeper"):
        distribution = catalogue.distribution(known, name)
        for path, member in assemble.members(distribution, []).items():
            if path.startswith("bin/"):
                text = member.content if isinstance(member.content, bytes) else member.content.read_bytes()
                assert b"Not " in text
                subprocess.run(["sh", "-n"], input=text, check=True)


def test_the_project_names_what_it_wants() -> None:
    text = maven.project(["a.b:c:1.0"], "9.9")
    assert "<groupId>a.b</groupId><artifactId>c</artifactId><version>1.0</version>" in text


def test_without_maven_it_ends_in_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(maven.shutil, "which", lambda _name: None)
    assert command.main([str(tmp_path)]) == 1
    assert capsys.readouterr().err.startswith("error: mvn is not installed")


def test_what_maven_says_last_is_in_the_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mvn").write_text("#!/bin/sh\necho '[ERROR] no such artifact'\nexit 1\n")
    (tmp_path / "mvn").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(maven.MavenError, match=r"(?s)code 1:.*no such artifact"):
        maven.copy_dependencies(["a:b:1"], "1", tmp_path / "work", print)


def test_the_cache_can_be_moved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOLDFAST_LAB_CACHE", "/elsewhere")
    assert assemble.default_directory() == Path("/elsewhere/artifacts")
