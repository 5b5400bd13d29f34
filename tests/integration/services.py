# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real ZooKeeper and Kafka as plain processes on 127.0.0.1, for tests: small heaps, free ports, ended by pid.

Each member can be stopped (SIGTERM), killed (SIGKILL), paused (SIGSTOP), resumed and started again on its own data.
Start members from a thread that lives as long as they should: the kernel kills a child when the thread that started it
ends, which is how nothing outlives a killed test run.
"""

from __future__ import annotations

import ctypes
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from kazoo.client import KazooClient

from lab.artifacts.unpack import unpacked
from tests.ports import free_ports

START_SECONDS = 60.0
PR_SET_PDEATHSIG = 1
JAVA = ["java", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData", "-Djava.net.preferIPv4Stack=true"]


class ServiceError(RuntimeError):
    """A service did not start or stop in time; the message ends with its log's last lines."""


def wait_for(what: str, condition: Callable[[], object], seconds: float = START_SECONDS) -> None:
    """Poll until ``condition()`` is true; ServiceError naming ``what`` when it is not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise ServiceError(f"{what}: not within {seconds:.0f} s")
        time.sleep(0.1)


def _die_with_parent() -> None:
    """In the child: be killed when the parent goes, so that a killed test run leaves no server behind."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Member:
    """One server process: its command, its log, its signals."""

    def __init__(self, name: str, directory: Path, command: list[str]) -> None:
        self.name = name
        self.directory = directory
        self.command = command
        self.log = directory / "server.log"
        self.process: subprocess.Popen[bytes] | None = None
        self.paused = False
        self._log_offset = 0

    @property
    def alive(self) -> bool:
        """Whether the process runs (paused counts)."""
        return self.process is not None and self.process.poll() is None

    @property
    def pid(self) -> int:
        """The process id; ServiceError when it does not run."""
        if self.process is None or not self.alive:
            raise ServiceError(f"{self.name} does not run")
        return self.process.pid

    def launch(self) -> None:
        """Start the process without waiting for the service."""
        if self.alive:
            return
        self._log_offset = self.log.stat().st_size if self.log.exists() else 0
        environment = {key: value for key, value in os.environ.items() if not key.endswith("_OPTS")}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                cwd=self.directory,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_die_with_parent,
            )
        self.paused = False

    def start(self, seconds: float = START_SECONDS) -> None:
        """Start the process and wait until it serves."""
        self.launch()
        self.wait_ready(seconds)

    def ready(self) -> bool:
        """Whether the service answers; each service knows how to tell."""
        raise NotImplementedError

    def wait_ready(self, seconds: float = START_SECONDS) -> None:
        """Wait until the service answers; ServiceError with the log's end when it ends or takes too long."""
        deadline = time.monotonic() + seconds
        while not self.ready():
            if not self.alive:
                raise ServiceError(f"{self.name} ended while starting: {self.log_trouble()}\n{self.log_tail()}")
            if time.monotonic() > deadline:
                raise ServiceError(
                    f"{self.name} not ready within {seconds:.0f} s: {self.log_trouble()}\n{self.log_tail()}"
                )
            time.sleep(0.1)

    def stop(self, seconds: float = 30.0) -> None:
        """End the process in an orderly way (SIGTERM); by force when that takes too long."""
        if self.process is None or not self.alive:
            return
        self.resume()
        self.process.terminate()
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End the process at once (SIGKILL)."""
        if self.process is not None and self.alive:
            self.process.kill()
            self.process.wait()
        self.paused = False

    def pause(self) -> None:
        """Freeze the process (SIGSTOP): its sockets stay open and nobody answers."""
        os.kill(self.pid, signal.SIGSTOP)
        self.paused = True

    def resume(self) -> None:
        """Let a frozen process go on."""
        if self.paused and self.alive:
            os.kill(self.pid, signal.SIGCONT)
        self.paused = False

    def log_since_start(self) -> str:
        """Return what the process has logged since its last start."""
        with self.log.open("rb") as stream:
            stream.seek(self._log_offset)
            return stream.read().decode(errors="replace")

    def log_trouble(self) -> str:
        """Return the first line since the start that tells of an error, and the one below it; else the last one."""
        lines = self.log_since_start().splitlines() or ["(the log is empty)"]
        for number, line in enumerate(lines):
            if " ERROR " in line or " FATAL " in line:
                return " ".join(lines[number : number + 2])
        return lines[-1]

    def log_tail(self, lines: int = 15) -> str:
        """Return the log's last lines."""
        return "\n".join(self.log_since_start().splitlines()[-lines:])


