"""Reservations and groups: named levels that are set aside before a container exists.

A reservation is a grant in state *reserved*; a container that is created with its level occupies it, and
when that container is gone the reservation gets it back together with the volumes, so the next one finds its
files labelled already. A group has its own pair, which its members' levels contain; see `mcsd.core.groups`.
"""

from __future__ import annotations

import re
from dataclasses import replace

from mcsd.control.executor import grant_notice
from mcsd.control.reclaimer import Reclaimer
from mcsd.core.changes import Change, Group, PutGrant, PutGroup
from mcsd.core.containers import ContainerId
from mcsd.core.grants import Grant, GrantEvent, GrantState, Origin
from mcsd.core.groups import member_level
from mcsd.core.hints import Hint
from mcsd.core.labels import Level
from mcsd.core.notices import Kind
from mcsd.core.volumes import GrantId
from mcsd.errors import ConflictError, EngineUnavailableError, NotFoundError, RequestError
from mcsd.ports import Clock
from mcsd.state.events import EventBus
from mcsd.state.process_levels import ProcessLevels
from mcsd.state.store import Store, holder_of_group

FIRST_LOOK = 10.0
"""Seconds that a reservation waits for the first inspection of all containers, with an empty ledger."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}", re.ASCII)


class Reservations:
    """Owned by the event loop's thread."""

    def __init__(
        self,
        store: Store,
        process_levels: ProcessLevels,
        reclaimer: Reclaimer,
        bus: EventBus,
        clock: Clock,
        *,
        knows_nobody: bool,
    ) -> None:
        """`knows_nobody` for a ledger that is new or was lost: the containers have to be inspected first."""
        self._knows_nobody = knows_nobody
        self._store = store
        self._process_levels = process_levels
        self._reclaimer = reclaimer
        self._bus = bus
        self._clock = clock

    async def reserve(self, name: str, *, group: str | None = None) -> Grant:
        """Set a level aside; for a name that is taken already, return the same level again.

        Raises `RequestError` for an invalid name, `ConflictError` if the name has another group,
        `ExhaustedError` if no pair is left, `EngineUnavailableError` if the holders are not known yet.
        """
        for text in filter(None, (name, group)):
            if not _NAME.fullmatch(text):
                raise RequestError(
                    f"{text!r} cannot be a name",
                    hint=Hint.PROPER_NAME.say(),
                )
        if self._knows_nobody and not await self._reclaimer.starts(within=FIRST_LOOK):
            raise EngineUnavailableError(
                "no level can be chosen yet: the ledger is new, and Docker has not told who holds which",
                hint=Hint.ASK_LATER.say(),
            )
        return await self._reclaimer.relieve(lambda: self._reserve(name, group))

    async def _reserve(self, name: str, group: str | None) -> Grant:
        if self._named(name) is None:
            await self._process_levels.refresh()  # before the lock for decisions is taken: it may take time
        async with self._store.deciding:
            present = self._named(name)
            if present is not None:
                return self._same(present, group)
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
            )
            await self._store.commit([*changes, PutGrant(grant)])
        self._bus.emit(grant_notice(grant, Kind.GRANTED))
        return grant

    async def release(self, name: str) -> None:
        """Release a reservation; raises `ConflictError` while a container uses it."""
        async with self._store.deciding:
            grant = self._named(name)
            if grant is None:
                raise NotFoundError(f"there is no reservation {name!r}", hint="mcsctl pairs lists them")
            if grant.container:
                raise ConflictError(
                    f"the reservation {name!r} is in use by container {grant.name}",
                    hint=Hint.REMOVE_FIRST.say(name=grant.name),
                )
            given_up = replace(grant.after(GrantEvent.RELEASED, self._clock.now()), reservation="")
            await self._store.commit([PutGrant(given_up)])
        self._reclaimer.wake()

    def _named(self, name: str) -> Grant | None:
        return next((grant for grant in self._store.cache.grants() if grant.reservation == name), None)

    @staticmethod
    def _same(grant: Grant, group: str | None) -> Grant:
        if grant.group != (group or ""):
            raise ConflictError(
                f"the reservation {grant.reservation!r} is there already, "
                + (f"as a member of the group {grant.group!r}" if grant.group else "without a group"),
                hint=Hint.RELEASE_OR_RENAME.say(name=grant.reservation),
            )
        return grant

    def choose(self, group: str | None) -> tuple[list[Change], Level]:
        """Choose a level, a member's if a group is named; the changes create the group if it is new.

        The caller holds `deciding` until it has committed them. Raises `ExhaustedError`, `ConflictError`.
        """
        allocator = self._store.allocator
        if group is None:
            return [], allocator.choose().level
        present = next((one for one in self._store.cache.groups() if one.name == group), None)
        if present is not None:
            return [], member_level(allocator.choose_member(present.pair), [present.pair])
        pair = allocator.choose()
        made = Group(group, pair.low, pair.high, self._clock.now())
        holder = holder_of_group(made)
        allocator.take(pair.level, holder)  # only during the choice: the commit takes it for good
        try:
            own = allocator.choose_member(pair)
        finally:
            allocator.give_back(pair.level, holder)
        return [PutGroup(made)], member_level(own, [pair])
