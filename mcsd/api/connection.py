"""One connection to the socket: checked before a byte is read, then one request and one answer.

The header of a request is collected here, byte by byte if it arrives so, and passed to the HTTP server only
when it is complete; an idle connection costs a few hundred bytes and no task. There is one request per
connection, so nothing can queue up behind it, and what a client may send is limited to one header and one
body.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from http import HTTPStatus

from mcsd.api.limits import ConnectionLimiter, Limits
from mcsd.api.peers import Peer, peer_of
from mcsd.api.problems import problem_report, raw_response
from mcsd.api.request_head import HeadError, read_head
from mcsd.errors import Problem

_END = b"\r\n\r\n"

FIRST_PAUSE, LONGEST_PAUSE = 0.01, 1.0
"""Seconds between two reads of an incomplete header; each pause is twice as long as the last."""


class Connection(asyncio.Protocol):
    """Sits between the transport and the HTTP server's own protocol."""

    def __init__(
        self,
        *,
        limits: Limits,
        admission: ConnectionLimiter,
        group: int | None,
        make_inner: Callable[[Connection], asyncio.Protocol],
        begun: Callable[[Connection], None],
        ended: Callable[[Connection], None],
    ) -> None:
        self.peer = Peer(0, 0xFFFFFFFF, 0xFFFFFFFF)
        self.gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when the client is gone or the daemon stops, which ends long answers."""
        self._limits = limits
        self._admission = admission
        self._group = group
        self._make_inner = make_inner
        self._begun = begun
        self._ended = ended
        self._inner: asyncio.Protocol | None = None
        self._transport: asyncio.Transport | None = None
        self._head = bytearray()
        self._received = 0
        self._body_left = 0
        self._entered = False
        self._timer: asyncio.TimerHandle | None = None
        self._pause = FIRST_PAUSE
        self._resumption: asyncio.TimerHandle | None = None

    @property
    def uid(self) -> int:
        """The client's user id."""
        return self.peer.uid

    # --- the transport's calls ---------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._begun(self)
        try:
            self.peer = peer_of(transport.get_extra_info("socket"))
        except OSError:
            transport.abort()
            return
        if not self.peer.may_read(self._group):
            self._admission.refused += 1
            transport.abort()
            return
        self._entered = self._admission.enter(self)
        if not self._entered:
            self._refuse(Problem.BUSY, "too many connections are at work", "try again in a moment")
            return
        self._start_timer(self._limits.request_time, self._too_slow)

    def data_received(self, data: bytes) -> None:
        self._received += len(data)
        if self._inner is None:
            if self._entered:
                self._collect(data)
            return
        self._pass_on(data)
        most = self._limits.head_size + 2 * self._limits.body_size
        if not self._body_left and self._received > most and self._transport:
            self._transport.pause_reading()  # what comes is nobody's; a body's pace is the HTTP server's

    def eof_received(self) -> bool | None:
        return self._inner.eof_received() if self._inner is not None else False

    def pause_writing(self) -> None:
        if self._inner is not None:
            self._inner.pause_writing()

    def resume_writing(self) -> None:
        if self._inner is not None:
            self._inner.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        self.interrupt()
        self._leave()
        if self._inner is not None:
            self._inner.connection_lost(exc)
        self._transport = None
        self._ended(self)

    # --- the head ----------------------------------------------------------------------------------

    def _collect(self, data: bytes) -> None:
        start = max(0, len(self._head) - len(_END))
        self._head += data if self._head else data.lstrip(b"\r\n")
        end = self._head.find(_END, start)
        if end > self._limits.head_size or (end < 0 and len(self._head) > self._limits.head_size):
            self._refuse(
                Problem.REQUEST,
                f"the request's head is longer than {self._limits.head_size} bytes",
                "send a shorter one",
                status=HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
            )
        elif end >= 0:
            self._begin(end + len(_END))
        elif self._transport is not None:
            self._rest(self._transport)

    def _rest(self, transport: asyncio.Transport) -> None:
        """Continue reading later: a client that sends byte by byte must not keep the daemon busy."""
        transport.pause_reading()
        loop = asyncio.get_running_loop()
        self._resumption = loop.call_later(self._pause, transport.resume_reading)
        self._pause = min(2 * self._pause, LONGEST_PAUSE)

    def _begin(self, end: int) -> None:
        """Pass the request on, whose head ends before `end`; the rest is its body."""
        assert self._transport is not None
        text, body, self._head = bytes(self._head[:end]), bytes(self._head[end:]), bytearray()
        try:
            head = read_head(text)
        except HeadError as flaw:
            self._refuse(Problem.REQUEST, f"this is not HTTP: {flaw}", "send an HTTP/1.1 request")
            return
        self._admission.begin_work(self)
        # The body's own limit is lower; this one holds whatever the HTTP server makes of the request.
        self._start_timer(2 * self._limits.request_time, self.evict)
        self._inner = self._make_inner(self)
        self._inner.connection_made(self._transport)
        self._inner.data_received(head.passed_on)
        self._body_left = head.body_size
        self._pass_on(body)

    def _pass_on(self, data: bytes) -> None:
        """Pass on what is the body's; whatever comes after it is nobody's."""
        assert self._inner is not None
        part, self._body_left = data[: self._body_left], max(0, self._body_left - len(data))
        if part:
            self._inner.data_received(part)

    # --- time --------------------------------------------------------------------------------------

    def request_complete(self) -> None:
        """Stop the client's timer: the request is complete."""
        self._stop_timer()

    def answer_begins(self) -> None:
        """Start the client's timer again: the answer is ready."""
        self._start_timer(self._limits.answer_time, self.evict)

    def interrupt(self) -> None:
        """End a long answer."""
        if not self.gone.done():
            self.gone.set_result(None)

    def evict(self) -> None:
        """Close at once, whatever its state."""
        self._stop_timer()
        self._leave()
        if self._transport is not None:
            self._transport.abort()

    def _too_slow(self) -> None:
        self._refuse(
            Problem.REQUEST,
            f"no complete request came within {self._limits.request_time:g} s",
            "send the request at once",
            status=HTTPStatus.REQUEST_TIMEOUT,
        )

    def _start_timer(self, seconds: float, then: Callable[[], None]) -> None:
        self._stop_timer()
        self._timer = asyncio.get_running_loop().call_later(seconds, then)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._resumption is not None:
            self._resumption.cancel()
            self._resumption = None

    def _leave(self) -> None:
        if self._entered:
            self._entered = False
            self._admission.leave(self)

    def _refuse(self, problem: Problem, detail: str, hint: str, *, status: int | None = None) -> None:
        """Answer without a request, and close; the answer fits into the socket's buffer."""
        self._stop_timer()
        self._leave()
        if self._transport is not None:
            self._transport.write(raw_response(problem_report(problem, detail, hint, status=status)))
            self._transport.close()
