"""Holding booleans at their configured values: read, decide, change in one transaction, read back.

`wake` says that something may have changed: the policy, a container, an order. Each pass reads everything
again and does not depend on remembered state, so neither an additional pass nor a restart does harm. What is
remembered is for reports: since when, by whom, and what was reported already.

If booleans cannot be set, the error is reported once, kept in the report, and the change is tried again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from mcsd.blocking.calls import Blocking
from mcsd.control.booleans.leases import Containers, Leases
from mcsd.control.booleans.reporter import BooleanReporter, blank_view
from mcsd.core.blocked import Party, Subject
from mcsd.core.booleans import (
    Admitted,
    BooleanLease,
    BooleanView,
    Order,
    Refusal,
    Ruling,
    Standing,
    Wish,
    admit,
    decide,
    is_held,
    rule,
    strays,
)
from mcsd.errors import BooleanError, ForbiddenError, HostError, NotFoundError, RequestError
from mcsd.ports import BooleanSwitches, Clock, PidWatchers
from mcsd.state.events import EventBus

T = TypeVar("T")

RECHECK = 30.0
"""Seconds between passes without a cause; the kernel announces changes, and its status page shows them."""
UNKNOWN = 0.5
"""Seconds between passes while it is unknown which containers run."""
FIRST_RETRY = 0.2
LAST_RETRY = 15.0
"""Seconds until the next pass after a failed one; they double up to this."""
BREATH = 0.1
"""The least seconds between passes, so that a conflict over a value does not flood journal and CPU."""
PATIENCE = (0.02, 0.05, 0.1)
"""Seconds to wait for another program's incomplete transaction to end by itself."""


@dataclass(frozen=True, slots=True)
class _Look:
    """What one pass has read. `holders` is None while it is unknown which containers run."""

    rulings: tuple[Ruling, ...]
    admitted: Admitted | None
    standings: Mapping[str, Standing]
    stored: Mapping[str, bool]

    @property
    def governed(self) -> Collection[str]:
        return [ruling.name for ruling in self.rulings if ruling.name is not None]

    @property
    def decisions(self) -> dict[str, bool]:
        return decide(self.rulings, self.standings, self.admitted.holders if self.admitted else None)


@dataclass(slots=True)
class _Troubles:
    """Errors: of everything, or of single booleans."""

    whole: BooleanError | None = None
    single: dict[str, BooleanError] = field(default_factory=dict)

    def of(self, name: str | None) -> BooleanError | None:
        return self.whole or (self.single.get(name) if name is not None else None)


def nothing_stored() -> Mapping[str, bool]:
    """Return no boot values, for when none are stored."""
    return {}


