"""What can reach what by level: the host's containers and volumes, divided into cells.

The cells are the connected components of a graph. Its nodes are *actors* (containers, and processes that are
not this engine's) and *things* (volumes, and strays outside every volume). An actor is joined to each thing
that its level dominates, whether it has mounted that or could only reach it after an escape, and to each
actor whose level is comparable to its own. So the kernel allows no access between two cells, and sharing a
cell should be on purpose.

Two kinds of nodes are excluded, because they would join everything: actors that no level confines
(*unbounded*, each a cell of its own), and things without categories, which are open to everybody (one cell,
and listed again beside whoever has mounted them).

All this is by levels. Whether the kernel enforces them is up to the host (`isolation.host_reasons`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from mcsd.core.grants import Grant
from mcsd.core.isolation import Why
from mcsd.core.labels import Level, level_of
from mcsd.core.separation import Separation
from mcsd.core.snapshot import ForeignHolder, Sighting, Snapshot
from mcsd.core.strays import Stray
from mcsd.core.volumes import Claim, ClaimMode, ClaimState

MOST_BY_LEVEL = 32
"""The most links of one actor to things that it has not mounted; its cell says if there may be more."""


class CellKind(StrEnum):
    """What a cell means for the administrator, the most urgent first; part of the API."""

    UNBOUNDED = "unbounded"
    CONFLICT = "conflict"
    OPEN = "open"
    TOGETHER = "together"
    UNCLAIMED = "unclaimed"
    ALONE = "alone"
    FOREIGN = "foreign"


class ThingKind(StrEnum):
    """What can be reached; part of the API."""

    VOLUME = "volume"
    UNMANAGED = "unmanaged"
    """A mount that mcsd does not label: its own label decides."""
    STRAY = "stray"
    HOST = "host"
    """A place of the host that a mount shows and that no category protects."""


class How(StrEnum):
    """The relation of an actor to a thing; part of the API."""

    MOUNTED = "mounted"
    LEVEL = "level"
    """Not mounted, but its level would allow access."""
    DENIED = "denied"
    """Mounted, but its level does not allow access, or mcsd has refused the volume."""


@dataclass(frozen=True, slots=True)
class Actor:
    """Who may reach things. `level` is its process's, or the granted one while no process runs."""

    name: str
    level: Level | None
    container: str = ""
    pid: int | None = None
    running: bool = True
    isolated: bool | None = None
    unbounded: str = ""
    """Why no level confines it; "" if one does."""
    disputed: bool = False
    """Whether it has a conflict."""
    group: str = ""


@dataclass(frozen=True, slots=True)
class Thing:
    """Something that can be reached. `count` is how many files a stray stands for."""

    name: str
    kind: ThingKind
    level: Level | None = None
    volume: str = ""
    count: int = 0

    @property
    def is_open(self) -> bool:
        """Whether everybody's level dominates its own."""
        return self.level is not None and not self.level.categories


@dataclass(frozen=True, slots=True)
class Link:
    """An actor and a thing, by their indexes in their cell."""

    actor: int
    thing: int
    how: How
    writable: bool = True


@dataclass(frozen=True, slots=True)
class Cell:
    """Actors and things that no level separates from each other."""

    kind: CellKind
    actors: tuple[Actor, ...] = ()
    things: tuple[Thing, ...] = ()
    links: tuple[Link, ...] = ()


_UNBOUNDED = {
    Why.PRIVILEGED,
    Why.HOST_PID,
    Why.HOST_IPC,
    Why.LABEL_DISABLED,
    Why.PERMISSIVE_DOMAIN,
    Why.UNBOUND_DOMAIN,
    Why.ENGINE_SOCKET,
    Why.NO_GRANT,
}


