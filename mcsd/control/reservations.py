"""Reservations and groups: named levels that are set aside before a container exists.

A reservation is a grant in state *reserved*; a container that is created with its level occupies it, and
when that container is gone the reservation gets it back together with the volumes, so the next one finds its
files labelled already. A group has its own pair, which its members' levels contain; see `mcsd.core.groups`.

A reservation may have a life (`mcsd.core.lives`), and ends with it as if it were released: its level goes
into quarantine, like that of any container that is gone. If a container has the level by then, nothing is
taken from it: it keeps the level as an ordinary grant, and the name is free for another reservation.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Protocol

from mcsd.control.executor import grant_notice
from mcsd.control.life_watch import Lives
from mcsd.control.reclaimer import Reclaimer
from mcsd.core.changes import Change, Group, PutGrant, PutGroup
from mcsd.core.containers import DOCKER, ContainerId
from mcsd.core.grants import Grant, GrantState, Origin
from mcsd.core.groups import NAME, member_level
from mcsd.core.hints import Hint
from mcsd.core.labels import CategoryPair, Level
from mcsd.core.lives import NO_LIFE, Life, LifeRequest
from mcsd.core.notices import Kind, Notice
from mcsd.core.volumes import GrantId
from mcsd.errors import ConflictError, EngineUnavailableError, NotFoundError, RequestError
from mcsd.state.events import EventBus
from mcsd.state.process_levels import ProcessLevels
from mcsd.state.store import Store, holder_of_group

FIRST_LOOK = 10.0
"""Seconds that a reservation waits for the first inspection of all containers, with an empty ledger."""


class FleetGroups(Protocol):
    """Groups that hosts have in common."""

    async def join_group(self, name: str) -> CategoryPair:
        """Return a group's pair, and take part in it; raises `FleetError`, `HostError`, `LedgerError`."""
        ...

    def group(self, name: str) -> CategoryPair | None:
        """Return the pair of a group that this host takes part in."""
        ...


