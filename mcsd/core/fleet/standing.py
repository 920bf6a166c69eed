"""How a host stands among the hosts that share labelled storage with it, without a server between them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from mcsd.core.fleet.holding import FleetHolding, block_in
from mcsd.core.fleet.ranges import HostRange, plan_ranges
from mcsd.core.fleet.storages import SharedMount, StorageUse
from mcsd.core.state_cache import StateCache

NAMED = 3
"""Containers that a sentence names."""


@dataclass(frozen=True, slots=True)
class FleetStanding:
    """`hosts` are those of the plan, () without one; `range` is what the configuration has for this host."""

    name: str
    range: str
    hosts: tuple[str, ...] = ()
    storages: tuple[StorageUse, ...] = ()
    outside: tuple[str, ...] = ()
    """Containers that hold levels outside the planned range, or outside the blocks that this host holds."""
    elsewhere: tuple[str, ...] = ()
    """Why volumes on shared storage that carry this host's labels are not certain to be its own."""
    holding: FleetHolding | None = None
    """What this host holds of a common store's pairs; None without one."""

    @property
    def planned(self) -> HostRange | None:
        """The range that the plan has for this host; None without a plan, or if it does not name the host."""
        return plan_ranges(self.hosts).get(self.name) if self.hosts else None

    @property
    def is_own(self) -> bool | None:
        """Whether no other host of the plan has a pair of this range; None without a plan."""
        return (self.planned is not None and str(self.planned) == self.range) if self.hosts else None

    @property
    def is_concerned(self) -> bool:
        """Whether there is anything to say: a plan, or volumes on storage that other hosts may mount."""
        return bool(self.hosts or self.storages or self.holding is not None)

    def troubles(self) -> tuple[tuple[str, str], ...]:
        """Return what is not as it should be, and what to do about it."""
        if self.holding is not None:
            first = self.holding.says()
        else:
            first = self._misplaced() if self.hosts else self._unplanned()
        found = [first, self._outsiders(), self._volumes_elsewhere()]
        return tuple(one for one in found if one is not None)

    def _unplanned(self) -> tuple[str, str] | None:
        if not self.storages:
            return None
        points = ", ".join(use.mount.point for use in self.storages)
        return (
            f"there are volumes on labelled storage that other hosts may mount ({points}), and pairs are "
            "this host's alone only by chance",
            "mcsctl fleet plan HOST..., with all hosts that mount it",
        )

    def _misplaced(self) -> tuple[str, str] | None:
        planned = self.planned
        if planned is None:
            return (
                f"[fleet] hosts does not name this host, {self.name!r}",
                "add it there on all hosts, or give its name in the plan as [fleet] name, and restart mcsd",
            )
        if str(planned) == self.range:
            return None
        return (
            f"[categories] range is {self.range}, and the plan has {planned} for {self.name!r}",
            f'set [categories] range = "{planned}", and restart mcsd',
        )

    def _volumes_elsewhere(self) -> tuple[str, str] | None:
        if not self.elsewhere:
            return None
        more = len(self.elsewhere) - 1
        text = self.elsewhere[0] + (f", and {more} more" if more else "")
        return (
            f"a volume here is labelled, and {text}",
            "remove the containers that have it on one of the hosts",
        )

    def _outsiders(self) -> tuple[str, str] | None:
        if not self.outside:
            return None
        more = len(self.outside) - NAMED
        names = ", ".join(self.outside[:NAMED]) + (f" and {more} more" if more > 0 else "")
        return (
            f"levels that are not this host's are held by {names}",
            "have mcsd choose the levels (mcsctl gate enable --reload), then recreate these containers",
        )


def levels_outside(cache: StateCache, standing: FleetStanding) -> tuple[str, ...]:
    """Return the names of those that hold levels not this host's: Docker chooses from all categories."""
    if standing.holding is not None:
        record = standing.holding.record
        own = record.held if record is not None else frozenset()
        return tuple(grant.name for grant in cache.grants() if block_in(grant.level) not in own)
    planned = standing.planned
    if planned is None:
        return ()
    return tuple(grant.name for grant in cache.grants() if not planned.has(grant.level))


def places_of_claims(cache: StateCache) -> Mapping[str, tuple[str, ...]]:
    """Return all claimed places on the host, and the names of who claims each, labelled or not."""
    found: dict[str, list[str]] = {}
    for grant in cache.grants():
        for claim in cache.claims_of(grant.id):
            volume = cache.volume(claim.volume) if claim.volume is not None else None
            names = found.setdefault(volume.path if volume is not None else claim.source, [])
            if grant.name not in names:
                names.append(grant.name)
    return {path: tuple(names) for path, names in found.items()}


def uses_of(mounts: Mapping[str, SharedMount], places: Mapping[str, Iterable[str]]) -> tuple[StorageUse, ...]:
    """Combine which mount each place is on with who claims it, by mount point."""
    users: dict[SharedMount, set[str]] = {}
    for path, mount in mounts.items():
        users.setdefault(mount, set()).update(places.get(path, ()))
    ordered = sorted(users.items(), key=lambda item: item[0].point)
    return tuple(StorageUse(mount, tuple(sorted(names))) for mount, names in ordered)
