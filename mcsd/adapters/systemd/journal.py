"""The journal: notices go to journald, and to standard error where there is none.

- `emit` never waits for journald and never raises: a thread writes the queued entries. If journald hangs, the
  queue fills up; entries that do not fit are counted, and the count is written when journald continues.
- Messages are rate-limited by kind (`mcsd.core.flood`), and a summary says how many were suppressed.
- libsystemd does not report a missing journald, so its socket is checked before each entry.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from mcsd.adapters.systemd.journal_entry import Fields, entry_of, line_of, loss, summary_of
from mcsd.core.flood import Flood
from mcsd.core.notices import Kind, Notice

try:
    # Not `import systemd`: any directory of that name on the path would satisfy that.
    from systemd.journal import sendv
except ImportError:  # no bindings for this Python: everything goes to standard error
    sendv = None

SOCKET = Path("/run/systemd/journal/socket")

BURST = 500
"""Messages of one kind that are admitted at once: a host's containers may all start together."""
RATE = 20.0
"""Messages of one kind a second that are admitted in the long run."""
QUEUED = 4096
"""Entries that may wait for journald."""
PATIENCE = 2.0
"""Seconds that `close` waits for entries to be taken."""
_SUMMARY_INTERVAL = 1.0

Sink = Callable[[Fields], None]
"""Writes one entry; raises `OSError` if that fails."""


def to_journald(entry: Fields) -> None:
    """Send an entry in journald's native protocol; raise `OSError` if journald is not there."""
    if sendv is None or not SOCKET.exists():
        raise FileNotFoundError(f"{SOCKET} is not there")
    sendv(*(f"{name}={value}" for name, value in entry.items()))


def to_standard_error(entry: Fields) -> None:
    """Write an entry as text."""
    if sys.stderr is not None:
        sys.stderr.write(line_of(entry))
        sys.stderr.flush()


class SystemdJournal:
    """`mcsd.ports.Journal`. Thread-safe; `close` writes what is queued and ends the thread.

    `sinks` are tried in turn for each entry. `lost` counts entries that none of them took.
    """

    def __init__(
        self,
        *,
        sinks: tuple[Sink, ...] = (to_journald, to_standard_error),
        clock: Callable[[], float] = time.monotonic,
        burst: int = BURST,
        rate: float = RATE,
        queued: int = QUEUED,
    ) -> None:
        self.lost = 0
        self._sinks = sinks
        self._clock = clock
        self._flood: Flood[Kind] = Flood(burst=burst, rate=rate)
        self._limit = queued
        self._queue: deque[Fields] = deque()
        self._unqueued = 0
        self._changed = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._write_queued, name="journal", daemon=True)
        self._thread.start()

    def emit(self, notice: Notice) -> None:
        """See `mcsd.ports.Journal`; after `close`, the caller's own thread writes the entry."""
        with self._changed:
            if not self._closing:
                admission = self._flood.admit(notice.kind, self._clock())
                if admission.held_back:
                    self._put(summary_of(notice.kind, admission.held_back))
                if admission.admitted:
                    self._put(entry_of(notice))
                self._changed.notify()
                return
        self._write(entry_of(notice))

    def close(self) -> None:
        """Write the queued entries, as far as journald takes them in time; idempotent."""
        with self._changed:
            if not self._closing:
                for kind, count in self._flood.drain():
                    self._put(summary_of(kind, count))
            self._closing = True
            self._changed.notify()
        self._thread.join(PATIENCE)

    def _put(self, entry: Fields) -> None:
        if len(self._queue) >= self._limit:
            self._unqueued += 1
            return
        if self._unqueued:
            self._queue.append(loss(self._unqueued))
            self._unqueued = 0
        self._queue.append(entry)

    def _write_queued(self) -> None:
        while (entry := self._next()) is not None:
            self._write(entry)

    def _next(self) -> Fields | None:
        with self._changed:
            while True:
                for kind, count in self._flood.overdue(self._clock()):
                    self._put(summary_of(kind, count))
                if self._queue:
                    return self._queue.popleft()
                if self._unqueued:
                    entry, self._unqueued = loss(self._unqueued), 0
                    return entry
                if self._closing:
                    return None
                self._changed.wait(_SUMMARY_INTERVAL if self._flood.is_holding() else None)

    def _write(self, entry: Fields) -> None:
        for sink in self._sinks:
            with suppress(OSError, ValueError):  # ValueError: standard error has been closed
                sink(entry)
                return
        self.lost += 1
