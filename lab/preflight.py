# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What must hold before the lab touches anything: facts are gathered, then judged, one sentence per problem."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from lab.config import ConfigError, LabConfig, load
from lab.images import build
from lab.images.recipe import Recipe
from lab.machine.trees import mounts

NETNS_DIR = Path("/run/netns")
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
MIN_MEMORY_VARIABLE = "HOLDFAST_LAB_MIN_MEMORY_MIB"
MIN_DISK_VARIABLE = "HOLDFAST_LAB_MIN_DISK_MIB"
MIN_MEMORY_MIB = 4096
MIN_DISK_MIB = 6144
_UNFIT_FILESYSTEMS = {"9p", "cifs", "ecryptfs", "exfat", "nfs", "nfs4", "overlay", "vfat", "virtiofs"}

# program: Debian package
TOOLS = {
    "git": "git",
    "ip": "iproute2",
    "losetup": "mount",
    "mount": "mount",
    "nsenter": "util-linux",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
    "sysctl": "procps",
    "systemctl": "systemd",
    "systemd-nspawn": "systemd-container",
    "unshare": "util-linux",
}


@dataclass(frozen=True)
class Facts:
    """What was found on this machine; the defaults are those of a machine that can run the lab."""

    system: str = "Linux"
    root: bool = True
    missing_tools: tuple[str, ...] = ()
    namespace_error: str = ""
    overlay: bool = True
    loop_control: bool = True
    cgroups_writable: bool = True
    unfit_filesystem: str = ""
    memory_mib: int = 1 << 20
    disk_mib: dict[str, int] = field(default_factory=dict)
    image_built: bool = True
    mmdebstrap: bool = True
    keyring: bool = True
    min_memory_mib: int = MIN_MEMORY_MIB
    min_disk_mib: int = MIN_DISK_MIB


@dataclass(frozen=True)
class Occupied:
    """What already carries the names that this lab would use and is not in its journal."""

    namespaces: tuple[str, ...] = ()
    state_dir: str = ""
    cgroups: tuple[str, ...] = ()


def judge(facts: Facts) -> list[str]:
    """Return one sentence for each reason why no lab can run on this machine, the most basic first."""
    if facts.system != "Linux":
        return [f"the lab needs Linux, and this is {facts.system}"]
    if not facts.root:
        return ["the lab needs root: it makes namespaces, mounts and loop devices"]
    problems = []
    if facts.missing_tools:
        packages = sorted({TOOLS[tool] for tool in facts.missing_tools})
        problems.append(f"missing programs: {', '.join(facts.missing_tools)} (apt-get install {' '.join(packages)})")
    if facts.namespace_error:
        problems.append(f"this kernel or container does not allow new namespaces: {facts.namespace_error}")
    if not facts.overlay:
        problems.append("this kernel has no overlay file system (modprobe overlay)")
    if not facts.loop_control:
        problems.append("there is no /dev/loop-control, so volumes cannot become devices (modprobe loop)")
    if not facts.cgroups_writable:
        problems.append("the control groups below /sys/fs/cgroup are not writable")
    if facts.unfit_filesystem:
        problems.append(
            f"the state directory is on {facts.unfit_filesystem}, which cannot hold an instance's tree"
            " (set HOLDFAST_LAB_STATE to a directory on ext4, xfs or btrfs)"
        )
    if facts.memory_mib < facts.min_memory_mib:
        problems.append(
            f"{facts.memory_mib} MiB of memory are available, the lab wants {facts.min_memory_mib}"
            f" (set {MIN_MEMORY_VARIABLE} to try with less)"
        )
    for path, free in facts.disk_mib.items():
        if free < facts.min_disk_mib:
            problems.append(
                f"{free} MiB of disk are free at {path}, the lab wants {facts.min_disk_mib}"
                f" (set {MIN_DISK_VARIABLE} to try with less)"
            )
    if not facts.image_built and not facts.mmdebstrap:
        problems.append("the base image is not built yet and mmdebstrap is missing (apt-get install mmdebstrap)")
    if not facts.image_built and not facts.keyring:
        problems.append(
            f"{KEYRING} is missing, without which no Debian tree can be made (apt-get install debian-archive-keyring)"
        )
    return problems


