"""Finding a volume's root again when its path no longer leads to it, or proving that it is gone for good.

A file handle (name_to_handle_at(2)) identifies an inode and its generation, whatever its path. If the inode
was deleted, opening the handle fails with ESTALE: then there is nothing left to restore. A missing path
proves nothing, because the directory may have been renamed and still carry its labels. Nor does ESTALE from
another file system, which answers so for every foreign handle: device numbers are assigned anew at each boot,
so a file system counts only if it is mounted above the volume's former path. A file system in memory (tmpfs)
is gone with its last mount, and its device number is not reused before that. Opening by handle needs
CAP_DAC_READ_SEARCH.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath

from mcsd.core.volumes import Identity
from mcsd.relabel import kernel
from mcsd.relabel.mounts import mounts

VOLATILE = frozenset({"tmpfs", "ramfs"})
"""File systems in memory, which end with their last mount."""

_HEAD = struct.Struct("=Ii")
_MOST = 128  # MAX_HANDLE_SZ
_AT_EMPTY_PATH = 0x1000


@dataclass(frozen=True, slots=True)
class Handle:
    """A file system's permanent name for an inode; opaque."""

    kind: int
    data: bytes

    def __str__(self) -> str:
        return f"{self.kind}:{self.data.hex()}"

    @classmethod
    def parse(cls, text: str) -> Handle | None:
        """Parse the result of `str`, None for ""; raises `ValueError`."""
        kind, _, data = text.partition(":")
        return cls(int(kind), bytes.fromhex(data)) if text else None


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


class GoneError(Exception):
    """The inode does not exist any more."""


def handle_of(descriptor: int) -> Handle | None:
    """Return the handle of a descriptor's inode, None if the file system has none."""
    buffer = ctypes.create_string_buffer(_HEAD.pack(_MOST, 0), _HEAD.size + _MOST)
    mount = ctypes.c_int()
    if _libc().name_to_handle_at(descriptor, b"", buffer, ctypes.byref(mount), _AT_EMPTY_PATH) != 0:
        return None
    size, kind = _HEAD.unpack_from(buffer.raw)
    return Handle(kind, buffer.raw[_HEAD.size : _HEAD.size + size])


def open_again(handle: Handle, identity: Identity, path: str, file_system: str = "") -> int | None:
    """Open an inode by its handle as `O_PATH`; `path` is where it once was, `file_system` the kind it was on.

    Raises `GoneError` if it was deleted. Returns None if that cannot be known: its file system is not
    mounted, or this process lacks the capability.
    """
    is_volatile = file_system in VOLATILE
    if is_volatile and not _is_mounted(identity.device, file_system):
        raise GoneError
    for place in _places_on(identity.device, path):
        try:
            descriptor = _open_below(place, handle)
        except OSError as exc:
            if exc.errno == errno.ESTALE and (is_volatile or PurePosixPath(path).is_relative_to(place)):
                raise GoneError from exc
            continue
        found = kernel.stat_of(descriptor)
        if (found.device, found.inode) == (identity.device, identity.inode) and found.links:
            return descriptor
        os.close(descriptor)
        if not found.links:
            raise GoneError
    return None


def _is_mounted(device: int, file_system: str) -> bool:
    numbers = f"{os.major(device)}:{os.minor(device)}"
    return any((one.device, one.file_system) == (numbers, file_system) for one in mounts().values())


def _open_below(place: str, handle: Handle) -> int:
    mount = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return open_on(mount, handle.kind, handle.data)
    finally:
        os.close(mount)


def open_on(mount: int, kind: int, data: bytes) -> int:
    """Open an inode by its handle as `O_PATH`; `mount` is open for reading on the same file system.

    Raises `OSError`, ESTALE if it was deleted.
    """
    buffer = ctypes.create_string_buffer(_HEAD.pack(len(data), kind) + data)
    flags = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = int(_libc().open_by_handle_at(mount, buffer, flags))
    if descriptor < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), f"handle {kind}:{data.hex()}")
    return descriptor


def _places_on(device: int, path: str) -> Iterator[str]:
    """Return directories on a device: the existing part of a path first, then mount points."""
    numbers = f"{os.major(device)}:{os.minor(device)}"
    points = [mount.point for mount in mounts().values() if mount.device == numbers]
    for place in dict.fromkeys([*map(str, PurePosixPath(path).parents), *points]):
        try:
            if Path(place).is_dir() and kernel.stat_path(place).device == device:
                yield place
        except OSError:
            continue