def _actor(sighting: Sighting, grant: Grant | None) -> Actor:
    container = sighting.container
    level = level_of(sighting.process) if container.running else None
    if level is None and grant is not None:
        level = grant.level
    unbounded = ""
    if container.running:
        reasons = (one.text for one in sighting.verdict.reasons if one.why in _UNBOUNDED)
        unbounded = next(reasons, "it has no level" if level is None else "")
    return Actor(
        name=container.name,
        level=level,
        container=container.id,
        pid=container.pid,
        running=container.running,
        isolated=sighting.verdict.isolated and not sighting.error,
        unbounded=unbounded,
        disputed=bool(sighting.conflicts),
        group=grant.group if grant else "",
    )


def _foreigner(holder: ForeignHolder) -> Actor:
    return Actor(name=str(holder.context), level=holder.context.level, pid=holder.pid)


def _binding_level(actor: Actor) -> Level | None:
    """Return the level that holds an actor; None where none does, or one that is everybody's."""
    level = None if actor.unbounded else actor.level
    return level if level is not None and level.categories else None


class _Parts:
    """Nodes by number, joined into components (union by the lower number, path halving)."""

    def __init__(self, count: int) -> None:
        self._above = list(range(count))

    def root(self, node: int) -> int:
        above = self._above
        while above[node] != node:
            above[node] = above[above[node]]
            node = above[node]
        return node

    def join(self, one: int, other: int) -> None:
        low, high = sorted((self.root(one), self.root(other)))
        self._above[high] = low


_Links = dict[tuple[int, int], tuple[How, bool]]
"""By the numbers of an actor and a thing: their relation, and whether the actor may write."""


