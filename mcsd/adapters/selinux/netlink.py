"""The kernel's announcements about SELinux, from pyroute2's socket on NETLINK_SELINUX.

The socket is opened in a thread, because pyroute2 from 0.8 on runs its own event loop for that. Later reads
use a duplicate of its descriptor, on our loop, and pyroute2 decodes the data.

Announcements can be lost (ENOBUFS when the buffer is full). The caller checks the kernel's status page
anyway; a loss only makes it do so at once.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections import deque
from typing import ClassVar

from pyroute2.netlink import NETLINK_SELINUX, nlmsg
from pyroute2.netlink.nlsocket import Marshal, NetlinkSocket

from mcsd.blocking.threads import Threads
from mcsd.core.selinux_state import NetlinkEvent, NetlinkEventKind
from mcsd.errors import SelinuxError

SETENFORCE = 0x10
POLICYLOAD = 0x11
_GROUP = 1
"""SELNLGRP_AVC, the only one; linux/selinux_netlink.h."""
_LARGEST = 1 << 16


class _Mode(nlmsg):  # type: ignore[misc]  # pyroute2 has no types
    fields = (("val", "i"),)


class _Sequence(nlmsg):  # type: ignore[misc]
    fields = (("seqno", "I"),)


class _Announcements(Marshal):  # type: ignore[misc]
    msg_map: ClassVar[dict[int, type]] = {SETENFORCE: _Mode, POLICYLOAD: _Sequence}


class SelinuxNetlink:
    """`mcsd.ports.PolicyNews`. Owned by the event loop's thread. `family` only differs in tests."""

    def __init__(self, *, family: int = NETLINK_SELINUX) -> None:
        self._family = family
        self._socket: socket.socket | None = None
        self._marshal = _Announcements()
        self._waiting: deque[NetlinkEvent] = deque()
        self._threads = Threads("netlink", idle=0.0)

    async def open(self) -> None:
        """See `mcsd.ports.PolicyNews`."""
        self.close()
        try:
            self._socket = await self._threads.submit(lambda: _subscribe(self._family))
        except OSError as exc:
            raise SelinuxError(
                f"the kernel's netlink socket for SELinux cannot be opened: {exc.strerror}",
                hint="the kernel may be without SELinux; mcsd's unit must allow AF_NETLINK",
            ) from exc

    async def next(self) -> NetlinkEvent:
        """See `mcsd.ports.PolicyNews`."""
        while not self._waiting:
            self._waiting.extend(await self._receive())
        return self._waiting.popleft()

    async def _receive(self) -> list[NetlinkEvent]:
        if self._socket is None:
            raise SelinuxError("the kernel's netlink socket for SELinux is not open", hint="open it first")
        try:
            data = await asyncio.get_running_loop().sock_recv(self._socket, _LARGEST)
        except OSError as exc:
            if exc.errno == errno.ENOBUFS:
                return [NetlinkEvent(NetlinkEventKind.LOST)]
            raise SelinuxError(
                f"the kernel's netlink socket for SELinux cannot be read: {exc.strerror}",
                hint="mcsd opens it again; see ausearch -m avc",
            ) from exc
        return self.decode(data)

    def decode(self, data: bytes) -> list[NetlinkEvent]:
        """Read the announcements in one datagram; what is not one counts as lost."""
        found = []
        for message in self._marshal.parse(data):
            match message["header"]["type"]:
                case _ if message["header"]["error"] is not None:
                    found.append(NetlinkEvent(NetlinkEventKind.LOST))
                case kind if kind == SETENFORCE:
                    found.append(NetlinkEvent(NetlinkEventKind.ENFORCING, message["val"]))
                case kind if kind == POLICYLOAD:
                    found.append(NetlinkEvent(NetlinkEventKind.POLICY, message["seqno"]))
        return found or [NetlinkEvent(NetlinkEventKind.LOST)]

    def close(self) -> None:
        """See `mcsd.ports.PolicyNews`."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def _subscribe(family: int) -> socket.socket:
    # Where the kernel or a sandbox refuses the family, pyroute2 0.9 would leave a loop of its own unclosed.
    socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, family).close()
    opened = NetlinkSocket(family=family)
    try:
        opened.bind(groups=_GROUP)
        duplicate = socket.socket(fileno=os.dup(opened.fileno()))
    finally:
        opened.close()
    duplicate.setblocking(False)
    return duplicate
