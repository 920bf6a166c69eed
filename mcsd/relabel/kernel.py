"""System calls that the engine needs and Python's `os` does not have.

`openat2(2)` opens one name below a directory and refuses symbolic links and mount points in the kernel. If it
is missing (or filtered: EPERM, ENOSYS), `openat` with `O_NOFOLLOW` is used and the mount id is compared
afterwards. `statx(2)` returns the mount id and the time of birth. Labels are read and written through
`/proc/self/fd/N`: the descriptor is `O_PATH`, so nothing is opened for I/O, and the link in `/proc` leads to
the inode that was opened, whatever happens to its name.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import struct
import time
from dataclasses import dataclass
from functools import cache

LABEL = "security.selinux"

_CLOCK_REALTIME_COARSE = 5
_OPENAT2 = 437  # the same number on every architecture
_AT_FDCWD = -100
_AT_EMPTY_PATH = 0x1000
_AT_SYMLINK_NOFOLLOW = 0x100
_AT_NO_AUTOMOUNT = 0x800
_STATX_BASIC = 0x7FF
_STATX_BTIME = 0x800
_STATX_MNT_ID = 0x1000
_STATX_WANTED = _STATX_BASIC | _STATX_BTIME | _STATX_MNT_ID
_RESOLVE_NO_XDEV = 0x01
_RESOLVE_NO_MAGICLINKS = 0x02
_RESOLVE_NO_SYMLINKS = 0x04
_RESOLVE_INSIDE = _RESOLVE_NO_XDEV | _RESOLVE_NO_MAGICLINKS | _RESOLVE_NO_SYMLINKS
_LOOK = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC

# struct statx: mask, blksize, attributes, nlink, uid, gid, mode, ino, size, blocks, attributes_mask,
# four times (seconds, nanoseconds), rdev and dev as major and minor, mnt_id
_STATX = struct.Struct("=IIQIIIHxxQQQQ qI4x qI4x qI4x qI4x IIII Q")


@dataclass(frozen=True, slots=True)
class Stat:
    """An inode's statx; times in nanoseconds since the epoch, `born` 0 if the file system does not store
    it."""

    device: int
    inode: int
    mode: int
    links: int
    uid: int
    mount: int
    born: int
    changed: int
    modified: int


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _raise(name: bytes | int) -> None:
    code = ctypes.get_errno()
    shown = os.fsdecode(name) if isinstance(name, bytes) else f"descriptor {name}"
    raise OSError(code, os.strerror(code), shown)


def stat_at(directory: int, name: bytes) -> Stat:
    """Stat a name in a directory, or the directory itself for b""; follows no links."""
    buffer = ctypes.create_string_buffer(256)
    flags = _AT_EMPTY_PATH | _AT_SYMLINK_NOFOLLOW | _AT_NO_AUTOMOUNT
    if _libc().statx(directory, name, flags, _STATX_WANTED, buffer) != 0:
        _raise(name or directory)
    return _parse(buffer.raw, directory, name)


def _parse(raw: bytes, directory: int, name: bytes) -> Stat:
    (
        mask, _, _, links, uid, _, mode, inode, _, _, _,
        _, _, born, born_ns, changed, changed_ns, modified, modified_ns, _, _, major, minor, mount,
    ) = _STATX.unpack_from(raw)  # fmt: skip
    if not mask & _STATX_MNT_ID:  # before Linux 5.8
        mount = 0 if name else _mount_of(directory)
    return Stat(
        os.makedev(major, minor),
        inode,
        mode,
        links,
        uid,
        mount,
        born * 1_000_000_000 + born_ns if mask & _STATX_BTIME else 0,
        changed * 1_000_000_000 + changed_ns,
        modified * 1_000_000_000 + modified_ns,
    )


def _mount_of(descriptor: int) -> int:
    with open(f"/proc/self/fdinfo/{descriptor}", encoding="ascii") as info:
        return next((int(line.split()[1]) for line in info if line.startswith("mnt_id:")), 0)


def stat_path(path: str) -> Stat:
    """Stat a path, following links, without triggering an automount at its end."""
    buffer = ctypes.create_string_buffer(256)
    encoded = os.fsencode(path)
    if _libc().statx(_AT_FDCWD, encoded, _AT_NO_AUTOMOUNT, _STATX_WANTED, buffer) != 0:
        _raise(encoded)
    return _parse(buffer.raw, _AT_FDCWD, encoded)


def stat_of(descriptor: int) -> Stat:
    """Stat a descriptor, which may be an `O_PATH` one."""
    return stat_at(descriptor, b"")


@cache
def has_openat2() -> bool:
    """Tell whether `openat2` is available: in the kernel, and in this process's seccomp filter."""
    try:
        os.close(_openat2(_AT_FDCWD, b"/", _LOOK, 0))
    except OSError as exc:
        if exc.errno in {errno.ENOSYS, errno.EPERM}:
            return False
        raise
    return True