class _Graph:
    """Collects the nodes and links; `cells` divides them."""

    def __init__(self, snapshot: Snapshot, strays: Iterable[Stray]) -> None:
        self._cache = snapshot.cache
        self._actors: list[Actor] = []
        self._things: list[Thing] = []
        self._links: _Links = {}
        self._by_volume: dict[str, int] = {}
        self._by_path: dict[str, int] = {}
        for volume in self._cache.volumes():
            self._by_volume[volume.id] = self._add(
                Thing(volume.path, ThingKind.VOLUME, volume.level, volume.id)
            )
        for stray in strays:
            path = stray.paths[0] if stray.paths else ""
            self._add(Thing(path, ThingKind.STRAY, stray.level, count=stray.count))
        for sighting in sorted(snapshot.container_status, key=lambda one: one.container.name):
            self._add_container(sighting)
        self._actors += map(_foreigner, snapshot.foreign)

    def _add(self, thing: Thing) -> int:
        self._things.append(thing)
        return len(self._things) - 1

    def _add_container(self, sighting: Sighting) -> None:
        grant = self._cache.grant_of(sighting.container.id)
        number = len(self._actors)
        actor = _actor(sighting, grant)
        self._actors.append(actor)
        weak = [one for one in sighting.weaknesses if actor.running and one.barrier.weakens]
        shown = dict.fromkeys(one.source for one in weak)
        for source in shown:
            self._links[number, self._add(Thing(source, ThingKind.HOST))] = (How.MOUNTED, True)
        for claim in self._cache.claims_of(grant.id) if grant else ():
            if claim.source not in shown or claim.volume is not None:
                thing, how = self._claimed(claim, actor)
                self._links[number, thing] = (how, claim.writable)

    def _claimed(self, claim: Claim, actor: Actor) -> tuple[int, How]:
        """Return the thing that a claim is on, and the container's relation to it."""
        known = self._by_volume.get(claim.volume or "")
        if known is not None:
            level = self._things[known].level
            lets = actor.level is None or level is None or actor.level.dominates(level)
            return known, How.MOUNTED if lets else How.DENIED
        if claim.state in {ClaimState.REFUSED, ClaimState.FAILED}:
            return self._add(Thing(claim.source, ThingKind.UNMANAGED)), How.DENIED
        if claim.mode in {ClaimMode.OBSERVE, ClaimMode.IGNORE} and claim.source in self._by_path:
            return self._by_path[claim.source], How.MOUNTED
        self._by_path[claim.source] = self._add(Thing(claim.source, ThingKind.UNMANAGED))
        return self._by_path[claim.source], How.MOUNTED

    def _join_by_levels(self, parts: _Parts) -> None:
        """Join comparable actors, and actors to what their levels dominate."""
        first = len(self._actors)
        actors: Separation[int] = Separation()
        things: Separation[int] = Separation()
        for number, thing in enumerate(self._things):
            if thing.level is not None:
                things.put(number, thing.level)
        for number, actor in enumerate(self._actors):
            level = _binding_level(actor)
            if level is None:
                continue
            for other in actors.comparable_to(level):
                parts.join(number, other)
            actors.put(number, level)
            for place, reached in enumerate(sorted(things.dominated_by(level))):
                parts.join(number, first + reached)
                if place < MOST_BY_LEVEL:
                    self._links.setdefault((number, reached), (How.LEVEL, True))

    def cells(self) -> Iterator[Cell]:
        """Divide everything into cells, in no particular order."""
        first = len(self._actors)
        parts = _Parts(first + len(self._things))
        self._join_by_levels(parts)
        for (actor, thing), (how, _) in self._links.items():
            joins = how is not How.DENIED and not self._actors[actor].unbounded
            if joins and not self._things[thing].is_open:
                parts.join(actor, first + thing)
        actors: dict[int, list[int]] = {}
        things: dict[int, list[int]] = {}
        everybodys: list[int] = []
        for number in range(first):
            actors.setdefault(parts.root(number), []).append(number)
        for number, one in enumerate(self._things):
            if one.is_open:
                everybodys.append(number)
            else:
                things.setdefault(parts.root(first + number), []).append(number)
        links: dict[int, _Links] = {}
        for (actor, thing), link in self._links.items():
            links.setdefault(parts.root(actor), {})[actor, thing] = link
        for root, members in actors.items():
            yield self._cell(members, things.pop(root, []), links.get(root, {}))
        linked = {thing for _, thing in self._links}
        own = {ThingKind.UNMANAGED, ThingKind.HOST}
        # A thing without a level is listed only beside whoever has mounted it.
        for left in things.values():
            if any(self._things[it].kind not in own or it not in linked for it in left):
                yield self._cell([], left, {})
        if everybodys:
            yield Cell(CellKind.OPEN, things=tuple(self._things[it] for it in everybodys))

    def _cell(self, actors: list[int], things: list[int], links: _Links) -> Cell:
        """Make a cell of these; `links` are its actors', also to things in another cell."""
        things = [*things, *sorted({thing for _, thing in links} - set(things))]
        people = {number: place for place, number in enumerate(actors)}
        places = {number: place for place, number in enumerate(things)}
        members = tuple(self._actors[one] for one in actors)
        return Cell(
            _kind(members),
            members,
            tuple(self._things[one] for one in things),
            tuple(
                Link(people[actor], places[thing], how, writable)
                for (actor, thing), (how, writable) in links.items()
            ),
        )


def _kind(actors: tuple[Actor, ...]) -> CellKind:
    if not actors:
        return CellKind.UNCLAIMED
    if any(one.unbounded for one in actors):
        return CellKind.UNBOUNDED
    if any(one.disputed for one in actors):
        return CellKind.CONFLICT
    if any(one.level is not None and not one.level.categories for one in actors):
        return CellKind.OPEN
    if all(not one.container for one in actors):
        return CellKind.FOREIGN
    return CellKind.ALONE if len(actors) == 1 else CellKind.TOGETHER


def cells_of(snapshot: Snapshot, strays: Iterable[Stray]) -> Iterator[Cell]:
    """Divide containers, volumes and strays into cells that no level joins, in no particular order.

    Takes time linear in the number of nodes and links, not in that of pairs.
    """
    return _Graph(snapshot, strays).cells()
