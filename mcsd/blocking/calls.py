"""Blocking calls by subject: run in threads, with limited waiting, and reported if they hang.

- A hung call uses up nothing shared: threads are created as needed, and a place among the concurrent calls is
  only lent for a moment.
- A call without a sign of life for `PATIENCE` is *overdue*: it is reported, and shown in the status, until it
  returns. If mcsd can do without the answer, the caller gets a `BlockedError`.
- While a call about a subject is overdue, no other call about it that could be given up is started: so a hung
  file system holds one thread for each volume, not one for each request.
- A host error without a message from an adapter becomes a `HostError`, and does not end the daemon.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from mcsd.blocking.threads import Threads
from mcsd.core.blocked import Blocked, Subject
from mcsd.errors import BlockedError, HostError

T = TypeVar("T")

PATIENCE = 10.0
"""Seconds without a sign of life after which a call is overdue."""
WALKS = 3
"""The factor by which walks may take longer: they wait for a disk that is busy."""
PLACES = 32
"""Calls that run concurrently, without walks."""
WALKS_AT_ONCE = 256
"""Walks that run concurrently; each may have threads of its own."""
LEND, LEND_WALK = 0.1, 1.0
"""Seconds without a sign of life after which a call, or a walk, gives its place back."""
STOPPING = 10.0
"""Seconds that a stop of the daemon waits for calls to return."""


class BlockingCall:
    """A call that has not returned. `alive` may be called from any thread."""

    def __init__(self, subject: Subject, patience: float, loop: asyncio.AbstractEventLoop) -> None:
        self.subject = subject
        self.patience = patience
        self.is_overdue = False
        self._loop = loop
        self._sign = loop.time()

    def alive(self) -> None:
        """Record a sign of life."""
        self._sign = self._loop.time()

    @property
    def silent(self) -> float:
        """The seconds since the last sign of life."""
        return self._loop.time() - self._sign

    @property
    def blocked(self) -> Blocked:
        """The report about the call, if it is overdue."""
        return Blocked(self.subject, self.silent)


class Blocking:
    """See the module. Owned by the event loop's thread."""

    def __init__(
        self,
        threads: Threads,
        *,
        patience: Callable[[Subject], float] = lambda _: PATIENCE,
        places: int = PLACES,
    ) -> None:
        self._threads = threads
        self._patience = patience
        self._places = asyncio.Semaphore(places)
        self._walks = asyncio.Semaphore(WALKS_AT_ONCE)
        self._calls: dict[BlockingCall, asyncio.TimerHandle] = {}
        self._listeners: list[Callable[[Blocked, bool], None]] = []

    def listen(self, listener: Callable[[Blocked, bool], None]) -> None:
        """Call `listener` with True when a call becomes overdue, and with False when it continues."""
        self._listeners.append(listener)

    def blocked(self) -> tuple[Blocked, ...]:
        """Return the overdue calls, the longest first; one for each subject."""
        found: dict[Subject, Blocked] = {}
        for call in sorted(self._calls, key=lambda one: -one.silent):
            if call.is_overdue:
                found.setdefault(call.subject, call.blocked)
        return tuple(found.values())

    def require(self, subject: Subject) -> None:
        """Raise `BlockedError` if a call about a subject is overdue."""
        for one in self.blocked():
            if one.subject == subject:
                raise _error(one)

    async def run(self, subject: Subject, work: Callable[[], T]) -> T:
        """Run `work`, and return its result or raise its exception; give up after `PATIENCE`.

        Raises `BlockedError` if it does not return, at once if an earlier call about the same subject has
        not; `HostError` if the host fails it. Work that was given up continues in its thread; its result is
        dropped.
        """
        self.require(subject)
        await self._places.acquire()
        call = BlockingCall(subject, self._patience(subject), asyncio.get_running_loop())
        done = self._begin(call, lambda _: work(), _Loan(self._places, call, LEND))
        await self._until_silent(call, done)
        return _result(subject, done)

    async def walk(
        self, subject: Subject, work: Callable[[BlockingCall], T], *, is_given_up: bool = False
    ) -> T:
        """Run `work`, however long it takes, in a thread that ends with it; it gives signs of life.

        With `is_given_up`, waiting ends as in `run` if it gives none.
        """
        if is_given_up:
            self.require(subject)
        await self._walks.acquire()
        call = BlockingCall(subject, WALKS * self._patience(subject), asyncio.get_running_loop())
        done = self._begin(call, work, _Loan(self._walks, call, LEND_WALK), is_last=True)
        if is_given_up:
            await self._until_silent(call, done)
        else:
            await asyncio.wait({done})
        return _result(subject, done)

    @contextmanager
    def watched(self, subject: Subject) -> Iterator[None]:
        """Watch a call that is run elsewhere and awaited in the block."""
        call = BlockingCall(subject, self._patience(subject), asyncio.get_running_loop())
        self._enter(call)
        try:
            yield
        finally:
            self._leave(call)

    async def close(self) -> None:
        """Wait for a while for running calls; those that do not return end with the process."""
        await self._threads.close(within=STOPPING)
        for timer in self._calls.values():
            timer.cancel()

    def _begin(
        self, call: BlockingCall, work: Callable[[BlockingCall], T], loan: _Loan, *, is_last: bool = False
    ) -> asyncio.Future[T]:
        try:
            done = self._threads.submit(lambda: work(call), is_last=is_last)
        except BaseException:
            loan.end()
            raise
        self._enter(call)
        done.add_done_callback(lambda _: self._leave(call))
        done.add_done_callback(lambda _: loan.end())
        return done

    async def _until_silent(self, call: BlockingCall, done: asyncio.Future[T]) -> None:
        while not done.done():
            left = call.patience - call.silent
            if left <= 0:
                self._late(call)
                raise _error(call.blocked)
            await asyncio.wait({done}, timeout=left)

    # --- who is late

    def _enter(self, call: BlockingCall) -> None:
        self._calls[call] = self._look_in(call, call.patience)

    def _look_in(self, call: BlockingCall, seconds: float) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(seconds, self._look, call)

    def _look(self, call: BlockingCall) -> None:
        left = call.patience - call.silent
        if left <= 0:
            self._late(call)
        elif call.is_overdue:
            self._in_time(call)
        self._calls[call] = self._look_in(call, max(left, call.patience / 10))

    def _late(self, call: BlockingCall) -> None:
        if not call.is_overdue:
            call.is_overdue = True
            self._tell(call.blocked, is_overdue=True)

    def _in_time(self, call: BlockingCall) -> None:
        call.is_overdue = False
        self._tell(call.blocked, is_overdue=False)

    def _leave(self, call: BlockingCall) -> None:
        self._calls.pop(call).cancel()
        if call.is_overdue:
            self._in_time(call)

    def _tell(self, blocked: Blocked, *, is_overdue: bool) -> None:
        if sum(one.is_overdue and one.subject == blocked.subject for one in self._calls) == is_overdue:
            for listener in self._listeners:  # the first call became overdue, or the last one continued
                listener(blocked, is_overdue)


class _Loan:
    """A place that is given back when its call returns, or gives no sign of life for so many seconds."""

    def __init__(self, places: asyncio.Semaphore, call: BlockingCall, seconds: float) -> None:
        self._places = places
        self._call = call
        self._seconds = seconds
        self._timer: asyncio.TimerHandle | None = None
        self._look_in(seconds)

    def _look_in(self, seconds: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(seconds, self._look)

    def _look(self) -> None:
        left = self._seconds - self._call.silent
        if left <= 0:
            self.end()
        else:
            self._look_in(left)

    def end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._places.release()


def _error(blocked: Blocked) -> BlockedError:
    return BlockedError(blocked.sentence, hint=blocked.subject.hint)


def _result(subject: Subject, done: asyncio.Future[T]) -> T:
    try:
        return done.result()
    except OSError as exc:
        reason = (exc.strerror or str(exc) or type(exc).__name__).lower()
        raise HostError(f"{subject.failure}: {reason}", hint=subject.hint) from exc