class Reservations:
    """Owned by the event loop's thread."""

    def __init__(
        self,
        store: Store,
        process_levels: ProcessLevels,
        reclaimer: Reclaimer,
        bus: EventBus,
        lives: Lives,
        *,
        knows_nobody: bool,
        engines: Collection[str],
    ) -> None:
        """`knows_nobody` for a ledger that is new or was lost: the containers have to be inspected first.

        `engines` are the names of those that are configured."""
        self._engines = engines
        self._knows_nobody = knows_nobody
        self._store = store
        self._process_levels = process_levels
        self._reclaimer = reclaimer
        self._bus = bus
        self._lives = lives
        self._clock = lives.clock
        self._changed: Callable[[], None] = lambda: None
        self._fleet: FleetGroups | None = None

    def listen(self, listener: Callable[[], None]) -> None:
        """Call `listener` when a reservation with a life was made or has got another."""
        self._changed = listener

    def share(self, fleet: FleetGroups) -> None:
        """Have groups in common with other hosts."""
        self._fleet = fleet

    async def prepare_group(self, group: str | None) -> None:
        """Find out the group's pair, before `choose`; raises `FleetError`, `HostError`, `LedgerError`.

        Without a fleet there is nothing to be found out.
        """
        if group and self._fleet is not None:
            await self._fleet.join_group(group)

    def _pair_for(self, group: str) -> CategoryPair:
        """Return the pair of a group that has no member here yet."""
        if self._fleet is None:
            return self._store.allocator.choose()
        pair = self._fleet.group(group)
        if pair is None:
            raise ConflictError(f"the group {group!r} was left meanwhile", hint=Hint.JOIN_LATER.say())
        return pair

    async def reserve(self, name: str, *, group: str | None = None, life: LifeRequest = NO_LIFE) -> Grant:
        """Set a level aside; for a name that is taken already, return the same level again.

        The life that was asked for last counts; without one, a present one stays. Raises `RequestError` for
        an invalid name or life, `NotFoundError` for a process or unit that does not live, `ConflictError` if
        the name has another group, `ExhaustedError` if no pair is left, `EngineUnavailableError` if the
        holders are not known yet, `HostError` if the host does not tell who lives.
        """
        for text in filter(None, (name, group)):
            if not NAME.fullmatch(text):
                raise RequestError(
                    f"{text!r} cannot be a name",
                    hint=Hint.PROPER_NAME.say(),
                )
        await self.require_holders()
        await self.prepare_group(group)
        begun = self._lives.begin(life)
        grant = await self._reclaimer.relieve(lambda: self._reserve(name, group, begun))
        self._changed()
        return grant

    async def require_holders(self) -> None:
        """Raise `EngineUnavailableError` if it is not known yet who holds which level."""
        if self._knows_nobody and not await self._reclaimer.starts(within=FIRST_LOOK):
            raise EngineUnavailableError(
                "no level can be chosen yet: the ledger is new, and no engine has told who holds which",
                hint=Hint.ASK_LATER.say(),
            )

    async def _reserve(self, name: str, group: str | None, life: Life | None) -> Grant:
        if self._named(name) is None:
            await self._process_levels.refresh()  # before the lock for decisions is taken: it may take time
        async with self._store.deciding:
            present = self._named(name)
            if present is not None:
                return await self._again(present, group, life)
            changes, level = self.choose(group)
            grant = Grant(
                id=GrantId(self._store.cache.next_grant),
                container=ContainerId(""),
                name=name,
                level=level,
                origin=Origin.ASSIGNED,
                state=GrantState.RESERVED,
                since=self._clock.now(),
                group=group or "",
                reservation=name,
                life=life,
            )
            await self._store.commit([*changes, PutGrant(grant)])
        self._bus.emit(grant_notice(grant, Kind.GRANTED))
        return grant

    async def release(self, name: str) -> None:
        """Release a reservation, or a container by its full name or id whose engine is not asked any more.

        Raises `ConflictError` while a container uses the reservation, `NotFoundError` for any other name.
        """
        async with self._store.deciding:
            grant = self._named(name)
            left = self._left_behind(name) if grant is None else None
            if left is not None:
                await self._store.commit([PutGrant(left.given_up(self._clock.now()))])
                self._reclaimer.wake()
                return
            if grant is None:
                raise NotFoundError(f"there is no reservation {name!r}", hint="mcsctl pairs lists them")
            if grant.container:
                raise _in_use(grant)
            await self._store.commit([PutGrant(grant.without_reservation(self._clock.now()))])
        self._reclaimer.wake()

    def _left_behind(self, name: str) -> Grant | None:
        found = (one for one in self._store.cache.grants() if name in {one.full_name, one.container})
        return next((one for one in found if one.is_left_behind(self._engines)), None)

    def lives(self) -> Mapping[GrantId, Life]:
        """Return the lives of reservations, by grant."""
        return {grant.id: grant.life for grant in self._store.cache.grants() if grant.life is not None}

    async def end(self, key: GrantId, life: Life) -> None:
        """End a reservation whose life is over; nothing if it has another by now. Raises `LedgerError`."""
        async with self._store.deciding:
            grant = self._store.cache.grant(key)
            if grant is None or grant.life != life:
                return
            await self._store.commit([PutGrant(grant.without_reservation(self._clock.now()))])
        fields = {"name": grant.reservation, "level": str(grant.level), "reason": life.end}
        self._bus.emit(Notice(Kind.RESERVATION_ENDED, fields, grant.container))
        self._reclaimer.wake()

    def _named(self, name: str) -> Grant | None:
        return next((grant for grant in self._store.cache.grants() if grant.reservation == name), None)

    async def _again(self, grant: Grant, group: str | None, life: Life | None) -> Grant:
        """Return a reservation that is there already, with the life that is asked for now."""
        if grant.group != (group or ""):
            raise ConflictError(
                f"the reservation {grant.reservation!r} is there already, "
                + (f"as a member of the group {grant.group!r}" if grant.group else "without a group"),
                hint=Hint.RELEASE_OR_RENAME.say(name=grant.reservation),
            )
        if life is None or life == grant.life:
            return grant
        renewed = replace(grant, life=life)
        await self._store.commit([PutGrant(renewed)])
        return renewed

    def choose(self, group: str | None) -> tuple[list[Change], Level]:
        """Choose a level, a member's if a group is named; the changes create the group if it is new.

        The caller holds `deciding` until it has committed them. Raises `ExhaustedError`, `ConflictError`.
        """
        allocator = self._store.allocator
        if group is None:
            return [], allocator.choose().level
        present = next((one for one in self._store.cache.groups() if one.name == group), None)
        if present is not None and self._fleet is not None and self._fleet.group(group) != present.pair:
            raise ConflictError(
                f"the group {group!r} has another pair on this host than in the fleet",
                hint=Hint.EMPTY_GROUP.say(group=group),
            )
        if present is not None:
            return [], member_level(allocator.choose_member(present.pair), [present.pair])
        pair = self._pair_for(group)
        made = Group(group, pair.low, pair.high, self._clock.now())
        holder = holder_of_group(made)
        allocator.take(pair.level, holder)  # only during the choice: the commit takes it for good
        try:
            own = allocator.choose_member(pair)
        finally:
            allocator.give_back(pair.level, holder)
        return [PutGroup(made)], member_level(own, [pair])


def _in_use(grant: Grant) -> ConflictError:
    return ConflictError(
        f"the reservation {grant.reservation!r} is in use by container {grant.full_name}",
        hint=Hint.REMOVE_FIRST.say(name=grant.name, engine=grant.engine or DOCKER),
    )
