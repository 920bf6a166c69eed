"""A container's processes as the kernel shows them: in /proc, and in their control group.

Each file of a process is read by pid: if the process ends meanwhile and its pid is reused, the two are mixed.
Reading takes root, with CAP_SYS_PTRACE for the namespaces.
"""

from __future__ import annotations

import os
import re
import socket
import struct
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mcsd.core.audit.capabilities import named
from mcsd.core.audit.facts import Kernel, Seccomp
from mcsd.errors import HostError

_SECCOMP = {"0": Seccomp.OFF, "1": Seccomp.STRICT, "2": Seccomp.FILTER}
_NAMESPACES = ("pid", "ipc", "net", "uts", "mnt", "user", "cgroup")
_LISTENING = "0A"
"""TCP_LISTEN in /proc/net/tcp."""
_NO_LIMIT = 1 << 60
"""Control groups of version 1 show "no limit" as the largest possible number, which is above this."""


@dataclass(frozen=True, slots=True)
class _Status:
    fields: Mapping[str, str]

    @property
    def uids(self) -> frozenset[int]:
        return frozenset(map(int, self.fields["Uid"].split()))

    def capabilities(self, name: str) -> frozenset[str]:
        return named(int(self.fields[name], 16))


class KernelFacts:
    """Reads `proc` and control groups below `cgroups`; raises `HostError` if a process cannot be read."""

    def __init__(self, proc: Path = Path("/proc"), cgroups: Path = Path("/sys/fs/cgroup")) -> None:
        self._proc = proc
        self._cgroups = cgroups

    def of(self, pid: int) -> Kernel:
        """Return what the kernel shows of the container whose first process has this pid."""
        try:
            first = self._status(pid)
            groups = self._groups(pid)
            others = self._others(groups, pid)
            inside = self._root_inside(pid)
            return Kernel(
                seccomp=_SECCOMP[first.fields.get("Seccomp", "0")],
                no_new_privileges=first.fields.get("NoNewPrivs") == "1",
                bounding=first.capabilities("CapBnd"),
                effective=frozenset().union(*(one.capabilities("CapEff") for one in (first, *others))),
                root_inside=any(inside in one.uids for one in (first, *others)),
                root_outside=any(0 in one.uids for one in (first, *others)),
                shared=self._shared(pid),
                memory=self._limit(groups, "memory", "memory.max", "memory.limit_in_bytes"),
                processes=self._limit(groups, "pids", "pids.max", "pids.max"),
            )
        except (OSError, KeyError, ValueError) as exc:
            why = exc.strerror if isinstance(exc, OSError) else f"unexpected content: {exc}"
            raise HostError(f"process {pid} cannot be looked at: {why}", hint="do it as root") from exc

    def _status(self, pid: int) -> _Status:
        text = (self._proc / str(pid) / "status").read_text(encoding="utf-8", errors="replace")
        return _Status(dict(line.partition(":\t")[::2] for line in text.splitlines()))

    def _root_inside(self, pid: int) -> int:
        """Return the user of the host that is root for a process; -1 if none is."""
        text = (self._proc / str(pid) / "uid_map").read_text(encoding="ascii")
        for line in text.splitlines():
            first, outside, _ = map(int, line.split())
            if first == 0:
                return outside
        return -1

    def _shared(self, pid: int) -> frozenset[str] | None:
        found = set()
        for name in _NAMESPACES:
            try:
                host = os.stat(self._proc / "1" / "ns" / name)
                own = os.stat(self._proc / str(pid) / "ns" / name)
            except PermissionError:
                return None
            except FileNotFoundError:
                continue  # a kernel without this kind of namespace
            if (host.st_dev, host.st_ino) == (own.st_dev, own.st_ino):
                found.add(name)
        return frozenset(found)

    # --- control groups ----------------------------------------------------------------------------

    def _groups(self, pid: int) -> Mapping[str, Path]:
        """Return the directories of a process's control groups, by controller; "" is that of version 2."""
        found = {}
        text = (self._proc / str(pid) / "cgroup").read_text(encoding="utf-8", errors="surrogateescape")
        for line in text.splitlines():
            _, controllers, path = line.split(":", 2)
            for name in controllers.split(","):
                found[name] = self._cgroups / name / path.lstrip("/")
        return found

    def _others(self, groups: Mapping[str, Path], pid: int) -> tuple[_Status, ...]:
        place = groups.get("") if "pids" not in groups else groups["pids"]
        if place is None:
            return ()
        found = []
        for listing in (place, *self._below(place)):
            with suppress(OSError):  # a threaded group, or one that is gone meanwhile
                for word in (listing / "cgroup.procs").read_text(encoding="ascii").split():
                    if int(word) not in {0, pid}:
                        with suppress(OSError):  # ended meanwhile
                            found.append(self._status(int(word)))
        return tuple(found)

    @staticmethod
    def _below(place: Path) -> Iterable[Path]:
        with suppress(OSError):
            for path, _, _ in os.walk(place):
                if path != str(place):
                    yield Path(path)

    def _limit(self, groups: Mapping[str, Path], controller: str, new: str, old: str) -> int | None:
        """Return the lowest limit of the group and those above it, None if there is none."""
        name, place = (old, groups[controller]) if controller in groups else (new, groups.get(""))
        least = None
        top = self._cgroups / controller if controller in groups else self._cgroups
        while place is not None and place != top and top in place.parents:
            with suppress(FileNotFoundError):
                word = (place / name).read_text(encoding="ascii").strip()
                value = None if word == "max" or int(word) >= _NO_LIMIT else int(word)
                least = value if least is None else least if value is None else min(value, least)
            place = place.parent
        return least


def command_line(proc: Path, pid: int) -> tuple[str, ...]:
    """Return a process's arguments; empty if it is gone."""
    try:
        content = (proc / str(pid) / "cmdline").read_bytes()
    except OSError:
        return ()
    return tuple(part.decode("utf-8", "surrogateescape") for part in content.split(b"\0") if part)


def listening(proc: Path, pid: int) -> tuple[str, ...]:
    """Return the TCP addresses that a process listens on, by its descriptors and the kernel's table."""
    inodes = set()
    with suppress(OSError):
        for name in os.listdir(proc / str(pid) / "fd"):
            with suppress(OSError):
                match = re.fullmatch(r"socket:\[(\d+)\]", str((proc / str(pid) / "fd" / name).readlink()))
                if match:
                    inodes.add(match[1])
    found = []
    for table in ("tcp", "tcp6"):
        with suppress(OSError):
            for line in (proc / str(pid) / "net" / table).read_text(encoding="ascii").splitlines()[1:]:
                words = line.split()
                if words[3] == _LISTENING and words[9] in inodes:
                    found.append(_address(words[1]))
    return tuple(found)


def _address(text: str) -> str:
    """Parse an address of /proc/net/tcp: words of four bytes in host byte order, and a port in
    hexadecimal."""
    words, _, port = text.partition(":")
    raw = b"".join(struct.pack("=I", int(words[at : at + 8], 16)) for at in range(0, len(words), 8))
    family, form = (socket.AF_INET, "{}:{}") if len(raw) == 4 else (socket.AF_INET6, "[{}]:{}")
    return form.format(socket.inet_ntop(family, raw), int(port, 16))
