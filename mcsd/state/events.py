"""Where notices go: to the journal, to the API's event stream, and onto the list of last problems."""

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
"""Events kept for readers that come later."""
PROBLEMS = 20
READER_BUFFER = 256
"""Events a slow reader may fall behind before it loses some."""
_WARNING = 4


class _Reader:
    """One reader's bounded buffer; what does not fit is counted, never waited for."""

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
    """Fans notices out. Owned by the event loop's thread; never blocks and never raises."""

    def __init__(self, journal: Journal, clock: Clock) -> None:
        self._journal = journal
        self._clock = clock
        self._numbers = itertools.count(1)
        self._recent: deque[Event] = deque(maxlen=REMEMBERED)
        self._problems: deque[Event] = deque(maxlen=PROBLEMS)
        self._readers: set[_Reader] = set()

    def emit(self, notice: Notice) -> None:
        """Tell everybody."""
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
        """Tell of a failure that nobody foresaw, whole."""
        trace = "".join(traceback.format_exception(error))
        fields = {"where": where, "reason": repr(error), "traceback": trace}
        self.emit(Notice(Kind.INTERNAL, fields, container))

    def recent(self) -> tuple[Event, ...]:
        """Events still remembered, oldest first."""
        return tuple(self._recent)

    def problems(self) -> tuple[Event, ...]:
        """The newest warnings and errors, newest first."""
        return tuple(self._problems)

    async def stream(self, *, after: int | None = None) -> AsyncIterator[Event | int]:
        """Return remembered events above `after`, then new ones; a number says how many were lost."""
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
