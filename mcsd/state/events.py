"""The distribution of notices: to the journal, the API's event stream, and the list of last problems."""

from __future__ import annotations

import asyncio
import itertools
import traceback
from collections import deque
from collections.abc import AsyncIterator

from mcsd.core.notices import Kind, Notice, printable
from mcsd.core.snapshot import Event
from mcsd.ports import Clock, Journal

REMEMBERED = 1000
"""Events that are kept for later readers."""
PROBLEMS = 20
READER_BUFFER = 256
"""Events that a slow reader may lag behind before it loses some."""
_WARNING = 4


class _Reader:
    """One reader's bounded buffer; events that do not fit are only counted."""

    def __init__(self) -> None:
        self.buffer: deque[Event] = deque()
        self.lost = 0
        self.ready = asyncio.Event()

    def offer(self, event: Event) -> None:
        if len(self.buffer) >= READER_BUFFER:
            self.buffer.popleft()
            self.lost += 1
        self.buffer.append(event)
        self.ready.set()

    async def take(self) -> Event | int:
        while not self.buffer:
            self.ready.clear()
            await self.ready.wait()
        if self.lost:
            lost, self.lost = self.lost, 0
            return lost
        return self.buffer.popleft()


class EventBus:
    """Distributes notices. Owned by the event loop's thread; never blocks and never raises."""

    def __init__(self, journal: Journal, clock: Clock) -> None:
        self._journal = journal
        self._clock = clock
        self._numbers = itertools.count(1)
        self._recent: deque[Event] = deque(maxlen=REMEMBERED)
        self._problems: deque[Event] = deque(maxlen=PROBLEMS)
        self._readers: set[_Reader] = set()

    def emit(self, notice: Notice) -> None:
        """Send a notice to all."""
        self._journal.emit(notice)
        event = Event(
            sequence=next(self._numbers),
            time=self._clock.now(),
            kind=notice.kind.name.lower().replace("_", "-"),
            message=notice.sentence,
            priority=notice.kind.value.priority,
            container=str(notice.container),
            fields={key: printable(value) for key, value in notice.fields.items()},
        )
        self._recent.append(event)
        if event.priority <= _WARNING:
            self._problems.appendleft(event)
        for reader in self._readers:
            reader.offer(event)

    def report_bug(self, where: str, error: BaseException, container: str = "") -> None:
        """Report an unforeseen failure with all details."""
        trace = "".join(traceback.format_exception(error))
        fields = {"where": where, "reason": repr(error), "traceback": trace}
        self.emit(Notice(Kind.INTERNAL, fields, container))

    def recent(self) -> tuple[Event, ...]:
        """Return the events still kept, oldest first."""
        return tuple(self._recent)

    def problems(self) -> tuple[Event, ...]:
        """Return the latest warnings and errors, newest first."""
        return tuple(self._problems)

    async def stream(self, *, after: int | None = None) -> AsyncIterator[Event | int]:
        """Yield kept events above `after`, then new ones; a number says how many were lost."""
        reader = _Reader()
        self._readers.add(reader)
        try:
            if after is not None:
                for event in tuple(self._recent):
                    if event.sequence > after:
                        yield event
            while True:
                yield await reader.take()
        finally:
            self._readers.discard(reader)
