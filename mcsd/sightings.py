"""What was last seen of each container, and the verdicts that follow from it at any moment.

Verdicts are not stored: they are judged anew from what was seen, the book and the host as they are now,
so a conflict that appears, or `setenforce 0`, shows at once on everyone it concerns. Only changes of a
verdict are told.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mcsd.carriers import Carriers
from mcsd.core.book import Book
from mcsd.core.containers import Container, ContainerId
from mcsd.core.grants import Grant
from mcsd.core.host import Host
from mcsd.core.isolation import Conflict, Evidence, Verdict, judge
from mcsd.core.notices import Kind, Notice
from mcsd.core.picture import Sighting
from mcsd.core.sharing import conflicts_of
from mcsd.herald import Herald
from mcsd.observe import ProcessSight


@dataclass(frozen=True, slots=True)
class _Seen:
    container: Container
    process: ProcessSight
    at: float
    settled: bool
    error: str = ""
    hint: str = ""


class Sightings:
    """Containers as last seen. Owned by the event loop's thread."""

    def __init__(self, book: Book, host: Callable[[], Host], herald: Herald, carriers: Carriers) -> None:
        self._carriers = carriers
        self._book = book
        self._host = host
        self._herald = herald
        self._seen: dict[ContainerId, _Seen] = {}
        self._told: dict[ContainerId, tuple[Verdict | None, tuple[Conflict, ...]]] = {}
        self._listeners: list[Callable[[], None]] = []

    def listen(self, listener: Callable[[], None]) -> None:
        """Call `listener` after each look at a container, and when one is gone."""
        self._listeners.append(listener)

    def see(
        self,
        container: Container,
        process: ProcessSight,
        at: float,
        *,
        settled: bool,
        error: str = "",
        hint: str = "",
    ) -> None:
        """Remember a look at a container and tell what changed about it."""
        self._seen[container.id] = _Seen(container, process, at, settled, error, hint)
        self._tell(container.id)
        self._tell_others(container.id)
        self._looked()

    def forget(self, container: ContainerId) -> None:
        """The container is gone."""
        self._seen.pop(container, None)
        self._told.pop(container, None)
        self._looked()

    def _looked(self) -> None:
        for listener in self._listeners:
            listener()

    def known(self) -> frozenset[ContainerId]:
        """Ids of all containers seen and not gone."""
        return frozenset(self._seen)

    def containers(self) -> tuple[Container, ...]:
        """All containers as last seen."""
        return tuple(seen.container for seen in self._seen.values())

    def get(self, container: ContainerId) -> Container | None:
        """A container as last seen."""
        seen = self._seen.get(container)
        return seen.container if seen else None

    def tell_changes(self) -> None:
        """Judge everyone again and tell what changed: after the host or somebody's level has."""
        for container in self._seen:
            self._tell(container)

    def all(self) -> tuple[Sighting, ...]:
        """Everyone with a fresh verdict, by name."""
        names = sorted(self._seen, key=lambda key: (self._seen[key].container.name, key))
        return tuple(self._sighting(key) for key in names)

    def _sighting(self, key: ContainerId) -> Sighting:
        seen = self._seen[key]
        verdict, conflicts = self._judge(seen)
        return Sighting(
            container=seen.container,
            verdict=verdict,
            seen=seen.at,
            conflicts=conflicts,
            process=seen.process.context,
            network=seen.process.network,
            error=seen.error,
            error_hint=seen.hint,
            settled=seen.settled,
        )

    def _judge(self, seen: _Seen) -> tuple[Verdict, tuple[Conflict, ...]]:
        grant = self._book.grant_of(seen.container.id)
        conflicts = self._conflicts(grant) if grant else ()
        evidence = Evidence(
            host=self._host(),
            container=seen.container,
            grant=grant,
            claims=self._book.claims_of(grant.id) if grant else (),
            conflicts=conflicts,
            process=seen.process.context,
            permissive_domain=seen.process.permissive,
            unbound=seen.process.unbound,
        )
        return judge(evidence), conflicts

    def _conflicts(self, grant: Grant) -> tuple[Conflict, ...]:
        others = [Conflict(g.name, str(g.level), g.container) for g in conflicts_of(grant, self._book)]
        intruders = self._carriers.intruders(grant.level, self._is_ours)
        return (*others, *[Conflict(f"process {one.pid}", one.level) for one in intruders])

    def _is_ours(self, container: str) -> bool:
        return container in self._seen

    def _tell(self, key: ContainerId) -> None:
        seen = self._seen[key]
        verdict, conflicts = self._judge(seen)
        told, told_conflicts = self._told.get(key, (None, ()))
        # A verdict about what is not settled is shown to who asks, and told when it has come to rest.
        self._told[key] = verdict if seen.settled else told, conflicts
        if told_conflicts != conflicts:
            self._tell_conflicts(seen.container, conflicts, told_conflicts)
        if verdict.isolated is None or told == verdict or not seen.settled:
            return
        grant = self._book.grant_of(key)
        if verdict.isolated:
            fields: dict[str, object] = {"name": seen.container.name, "level": grant.level if grant else ""}
            self._herald.emit(Notice(Kind.ISOLATED, fields, key))
        else:
            first = verdict.reasons[0]
            fields = {"name": seen.container.name, "reason": first.text, "hint": first.hint}
            self._herald.emit(Notice(Kind.NOT_ISOLATED, {**fields, "code": first.why}, key))

    def _tell_others(self, key: ContainerId) -> None:
        """Whom it is in conflict with is in conflict too, and nobody may come to look at that one."""
        for conflict in self._told[key][1]:
            other = ContainerId(conflict.container)
            if other in self._seen and other != key:
                self._tell(other)

    def _tell_conflicts(
        self, container: Container, now: tuple[Conflict, ...], before: tuple[Conflict, ...]
    ) -> None:
        grant = self._book.grant_of(container.id)
        for conflict in now:
            if conflict not in before and grant is not None:
                fields = {
                    "name": container.name,
                    "level": str(grant.level),
                    "other": conflict.name,
                    "other_level": conflict.level,
                }
                self._herald.emit(Notice(Kind.CONFLICT, fields, container.id))
