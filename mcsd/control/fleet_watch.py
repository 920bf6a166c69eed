"""How this host stands among those it shares storage with, kept current in the background."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

from mcsd.blocking.calls import Blocking
from mcsd.control.fleet_claims import FleetClaims
from mcsd.core.blocked import Party, Subject
from mcsd.core.fleet.holding import FleetHolding
from mcsd.core.fleet.standing import FleetStanding, levels_outside, places_of_claims, uses_of
from mcsd.core.fleet.storages import StorageUse
from mcsd.core.state_cache import StateCache
from mcsd.errors import HostError, LedgerError
from mcsd.ports import SharedStorages

EVERY = 60.0
"""Seconds between looks at the host's mounts: storage is mounted below volumes without any event of ours."""

PAUSE = 1.0
"""Seconds between two looks, so that a thousand starts need few of them."""


@dataclass(frozen=True, slots=True)
class FleetPlan:
    """What is configured: this host's name and range, and the names of all hosts, () without a plan."""

    name: str
    range: str
    hosts: tuple[str, ...] = ()


class FleetWatch:
    """Owned by the event loop's thread."""

    def __init__(
        self,
        plan: FleetPlan,
        cache: StateCache,
        storages: SharedStorages,
        blocking: Blocking,
        holding: Callable[[], FleetHolding | None],
        claims: FleetClaims | None,
    ) -> None:
        """`holding` returns what this host holds of a common store's pairs, None without a store."""
        self._plan = plan
        self._cache = cache
        self._storages = storages
        self._blocking = blocking
        self._holding = holding
        self._claims = claims
        self._elsewhere: tuple[str, ...] = ()
        self._uses: tuple[StorageUse, ...] = ()
        self._awake = asyncio.Event()

    def standing(self) -> FleetStanding:
        """Return how this host stands; quick."""
        standing = FleetStanding(
            self._plan.name,
            self._plan.range,
            self._plan.hosts,
            self._uses,
            holding=self._holding(),
            elsewhere=self._elsewhere,
        )
        return replace(standing, outside=levels_outside(self._cache, standing))

    async def look(self) -> None:
        """Look which volumes are on shared storage now, and have them claimed; raises `HostError`."""
        places = places_of_claims(self._cache)
        found = await self._blocking.run(Subject(Party.MOUNTS), lambda: self._storages.shared(places.keys()))
        self._uses = uses_of(found, places)
        if self._claims is not None:
            self._elsewhere = await self._claims.claim_all(found)

    def wake(self) -> None:
        """Request a look, because a claim may have come or gone."""
        self._awake.set()

    async def run(self) -> None:
        """Look again and again, for ever."""
        while True:
            self._awake.clear()
            with suppress(HostError, LedgerError):  # shown while it lasts; reported by the store
                await self.look()
            await asyncio.sleep(PAUSE)
            with suppress(TimeoutError):
                async with asyncio.timeout(EVERY):
                    await self._awake.wait()
