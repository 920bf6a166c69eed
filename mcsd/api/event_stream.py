"""The event stream: one JSON object per line, for as long as the reader stays connected.

The lag of a slow reader is bounded where events are distributed (`Service.events`); it gets a line
`{"lost": N}` in place of the events that it missed, and nothing waits for it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any

from aiohttp.web import StreamResponse

from mcsd.api.dispatch import ApiRequest
from mcsd.api.queries import EventsQuery
from mcsd.api.reports.models import EventPage, LostReport
from mcsd.api.reports.status import event_report
from mcsd.core.snapshot import Event, Snapshot
from mcsd.errors import BusyError

MEDIA_TYPE = "application/x-ndjson"


def selects(query: EventsQuery, snapshot: Snapshot) -> Callable[[Event], bool]:
    """Return a query's filter for events. A container may be gone, but its events still name it."""
    wanted = (query.container or "").removeprefix("/")
    named = {s.container.id for s in snapshot.container_status if s.container.name == wanted}

    def is_wanted(event: Event) -> bool:
        if event.priority > query.priority or (query.kind and event.kind not in query.kind):
            return False
        if not wanted or event.container in named or event.fields.get("name") == wanted:
            return True
        return not named and bool(event.container) and event.container.startswith(wanted)

    return is_wanted


def remembered(call: ApiRequest, query: EventsQuery) -> EventPage:
    """List kept events: with `after` the next ones, without it the newest."""
    is_wanted = selects(query, call.service.snapshot())
    events = [event for event in call.service.recent_events() if is_wanted(event)]
    if query.after is None:
        shown = events[-query.limit :]
        return EventPage(items=tuple(map(event_report, shown)), total=len(events), next=None)
    later = [event for event in events if event.sequence > query.after]
    shown = later[: query.limit]
    more = str(shown[-1].sequence) if len(later) > len(shown) else None
    return EventPage(items=tuple(map(event_report, shown)), total=len(events), next=more)


async def _until(
    gone: asyncio.Future[None], events: AsyncIterator[Event | int]
) -> AsyncIterator[Event | int]:
    """Yield events until the reader is gone or the daemon stops."""
    while True:
        following = asyncio.ensure_future(anext(events))
        try:
            waited: set[asyncio.Future[Any]] = {following, gone}
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            if not following.done():
                return
        finally:
            if not following.done():
                following.cancel()
                with suppress(asyncio.CancelledError):
                    await following
        try:
            yield following.result()
        except StopAsyncIteration:
            return


async def follow(call: ApiRequest) -> StreamResponse:
    """Stream events as they come; ends when the reader or the daemon does."""
    query = call.query
    assert isinstance(query, EventsQuery)
    uid = call.peer.uid
    if not call.admission.begin_stream(uid):
        raise BusyError("too many readers follow the events", hint="end one of them, or try again later")
    try:
        return await _write(call, query)
    finally:
        call.admission.end_stream(uid)


async def _write(call: ApiRequest, query: EventsQuery) -> StreamResponse:
    is_wanted = selects(query, call.service.snapshot())
    events = call.service.events(after=query.after)
    response = StreamResponse(headers={"Content-Type": MEDIA_TYPE})
    response.force_close()
    await response.prepare(call.request)
    try:
        async for event in _until(call.connection.gone, events):
            if isinstance(event, int):
                await response.write(_line(LostReport(lost=event).model_dump(mode="json")))
            elif is_wanted(event):
                await response.write(_line(event_report(event).model_dump(mode="json")))
    except ConnectionError:
        call.connection.interrupt()
    finally:
        aclose = getattr(events, "aclose", None)
        if aclose is not None:
            await aclose()
    return response


def _line(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode() + b"\n"
