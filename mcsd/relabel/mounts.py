"""Mounts as in `/proc/self/mountinfo`: file system, options, and which part is mounted."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from mcsd.relabel.real_paths import upwards

_CONTEXT = re.compile(r'(?:^|[ ,])context=(?:"([^"]*)"|([^,"]*))')
_OCTAL = re.compile(rb"\\([0-7]{3})")


@dataclass(frozen=True, slots=True)
class MountEntry:
    """One line of mountinfo (proc_pid_mountinfo(5)). `root` is the mounted part of the file system."""

    id: int
    device: str
    root: str
    point: str
    file_system: str
    options: frozenset[str]
    """The options of the mount and of the file system together."""
    told: tuple[str, ...] = ()
    """The file system's options in their order."""
    source: str = ""
    """The mount source: for a block device its path."""

    @property
    def is_read_only(self) -> bool:
        """Whether the mount or the file system behind it is read-only."""
        return "ro" in self.options

    @property
    def fixed_label(self) -> str:
        """The label that the mount option `context=` gives to everything in the file system, "" without it.

        The kernel quotes a value that contains a comma (SELinux' show_options).
        """
        whole = ",".join(self.told)
        found = _CONTEXT.search(whole)
        return (found[1] or found[2]) if found else ""


def _text(field: bytes) -> str:
    return os.fsdecode(_OCTAL.sub(lambda match: bytes([int(match[1], 8)]), field))


def _parse(line: bytes) -> MountEntry:
    own, _, system = line.partition(b" - ")
    number, _, device, root, point, options, *_ = own.split(b" ")
    kind, source, more = system.split(b" ", 2)
    both = frozenset(os.fsdecode(options + b"," + more).split(","))
    told = tuple(os.fsdecode(more).split(","))
    return MountEntry(
        int(number), device.decode(), _text(root), _text(point), _text(kind), both, told, _text(source)
    )


def mount_table() -> bytes:
    """Read this process's mountinfo as text."""
    with open("/proc/self/mountinfo", "rb") as file:
        return file.read()


def mounts(table: bytes | None = None) -> dict[int, MountEntry]:
    """Return this process's mounts by id, the current ones or those in `table`."""
    lines = (mount_table() if table is None else table).splitlines()
    return {mount.id: mount for mount in map(_parse, lines)}


def by_point(found: Mapping[int, MountEntry]) -> dict[str, MountEntry]:
    """Return mounts by their mount points; of several at one point, the last, which is on top."""
    return {mount.point: mount for mount in found.values()}


def mount_above(path: str, points: Mapping[str, MountEntry]) -> MountEntry | None:
    """Return the mount that an absolute path is on, by its name; None if there is none."""
    return next((points[one] for one in upwards(path) if one in points), None)


def position(path: str, mount: MountEntry) -> tuple[str, PurePosixPath]:
    """Return a path's position inside its file system, which is the same for every bind mount of it."""
    below = PurePosixPath(path).relative_to(mount.point) if _is_below(path, mount.point) else PurePosixPath()
    return mount.device, PurePosixPath(mount.root) / below


def _is_below(path: str, other: str) -> bool:
    return PurePosixPath(path).is_relative_to(other)
