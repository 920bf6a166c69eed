"""The client of a connection, according to the kernel, and what it may do.

Root and members of the socket file's group may read; only root may change anything. The credentials are those
at the time of `connect()`; later changes of the process do not matter.
"""

from __future__ import annotations

import os
import socket
import struct
from dataclasses import dataclass
from typing import Protocol

_UCRED = struct.Struct("iII")
_SO_PEERGROUPS = 59
"""From Linux' asm-generic/socket.h; on architectures with another number, processes have no groups here."""
_LONGEST_OPTION = 1024
"""The limit of Python's getsockopt(): 256 groups."""


class HasOptions(Protocol):
    """A socket, as far as credentials need one."""

    def getsockopt(self, level: int, optname: int, buflen: int, /) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Peer:
    """A connected process. `groups` are the supplementary ones, `gid` the primary."""

    pid: int
    uid: int
    gid: int
    groups: frozenset[int] = frozenset()

    @property
    def may_change(self) -> bool:
        """Whether the process is root's."""
        return self.uid == 0

    def may_read(self, group: int | None) -> bool:
        """Tell whether the process is root's or in the socket's group, None if that group is not known."""
        return self.may_change or (group is not None and (self.gid == group or group in self.groups))


def peer_of(sock: HasOptions) -> Peer:
    """Return the client's credentials from the kernel; raise `OSError` if that fails.

    A process with more groups than Python can read counts as having none: it is refused, not admitted.
    """
    pid, uid, gid = _UCRED.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
    try:
        raw = sock.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, _LONGEST_OPTION)
    except OSError:
        return Peer(pid, uid, gid)
    return Peer(pid, uid, gid, frozenset(struct.unpack(f"{len(raw) // 4}I", raw)))


def group_of(sock: socket.socket) -> int | None:
    """Return the group of a listening socket's file, None if there is none (abstract, or deleted)."""
    path = sock.getsockname()
    try:
        return os.stat(path).st_gid if path and not path.startswith("\0") else None
    except (OSError, TypeError, AttributeError):
        return None
