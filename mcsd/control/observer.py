"""Observing one container: from the engine, its volumes' roots and its process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import TypeVar

from mcsd.blocking.calls import Blocking
from mcsd.control.engines import Engines
from mcsd.core.blocked import Party, Subject
from mcsd.core.containers import Container, ContainerId, Mount, MountKind
from mcsd.core.exposure import Survey
from mcsd.core.gating import has_passed, is_gated, may_have_passed
from mcsd.core.hints import Hint
from mcsd.core.host import Host, SelinuxStatus
from mcsd.core.interfaces import Network, network_kind
from mcsd.core.labels import Context, Label, Level
from mcsd.core.modes import VolumePolicy, mode_for
from mcsd.core.plan import Observed, RootSight, Unusable, Usable
from mcsd.core.processes import FirstProcess, ProcessSight, Stage
from mcsd.core.refusals import is_left_alone
from mcsd.core.volumes import ClaimState, Volume, of_it
from mcsd.core.wishes import is_claimable
from mcsd.errors import (
    ContainerGoneError,
    HostError,
    SelinuxError,
    VolumeFailedError,
    VolumeRefusedError,
)
from mcsd.ports import Networks, Selinux, VolumeEngine
from mcsd.state.start_tracker import StartTracker

T = TypeVar("T")

_LEAVING = {"removing", "dead"}
"""Docker's states of a container that is being removed, whose volumes may be gone already."""


def _require_inside(path: str, volume: str) -> None:
    """Refuse a subpath of a volume that leads out of it by a link, which anybody writing there can make."""
    if not PurePosixPath(path).is_relative_to(volume):
        raise VolumeRefusedError(
            f"volume {path!r} is not inside {volume!r}, of which a part is to be mounted",
            hint=Hint.PART_ITSELF.say(),
            rule="symlink-in-path",
        )


def _mounts(container: Container) -> tuple[Mount, ...]:
    """Return the mounts to examine; none of a container that is being removed."""
    return () if container.status in _LEAVING else container.mounts


def first_process(selinux: Selinux, pid: int) -> FirstProcess:
    """Read a container's first process: first the context for its next execve(2), then the current one.

    In this order, a process that executes the container's program in between is seen as the container's, and
    not as the runtime's.
    """
    upcoming = selinux.next_context(pid)
    return FirstProcess(selinux.process_context(pid), upcoming)


@dataclass(frozen=True, slots=True)
class _Look:
    """What was found at a mount's source; no survey if that failed, no sight of what is not labelled."""

    survey: Survey | None
    sight: RootSight | None = None


def _known(found: Mapping[str, T | None]) -> dict[str, T]:
    return {destination: one for destination, one in found.items() if one is not None}


@dataclass(frozen=True, slots=True)
class VolumeRules:
    """The configuration for volumes, and the places that no rule may admit."""

    policy: VolumePolicy
    explicit_paths: Collection[str]
    """Paths that a rule of the configuration names."""
    file_type: str
    storage: Callable[[], Collection[str]]
    """The storage paths that the engine and volume drivers report."""


