"""The last observation of each container, and its current verdict.

Verdicts are not stored: they are derived from the observations, the cache and the host as they are now, so a
new conflict, or `setenforce 0`, shows at once on every container concerned. Only changes of a verdict are
reported.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from mcsd.core.containers import Container, ContainerId, MountKind
from mcsd.core.exposure import Survey, Weakness, weaknesses
from mcsd.core.grants import Grant
from mcsd.core.host import Host
from mcsd.core.isolation import Conflict, Evidence, Verdict, is_at, judge
from mcsd.core.notices import Kind, Notice
from mcsd.core.processes import ProcessSight, Stage
from mcsd.core.sharing import conflicts_of
from mcsd.core.snapshot import Sighting
from mcsd.core.state_cache import StateCache
from mcsd.core.wishes import Note, notes
from mcsd.state.disk import Disk
from mcsd.state.events import EventBus
from mcsd.state.process_levels import ProcessLevels

PASSING = 10.0
"""Seconds after which a starting or ending container is judged by its process like a running one."""
SOONEST, LATEST = 0.1, 2.0
"""Limits for the seconds until a starting or ending container is observed again: as long as it has taken so
far."""


@dataclass(frozen=True, slots=True)
class _Seen:
    container: Container
    process: ProcessSight
    at: float
    since: float
    """When its process was first seen in its present stage, by the monotonic clock."""
    settled: bool
    error: str = ""
    hint: str = ""
    surveys: Mapping[str, Survey] = field(default_factory=dict)


class ContainerStatus:
    """Containers as last observed. Owned by the event loop's thread."""

    def __init__(
        self,
        cache: StateCache,
        host: Callable[[], Host],
        bus: EventBus,
        process_levels: ProcessLevels,
        disk: Disk,
        steady: Callable[[], float],
    ) -> None:
        self._process_levels = process_levels
        self._disk = disk
        self._steady = steady
        self._cache = cache
        self._host = host
        self._bus = bus
        self._seen: dict[ContainerId, _Seen] = {}
        self._driver_paths: dict[ContainerId, tuple[str, ...]] = {}
        self._noted: dict[ContainerId, tuple[Note, ...]] = {}
        self._told: dict[ContainerId, tuple[Verdict | None, tuple[Conflict, ...]]] = {}
        self._listeners: list[Callable[[], None]] = []

    def listen(self, listener: Callable[[], None]) -> None:
        """Call `listener` after each observation of a container, and when one is gone."""
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
        surveys: Mapping[str, Survey] | None = None,
    ) -> None:
        """Store an observation of a container and report what has changed.

        A starting or ending container is not settled, whatever else was done for it.
        """
        since = self._since(container, process)
        seen = _Seen(container, process, at, since, settled, error, hint, surveys or {})
        self._seen[container.id] = replace(seen, settled=settled and self._stage(seen) is Stage.RUNNING)
        self._keep_driver_paths(container)
        self._tell_misread(container)
        self._tell(container.id)
        self._tell_others(container.id)
        self._looked()

    def _since(self, container: Container, process: ProcessSight) -> float:
        before = self._seen.get(container.id)
        if before is None or before.container.pid != container.pid:
            return self._steady()
        return before.since if before.process.stage is process.stage else self._steady()

    def _stage(self, seen: _Seen) -> Stage:
        """Return a container's stage; one that stays there for too long counts as running."""
        grant = self._cache.grant_of(seen.container.id)
        if grant is not None and seen.process.context is not None and is_at(seen.process.context, grant):
            return Stage.RUNNING
        if self._steady() - seen.since >= PASSING:
            return Stage.RUNNING
        return seen.process.stage

    def next_look(self, container: ContainerId) -> float | None:
        """Return the seconds until a starting or ending container is observed again, None for others."""
        seen = self._seen.get(container)
        if seen is None or not seen.container.running or self._stage(seen) is Stage.RUNNING:
            return None
        return min(max(self._steady() - seen.since, SOONEST), LATEST)

    def forget(self, container: ContainerId) -> None:
        """Remove a container that is gone."""
        self._seen.pop(container, None)
        self._told.pop(container, None)
        self._noted.pop(container, None)
        self._driver_paths.pop(container, None)
        self._looked()

    def _tell_misread(self, container: Container) -> None:
        """Report invalid labels of a container, once."""
        misread = tuple(note for note in notes(container) if note.misread)
        if misread == self._noted.get(container.id, ()):
            return
        self._noted[container.id] = misread
        for note in misread:
            fields = {"name": container.name, "label": note.subject, "reason": note.text, "hint": note.hint}
            self._bus.emit(Notice(Kind.LABEL_MISREAD, fields, container.id))

    def _looked(self) -> None:
        for listener in self._listeners:
            listener()

    def known(self) -> frozenset[ContainerId]:
        """Return the ids of all containers that were observed and are not gone."""
        return frozenset(self._seen)

    def containers(self) -> tuple[Container, ...]:
        """Return all containers as last observed."""
        return tuple(seen.container for seen in self._seen.values())

    def driver_paths(self) -> tuple[str, ...]:
        """Return the paths of volumes that other drivers than Docker's own provide, sorted."""
        return tuple(sorted({path for paths in self._driver_paths.values() for path in paths}))

    def _keep_driver_paths(self, container: Container) -> None:
        """Kept at each observation: every look at a volume asks for the paths of all containers."""
        volumes = (mount for mount in container.mounts if mount.kind is MountKind.VOLUME)
        paths = tuple(mount.source for mount in volumes if mount.driver not in {"", "local"})
        if paths:
            self._driver_paths[container.id] = paths
        else:
            self._driver_paths.pop(container.id, None)

    def get(self, container: ContainerId) -> Container | None:
        """Return a container as last observed."""
        seen = self._seen.get(container)
        return seen.container if seen else None

    def sighting(self, container: ContainerId) -> Sighting | None:
        """Return one container with its current verdict."""
        return self._sighting(container) if container in self._seen else None

    def tell_changes(self) -> None:
        """Judge all containers again and report changes, after the host or a level has changed."""
        for container in self._seen:
            self._tell(container)

    def all(self) -> tuple[Sighting, ...]:
        """Return all containers with current verdicts, by name."""
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
            weaknesses=self._weaknesses(seen),
            stage=self._stage(seen) if seen.container.running else None,
        )

    def _judge(self, seen: _Seen) -> tuple[Verdict, tuple[Conflict, ...]]:
        grant = self._cache.grant_of(seen.container.id)
        conflicts = self._conflicts(grant) if grant else ()
        claims = self._cache.claims_of(grant.id) if grant else ()
        evidence = Evidence(
            host=self._host(),
            container=seen.container,
            grant=grant,
            claims=claims,
            disks={one.volume: self._disk.state(one.volume) for one in claims if one.volume is not None},
            conflicts=conflicts,
            process=seen.process.context,
            permissive_domain=seen.process.permissive,
            unbound=seen.process.unbound,
            weaknesses=self._weaknesses(seen),
            stage=self._stage(seen),
        )
        return judge(evidence), conflicts

    def _weaknesses(self, seen: _Seen) -> tuple[Weakness, ...]:
        status = self._host().selinux
        is_labelled = seen.container.process_label is not None
        is_confined = is_labelled and status.enforcing and not seen.process.permissive
        grant = self._cache.grant_of(seen.container.id)
        return weaknesses(seen.container, grant, seen.surveys, self._cache, is_confined=is_confined)

    def _conflicts(self, grant: Grant) -> tuple[Conflict, ...]:
        others = [Conflict(g.name, str(g.level), g.container) for g in conflicts_of(grant, self._cache)]
        conflicting = self._process_levels.conflicting(grant.level, self._is_ours)
        return (*others, *[Conflict(f"process {one.pid}", str(one.level)) for one in conflicting])

    def _is_ours(self, container: str) -> bool:
        return container in self._seen

    def _tell(self, key: ContainerId) -> None:
        seen = self._seen[key]
        verdict, conflicts = self._judge(seen)
        told, told_conflicts = self._told.get(key, (None, ()))
        # The verdict on an unsettled container is shown on request, but only reported once it is settled.
        self._told[key] = verdict if seen.settled else told, conflicts
        if told_conflicts != conflicts:
            self._tell_conflicts(seen.container, conflicts, told_conflicts)
        if verdict.isolated is None or told == verdict or not seen.settled:
            return
        grant = self._cache.grant_of(key)
        if verdict.isolated:
            fields: dict[str, object] = {"name": seen.container.name, "level": grant.level if grant else ""}
            self._bus.emit(Notice(Kind.ISOLATED, fields, key))
        else:
            first = verdict.reasons[0]
            fields = {"name": seen.container.name, "reason": first.text, "hint": first.hint}
            self._bus.emit(Notice(Kind.NOT_ISOLATED, {**fields, "code": first.why}, key))

    def _tell_others(self, key: ContainerId) -> None:
        """Report changes of the containers that it is in conflict with, which may not be observed soon."""
        for conflict in self._told[key][1]:
            other = ContainerId(conflict.container)
            if other in self._seen and other != key:
                self._tell(other)

    def _tell_conflicts(
        self, container: Container, now: tuple[Conflict, ...], before: tuple[Conflict, ...]
    ) -> None:
        grant = self._cache.grant_of(container.id)
        for conflict in now:
            if conflict not in before and grant is not None:
                fields = {
                    "name": container.name,
                    "level": str(grant.level),
                    "other": conflict.name,
                    "other_level": conflict.level,
                }
                self._bus.emit(Notice(Kind.CONFLICT, fields, container.id))
