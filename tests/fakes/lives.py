"""Processes and units in memory: `mcsd.ports.ProcessLives` and `UnitLives` that tests begin and end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

from mcsd.core.lives import ProcessLife, UnitLife
from mcsd.errors import HostError
from mcsd.ports import PidWatcher

K = TypeVar("K", int, str)
L = TypeVar("L", ProcessLife, UnitLife)


class _Line:
    def __init__(self, ended: Callable[[], None]) -> None:
        self._ended: Callable[[], None] | None = ended

    def release(self) -> None:
        self._ended = None

    def tell(self) -> None:
        told, self._ended = self._ended, None
        if told is not None:
            told()


class _Lives(Generic[K, L]):
    """What lives, by pid or name. While `failure` is set, asking raises it; while `silent`, ends are not
    told."""

    def __init__(self) -> None:
        self.present: dict[K, L] = {}
        self.failure: HostError | None = None
        self.silent = False
        self._lines: dict[L, list[_Line]] = {}
        self._begun = 0

    def identify(self, key: K) -> L | None:
        """Return who lives under a pid or name."""
        if self.failure is not None:
            raise self.failure
        return self.present.get(key)

    def _follow(self, key: K, life: L, ended: Callable[[], None]) -> PidWatcher | None:
        if self.identify(key) != life:
            return None
        line = _Line(ended)
        self._lines.setdefault(life, []).append(line)
        return line

    def _begin(self, key: K, life: L) -> L:
        self.end(key)
        self.present[key] = life
        return life

    def _next(self) -> int:
        self._begun += 1
        return self._begun

    def end(self, key: K) -> None:
        """End who lives under a pid or name, if anybody does."""
        gone = self.present.pop(key, None)
        if gone is None or self.silent:
            return
        for line in self._lines.pop(gone, []):
            asyncio.get_running_loop().call_soon(line.tell)


class FakeProcessLives(_Lives[int, ProcessLife]):
    """Processes by pid; `boot` is the kernel's id of the boot."""

    def __init__(self) -> None:
        super().__init__()
        self.boot = "boot-1"

    def begin(self, pid: int) -> ProcessLife:
        """Have a new process with this pid."""
        return self._begin(pid, ProcessLife(pid, 100 * self._next(), self.boot))

    def follow(self, life: ProcessLife, ended: Callable[[], None]) -> PidWatcher | None:
        """See `mcsd.ports.ProcessLives`."""
        return self._follow(life.pid, life, ended)


class FakeUnitLives(_Lives[str, UnitLife]):
    """Units by name."""

    def begin(self, name: str) -> UnitLife:
        """Start a unit, anew if it is active."""
        return self._begin(name, UnitLife(name, f"{self._next():032x}"))

    def follow(self, life: UnitLife, ended: Callable[[], None]) -> PidWatcher | None:
        """See `mcsd.ports.UnitLives`."""
        return self._follow(life.unit, life, ended)