class Observer:
    """Observes, and decides nothing."""

    def __init__(
        self,
        engine: Engines,
        volumes: VolumeEngine,
        selinux: Selinux,
        networks: Networks,
        blocking: Blocking,
        host: Callable[[], Host],
        starts: StartTracker,
        rules: VolumeRules,
    ) -> None:
        self._storage = rules.storage
        self._blocking = blocking
        self._networks = networks
        self._starts = starts
        self._file_type = rules.file_type
        self._engine = engine
        self._volumes = volumes
        self._selinux = selinux
        self._host = host
        self._policy = rules.policy
        self._explicit_paths = tuple(rules.explicit_paths)
        self._accepting: SelinuxStatus | None = None
        """The status with which the policy last accepted the file type."""
        # Of two paths for one place, the later rule decides, as of two rules with the same path.
        self._ruled = tuple(rule.path for rule in reversed(rules.policy.rules))

    async def look(self, container_id: ContainerId) -> Observed:
        """Inspect a container and examine its volumes; raises `EngineUnavailableError` and related errors."""
        try:
            container = await self._engine.inspect(container_id)
        except ContainerGoneError:
            return Observed(container_id, None, self._host())
        return await self.look_at(container)

    async def look_at(self, container: Container) -> Observed:
        """Examine the volumes of a container that has been inspected."""
        host = self._host()
        surveys, sights = await self.mounts(container)
        through_gate = self._starts.is_starting(container.id)
        passed = may_have_passed(container, host)
        process = await self._first_of(container) if passed else None
        is_passing = process is not None and host.selinux.enabled and process.stage is not Stage.RUNNING
        context = process.context if process is not None and not is_passing else None
        return Observed(
            container.id,
            container,
            host,
            sights,
            surveys=surveys,
            # A running container stays as it was started, whatever the engine would do at the next start; and
            # a process that is about to become the container's, or was it, does not count.
            gated=through_gate or is_gated(container, host) or is_passing or has_passed(container, context),
            process=context,
        )

    async def mounts(self, container: Container) -> tuple[dict[str, Survey], dict[str, RootSight]]:
        """Survey the mounts and examine the volumes, by destination, concurrently because one may hang.

        A survey says where the source of a mount is, and what it shows of the host.
        """
        mounts = _mounts(container)
        lacking = await self._lacking() if any(map(is_claimable, mounts)) else None
        looks = await asyncio.gather(*(self._look_into(mount, container, lacking) for mount in mounts))
        surveys = {mount.destination: one.survey for mount, one in zip(mounts, looks, strict=True)}
        sights = {mount.destination: one.sight for mount, one in zip(mounts, looks, strict=True)}
        return _known(surveys), _known(sights)

    async def _look_into(self, mount: Mount, container: Container, lacking: Unusable | None) -> _Look:
        """Survey and examine a mount in one call; if that fails, in one each, so that one may succeed."""
        if not mount.source:
            return _Look(None)
        with suppress(HostError):  # while one hangs, both below fail at once: they are about the same
            return await self._blocking.run(
                Subject(Party.VOLUME, mount.source), lambda: self._look(mount, container, lacking)
            )
        survey = await self._surveyed(mount, container)
        is_labelled = self._is_labelled(mount, container, survey)
        return _Look(survey, await self._sight(mount, lacking) if is_labelled else None)

    def _look(self, mount: Mount, container: Container, lacking: Unusable | None) -> _Look:
        survey = self._survey(mount, container)
        is_labelled = self._is_labelled(mount, container, survey)
        return _Look(survey, self._examine(mount, lacking) if is_labelled else None)

    async def _surveyed(self, mount: Mount, container: Container) -> Survey | None:
        with suppress(HostError):  # shown while it lasts; nothing is reported about what cannot be examined
            return await self._blocking.run(
                Subject(Party.VOLUME, mount.source), lambda: self._survey(mount, container)
            )
        return None

    async def sights(self, container: Container, surveys: Mapping[str, Survey]) -> dict[str, RootSight]:
        """Examine only the volumes, by destination, concurrently because one may hang."""
        mounts = [
            mount
            for mount in _mounts(container)
            if self._is_labelled(mount, container, surveys.get(mount.destination))
        ]
        if not mounts:
            return {}
        lacking = await self._lacking()
        sights = await asyncio.gather(*(self._sight(mount, lacking) for mount in mounts))
        return {mount.destination: sight for mount, sight in zip(mounts, sights, strict=True)}

    def _is_labelled(self, mount: Mount, container: Container, survey: Survey | None) -> bool:
        ruled = survey.ruled if survey else ()
        return is_claimable(mount) and mode_for(mount, container, self._policy, ruled=ruled).is_labelled

    async def _sight(self, mount: Mount, lacking: Unusable | None) -> RootSight:
        try:
            return await self._blocking.run(
                Subject(Party.VOLUME, mount.source), lambda: self._examine(mount, lacking)
            )
        except HostError as exc:
            return Unusable(ClaimState.FAILED, of_it(exc.what, mount.source), exc.hint)

    async def identify(self, volumes: Iterable[Volume]) -> tuple[Volume, ...]:
        """Return those of the volumes whose device number has changed, with the new identity.

        A volume whose file system hangs keeps its identity; it is checked again when its container is
        observed.
        """
        found = await asyncio.gather(*map(self._identify, volumes))
        return tuple(one for one in found if one is not None)

    async def _identify(self, volume: Volume) -> Volume | None:
        with suppress(HostError):  # shown while it lasts
            now = await self._blocking.run(
                Subject(Party.VOLUME, volume.path),
                lambda: self._volumes.identify(volume.id, volume.path, volume.identity),
            )
            return replace(volume, identity=now) if now != volume.identity else None
        return None

    async def _first_of(self, container: Container) -> FirstProcess | None:
        pid = container.pid
        if not container.running or pid is None:
            return None
        return await self._blocking.run(_process(pid), lambda: first_process(self._selinux, pid))

    async def process_of(self, container: Container) -> ProcessSight:
        """Read the context of the container's init process; raises `SelinuxError` and `HostError`."""
        pid = container.pid
        if not container.running or pid is None:
            return ProcessSight()
        seen: list[ProcessSight] = []

        def look() -> Network:
            seen.append(self._process(pid))
            return self._networks.network_of(pid, container.network_mode)

        try:
            network = await self._blocking.run(_process(pid), look)
        except HostError as exc:
            if not seen:
                raise
            network = Network(network_kind(container.network_mode)[0], error=exc.what)
        return replace(seen[0], network=network)

    def _process(self, pid: int) -> ProcessSight:
        seen = first_process(self._selinux, pid)
        if seen.context is None:
            return ProcessSight(stage=seen.stage if self._host().selinux.enabled else Stage.RUNNING)
        return ProcessSight(
            seen.context,
            seen.stage,
            self._selinux.is_permissive(seen.context),
            self._why_unbound(seen.context),
        )

    def _why_unbound(self, context: Label) -> str:
        try:
            if self._selinux.separates(context, self._file_type):
                return ""
        except SelinuxError as exc:
            return exc.what
        return f"the loaded policy's categories do not bind the domain of {context}"

    def _examine(self, mount: Mount, lacking: Unusable | None) -> RootSight:
        # A named volume's directory is inside the engine's storage, where no other path may
        # be labelled. That it is this volume's comes from the engine, not from the container's owner.
        own = [mount.inside or mount.source] if mount.kind is MountKind.VOLUME else []
        allowed, storage = (*self._explicit_paths, *own), self._storage_but(mount)
        try:
            root = self._volumes.examine(mount.source, allowed=allowed, storage=storage)
            if mount.inside:
                whole = self._volumes.examine(mount.inside, allowed=allowed, storage=storage)
                _require_inside(root.path, whole.path)
        except VolumeRefusedError as exc:
            state = ClaimState.UNMANAGED if is_left_alone(exc.rule) else ClaimState.REFUSED
            return Unusable(state, of_it(exc.what, mount.source), exc.hint, exc.rule)
        except VolumeFailedError as exc:
            return Unusable(ClaimState.FAILED, of_it(exc.what, mount.source), exc.hint)
        return lacking or Usable(root.path, root.identity, root.label, root.writable)

    def _storage_but(self, mount: Mount) -> tuple[str, ...]:
        """List the storage of engines and drivers, without a driver's directory for this volume."""
        own = mount.source if mount.kind is MountKind.VOLUME else ""
        return tuple(path for path in self._storage() if path != own)

    def _survey(self, mount: Mount, container: Container) -> Survey:
        survey = self._volumes.survey(mount.source, within=self._ruled, storage=self._storage_but(mount))
        if not survey.shown or survey.label is None or container.process_label is None:
            return survey
        try:
            is_open = self._selinux.lets_in(container.process_label, survey.label, survey.mode)
        except SelinuxError:  # no SELinux in the kernel, for example: then it may be accessible
            return survey
        return replace(survey, open=is_open)

    async def _lacking(self) -> Unusable | None:
        """Return why no volume could get a label, if so: all wait for a policy with the file type."""
        status = self._host().selinux
        if status == self._accepting:
            return None
        try:
            await self.file_contexts([Level.of()])
        except (SelinuxError, HostError) as exc:
            return Unusable(ClaimState.FAILED, exc.what, exc.hint)
        # Only a yes is kept, and only where another policy would have another number; what is written to
        # files is asked for each time (`file_contexts`).
        self._accepting = status if status.generation or not status.enabled else None
        return None

    async def file_contexts(self, levels: Collection[Level]) -> dict[Level, Context]:
        """Return the context of files at each of these levels; raises `SelinuxError` and `HostError`."""
        if not levels:
            return {}
        return await self._blocking.run(
            Subject(Party.POLICY),
            lambda: {level: self._selinux.file_context(self._file_type, str(level)) for level in levels},
        )


def _process(pid: int) -> Subject:
    return Subject(Party.PROCESS, str(pid))
