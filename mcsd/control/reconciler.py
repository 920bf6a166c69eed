"""Reconciling one container: observe, plan, execute, until nothing is left to do.

Serial for each container, concurrent across containers. Whatever triggered it — an event, a timer, a request,
a restart — the outcome only depends on what is observed and on the ledger (promise 7).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field, replace

from mcsd.control.executor import Draft, DraftInputs, WalkOutcome, conclude, draft, levels_to_label
from mcsd.control.fleet_claims import Elsewhere, FleetClaims, Wanted
from mcsd.control.observer import Observer
from mcsd.control.reclaimer import Reclaimer
from mcsd.core.changes import PutClaim, PutVolume
from mcsd.core.containers import Container, ContainerId
from mcsd.core.fleet.trees import FleetTree
from mcsd.core.grants import GrantEvent, GrantState
from mcsd.core.labels import Context, Level, level_in
from mcsd.core.leftout import bound_by
from mcsd.core.modes import VolumePolicy
from mcsd.core.notices import Kind, Notice
from mcsd.core.plan import (
    Action,
    Adopt,
    Advance,
    Assign,
    LabelVolume,
    Observed,
    RootSight,
    Usable,
    is_written_by_mcsd,
    plan,
)
from mcsd.core.processes import ProcessSight
from mcsd.core.sharing import waiting_for
from mcsd.core.volumes import Claim, ClaimState, Volume, VolumeEvent, VolumeId, VolumePhase
from mcsd.errors import HostError, McsdError, VolumeFailedError, VolumeRefusedError
from mcsd.state.state import State

_WALKED = {VolumePhase.LABELLED, VolumePhase.LABELLING}
ROUNDS = 12
"""Planning rounds in one pass. A pass needs a handful; more means that plan and execution disagree."""

SCAN_LASTS = 1.0
"""Seconds for which a scan of processes is reused for containers whose level the engine chose."""


@dataclass(slots=True)
class _Turn:
    """A container's lock, and how many tasks hold it or wait for it."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    wanted: int = 0


