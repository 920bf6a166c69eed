"""Blocking calls that are made in the caller's thread, for tests of their callers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from mcsd.blocking.calls import Blocking
from mcsd.blocking.threads import Threads
from mcsd.core.blocked import Subject

T = TypeVar("T")


class Immediate(Blocking):
    """Runs what it is given in the thread that asks."""

    def __init__(self) -> None:
        super().__init__(Threads())

    async def run(self, subject: Subject, work: Callable[[], T]) -> T:
        """See `Blocking.run`; what the work raises comes as it is."""
        return work()
