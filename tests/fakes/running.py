"""How a test runs its asynchronous part: bounded, and with nothing left when it is over."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from tests.fakes.settled import settled

_T = TypeVar("_T")

PATIENCE = 30.0
"""Seconds after which a test that waits is taken to hang."""


def run(scenario: Coroutine[Any, Any, _T], *, within: float = PATIENCE, restarts: bool = False) -> _T:
    """Run a coroutine on a loop of its own; fail when it takes too long or leaves something behind.

    A scenario that `restarts` a stand-in or a daemon leaves the new one behind: nothing is checked then.
    """

    async def bounded() -> _T:
        async with asyncio.timeout(within):
            return await scenario

    with contextlib.nullcontext() if restarts else settled():
        return asyncio.run(bounded())


async def take(stream: AsyncIterator[_T], count: int) -> list[_T]:
    """Take so many items off a stream."""
    return [await anext(stream) for _ in range(count)]


async def until(question: Callable[[], object], *, within: float = PATIENCE) -> None:
    """Wait until a question is answered with something true; fail when it never is."""
    async with asyncio.timeout(within):
        while not question():
            await asyncio.sleep(0.005)


async def outcome(wish: Awaitable[_T]) -> _T | Exception:
    """Return a result or the exception in its place, for looking at."""
    try:
        return await wish
    except Exception as exc:  # noqa: BLE001  # the caller judges it
        return exc
