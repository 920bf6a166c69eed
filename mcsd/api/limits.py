"""How many may be connected, how long they may take, and who has to go when the house is full.

A connection *waits* until its request's head is complete and *works* from then on. Waiting costs next to
nothing and is never owed: when a user, or the whole socket, has as many connections as it may, the one
that has waited longest is closed in favour of the newcomer. So any number of idle connections, or of
those that send byte by byte, keep nobody out. Only working connections can fill the socket, and their
time is bounded.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes in bytes, times in seconds. `root_reserve` places are kept for root out of the total."""

    total: int = 2048
    per_user: int = 1024
    root_reserve: int = 128
    head_size: int = 16 * 1024
    body_size: int = 64 * 1024
    request_time: float = 10.0
    """From the connection to a request that is complete."""
    answer_time: float = 30.0
    """From a finished answer to a reader that has taken all of it."""
    streams: int = 64
    streams_per_user: int = 16
    stop_time: float = 5.0
    """How long requests in work may go on when the daemon stops."""
    backlog: int = 64
    """How many are taken in before others get their turn."""
    queue: int = 1024
    """How many may wait in the kernel to be taken in."""
    linger_time: float = 1.0
    """How long the rest of a request that was refused is read, so that its sender comes to read why."""


class Waiting(Protocol):
    """A connection, as far as admission needs one."""

    @property
    def uid(self) -> int: ...

    def evict(self) -> None:
        """Leave, and close at once: somebody else needs the place."""
        ...


class ConnectionLimiter:
    """Counts connections. Owned by the event loop's thread."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._by_user: Counter[int] = Counter()
        self._waiting: dict[int, dict[Waiting, None]] = {}
        self._streams: Counter[int] = Counter()
        self.refused = 0
        self.evicted = 0

    @property
    def connected(self) -> int:
        """How many are in."""
        return self._by_user.total()

    @property
    def streaming(self) -> int:
        """How many of them follow the events."""
        return self._streams.total()

    def enter(self, connection: Waiting) -> bool:
        """Let a connection in, perhaps in another's place; False when everybody is at work."""
        uid = connection.uid
        if self._by_user[uid] >= self._limits.per_user:
            admitted = self._evict_one_of(uid)
        elif self.connected >= self._limits.total - (self._limits.root_reserve if uid else 0):
            admitted = any(self._evict_one_of(heavy) for heavy, _ in self._by_user.most_common())
        else:
            admitted = True
        if not admitted:
            self.refused += 1
            return False
        self._by_user[uid] += 1
        self._waiting.setdefault(uid, {})[connection] = None
        return True

    def begin_work(self, connection: Waiting) -> None:
        """The connection's request has come: it keeps its place now."""
        waiting = self._waiting.get(connection.uid, {})
        waiting.pop(connection, None)
        if not waiting:
            self._waiting.pop(connection.uid, None)

    def leave(self, connection: Waiting) -> None:
        """The connection is over; call once for each that entered."""
        self.begin_work(connection)
        self._by_user[connection.uid] -= 1
        if not self._by_user[connection.uid]:
            del self._by_user[connection.uid]

    def _evict_one_of(self, uid: int) -> bool:
        oldest = next(iter(self._waiting.get(uid, ())), None)
        if oldest is None:
            return False
        self.evicted += 1
        oldest.evict()
        return True

    def begin_stream(self, uid: int) -> bool:
        """Take one of the places for streams; False when there is none left."""
        limits = self._limits
        if self._streams[uid] >= limits.streams_per_user or self.streaming >= limits.streams:
            return False
        self._streams[uid] += 1
        return True

    def end_stream(self, uid: int) -> None:
        """Release the place."""
        self._streams[uid] -= 1
        if not self._streams[uid]:
            del self._streams[uid]
