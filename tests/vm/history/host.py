"""The host as it really is: asked of Docker, of the kernel and of the disk, and of mcsd only to compare."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import selinux

ALL = "/srv/all"
"""Every container sees it, with all volumes in it: only the kernel keeps them from each other's."""
OUTSIDE = "/srv/outside"
VOLUMES = ("v0", "v1", "v2", "common")
SHARED = f"{ALL}/common"
ELSEWHERE = "/srv/elsewhere"
"""Beside the volumes: where things are moved, copied and unpacked."""
DOCKER, MCSD = "/run/docker.sock", "/run/mcsd/mcsd.sock"


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=60)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def ask(server: str, path: str, *, method: str = "GET") -> Any:
    """Return what a daemon answers; OSError where nobody does, KeyError for what is not there."""
    connection = _Connection(server)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        data = answer.read()
    except http.client.HTTPException as exc:
        raise OSError(f"{server}: {exc}") from exc
    finally:
        connection.close()
    if answer.status == 404:
        raise KeyError(path)
    if answer.status >= 400:
        raise OSError(f"{server}: {method} {path}: {answer.status} {data[:300]!r}")
    return json.loads(data) if data else None


def run(*command: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
    """Run a command as an administrator would; it may fail."""
    return subprocess.run(
        command, capture_output=True, text=True, errors="replace", timeout=timeout, check=False,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip


def label_of(path: str) -> str:
    """The label on disk, of a link its own."""
    return os.getxattr(path, "security.selinux", follow_symlinks=False).rstrip(b"\0").decode()


def level_of(context: str) -> str:
    """The level of a context: behind the third colon."""
    return context.split(":", 3)[3] if context.count(":") >= 3 else ""


def categories(level: str) -> frozenset[int]:
    """The categories of a level; of a range those of its upper end."""
    numbers: set[int] = set()
    for part in level.rpartition("-")[2].partition(":")[2].split(","):
        if part:
            first, _, last = part.partition(".")
            numbers.update(range(int(first[1:]), int((last or first)[1:]) + 1))
    return frozenset(numbers)


def inodes(top: str) -> Iterator[str]:
    """Every path at and below `top`, on its own file system."""
    device = os.lstat(top).st_dev
    yield top
    for directory, names, files in os.walk(top):
        for name in list(names):
            if os.lstat(os.path.join(directory, name)).st_dev != device:
                names.remove(name)
        yield from (os.path.join(directory, name) for name in (*names, *files))


@dataclass(frozen=True, slots=True)
class Container:
    """One of Docker's, with what the kernel says of its process."""

    id: str
    name: str
    pid: int
    label: str
    """What its process really runs at; empty when it does not run."""
    private: tuple[str, ...]
    """The host directories it has for itself alone."""
    clashes: bool
    """Put at another's level by hand."""

    @property
    def runs(self) -> bool:
        """Whether its first process is there."""
        return bool(self.pid)


def containers() -> Mapping[str, Container]:
    """Every container of Docker's, by id."""
    found = {}
    for short in ask(DOCKER, "/containers/json?all=1"):
        try:
            detail = ask(DOCKER, f"/containers/{short['Id']}/json")
        except KeyError:
            continue
        pid = detail["State"]["Pid"] if detail["State"]["Running"] else 0
        sources = tuple(mount["Source"] for mount in detail["Mounts"])
        found[detail["Id"]] = Container(
            detail["Id"], detail["Name"].lstrip("/"), pid, _process_label(pid),
            tuple(source for source in sources if source not in (ALL, SHARED)),
            "history.clash" in (detail["Config"]["Labels"] or {}),
        )  # fmt: skip
    return found


def _process_label(pid: int) -> str:
    try:
        return selinux.getpidcon_raw(pid)[1] if pid else ""
    except OSError:
        return ""


def readable(name: str) -> set[str]:
    """The files of all volumes that a container's processes really can read."""
    reads = 'cat "$f" >/dev/null 2>&1 && echo "$f"'
    script = f"find /all -type f 2>/dev/null | while read -r f; do {reads}; done; true"
    done = run("docker", "exec", name, "sh", "-c", script)
    return {
        f"{ALL}{line.removeprefix('/all')}" for line in done.stdout.splitlines() if line.startswith("/all/")
    }


def enforces() -> bool:
    """Whether the kernel does what the policy says."""
    return bool(selinux.security_getenforce() == 1)


def wait_until(seconds: float, holds: Any) -> bool:
    """Whether it comes true in time; asked twice a second."""
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            return False
        time.sleep(0.5)
    return True
