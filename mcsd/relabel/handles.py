"""Finding a volume's root again when its path no longer leads to it, or proving that it is gone for good.

A file handle (name_to_handle_at(2)) names an inode and its generation, whatever it is called. Asked for one
whose inode was removed the file system says ESTALE: then there is nothing left to restore. A path that does
not exist proves nothing, for the directory may have been renamed and still carry its labels. Nor does another
file system, which says ESTALE of every handle that is not its own: numbers of devices are given out anew at
each boot, so it is believed only where it is mounted above the place the volume had.
Opening by handle needs CAP_DAC_READ_SEARCH.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from mcsd.core.volumes import Identity
from mcsd.relabel import kernel
from mcsd.relabel.mounts import mounts

_HEAD = struct.Struct("=Ii")
_MOST = 128  # MAX_HANDLE_SZ
_AT_EMPTY_PATH = 0x1000


@dataclass(frozen=True, slots=True)
class Handle:
    """What a file system calls an inode for ever; opaque."""

    kind: int
    data: bytes

    def __str__(self) -> str:
        return f"{self.kind}:{self.data.hex()}"

    @classmethod
    def parse(cls, text: str) -> Handle | None:
        """Read what `str` gave, None for ""; raises `ValueError`."""
        kind, _, data = text.partition(":")
        return cls(int(kind), bytes.fromhex(data)) if text else None


class GoneError(Exception):
    """The inode does not exist any more."""


def handle_of(descriptor: int) -> Handle | None:
    """Ask for the handle of what a descriptor stands for, None where the file system has none."""
    buffer = ctypes.create_string_buffer(_HEAD.pack(_MOST, 0), _HEAD.size + _MOST)
    mount = ctypes.c_int()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.name_to_handle_at(descriptor, b"", buffer, ctypes.byref(mount), _AT_EMPTY_PATH) != 0:
        return None
    size, kind = _HEAD.unpack_from(buffer.raw)
    return Handle(kind, buffer.raw[_HEAD.size : _HEAD.size + size])


def open_again(handle: Handle, identity: Identity, path: str) -> int | None:
    """Open an inode by its handle as `O_PATH`; `path` is where it once was.

    Raises `GoneError` when it was removed. None where it cannot be told: its file system is not mounted, or
    this process may not ask.
    """
    for place in _places_on(identity.device, path):
        try:
            descriptor = _open_below(place, handle)
        except OSError as exc:
            if exc.errno == errno.ESTALE and PurePosixPath(path).is_relative_to(place):
                raise GoneError from exc
            continue
        found = kernel.stat_of(descriptor)
        if (found.device, found.inode) == (identity.device, identity.inode) and found.links:
            return descriptor
        os.close(descriptor)
        if not found.links:
            raise GoneError
    return None


def _open_below(place: str, handle: Handle) -> int:
    mount = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        buffer = ctypes.create_string_buffer(_HEAD.pack(len(handle.data), handle.kind) + handle.data)
        flags = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = int(ctypes.CDLL(None, use_errno=True).open_by_handle_at(mount, buffer, flags))
        if descriptor < 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), place)
        return descriptor
    finally:
        os.close(mount)


def _places_on(device: int, path: str) -> Iterator[str]:
    """Give directories on a device: what is left of a path first, then mount points."""
    numbers = f"{os.major(device)}:{os.minor(device)}"
    points = [mount.point for mount in mounts().values() if mount.device == numbers]
    for place in dict.fromkeys([*map(str, PurePosixPath(path).parents), *points]):
        try:
            if Path(place).is_dir() and kernel.stat_path(place).device == device:
                yield place
        except OSError:
            continue