class ZooKeeperServer(Member):
    """One ZooKeeper server, alone or of an ensemble."""

    def __init__(
        self, server_id: int, port: int, directory: Path, lines: list[str], jvm_options: Sequence[str] = ()
    ) -> None:
        self.server_id = server_id
        self.port = port
        data = directory / "data"
        data.mkdir(parents=True, exist_ok=True)
        (data / "myid").write_text(f"{server_id}\n")
        configuration = directory / "zoo.cfg"
        configuration.write_text(
            "\n".join(
                [
                    f"dataDir={data}",
                    f"clientPort={port}",
                    "clientPortAddress=127.0.0.1",
                    "tickTime=500",
                    "initLimit=20",
                    "syncLimit=10",
                    "maxSessionTimeout=60000",
                    "admin.enableServer=false",
                    "4lw.commands.whitelist=srvr,mntr,ruok,conf,stat",
                    *lines,
                    "",
                ]
            )
        )
        root = unpacked("zookeeper")
        options = ["-Xmx128m", "-Dzookeeper.fsync.warningthresholdms=10000", "-cp", f"{root}/conf:{root}/lib/*"]
        main = "org.apache.zookeeper.server.quorum.QuorumPeerMain"
        super().__init__(f"zookeeper-{server_id}", directory, [*JAVA, *jvm_options, *options, main, str(configuration)])

    def use_version(self, version: str) -> None:
        """Run another release of ZooKeeper from the next start on."""
        root = unpacked("zookeeper", version=version)
        self.command[self.command.index("-cp") + 1] = f"{root}/conf:{root}/lib/*"

    def lose_everything(self) -> None:
        """Stop, forget all data, and start again as a server that never had any."""
        self.stop()
        snapshots = [path for path in self.directory.rglob("version-2") if path.is_dir()]
        if not snapshots:
            raise ServiceError(f"{self.name} has no data below {self.directory}")
        for path in snapshots:
            for one in path.iterdir():
                one.unlink()
        self.start()

    @property
    def host(self) -> str:
        """The client address, ``ip:port``."""
        return f"127.0.0.1:{self.port}"

    def four_letters(self, word: str, seconds: float = 1.0) -> str:
        """Return the answer to a four-letter word; empty when there is none."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), seconds) as connection:
                connection.settimeout(seconds)
                connection.sendall(word.encode())
                answer = b""
                while chunk := connection.recv(65536):
                    answer += chunk
                return answer.decode()
        except OSError:
            return ""

    def mode(self) -> str:
        """Return ``leader``, ``follower`` or ``standalone``; empty when it does not serve."""
        for line in self.four_letters("srvr").splitlines():
            if line.startswith("Mode: "):
                return line.removeprefix("Mode: ").strip()
        return ""

    def ready(self) -> bool:
        """Whether the server serves clients."""
        return self.mode() != ""


class ZooKeeperEnsemble:
    """An ensemble of real ZooKeeper servers; ``size`` 1 is a standalone server."""

    def __init__(self, directory: Path, size: int = 3) -> None:
        ports = free_ports(3 * size)
        lines = []
        if size > 1:
            pairs = zip(ports[size::2], ports[size + 1 :: 2], strict=True)
            lines = [f"server.{index}=127.0.0.1:{peer}:{vote}" for index, (peer, vote) in enumerate(pairs, start=1)]
        self.servers = [
            ZooKeeperServer(index, ports[index - 1], directory / str(index), lines) for index in range(1, size + 1)
        ]

    @property
    def hosts(self) -> list[str]:
        """The client addresses, ``ip:port`` each."""
        return [server.host for server in self.servers]

    @property
    def connect_string(self) -> str:
        """The client addresses as ZooKeeper's clients want them."""
        return ",".join(self.hosts)

    def start(self) -> None:
        """Start every server and wait until the quorum is whole."""
        for server in self.servers:
            server.resume()
            server.launch()
        for server in self.servers:
            server.wait_ready()

    def leader(self) -> ZooKeeperServer:
        """Return the leader (or the standalone server); ServiceError when there is none."""
        return self._in_mode("leader", "standalone")

    def follower(self) -> ZooKeeperServer:
        """Return one follower; ServiceError when there is none."""
        return self._in_mode("follower")

    def _in_mode(self, *modes: str) -> ZooKeeperServer:
        for server in self.servers:
            if server.alive and not server.paused and server.mode() in modes:
                return server
        raise ServiceError(f"no server is {' or '.join(modes)}")

    def last_zxid(self) -> int:
        """The newest transaction that a server which serves has; 0 when none does."""
        told = [
            re.search(r"^Zxid: 0x([0-9a-f]+)$", server.four_letters("srvr"), re.MULTILINE) for server in self.servers
        ]
        return max((int(found[1], 16) for found in told if found), default=0)

    def require_history(self, zxid: int) -> None:
        """ServiceError unless the servers still have this transaction: whoever shares them has lost data otherwise."""
        if self.last_zxid() < zxid:
            now = f"had transaction {zxid:#x} and is at {self.last_zxid():#x}"
            raise ServiceError(f"ZooKeeper at {self.connect_string} {now}: its data were lost")

    def close(self) -> None:
        """End every server."""
        for server in self.servers:
            server.kill()


