"""Events reach everybody who reads, and nobody waits for who reads slowly."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from hypothesis import given, settings
from hypothesis import strategies as st

from mcsd.core.notices import Kind, Notice
from mcsd.core.snapshot import Event
from mcsd.state.events import PROBLEMS, READER_BUFFER, REMEMBERED, EventBus
from tests.fakes.journal import MemoryJournal
from tests.fakes.world import HandClock


def bus() -> EventBus:
    return EventBus(MemoryJournal(), HandClock())


def emit(events: EventBus, count: int) -> None:
    for _ in range(count):
        events.emit(Notice(Kind.INTERNAL, {"where": "a test", "reason": "none", "traceback": ""}))


async def begun(stream: AsyncIterator[Event | int]) -> asyncio.Task[Event | int]:
    """Have a reader wait for its first event."""
    first = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0)
    return first


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3 * READER_BUFFER), st.integers(0, 40)), max_size=8))
def test_a_slow_reader_is_told_how_many_it_lost_and_has_all_others_in_order(
    turns: list[tuple[int, int]],
) -> None:
    """Each event is read or counted as lost, in order, however emitting and reading take turns."""

    async def story() -> None:
        events = bus()
        stream = events.stream()
        first = await begun(stream)
        emit(events, 1)
        event = await first
        assert isinstance(event, Event)
        accounted, emitted = event.sequence, 1
        for come, read in [*turns, (0, READER_BUFFER + 1)]:
            emit(events, come)
            emitted += come
            for _ in range(read):
                if accounted == emitted:
                    break
                given = await anext(stream)
                if isinstance(given, int):
                    assert given > 0
                    accounted += given
                else:
                    assert given.sequence == accounted + 1
                    accounted = given.sequence
        assert accounted == emitted

    asyncio.run(story())


def test_a_reader_may_fall_behind_by_its_buffer_and_loses_the_oldest_beyond() -> None:
    async def story() -> list[Event | int]:
        events = bus()
        stream = events.stream()
        first = await begun(stream)
        emit(events, 1)
        await first
        emit(events, READER_BUFFER + 3)
        return [await anext(stream) for _ in range(READER_BUFFER + 1)]

    lost, *rest = asyncio.run(story())
    assert lost == 3
    assert [one.sequence for one in rest if isinstance(one, Event)] == list(range(5, READER_BUFFER + 5))


def test_one_slow_reader_costs_another_nothing() -> None:
    async def story() -> None:
        events = bus()
        slow, quick = events.stream(), events.stream()
        waiting = [await begun(slow), await begun(quick)]
        for expected in range(1, 3 * READER_BUFFER):
            emit(events, 1)
            event = await (waiting.pop() if len(waiting) == 2 else anext(quick))
            assert isinstance(event, Event) and event.sequence == expected
        await waiting.pop()

    asyncio.run(story())


def test_who_comes_later_reads_what_is_remembered_and_then_what_is_new() -> None:
    async def story() -> None:
        events = bus()
        emit(events, REMEMBERED + 5)
        stream = events.stream(after=REMEMBERED)
        for expected in range(REMEMBERED + 1, REMEMBERED + 6):
            event = await anext(stream)
            assert isinstance(event, Event) and event.sequence == expected
            emit(events, 1 if expected == REMEMBERED + 3 else 0)
        event = await anext(stream)
        assert isinstance(event, Event) and event.sequence == REMEMBERED + 6
        assert len(events.recent()) == REMEMBERED

    asyncio.run(story())


def test_the_newest_problems_are_kept_newest_first() -> None:
    events = bus()
    emit(events, PROBLEMS + 2)
    assert [one.sequence for one in events.problems()] == list(range(PROBLEMS + 2, 2, -1))