def judge_names(name: str, occupied: Occupied) -> list[str]:
    """Return one sentence for each thing of the lab's name that the lab did not make."""
    advice = "remove it or choose another name with --name"
    problems = [
        f"a network namespace named {namespace} exists and is not lab '{name}'s: {advice}"
        for namespace in occupied.namespaces
    ]
    if occupied.state_dir:
        problems.append(f"{occupied.state_dir} exists and is not a lab's: {advice}")
    problems += [f"the control group {path} exists and is not lab '{name}'s: {advice}" for path in occupied.cgroups]
    return problems


def gather(config: LabConfig) -> Facts:
    """Look at this machine; nothing is changed."""
    root = platform.system() == "Linux" and os.geteuid() == 0
    return Facts(
        system=platform.system(),
        root=root,
        missing_tools=tuple(tool for tool in TOOLS if shutil.which(tool) is None),
        namespace_error=_namespace_error() if root else "",
        overlay=_has_overlay(),
        loop_control=Path("/dev/loop-control").exists(),
        cgroups_writable=any(os.access(path, os.W_OK) for path in _cgroup_roots()) and not _read_only_cgroups(),
        unfit_filesystem=_unfit_filesystem(config.state_root),
        memory_mib=_available_memory_mib(),
        disk_mib={str(path): _free_disk_mib(path) for path in (config.state_root, config.images_dir)},
        image_built=build.find(config.images_dir, Recipe()) is not None,
        mmdebstrap=shutil.which("mmdebstrap") is not None,
        keyring=KEYRING.exists(),
        min_memory_mib=_number(MIN_MEMORY_VARIABLE, MIN_MEMORY_MIB),
        min_disk_mib=_number(MIN_DISK_VARIABLE, MIN_DISK_MIB),
    )


def gather_names(config: LabConfig) -> Occupied:
    """Look for the names this lab would use; to be asked only when there is no lab of that name."""
    prefix = f"hf-{config.name}-"
    names = sorted(path.name for path in NETNS_DIR.iterdir()) if NETNS_DIR.is_dir() else []
    return Occupied(
        namespaces=tuple(name for name in names if name.startswith(prefix)),
        state_dir=str(config.state_dir) if config.state_dir.exists() else "",
        cgroups=tuple(str(path / config.cgroup) for path in _cgroup_roots() if (path / config.cgroup).exists()),
    )


def blocking_reason(config: LabConfig | None = None) -> str | None:
    """Return why no lab can run on this machine, in one sentence, or None."""
    try:
        problems = judge(gather(config or load()))
    except ConfigError as error:
        return str(error)
    return "; ".join(problems) or None


def _number(variable: str, default: int) -> int:
    text = os.environ.get(variable, "")
    if not text:
        return default
    if not text.isdecimal():
        raise ConfigError(f"{variable} must be a whole number of MiB, not {text!r}")
    return int(text)


def _namespace_error() -> str:
    try:
        done = subprocess.run(
            ["unshare", "--net", "--mount", "true"], capture_output=True, text=True, check=False, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return "" if done.returncode == 0 else " ".join(done.stderr.split()) or "unshare failed"


def _has_overlay() -> bool:
    table = Path("/proc/filesystems")
    if table.is_file() and "\toverlay\n" in table.read_text():
        return True
    return Path(f"/lib/modules/{platform.release()}/kernel/fs/overlayfs").is_dir()


def _cgroup_roots() -> list[Path]:
    top = Path("/sys/fs/cgroup")
    if (top / "cgroup.controllers").is_file():
        return [top]
    return [path for path in top.glob("*") if path.is_dir() and not path.is_symlink()]


def _read_only_cgroups() -> bool:
    return any(os.statvfs(path).f_flag & os.ST_RDONLY for path in _cgroup_roots())


def _available_memory_mib() -> int:
    table = Path("/proc/meminfo")
    if not table.is_file():
        return 0
    for line in table.read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) // 1024
    return 0


def _unfit_filesystem(path: Path) -> str:
    """Return the type of the file system at *path* if the kernel takes it for no overlay's upper directory."""
    if not Path("/proc/self/mountinfo").is_file():
        return ""
    table = {mount.target: mount.fstype for mount in mounts()}
    kind = next((table[place] for place in (path, *path.parents) if place in table), "")
    return kind if kind in _UNFIT_FILESYSTEMS or kind.startswith("fuse") else ""


def _free_disk_mib(path: Path) -> int:
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free // (1 << 20)