class KafkaBroker(Member):
    """One Kafka broker in ZooKeeper mode."""

    def __init__(
        self,
        node_id: int,
        port: int,
        rack: str,
        connect: str,
        directory: Path,
        lines: list[str],
        jvm_options: Sequence[str] = (),
    ) -> None:
        self.node_id = node_id
        self.port = port
        self.rack = rack
        self.connect = connect
        directory.mkdir(parents=True, exist_ok=True)
        configuration = directory / "server.properties"
        configuration.write_text(
            "\n".join(
                [
                    f"broker.id={node_id}",
                    f"broker.rack={rack}",
                    f"listeners=PLAINTEXT://127.0.0.1:{port}",
                    f"log.dirs={directory / 'data'}",
                    f"zookeeper.connect={connect}",
                    "zookeeper.session.timeout.ms=4000",
                    "replica.lag.time.max.ms=3000",
                    "default.replication.factor=3",
                    "min.insync.replicas=2",
                    "offsets.topic.num.partitions=3",
                    "num.partitions=3",
                    "group.initial.rebalance.delay.ms=0",
                    "auto.create.topics.enable=false",
                    "auto.leader.rebalance.enable=false",
                    "unclean.leader.election.enable=false",
                    "controlled.shutdown.enable=true",
                    "log.cleaner.dedupe.buffer.size=2097152",
                    *lines,
                    "",
                ]
            )
        )
        root = unpacked("kafka")
        log4j = f"-Dlog4j.configuration=file:{root}/config/log4j.properties"
        options = ["-Xmx384m", log4j, "-cp", f"{root}/libs/*", "kafka.Kafka", str(configuration)]
        super().__init__(f"kafka-{node_id}", directory, [*JAVA, *jvm_options, *options])

    def use_version(self, version: str) -> None:
        """Run another release of Kafka from the next start on."""
        self.command[self.command.index("-cp") + 1] = f"{unpacked('kafka', version=version)}/libs/*"

    def set_line(self, name: str, value: str) -> None:
        """Write a setting, or write it anew; the next start reads it."""
        configuration = self.directory / "server.properties"
        kept = [line for line in configuration.read_text().splitlines() if not line.startswith(f"{name}=")]
        configuration.write_text("\n".join([*kept, f"{name}={value}", ""]))

    @property
    def host(self) -> str:
        """The client address, ``ip:port``."""
        return f"127.0.0.1:{self.port}"

    def launch(self) -> None:
        """Start the process; after a kill, wait first until ZooKeeper has ended the dead process's session.

        A broker that finds its own id still registered by another session gives up instead of waiting.
        """
        if not self.alive and self.process is not None:
            zookeeper = KazooClient(hosts=self.connect, timeout=5)
            zookeeper.start(timeout=10)
            try:
                wait_for(f"{self.name} deregistered", lambda: not zookeeper.exists(f"/brokers/ids/{self.node_id}"), 20)
            finally:
                zookeeper.stop()
                zookeeper.close()
        super().launch()

    def ready(self) -> bool:
        """Whether the broker has said that it started."""
        return f"[KafkaServer id={self.node_id}] started" in self.log_since_start()


class KafkaCluster:
    """Real brokers 1..n in racks a, b, c, ... under the chroot ``/kafka`` of a given ensemble."""

    CHROOT = "/kafka"

    def __init__(
        self, directory: Path, zookeeper: ZooKeeperEnsemble, size: int = 3, lines: list[str] | None = None
    ) -> None:
        self.zookeeper = zookeeper
        ports = free_ports(size)
        connect = zookeeper.connect_string + self.CHROOT
        self.brokers = {
            node_id: KafkaBroker(
                node_id,
                ports[node_id - 1],
                "abcdefgh"[(node_id - 1) % 8],
                connect,
                directory / str(node_id),
                lines or [],
            )
            for node_id in range(1, size + 1)
        }

    @property
    def bootstrap_servers(self) -> list[str]:
        """The brokers' client addresses, ``ip:port`` each."""
        return [broker.host for broker in self.brokers.values()]

    def start(self) -> None:
        """Start every broker and wait until each has started."""
        for broker in self.brokers.values():
            broker.resume()
            broker.launch()
        for broker in self.brokers.values():
            broker.wait_ready()

    def close(self) -> None:
        """End every broker."""
        for broker in self.brokers.values():
            broker.kill()
