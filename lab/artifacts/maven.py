# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Maven as a source of jars: one throw-away project whose dependencies are copied to a directory."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from xml.sax.saxutils import escape

PROGRESS_SECONDS = 3.0


class MavenError(RuntimeError):
    """Maven is missing or did not bring the artifacts; the message ends with its last lines."""


def project(coordinates: Iterable[str], dependency_plugin: str) -> str:
    """Return the text of a pom.xml that depends on the ``group:artifact:version`` coordinates."""
    dependencies = []
    for coordinate in coordinates:
        group, artifact, version = coordinate.split(":")
        dependencies.append(
            f"    <dependency><groupId>{escape(group)}</groupId><artifactId>{escape(artifact)}</artifactId>"
            f"<version>{escape(version)}</version></dependency>"
        )
    listed = "\n".join(dependencies)
    return f"""<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>holdfast.lab</groupId>
  <artifactId>assembly</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
{listed}
  </dependencies>
  <build><pluginManagement><plugins><plugin>
    <groupId>org.apache.maven.plugins</groupId><artifactId>maven-dependency-plugin</artifactId>
    <version>{escape(dependency_plugin)}</version>
  </plugin></plugins></pluginManagement></build>
</project>
"""


def copy_dependencies(
    coordinates: Iterable[str], dependency_plugin: str, work: Path, say: Callable[[str], None]
) -> list[Path]:
    """Resolve the coordinates and return the paths of their jars, sorted by name; MavenError when that fails."""
    if shutil.which("mvn") is None:
        raise MavenError("mvn is not installed (package maven): the lab assembles Kafka and ZooKeeper with it")
    work.mkdir(parents=True, exist_ok=True)
    (work / "pom.xml").write_text(project(coordinates, dependency_plugin), encoding="utf-8")
    jars = work / "jars"
    command = ["mvn", "-B", "dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={jars}"]
    lines = _run(command, work, say)
    found = sorted(jars.glob("*.jar"), key=lambda path: path.name)
    if not found:
        raise MavenError("mvn copied no jar:\n" + "\n".join(lines[-15:]))
    return found


def _run(command: list[str], work: Path, say: Callable[[str], None]) -> list[str]:
    """Run Maven, saying how many files it has downloaded every few seconds; return its output."""
    lines: list[str] = []
    downloaded = 0
    started = last_said = time.monotonic()
    with subprocess.Popen(
        command,
        cwd=work,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line.rstrip())
            downloaded += line.startswith(("Downloaded from", "[INFO] Downloaded from"))
            now = time.monotonic()
            if downloaded and now - last_said >= PROGRESS_SECONDS:
                say(f"  maven: {downloaded} files downloaded, {now - started:.0f} s")
                last_said = now
    if process.returncode != 0:
        raise MavenError(f"mvn ended with code {process.returncode}:\n" + "\n".join(lines[-15:]))
    return lines
