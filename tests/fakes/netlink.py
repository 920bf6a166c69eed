"""The kernel's announcements in memory."""

from __future__ import annotations

import asyncio

from mcsd.core.selinux_state import NetlinkEvent
from mcsd.errors import SelinuxError


class FakeNews:
    """`mcsd.ports.PolicyNews` that announces what it is told; an error put in is raised by `next`.

    While `refusal` is set, opening raises it.
    """

    def __init__(self) -> None:
        self.refusal: SelinuxError | None = None
        self.opened = 0
        self.is_open = False
        self._queue: asyncio.Queue[NetlinkEvent | SelinuxError] = asyncio.Queue()

    def put(self, news: NetlinkEvent | SelinuxError) -> None:
        """Announce."""
        self._queue.put_nowait(news)

    async def open(self) -> None:
        """See `mcsd.ports.PolicyNews`."""
        if self.refusal is not None:
            raise self.refusal
        self.opened += 1
        self.is_open = True

    async def next(self) -> NetlinkEvent:
        """See `mcsd.ports.PolicyNews`."""
        found = await self._queue.get()
        if isinstance(found, SelinuxError):
            raise found
        return found

    def close(self) -> None:
        """See `mcsd.ports.PolicyNews`."""
        self.is_open = False
