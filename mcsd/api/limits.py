"""Limits for connections and their time, and which connection is closed when there are too many.

A connection *waits* until its request's header is complete and *works* from then on. Waiting costs next to
nothing, but there is no right to it: when a user, or the whole socket, has reached its limit of connections,
the one that has waited longest is closed in favour of the new one. So idle connections, or those that send
byte by byte, cannot keep others out, however many. Only working connections can fill the socket, and their
time is limited.
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
    """From connecting to a complete request."""
    answer_time: float = 30.0
    """From a finished answer until the client has read all of it."""
    streams: int = 64
    streams_per_user: int = 16
    stop_time: float = 5.0
    """How long requests may still run when the daemon stops."""
    backlog: int = 64
    """How many connections are accepted at once before other work continues."""
    queue: int = 1024
    """How many connections may wait in the kernel to be accepted."""
    linger_time: float = 1.0
    """How long the rest of a refused request is read, so that the client can read the reason."""


class Waiting(Protocol):
    """A connection, as far as admission needs one."""

    @property
    def uid(self) -> int: ...

    def evict(self) -> None:
        """Close at once, because the place is needed."""
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
        """The number of connections."""
        return self._by_user.total()

    @property
    def streaming(self) -> int:
        """How many of them are event streams."""
        return self._streams.total()

    def enter(self, connection: Waiting) -> bool:
        """Admit a connection, perhaps in another's place; False if all others are working."""
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
        """Record that the request is complete: the connection keeps its place from now on."""
        waiting = self._waiting.get(connection.uid, {})
        waiting.pop(connection, None)
        if not waiting:
            self._waiting.pop(connection.uid, None)

    def leave(self, connection: Waiting) -> None:
        """Remove a connection; call once for each that was admitted."""
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
        """Take one of the places for streams; False if there is none left."""
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
