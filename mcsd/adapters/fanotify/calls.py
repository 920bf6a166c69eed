"""fanotify(7) without capabilities: marks on directories, events with names.

Since Linux 5.13 a process without CAP_SYS_ADMIN may have a group that reports file handles instead of open
files. Such a group marks single directories, and each event has the handle of the directory and the name of
the entry in it. Two of the kernel's filters make the difference to inotify(7):

- FAN_RENAME (5.17) is one event for a rename, which names the old and the new directory *as far as they are
  marked*: so the event itself says whether something was moved in, moved out, or renamed inside.
- FAN_MARK_IGNORE (6.0) without FAN_ONDIR ignores events on files but not on directories: new directories are
  reported, and the thousands of files that a database creates cause no events.

A group without CAP_SYS_ADMIN does not get the pid of the process, except for this process itself.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

FAN_ATTRIB = 0x4
FAN_CREATE = 0x100
FAN_Q_OVERFLOW = 0x4000
FAN_EVENT_ON_CHILD = 0x08000000
FAN_RENAME = 0x10000000
FAN_ONDIR = 0x40000000

_FAN_CLOEXEC, _FAN_NONBLOCK = 0x1, 0x2
_FAN_REPORT_FID, _FAN_REPORT_DIR_FID, _FAN_REPORT_NAME, _FAN_REPORT_TARGET_FID = 0x200, 0x400, 0x800, 0x1000
_REPORT = _FAN_REPORT_FID | _FAN_REPORT_DIR_FID | _FAN_REPORT_NAME | _FAN_REPORT_TARGET_FID
_ADD, _REMOVE, _ONLYDIR, _SURVIVES_CHANGES, _IGNORE = 0x1, 0x2, 0x8, 0x40, 0x400
_AT_FDCWD = -100

_TOLD = FAN_ATTRIB | FAN_CREATE | FAN_RENAME | FAN_EVENT_ON_CHILD | FAN_ONDIR

_EVENT = struct.Struct("=IBBHQii")  # length, version, reserved, length of this, mask, descriptor, pid
_RECORD = struct.Struct("=BBH8xIi")  # kind, padding, length, fsid, bytes and type of the handle
_TARGET, _PLACE, _OLD, _NEW = 1, 2, 10, 12
"""FAN_EVENT_INFO_TYPE_…: FID, DFID_NAME, OLD_DFID_NAME, NEW_DFID_NAME."""
LARGEST = 256 * 1024
"""Bytes per read: a full queue of short names takes a few reads."""


class DirectoryEntry(NamedTuple):
    """An entry of a directory: the directory's file handle (type and bytes), and a name.

    The name is b"." for the directory itself.
    """

    kind: int
    handle: bytes
    name: bytes


class FanotifyEvent(NamedTuple):
    """One event. `place` is where it happened; a rename has `old` or `place` or both, as far as marked.

    `target` is the handle (type and bytes) of the object, None for the directory itself.
    """

    mask: int
    pid: int
    place: DirectoryEntry | None
    old: DirectoryEntry | None
    target: tuple[int, bytes] | None


@cache
def _libc() -> ctypes.CDLL:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.fanotify_mark.argtypes = (
        *(ctypes.c_int, ctypes.c_uint, ctypes.c_uint64),
        *(ctypes.c_int, ctypes.c_char_p),
    )
    return libc


def _checked(result: int) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def open_group() -> int:
    """Open an unprivileged group; raises `OSError`: EINVAL before Linux 5.17, EMFILE, ENOSYS."""
    return _checked(_libc().fanotify_init(_REPORT | _FAN_CLOEXEC | _FAN_NONBLOCK, os.O_RDONLY))


def mark(group: int, directory: int, *, with_files: bool) -> None:
    """Mark a directory (any descriptor of it); with `with_files` also report files created in it.

    Raises `OSError`: ENOSPC at the limit of marks; EXDEV, ENODEV or EOPNOTSUPP if the file system does not
    support it; EINVAL before Linux 6.0.
    """
    path = b"/proc/self/fd/%d" % directory
    flags = _ONLYDIR | _IGNORE | _SURVIVES_CHANGES
    if with_files:  # it may have been marked without files before
        _libc().fanotify_mark(group, flags | _REMOVE, FAN_CREATE, _AT_FDCWD, path)
    else:
        _checked(_libc().fanotify_mark(group, flags | _ADD, FAN_CREATE, _AT_FDCWD, path))
    _checked(_libc().fanotify_mark(group, _ADD | _ONLYDIR, _TOLD, _AT_FDCWD, path))


def unmark(group: int, directory: int) -> None:
    """Remove a mark; raises `OSError`, ENOENT if there is none."""
    path = b"/proc/self/fd/%d" % directory
    _checked(_libc().fanotify_mark(group, _REMOVE | _ONLYDIR, _TOLD, _AT_FDCWD, path))
    with_mask = _REMOVE | _ONLYDIR | _IGNORE | _SURVIVES_CHANGES
    if _libc().fanotify_mark(group, with_mask, FAN_CREATE, _AT_FDCWD, path) < 0:
        ctypes.set_errno(0)  # it was marked with files: nothing was ignored


def events(data: bytes) -> Iterator[FanotifyEvent]:
    """Parse the data of one read(2)."""
    at, end = 0, len(data)
    while at < end:
        length, _, _, head, mask, _, pid = _EVENT.unpack_from(data, at)
        place = old = target = None
        record, beyond = at + head, at + length
        while record < beyond:
            kind, _, size, handle_size, handle_kind = _RECORD.unpack_from(data, record)
            start = record + _RECORD.size
            handle = data[start : start + handle_size]
            if kind == _TARGET:
                target = (handle_kind, handle)
            else:
                name = data[start + handle_size : record + size]
                found = DirectoryEntry(handle_kind, handle, name[: name.index(b"\0")])
                if kind == _OLD:
                    old = found
                elif kind in {_PLACE, _NEW}:
                    place = found
            record += size
        at = beyond
        yield FanotifyEvent(mask, pid, place, old, target)