class Reconciler:
    """Reconciles one container at a time. Owned by the event loop's thread."""

    def __init__(
        self,
        *,
        observer: Observer,
        state: State,
        reclaimer: Reclaimer,
        means: DraftInputs,
        policy: VolumePolicy,
        look: Callable[[ContainerId], None],
        look_soon: Callable[[ContainerId, float], None],
        fleet_claims: FleetClaims | None,
    ) -> None:
        """`fleet_claims` is None where no common store is used."""
        self._look_soon = look_soon
        self._fleet_claims = fleet_claims
        self._observer = observer
        self._store = state.store
        self._walks = state.walks
        self._reclaimer = reclaimer
        self._container_status = state.container_status
        self._bus = state.bus
        self._means = means
        self._policy = policy
        self._process_levels = state.process_levels
        self._starts = state.starts
        self._disk = state.disk
        self._look = look
        self._busy: dict[ContainerId, _Turn] = {}
        self._walking: set[ContainerId] = set()

    @asynccontextmanager
    async def alone(self, container: ContainerId) -> AsyncIterator[None]:
        """Exclude other passes over a container."""
        turn = self._busy.setdefault(container, _Turn())
        turn.wanted += 1
        try:
            async with turn.lock:
                yield
        finally:
            turn.wanted -= 1
            if not turn.wanted:
                del self._busy[container]

    async def reconcile(self, container_id: ContainerId) -> bool:
        """Observe one container and do what is needed; return whether that could be done.

        Raises the engine's errors; an error about the container itself is reported and stored with it.
        """
        while True:
            epoch = self._starts.epoch(container_id)
            observed = await self._observer.look(container_id)
            async with self.alone(container_id):
                if self._starts.epoch(container_id) == epoch:
                    self._starts.end(container_id)  # the observation shows how it ended
                    return await self._reconcile(observed)

    async def _reconcile(self, observed: Observed) -> bool:
        try:
            observed = await self.settle(observed)
        except McsdError as exc:
            await self._failed(observed, exc)
            return False
        await self._seen(observed)
        return True

    async def refresh_carriers(self) -> None:
        """Scan the levels of processes, before a level is chosen."""
        await self._process_levels.refresh()

    async def settle(self, observed: Observed) -> Observed:
        """Plan and execute until nothing is left to do; the caller is `alone` with the container."""
        had: dict[FleetTree | None, None] = {}
        try:
            return await self._settle(observed, had)
        finally:  # what came of it is in the ledger
            if self._fleet_claims is not None:
                self._fleet_claims.settled(had)

    async def _settle(self, observed: Observed, had: dict[FleetTree | None, None]) -> Observed:
        """Settle; `had` is told what was claimed in the fleet."""
        await self._renumber(observed)
        for _ in range(ROUNDS):
            conflicting, foreign = await self._intruders(observed.id), await self._on_volumes(observed)
            observed = replace(observed, conflicting=conflicting, foreign=foreign)
            observed = await self._claim_for_fleet(observed)
            had |= dict.fromkeys(observed.had.values())
            stage = await self._decide(observed)
            if stage is None:
                return observed
            attempted = observed.attempted
            if stage.waiting:
                await self._reclaimer.reclaim(frozenset(stage.vacate))
            if stage.walks:
                await self._see_at_work(observed)
                with self._walking_for(observed.id):
                    await self._walk_all(stage.walks, observed.id)
                attempted |= {claim.destination for claim, _ in stage.walks}
            if observed.container is not None and (stage.walks or stage.waiting):
                sights = await self._observer.sights(observed.container, observed.surveys)
                observed = replace(observed, sights=sights)
            vacated = observed.vacated | stage.waiting
            observed = replace(observed, attempted=attempted, vacated=vacated)
        raise McsdError(
            f"the plan for container {observed.id[:12]} did not come to rest in {ROUNDS} rounds",
            hint="this is a bug in mcsd; please report it with journalctl -u mcsd",
        )

    def walking(self) -> frozenset[ContainerId]:
        """Return the containers whose claims are recorded, and whose volumes are being walked."""
        return frozenset(self._walking)

    @contextmanager
    def _walking_for(self, container: ContainerId) -> Iterator[None]:
        self._walking.add(container)
        try:
            yield
        finally:
            self._walking.discard(container)

    async def _see_at_work(self, observed: Observed) -> None:
        """Show the container as unfinished while its volumes are walked."""
        known = self._container_status.get(observed.id) is not None
        if observed.container is None or (observed.starting and known):
            return
        process = await self._observer.process_of(observed.container)
        self._container_status.see(
            observed.container, process, self._means.now(), settled=False, surveys=observed.surveys
        )

    async def _renumber(self, observed: Observed) -> None:
        """Update the identity of a volume whose device number changed, and that was mounted after mcsd
        started."""
        roots = [sight for sight in observed.sights.values() if isinstance(sight, Usable)]
        doubtful = [
            volume
            for root in roots
            if self._store.cache.volume_of(root.identity) is None
            for volume in self._store.cache.volumes_at(root.path)
            if volume.identity.inode == root.identity.inode
        ]
        if doubtful:
            await self.renumber(doubtful)

    async def renumber(self, volumes: Iterable[Volume]) -> None:
        """Record the current device numbers of these volumes, if they have changed."""
        found = await self._observer.identify(volumes)
        async with self._store.deciding:
            known = ((one, self._store.cache.volume(one.id)) for one in found)
            await self._store.commit(
                [PutVolume(replace(now, identity=one.identity)) for one, now in known if now is not None]
            )

    async def _claim_for_fleet(self, observed: Observed) -> Observed:
        """Claim in the fleet what is about to be labelled; return the observation with what that tells."""
        if self._fleet_claims is None or observed.container is None:
            return observed
        elsewhere, had = dict(observed.elsewhere), dict(observed.had)
        for label in _labels_in(plan(observed, self._store.cache, self._policy)):
            key = label.claim.destination, label.level
            if key in had and self._fleet_claims.has(had[key]):
                continue
            root, container = label.root, observed.container
            wanted = Wanted(root.path, root.identity, label.level, container.id, container.name)
            found = await self._fleet_claims.claim(wanted)
            same = {one.destination for one in (label.claim, *label.also) if one.grant == label.claim.grant}
            if isinstance(found, Elsewhere):
                elsewhere |= dict.fromkeys(same, (found.reason, found.hint))
            else:
                had |= {(destination, label.level): found for destination in same}
        return replace(observed, elsewhere=elsewhere, had=had)

    async def _decide(self, observed: Observed) -> Draft | None:
        stage = await self._reclaimer.relieve(lambda: self._decide_once(observed))
        if stage is not None:
            self._tell(stage)
        return stage

    async def _decide_once(self, observed: Observed) -> Draft | None:
        # Processes and file contexts are read before the lock for decisions is taken, because that may take
        # time.
        foreseen = plan(observed, self._store.cache, self._policy)
        if not foreseen:
            return None  # decided at this instant: nothing was awaited, and nothing is committed
        looked = await self._look_who_runs(foreseen)
        targets = await self._observer.file_contexts(levels_to_label(foreseen))
        async with self._store.deciding:
            actions = plan(observed, self._store.cache, self._policy)
            if not actions:
                return None
            is_unforeseen = any(isinstance(action, Assign) for action in actions) and not looked
            is_unforeseen |= not self._are_had(actions, observed)
            if is_unforeseen or not levels_to_label(actions) <= targets.keys():
                return Draft()  # what it held is gone since: the next round observes first
            stage = draft(actions, self._store.cache, self._means, targets)
            await self._store.commit(stage.changes)
        self._reclaimer.heed(stage.changes)
        self._call_who_waits(actions)
        return stage

    def _are_had(self, actions: Iterable[Action], observed: Observed) -> bool:
        """Tell whether all that is to be labelled was claimed in the fleet, and is this host's still."""
        if (claims := self._fleet_claims) is None:
            return True
        keys = [(label.claim.destination, label.level) for label in _labels_in(actions)]
        return all(key in observed.had and claims.has(observed.had[key]) for key in keys)

    def _call_who_waits(self, actions: Iterable[Action]) -> None:
        """Request the containers that were refused because of what an ending container held."""
        for action in actions:
            grant = self._store.cache.grant(action.grant) if isinstance(action, Advance) else None
            if grant is not None and grant.state in {GrantState.IDLE, GrantState.QUARANTINED}:
                for waiting in waiting_for(grant, self._store.cache):
                    self._look(waiting.container)

    async def _look_who_runs(self, actions: Collection[Action]) -> bool:
        """Scan processes before a level is chosen; for one that the engine chose, or that a container has
        when it starts again, a recent scan will do."""
        kinds = {type(action) for action in actions}
        starts = any(isinstance(one, Advance) and one.event is GrantEvent.STARTED for one in actions)
        if Assign in kinds:
            await self._process_levels.refresh()
        elif Adopt in kinds or starts:
            with suppress(HostError):
                await self._process_levels.refresh(within=SCAN_LASTS)
        return Assign in kinds

    async def _intruders(self, container: ContainerId) -> tuple[str, ...]:
        """Return the processes at a comparable level, confirmed by a fresh scan."""
        if self._foreign(container):
            await self._process_levels.refresh()
        return self._foreign(container)

    def _foreign(self, container: ContainerId) -> tuple[str, ...]:
        grant = self._store.cache.grant_of(container)
        if grant is None:
            return ()
        found = self._process_levels.conflicting(grant.level, self._is_ours)
        return tuple(f"process {holder.pid} at {holder.level}" for holder in found)

    async def _on_volumes(self, observed: Observed) -> dict[str, str]:
        """Return, by destination, the processes at the level that a volume carries, by a fresh scan.

        Whoever labelled it may have started since the last one, and is not to lose it.
        """
        label = observed.container.process_label if observed.container is not None else None
        own = label.level if isinstance(label, Context) else None
        if any(self._may_be_a_stranger_s(sight, own) for sight in observed.sights.values()):
            await self._process_levels.refresh()
        found = {at: self._stranger_at(sight) for at, sight in observed.sights.items()}
        return {at: process for at, process in found.items() if process}

    def _may_be_a_stranger_s(self, sight: RootSight, own: Level | None) -> bool:
        """Tell whether somebody else may have labelled a volume; `own` is the engine's level for it."""
        level = _level_on(sight)
        if not isinstance(sight, Usable) or level is None or not level.categories:
            return False
        is_ours = level == own or is_written_by_mcsd(sight, self._store.cache)
        return not is_ours or bool(self._stranger_at(sight))

    def _stranger_at(self, sight: RootSight) -> str:
        level = _level_on(sight)
        if level is None:  # no process runs at it
            return ""
        found = self._process_levels.conflicting(level, self._is_ours)
        near = (holder for holder in found if holder.level.dominates(level))
        return next((f"process {holder.pid} at {holder.level}" for holder in near), "")

    def _is_ours(self, container: str) -> bool:
        """Tell whether a process belongs to a container with a grant; without one it counts as foreign."""
        grant = self._store.cache.grant_of(ContainerId(container))
        return grant is not None and grant.state.is_living

    def _tell(self, stage: Draft) -> None:
        for notice in stage.notices:
            self._bus.emit(notice)

    async def _walk_all(self, walks: Iterable[tuple[Claim, Volume]], owner: ContainerId) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for claim, volume in walks:
                    group.create_task(self._walk(claim, volume, owner))
        except ExceptionGroup as failures:
            foreseen, others = failures.split(McsdError)
            if foreseen is None or others is not None:
                raise
            raise foreseen.exceptions[0] from None  # a failing ledger fails for each of them

    async def relabel_again(self, volume_id: VolumeId) -> WalkOutcome | None:
        """Walk a volume with a living claim to its target again, whatever its root says.

        None if there is no such claim, the volume is being restored, or another host of the fleet has it.
        Raises `LedgerError`.
        """
        if not await self.may_label(volume_id):
            return None
        async with self._store.deciding:
            cache = self._store.cache
            volume = cache.volume(volume_id)
            claims = [claim for claim in cache.claims_on(volume_id) if self._may_be_walked(claim)]
            if volume is None or not claims or volume.phase not in _WALKED:
                return None
            volume = replace(volume.after(VolumeEvent.TARGETED), since=self._means.now(), detail="")
            pending = [replace(claim, state=ClaimState.PENDING) for claim in claims]
            await self._store.commit([PutVolume(volume), *map(PutClaim, pending)])
            grant = cache.grant(claims[0].grant)
        return await self._walk(pending[0], volume, grant.container if grant else ContainerId(""))

    async def may_label(self, volume_id: VolumeId) -> bool:
        """Tell whether no other host of the fleet has, or may have, a volume that is labelled already."""
        return self._fleet_claims is None or await self._fleet_claims.has_volume(volume_id)

    def _may_be_walked(self, claim: Claim) -> bool:
        grant = self._store.cache.grant(claim.grant)
        settled = claim.state in {ClaimState.REFUSED, ClaimState.UNMANAGED}
        return grant is not None and grant.state.is_living and not settled

    async def _walk(self, claim: Claim, volume: Volume, owner: ContainerId) -> WalkOutcome:
        self._walks.cancel_restore(volume.id)
        try:
            walk = await self._walks.relabel(volume, owner)
            outcome = WalkOutcome(volume, walk=walk, cancelled=walk.cancelled)
        except (VolumeFailedError, VolumeRefusedError, HostError) as exc:
            outcome = WalkOutcome(volume, error=exc)
        async with self._store.deciding:
            outcome = replace(outcome, bound=bound_by(self._container_status.get(owner)))
            stage = conclude(outcome, claim, self._store.cache, self._means.now())
            await self._store.commit(stage.changes)
        if outcome.walk is not None and outcome.walk.complete:
            self._disk.seen_right(volume.id, self._means.now())
        self._tell(stage)
        self._reclaimer.wake()
        return outcome

    async def _seen(self, observed: Observed) -> None:
        if observed.container is None:
            self._starts.forget(observed.id)
            self._container_status.forget(observed.id)
            self._reclaimer.wake()
        else:
            if observed.gated and not observed.container.running:
                self._reclaimer.wake()
            process = await self._observer.process_of(observed.container)
            self._container_status.see(
                observed.container, process, self._means.now(), settled=True, surveys=observed.surveys
            )
            again = self._container_status.next_look(observed.id)
            if again is not None:
                self._look_soon(observed.id, again)

    async def _failed(self, observed: Observed, exc: McsdError) -> None:
        name = observed.container.name if observed.container else observed.id[:12]
        fields = {"name": name, "reason": exc.what, "hint": exc.hint, "code": exc.problem}
        self._bus.emit(Notice(Kind.CONTAINER_FAILED, fields, observed.id))
        if observed.container is not None:
            self._container_status.see(
                observed.container,
                ProcessSight(),
                self._means.now(),
                settled=False,
                error=exc.what,
                hint=exc.hint,
                surveys=observed.surveys,
            )

    def holders(self) -> frozenset[ContainerId]:
        """Return the containers in the ledger, whether the engine has them or not."""
        return frozenset(
            grant.container
            for grant in self._store.cache.grants()
            if grant.container and grant.state is not GrantState.QUARANTINED
        )

    def everyone(self) -> frozenset[ContainerId]:
        """Return the containers in the ledger, and those observed and not known to be gone."""
        return self.holders() | self._container_status.known()

    def known(self, container: str) -> Container | None:
        """Return a container as last observed."""
        return self._container_status.get(ContainerId(container))


def _labels_in(actions: Iterable[Action]) -> Iterator[LabelVolume]:
    return (action for action in actions if isinstance(action, LabelVolume))


def _level_on(sight: RootSight) -> Level | None:
    """Return the level that a volume's root carries; None if it cannot be used, or carries none."""
    return level_in(sight.label) if isinstance(sight, Usable) and sight.label is not None else None