class Booleans:
    """Keeps the configured booleans. Owned by the event loop's thread."""

    def __init__(
        self,
        wishes: Mapping[str, Wish],
        switches: BooleanSwitches,
        bus: EventBus,
        clock: Clock,
        *,
        containers: Containers,
        pid_watchers: PidWatchers,
        blocking: Blocking,
        stored: Callable[[], Mapping[str, bool]] = nothing_stored,
    ) -> None:
        self._wishes = wishes
        self._switches = switches
        self._stored = stored
        self._blocking = blocking
        self._leases = Leases(containers, pid_watchers, self.wake)
        self._tales = BooleanReporter(bus, clock)
        self._orders: dict[str, Order] = {}
        self._look: _Look | None = None
        self._troubles = _Troubles()
        self._turn = asyncio.Lock()
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Request a pass soon, because something may have changed. Cheap."""
        self._woken.set()

    async def run(self) -> None:
        """Run passes when woken, and from time to time, for ever."""
        try:
            retry = FIRST_RETRY
            while True:
                self._woken.clear()
                if await self.reconcile():
                    pause, retry = RECHECK if self._knows_who_runs else UNKNOWN, FIRST_RETRY
                else:
                    pause, retry = retry, min(retry * 2, LAST_RETRY)
                await asyncio.sleep(BREATH)
                await self._wait(pause)
        finally:
            self._leases.close()

    @property
    def _knows_who_runs(self) -> bool:
        return self._look is not None and self._look.admitted is not None

    async def _wait(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        except TimeoutError:
            return

    async def reconcile(self) -> bool:
        """Run one pass: set each boolean to its value; return whether all have it."""
        async with self._turn:
            requests = self._leases.requests()
            try:
                look = await self._ask(lambda: self._see(requests))
            except BooleanError as exc:
                self._troubles = _Troubles(whole=exc)
                if self._wishes or requests:
                    self._tales.failing([exc])
                return False
            return await self._bring(look)

    async def _ask(self, question: Callable[[], T]) -> T:
        try:
            return await self._blocking.run(Subject(Party.BOOLEANS), question)
        except HostError as exc:
            raise BooleanError(exc.what, hint=exc.hint) from exc

    def _see(self, requests: tuple[BooleanLease, ...] | None) -> _Look:
        switches = self._switches
        if not self._wishes and not requests:
            return _Look((), Admitted({}) if requests is not None else None, {}, {})
        known = switches.names()
        rulings = rule(self._wishes, known, switches.substitute, self._orders)
        admitted = None if requests is None else admit(requests, rulings, known, switches.substitute)
        names = {ruling.resolved.name for ruling in rulings if ruling.resolved.name is not None}
        standings = {name: switches.standing(name) for name in sorted(names)}
        return _Look(rulings, admitted, standings, self._stored())

    async def _bring(self, look: _Look) -> bool:
        troubles = _Troubles()
        wanted = look.decisions
        causes = self._tales.seen(look.rulings, look.standings, wanted)
        if wanted:
            troubles.single = await self._change(wanted, look.governed)
            look = await self._read_back(look, wanted, troubles.single)
            done = {name: value for name, value in wanted.items() if name not in troubles.single}
            self._tales.changed(done, causes)
        self._look, self._troubles = look, troubles
        self._tales.judged(look.rulings, look.admitted, set(troubles.single))
        self._tales.failing(troubles.single.values())
        return not troubles.single

    async def _change(self, values: Mapping[str, bool], governed: Collection[str]) -> dict[str, BooleanError]:
        try:
            back = await self._withdrawals(governed)
            await self._ask(lambda: self._switches.change({**back, **values}))
            self._tales.withdrew(back)
        except BooleanError as exc:
            if len(values) == 1:
                return dict.fromkeys(values, exc)
        else:
            return {}
        # One that cannot be set must not prevent the others.
        failed: dict[str, BooleanError] = {}
        for name, value in values.items():
            failed |= await self._change({name: value}, governed)
        return failed

    async def _withdrawals(self, governed: Collection[str]) -> dict[str, bool]:
        for pause in PATIENCE:
            if not strays(await self._ask(self._switches.standings), governed):
                return {}
            await asyncio.sleep(pause)
        return strays(await self._ask(self._switches.standings), governed)

    async def _read_back(
        self, look: _Look, wanted: Mapping[str, bool], failed: dict[str, BooleanError]
    ) -> _Look:
        standings = dict(look.standings)
        for name, value in wanted.items():
            try:
                standings[name] = await self._ask(partial(self._switches.standing, name))
            except BooleanError as exc:
                failed.setdefault(name, exc)
                standings.pop(name)
                continue
            if name not in failed and standings[name] != Standing.at(value):
                failed[name] = BooleanError(
                    f"the boolean {name!r} was set and is not so any more",
                    hint="somebody else sets it too; see ausearch -m MAC_CONFIG_CHANGE",
                )
        return _Look(look.rulings, look.admitted, standings, look.stored)

    async def set(self, name: str, order: str) -> BooleanView:
        """Hold a boolean `on` or `off` until mcsd stops, or as `configured`, as ordered by an administrator.

        `name` is the configuration's or the policy's. Raises `RequestError`, `NotFoundError` for a boolean
        that the configuration does not name, `ForbiddenError` for an unmanaged one, and `BooleanError`.
        """
        try:
            wish = Order(order)
        except ValueError as exc:
            raise RequestError(
                f"a boolean cannot be made {order!r}", hint="the state is on, off or configured"
            ) from exc
        asked = self._find(name)
        before = self._orders.get(asked, Order.CONFIGURED)
        self._order(asked, wish)
        await self.reconcile()
        view = next(one for one in self.report() if one.ruling.asked == asked)
        if view.wanted is not None and view.present is not view.wanted:
            self._order(asked, before)
            self.wake()
            raise BooleanError(view.problem or f"the boolean {name!r} could not be set", hint=view.hint)
        return view

    def _find(self, name: str) -> str:
        rulings = self._look.rulings if self._look else ()
        named = [one for one in rulings if one.resolved.name == name and not one.shadowed_by]
        asked = name if name in self._wishes else named[0].asked if named else None
        if asked is None:
            raise NotFoundError(
                f"the configuration does not name the boolean {name!r}",
                hint="mcsd changes only booleans that [booleans] names; setsebool changes the others",
            )
        if self._wishes[asked] is Wish.UNMANAGED:
            raise ForbiddenError(
                f"the configuration has the boolean {asked!r} as unmanaged",
                hint="give it another value in [booleans] and restart mcsd, or use setsebool",
            )
        if self._troubles.whole is not None:
            raise self._troubles.whole
        for one in rulings:
            if one.asked == asked and one.shadowed_by:
                raise ForbiddenError(
                    f"{asked!r} is another name of {one.shadowed_by!r}", hint="use that name"
                )
            if one.asked == asked and one.name is None:
                raise NotFoundError(f"{asked!r}: {one.resolved.note}", hint="mcsctl booleans shows more")
        return asked

    def _order(self, asked: str, order: Order) -> None:
        if order is Order.CONFIGURED:
            self._orders.pop(asked, None)
        else:
            self._orders[asked] = order

    def report(self) -> tuple[BooleanView, ...]:
        """Return each configured boolean as it was last seen, in the configuration's order."""
        look = self._look
        if look is None or self._troubles.whole is not None:
            error = self._troubles.whole
            return tuple(blank_view(asked, wish, error) for asked, wish in self._wishes.items())
        return tuple(self._view(ruling, look) for ruling in look.rulings)

    def _view(self, ruling: Ruling, look: _Look) -> BooleanView:
        standing = look.standings.get(ruling.resolved.name or "")
        holders = look.admitted.holders if look.admitted else None
        return self._tales.view(
            ruling,
            wanted=ruling.wanted(held=is_held(ruling.name, holders)),
            standing=standing,
            stored=look.stored.get(ruling.name or ""),
            error=self._troubles.of(ruling.name),
        )

    def refusals(self) -> tuple[Refusal, ...]:
        """Return the requests of running containers that are refused."""
        return self._tales.refusals()
