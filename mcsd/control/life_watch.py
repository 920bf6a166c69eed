"""Lives that end: whatever lasts as long as a process, a unit or until a time is ended with it.

Theory of operation ------------------- `held` returns what lasts as long as which life, from the ledger. Each
look asks about every life, and calls `ended` for those that are over. Processes and units are followed as
well, and times are waited for, so that there is a look when one ends. What is held survives a restart of
mcsd, and what ended meanwhile is found by the first look.

What always holds:

- Nothing ends early: a life is over when the kernel or systemd says that this very process or start of a unit
  is gone, or when the wall clock has reached the time. A host that refuses to tell ends nothing.
- Nothing outlives its life by more than one look. There is one at least every `LOOK` seconds, because the
  wall clock may be set, and an end may not be told.

What a failure means: if the ledger cannot be written, nothing has ended, and it is tried again (`SOON`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar, assert_never

from mcsd.core.hints import Hint
from mcsd.core.lives import Life, LifeRequest, ProcessLife, TimeLife, UnitLife, moment_of, unit_name
from mcsd.errors import HostError, LedgerError, NotFoundError, RequestError
from mcsd.ports import Clock, PidWatcher, ProcessLives, UnitLives

LOOK = 30.0
"""Seconds between two looks if nothing is told."""
SOON = 5.0
"""Seconds until the next try if the ledger could not be written."""

K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Lives:
    """Where lives are found."""

    processes: ProcessLives
    units: UnitLives
    clock: Clock

    def begin(self, wanted: LifeRequest) -> Life | None:
        """Return the life that was asked for, None if none was.

        Raises `RequestError` for what makes no sense, `NotFoundError` if it does not live now, `HostError`.
        """
        if wanted.pid is not None:
            return self._process(wanted.pid)
        if wanted.unit:
            return self._unit(wanted.unit)
        return self._time(wanted.until) if wanted.until else None

    def _process(self, pid: int) -> ProcessLife:
        life = self.processes.identify(pid)
        if life is None:
            raise NotFoundError(f"there is no process {pid}", hint=Hint.LIVING_PROCESS.say())
        return life

    def _unit(self, text: str) -> UnitLife:
        name = unit_name(text)
        if name is None:
            raise RequestError(f"{text!r} is no service and no scope", hint=Hint.FOLLOWED_UNIT.say())
        life = self.units.identify(name)
        if life is None:
            raise NotFoundError(f"the unit {name!r} is not active", hint=Hint.ACTIVE_UNIT.say(unit=name))
        return life

    def _time(self, text: str) -> TimeLife:
        now = self.clock.now()
        until = moment_of(text, now)
        if until is None:
            raise RequestError(f"{text!r} is neither a time nor a duration", hint=Hint.TIME_FORM.say())
        if until <= now:
            raise RequestError(f"{text!r} is past already", hint=Hint.TIME_FORM.say())
        return TimeLife(until)

    def lasts(self, life: ProcessLife | UnitLife) -> bool:
        """Tell whether a life is not over; raises `HostError`."""
        if isinstance(life, ProcessLife):
            return self.processes.identify(life.pid) == life
        return self.units.identify(life.unit) == life

    def follow(self, life: ProcessLife | UnitLife, ended: Callable[[], None]) -> PidWatcher | None:
        """Follow a life; see the ports."""
        if isinstance(life, ProcessLife):
            return self.processes.follow(life, ended)
        return self.units.follow(life, ended)


class LifeWatch(Generic[K]):
    """Owned by the event loop's thread. `ended` is called with a key and the life that is over."""

    def __init__(
        self,
        lives: Lives,
        held: Callable[[], Mapping[K, Life]],
        ended: Callable[[K, Life], Awaitable[None]],
    ) -> None:
        self._lives = lives
        self._held = held
        self._ended = ended
        self._lines: dict[Life, PidWatcher] = {}
        self._awake = asyncio.Event()

    def wake(self) -> None:
        """Request a look: something may be held that was not, or no longer."""
        self._awake.set()

    async def run(self) -> None:
        """End what is over, for ever."""
        try:
            while True:
                self._awake.clear()
                pause = await self._try()
                with suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await self._awake.wait()
        finally:
            self.close()

    async def _try(self) -> float:
        try:
            return await self.look()
        except LedgerError:  # reported by the store
            return SOON

    async def look(self) -> float:
        """End what is over now, and return the seconds until the next look; raises `LedgerError`."""
        held = self._held()
        self._follow_only(set(held.values()))
        for key, life in held.items():
            if self._is_over(life):
                await self._ended(key, life)
        now = self._lives.clock.now()
        times = [life.until - now for life in held.values() if isinstance(life, TimeLife)]
        return min(LOOK, *(max(0.0, left) for left in times)) if times else LOOK

    def _follow_only(self, lives: set[Life]) -> None:
        for life in self._lines.keys() - lives:
            self._lines.pop(life).release()

    def _is_over(self, life: Life) -> bool:
        match life:
            case TimeLife(until):
                return self._lives.clock.now() >= until
            case ProcessLife() | UnitLife():
                return not self._lasts(life)
            case _:
                assert_never(life)

    def _lasts(self, life: ProcessLife | UnitLife) -> bool:
        """Ask whether a life lasts, and follow it if it is not followed yet."""
        try:
            if life not in self._lines:
                line = self._lives.follow(life, partial(self._told, life))
                if line is None:
                    return False
                self._lines[life] = line
            return self._lives.lasts(life)
        except HostError:  # the host does not tell: it is asked again with the next look
            return True

    def _told(self, life: Life) -> None:
        self._lines.pop(life, None)
        self.wake()

    def close(self) -> None:
        """Stop following; idempotent."""
        while self._lines:
            self._lines.popitem()[1].release()