def _openat2(directory: int, name: bytes, flags: int, resolve: int) -> int:
    how = struct.pack("=QQQ", flags, 0, resolve)
    descriptor = int(_libc().syscall(_OPENAT2, directory, name, how, len(how)))
    if descriptor < 0:
        _raise(name)
    return descriptor


def look_at(directory: int, name: bytes) -> int:
    """Open one name below a directory as `O_PATH`, without following a link or entering a mount.

    Raises `OSError`; EXDEV at a mount point. The caller closes the descriptor, and compares device and mount
    id with the directory's, which is the only check if `openat2` is missing.
    """
    if has_openat2():
        return _openat2(directory, name, _LOOK, _RESOLVE_INSIDE)
    return os.open(name, _LOOK, dir_fd=directory)


def look_at_path(path: str) -> int:
    """Open an absolute path as `O_PATH`; a symbolic link anywhere but in the last place raises ELOOP."""
    encoded = os.fsencode(path)
    if has_openat2():
        return _openat2(_AT_FDCWD, encoded, _LOOK, _RESOLVE_NO_MAGICLINKS | _RESOLVE_NO_SYMLINKS)
    return look_along(encoded)


def look_along(path: bytes) -> int:
    """Open an absolute path one component at a time, each with `O_NOFOLLOW`."""
    current = os.open(b"/", _LOOK)
    for part in (part for part in path.split(b"/") if part):
        try:
            following = os.open(part, _LOOK, dir_fd=current)
        except NotADirectoryError as exc:  # O_PATH opens the link itself; below it, this
            code = errno.ELOOP if stat.S_ISLNK(os.fstat(current).st_mode) else errno.ENOTDIR
            raise OSError(code, os.strerror(code), os.fsdecode(path)) from exc
        finally:
            os.close(current)
        current = following
    return current


def listing_of(descriptor: int) -> int:
    """Open a directory for listing, from its `O_PATH` descriptor."""
    return os.open(b".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW, dir_fd=descriptor)


def sync_around(directory: int) -> None:
    """Sync the file system that a directory is on; raises `OSError`."""
    listing = listing_of(directory)
    try:
        if _libc().syncfs(listing) != 0:
            _raise(listing)
    finally:
        os.close(listing)


def path_of(descriptor: int) -> str:
    """Return the current path of a descriptor's inode; raises ENAMETOOLONG beyond 4095 bytes."""
    return os.readlink(f"/proc/self/fd/{descriptor}")  # noqa: PTH115 - not a path of anybody's


def label_of(descriptor: int) -> bytes | None:
    """Return a label as stored, None if there is none; raises `OSError` (ENOTSUP: no labels here)."""
    try:
        return os.getxattr(f"/proc/self/fd/{descriptor}", LABEL)
    except OSError as exc:
        if exc.errno == errno.ENODATA:
            return None
        raise


def set_label(descriptor: int, label: bytes | None) -> None:
    """Write a label unchanged, or remove it for None; raises `OSError`."""
    path = f"/proc/self/fd/{descriptor}"
    if label is not None:
        os.setxattr(path, LABEL, label)
        return
    try:
        os.removexattr(path, LABEL)
    except OSError as exc:
        if exc.errno != errno.ENODATA:
            raise


def now() -> int:
    """Return the time in nanoseconds, not before the stamps of inodes read earlier unless the clock was set
    back."""
    return time.time_ns()


def stamp() -> int:
    """Return the clock of the kernel's inode timestamps in nanoseconds; its ticks are up to 10 ms."""
    return time.clock_gettime_ns(_CLOCK_REALTIME_COARSE)
