"""Comparing the disk, the processes, the engines and the ledger, and repairing differences.

Only volumes with a living claim are checked, unless one is named: lingering ones lose their labels anyway. A
repair cannot bypass the rules: it records the intent and walks as for a new container, and retries what
failed. A process's label cannot be changed from outside, so for that the container has to be restarted.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import PurePosixPath

from mcsd.blocking.calls import Blocking
from mcsd.control.engine_watch import Watcher
from mcsd.control.engines import Engines
from mcsd.control.executor import skipped_text
from mcsd.control.observer import first_process
from mcsd.control.reclaimer import Reclaimer
from mcsd.control.reconciler import Reconciler
from mcsd.control.recovery import recover
from mcsd.core.blocked import Party, Subject
from mcsd.core.changes import PutVolume
from mcsd.core.containers import DOCKER, ContainerId, title_of
from mcsd.core.grants import Grant
from mcsd.core.isolation import is_at
from mcsd.core.notices import Kind, Notice
from mcsd.core.processes import Stage
from mcsd.core.state_cache import StateCache
from mcsd.core.verification import Verification, VolumeCheck
from mcsd.core.volumes import Volume, VolumeId, VolumePhase
from mcsd.core.walks import SkipReason, StoredVolume
from mcsd.errors import (
    EngineProtocolError,
    EngineUnavailableError,
    HostError,
    McsdError,
    NotFoundError,
    VolumeFailedError,
    VolumeRefusedError,
)
from mcsd.ports import Clock, Selinux
from mcsd.state.state import State

SETTLING = 1.0
"""Seconds that mcsd may be behind Docker."""
LOOKING = 60.0
"""Seconds that a repair waits until all containers are inspected, which continues afterwards."""


def volume_at(cache: StateCache, path: str, real: str) -> Volume:
    """Find the volume at a host path, or else at its resolved path `real`; raises `NotFoundError`."""
    for wanted in (str(PurePosixPath(path)), real):
        for volume in cache.volumes_at(wanted):
            return volume
    raise NotFoundError(f"no volume at {path!r} is known", hint="mcsctl volumes lists them")


@dataclass(frozen=True, slots=True)
class Repairers:
    """The parts that reconcile, relabel and restore; the first also knows which containers were observed."""

    reconciler: Reconciler
    reclaimer: Reclaimer
    watcher: Watcher


@dataclass(frozen=True, slots=True)
class Sources:
    """Where the facts come from."""

    clock: Clock
    engines: Engines
    stored: Callable[[], tuple[StoredVolume, ...]]
    """Blocking: the volumes whose originals are on disk."""
    resolve: Callable[[str], Awaitable[str]]
    """Resolves a path; returns the path itself if that takes too long."""
    selinux: Selinux
    blocking: Blocking
    state: State
    repairers: Repairers


class Verifier:
    """Owned by the event loop's thread."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources

    async def verify(self, target: str | None, *, repair: bool) -> Verification:
        """Compare everything, one volume by its path, or one container by its id; `repair` fixes differences.

        Raises `NotFoundError`, and `SelinuxError` if the levels of processes cannot be read.
        """
        checks = [await self._check(volume, repair=repair) for volume in await self._chosen(target)]
        if repair:
            await self._look_again(target)
        ledger = await self._ledger(repair=repair) if target is None else ()
        return Verification(
            volumes=tuple(checks),
            processes=await self._processes(target),
            pairs=self._intruders() if target is None else (),
            ledger=ledger,
        )

    async def _look_again(self, target: str | None) -> None:
        watcher = self._sources.repairers.watcher
        if target is not None and target.startswith("/"):
            return
        with contextlib.suppress(EngineUnavailableError, EngineProtocolError, TimeoutError):
            async with asyncio.timeout(LOOKING):  # a missing answer from Docker shows in the comparison
                if target is None:
                    await watcher.resync()
                else:
                    await watcher.hints.add([ContainerId(target)])
                await watcher.hints.quiet()

    # --- volumes -----------------------------------------------------------------------------------

    async def _chosen(self, target: str | None) -> tuple[Volume, ...]:
        cache = self._sources.state.store.cache
        if target is None:
            return tuple(volume for volume in cache.volumes() if self._holders(volume.id))
        if target.startswith("/"):
            real = await self._sources.resolve(target)
            return (volume_at(cache, target, real),)
        grant = cache.grant_of(ContainerId(target))
        if grant is None:
            return ()
        wanted = dict.fromkeys(claim.volume for claim in cache.claims_of(grant.id) if claim.volume)
        return tuple(volume for key in wanted if (volume := cache.volume(key)) is not None)

    def _holders(self, volume: VolumeId) -> tuple[Grant, ...]:
        cache = self._sources.state.store.cache
        grants = (cache.grant(claim.grant) for claim in cache.claims_on(volume))
        return tuple(grant for grant in grants if grant is not None and grant.state.is_living)

    async def _check(self, volume: Volume, *, repair: bool) -> VolumeCheck:
        nothing = VolumeCheck(volume.path, volume.target, 0, 0, 0)
        writing = (walk for walk in self._sources.state.walks.progress() if walk.work != "verify")
        if any(walk.volume == volume.id for walk in writing):
            return replace(nothing, error="a walk over it is under way; look again when it has ended")
        try:
            walk = await self._sources.state.walks.verify(volume)
        except (VolumeFailedError, VolumeRefusedError, HostError) as exc:
            return replace(nothing, error=str(exc))
        wrong = walk.skipped.get(SkipReason.DIFFERS, 0)
        check = VolumeCheck(
            path=volume.path,
            target=volume.target,
            seen=walk.seen,
            wrong=wrong,
            skipped=sum(walk.skipped.values()) - wrong,
            examples=tuple(name for why, name in walk.examples if why is SkipReason.DIFFERS),
        )
        return await self._repaired(volume, check) if wrong and repair else check

    async def _repaired(self, volume: Volume, check: VolumeCheck) -> VolumeCheck:
        try:
            outcome = await self._sources.repairers.reconciler.relabel_again(volume.id)
        except McsdError as exc:  # the ledger: nothing was walked
            return replace(check, error=str(exc))
        if outcome is None and not await self._sources.repairers.reconciler.may_label(volume.id):
            why = "another host of the fleet has it, or may have it (mcsctl fleet status)"
            return replace(check, error=f"it is not labelled again: {why}")
        if outcome is None:
            return replace(check, error="no container claims it: it is not labelled again")
        if outcome.error is not None:
            return replace(check, error=str(outcome.error))
        assert outcome.walk is not None
        if not outcome.walk.complete:
            why = skipped_text(outcome.walk) or "the walk was broken off"
            return replace(check, error=f"not all of it could be labelled again: {why}")
        return replace(check, repaired=True)

    # --- processes ---------------------------------------------------------------------------------

    async def _processes(self, target: str | None) -> tuple[str, ...]:
        if target is not None and target.startswith("/"):
            return ()
        await self._sources.state.process_levels.refresh()
        grants = [g for g in self._sources.state.store.cache.grants() if g.state.is_living and g.container]
        chosen = [grant for grant in grants if target in {None, grant.container}]
        first = await self._first_processes(chosen)
        granted = {grant.container: grant for grant in chosen}
        for carrier in self._sources.state.process_levels.seen():
            grant = granted.get(ContainerId(carrier.container))
            if grant is not None and carrier.level != grant.level:
                first.setdefault((grant.name, str(carrier.context)), grant)
        return tuple(
            f"container {name} is granted {grant.level}, and a process of it runs as {context}"
            for (name, context), grant in sorted(first.items())
        )

    async def _first_processes(self, grants: Iterable[Grant]) -> dict[tuple[str, str], Grant]:
        found = {}
        for grant in grants:
            container = self._sources.state.container_status.get(grant.container)
            if container is None or container.pid is None:
                continue
            process = await self._sources.blocking.run(
                Subject(Party.PROCESS, str(container.pid)),
                partial(first_process, self._sources.selinux, container.pid),
            )
            if process.stage is not Stage.RUNNING or process.context is None:
                continue  # it starts or has ended
            if not is_at(process.context, grant):
                found[grant.name, str(process.context)] = grant
        return found

    def _intruders(self) -> tuple[str, ...]:
        known = self._sources.state.container_status.known()
        return tuple(
            f"process {other.pid} runs as {other.context}, which is not separate from {grant.level} "
            f"of container {grant.name}"
            for grant in self._sources.state.store.cache.grants()
            if grant.state.is_living and grant.container
            for other in self._sources.state.process_levels.conflicting(grant.level, lambda one: one in known)
        )

    # --- the ledger --------------------------------------------------------------------------------

    async def _ledger(self, *, repair: bool) -> tuple[str, ...]:
        engines = [sentence async for sentence in self._against_engines()]
        return (*engines, *await self._against_originals(repair=repair))

    async def _against_engines(self) -> AsyncIterator[str]:
        try:
            missed = await self._missed()
            if missed:  # an event may still arrive
                await asyncio.sleep(SETTLING)
                missed &= await self._missed()
        except (EngineUnavailableError, EngineProtocolError) as exc:
            yield f"an engine cannot be asked which containers it has: {exc.what}"
            return
        known = self._sources.repairers.reconciler.holders()
        for container in sorted(missed):
            grant = self._sources.state.store.cache.grant_of(container)
            engine = title_of(self._sources.engines.engine_of(container) or DOCKER)
            if container in known and grant is not None:
                yield f"container {grant.full_name} holds {grant.level}, and {engine} does not know it"
            else:
                yield f"{engine} has container {container[:12]}, which was not looked at"

    async def _missed(self) -> set[ContainerId]:
        engines = self._sources.engines
        known = self._sources.repairers.reconciler.everyone()
        return set(await engines.containers()) ^ {one for one in known if engines.is_asked(one)}

    async def _against_originals(self, *, repair: bool) -> tuple[str, ...]:
        store = self._sources.state.store
        before = {v.id: v for v in store.cache.volumes() if v.phase is VolumePhase.LABELLED}
        stored = await self._sources.blocking.run(Subject(Party.ORIGINALS), self._sources.stored)
        async with store.deciding:  # a restored volume is deleted first from the ledger, then on disk
            lost = [before[key] for key in before.keys() - {one.id for one in stored}]
            lost = [volume for volume in lost if store.cache.volume(volume.id) is not None]
            suspected = {volume.id for volume in self._unknown(stored)}
        unknown = await self._still_stored(suspected) if suspected else []
        if unknown and repair:
            await self._take_up(unknown)
            unknown = []
        return (
            *(f"the originals of {v.path} are not on disk: they cannot be put back" for v in lost),
            *(f"volume {one.path} has originals on disk, and the ledger does not know it" for one in unknown),
        )

    def _unknown(self, stored: tuple[StoredVolume, ...]) -> Iterator[Volume]:
        changes = recover(stored, self._sources.state.store.cache, self._sources.clock.now())
        return (change.volume for change in changes if isinstance(change, PutVolume))

    async def _still_stored(self, suspected: set[VolumeId]) -> list[StoredVolume]:
        again = await self._sources.blocking.run(Subject(Party.ORIGINALS), self._sources.stored)
        return [one for one in again if one.id in suspected]

    async def _take_up(self, found: list[StoredVolume]) -> None:
        store = self._sources.state.store
        async with store.deciding:
            changes = recover(found, store.cache, self._sources.clock.now())
            await store.commit(changes)
        self._sources.state.bus.emit(Notice(Kind.RECOVERED, {"volumes": len(found)}))
        self._sources.repairers.reclaimer.wake()
