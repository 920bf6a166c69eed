"""Reconciling one container: observe, plan, execute, until nothing is left to do.

Serial for each container, concurrent across containers. Whatever set it off — an event, a timer, a
request, a restart — the outcome depends only on what is seen and what is written down (promise 7).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

from mcsd.carriers import Carriers
from mcsd.core.changes import PutClaim, PutVolume
from mcsd.core.containers import Container, ContainerId
from mcsd.core.grants import GrantState
from mcsd.core.labels import Context, Level
from mcsd.core.modes import VolumePolicy
from mcsd.core.notices import Kind, Notice
from mcsd.core.plan import Action, Adopt, Assign, Observed, Opened, Sight, plan
from mcsd.core.volumes import Claim, ClaimState, Volume, VolumeId, VolumePhase
from mcsd.errors import LabelSyntaxError, McsdError, VolumeFailedError, VolumeRefusedError
from mcsd.execute import Means, Outcome, Stage, conclude, draft
from mcsd.herald import Herald
from mcsd.observe import Observer, ProcessSight
from mcsd.reclaimer import Reclaimer
from mcsd.scribe import Scribe
from mcsd.sightings import Sightings
from mcsd.starts import Starts
from mcsd.walks import Walks

_WALKED = {VolumePhase.LABELLED, VolumePhase.LABELLING}
ROUNDS = 12
"""Planning rounds in one pass. A pass needs a handful; more means that plan and execution disagree."""

SCAN_LASTS = 1.0
"""Seconds for which a scan of processes will do for containers whose level the engine chose."""


@dataclass(slots=True)
class _Turn:
    """A container's lock, and how many hold it or wait for it."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    wanted: int = 0


class Reconciler:
    """Brings one container at a time to where it should be. Owned by the event loop's thread."""

    def __init__(
        self,
        *,
        observer: Observer,
        scribe: Scribe,
        walks: Walks,
        reclaimer: Reclaimer,
        sightings: Sightings,
        herald: Herald,
        means: Means,
        policy: VolumePolicy,
        carriers: Carriers,
        starts: Starts,
    ) -> None:
        self._observer = observer
        self._scribe = scribe
        self._walks = walks
        self._reclaimer = reclaimer
        self._sightings = sightings
        self._herald = herald
        self._means = means
        self._policy = policy
        self._carriers = carriers
        self._starts = starts
        self._busy: dict[ContainerId, _Turn] = {}

    @asynccontextmanager
    async def alone(self, container: ContainerId) -> AsyncIterator[None]:
        """Hold a container against every other pass over it."""
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
        """Look at one container and do what is needed; tell whether that could be done.

        Raises what the engine raises; everything about the container itself is reported and kept on it.
        """
        while True:
            epoch = self._starts.epoch(container_id)
            observed = await self._observer.look(container_id)
            async with self.alone(container_id):
                if self._starts.epoch(container_id) == epoch:
                    self._starts.end(container_id)  # what was seen is how it ended
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
        """Scan who runs at which level, before something is chosen."""
        await self._carriers.refresh()

    async def settle(self, observed: Observed) -> Observed:
        """Plan and execute until nothing is left to do; the caller is `alone` with the container."""
        await self._renumber(observed)
        for _ in range(ROUNDS):
            intruders, strangers = await self._intruders(observed.id), await self._on_volumes(observed)
            observed = replace(observed, intruders=intruders, strangers=strangers)
            stage = await self._decide(observed)
            if stage is None:
                return observed
            attempted = observed.attempted
            if stage.vacate:
                await self._reclaimer.reclaim(frozenset(stage.vacate))
            if stage.walks:
                await self._see_at_work(observed)
                await self._walk_all(stage.walks, observed.id)
                attempted |= {claim.destination for claim, _ in stage.walks}
            if observed.container is not None and (stage.walks or stage.vacate):
                observed = replace(observed, sights=await self._observer.sights(observed.container))
            vacated = observed.vacated | stage.waiting
            observed = replace(observed, attempted=attempted, vacated=vacated)
        raise McsdError(
            f"the plan for container {observed.id[:12]} did not come to rest in {ROUNDS} rounds",
            hint="this is a bug in mcsd; please report it with journalctl -u mcsd",
        )

    async def _see_at_work(self, observed: Observed) -> None:
        """Have the container shown, as one that is not done, while its volumes are walked."""
        known = self._sightings.get(observed.id) is not None
        if observed.container is None or (observed.starting and known):
            return
        process = await self._observer.process_of(observed.container)
        self._sightings.see(observed.container, process, self._means.now(), settled=False)

    async def _renumber(self, observed: Observed) -> None:
        """Know a volume again whose device got another number, and was mounted after mcsd had started."""
        roots = [sight for sight in observed.sights.values() if isinstance(sight, Opened)]
        doubtful = [
            volume
            for root in roots
            if self._scribe.book.volume_of(root.identity) is None
            for volume in self._scribe.book.volumes_at(root.path)
            if volume.identity.inode == root.identity.inode
        ]
        if doubtful:
            await self.renumber(doubtful)

    async def renumber(self, volumes: Iterable[Volume]) -> None:
        """Write down the numbers that the devices of these volumes have now, where they have changed."""
        found = await self._observer.identify(volumes)
        async with self._scribe.deciding:
            known = ((one, self._scribe.book.volume(one.id)) for one in found)
            await self._scribe.commit(
                [PutVolume(replace(now, identity=one.identity)) for one, now in known if now is not None]
            )

    async def _decide(self, observed: Observed) -> Stage | None:
        stage = await self._reclaimer.relieve(lambda: self._decide_once(observed))
        if stage is not None:
            self._tell(stage)
        return stage

    async def _decide_once(self, observed: Observed) -> Stage | None:
        async with self._scribe.deciding:
            actions = plan(observed, self._scribe.book, self._policy)
            if not actions:
                return None
            await self._look_who_runs(actions)
            stage = draft(actions, self._scribe.book, self._means)
            await self._scribe.commit(stage.changes)
        self._reclaimer.heed(stage.changes)
        return stage

    async def _look_who_runs(self, actions: Iterable[Action]) -> None:
        """Nothing is chosen without a look; a level that the engine chose is its choice either way."""
        for action in actions:
            if isinstance(action, Assign):
                await self._carriers.refresh()
            elif isinstance(action, Adopt):
                await self._carriers.refresh(within=SCAN_LASTS)

    async def _intruders(self, container: ContainerId) -> tuple[str, ...]:
        """Name who runs at a comparable level; nobody is accused on the word of an old scan."""
        if self._strangers(container):
            await self._carriers.refresh()
        return self._strangers(container)

    def _strangers(self, container: ContainerId) -> tuple[str, ...]:
        grant = self._scribe.book.grant_of(container)
        if grant is None:
            return ()
        found = self._carriers.intruders(grant.level, self._is_ours)
        return tuple(f"process {holder.pid} at {holder.level}" for holder in found)

    async def _on_volumes(self, observed: Observed) -> dict[str, str]:
        """Name, by destination, who runs at the level that a volume carries, as `_intruders` does."""
        if any(self._stranger_at(sight) for sight in observed.sights.values()):
            await self._carriers.refresh()
        found = {at: self._stranger_at(sight) for at, sight in observed.sights.items()}
        return {at: stranger for at, stranger in found.items() if stranger}

    def _stranger_at(self, sight: Sight) -> str:
        if not isinstance(sight, Opened) or sight.label is None:
            return ""
        try:
            level = Context.parse(sight.label).level
        except LabelSyntaxError:  # nobody runs at it
            return ""
        found = self._carriers.intruders(level, self._is_ours)
        near = (holder for holder in found if Level.parse(holder.level).dominates(level))
        return next((f"process {holder.pid} at {holder.level}" for holder in near), "")

    def _is_ours(self, container: str) -> bool:
        """Whose grant has ended should not run any more: what does is a stranger to the next holder."""
        grant = self._scribe.book.grant_of(ContainerId(container))
        return grant is not None and grant.state.is_living

    def _tell(self, stage: Stage) -> None:
        for notice in stage.notices:
            self._herald.emit(notice)

    async def _walk_all(self, walks: Iterable[tuple[Claim, Volume]], owner: ContainerId) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for claim, volume in walks:
                    group.create_task(self._walk(claim, volume, owner))
        except ExceptionGroup as failures:
            foreseen, others = failures.split(McsdError)
            if foreseen is None or others is not None:
                raise
            raise foreseen.exceptions[0] from None  # a ledger that fails does so for each of them

    async def relabel_again(self, volume_id: VolumeId) -> Outcome | None:
        """Walk a volume that somebody lives on to its target once more, whatever its root says.

        None where nobody does, or it is being given up. Raises `LedgerError`.
        """
        async with self._scribe.deciding:
            book = self._scribe.book
            volume = book.volume(volume_id)
            claims = [claim for claim in book.claims_on(volume_id) if self._may_be_walked(claim)]
            if volume is None or not claims or volume.phase not in _WALKED:
                return None
            volume = replace(volume, phase=VolumePhase.LABELLING, since=self._means.now(), detail="")
            pending = [replace(claim, state=ClaimState.PENDING) for claim in claims]
            await self._scribe.commit([PutVolume(volume), *map(PutClaim, pending)])
            grant = book.grant(claims[0].grant)
        return await self._walk(pending[0], volume, grant.container if grant else ContainerId(""))

    def _may_be_walked(self, claim: Claim) -> bool:
        grant = self._scribe.book.grant(claim.grant)
        settled = claim.state in {ClaimState.REFUSED, ClaimState.UNMANAGED}
        return grant is not None and grant.state.is_living and not settled

    async def _walk(self, claim: Claim, volume: Volume, owner: ContainerId) -> Outcome:
        self._walks.cancel_restore(volume.id)
        try:
            walk = await self._walks.relabel(volume, owner)
            outcome = Outcome(volume, walk=walk, cancelled=walk.cancelled)
        except (VolumeFailedError, VolumeRefusedError) as exc:
            outcome = Outcome(volume, error=exc)
        async with self._scribe.deciding:
            stage = conclude(outcome, claim, self._scribe.book, self._means.now())
            await self._scribe.commit(stage.changes)
        self._tell(stage)
        self._reclaimer.wake()
        return outcome

    async def _seen(self, observed: Observed) -> None:
        if observed.container is None:
            self._starts.forget(observed.id)
            self._sightings.forget(observed.id)
            self._reclaimer.wake()
        else:
            if observed.gated and not observed.container.running:
                self._reclaimer.wake()
            process = await self._observer.process_of(observed.container)
            self._sightings.see(observed.container, process, self._means.now(), settled=True)

    async def _failed(self, observed: Observed, exc: McsdError) -> None:
        name = observed.container.name if observed.container else observed.id[:12]
        fields = {"name": name, "reason": exc.what, "hint": exc.hint, "code": exc.problem}
        self._herald.emit(Notice(Kind.CONTAINER_FAILED, fields, observed.id))
        if observed.container is not None:
            self._sightings.see(
                observed.container,
                ProcessSight(),
                self._means.now(),
                settled=False,
                error=exc.what,
                hint=exc.hint,
            )

    def holders(self) -> frozenset[ContainerId]:
        """Containers that the ledger knows, whether the engine does or not."""
        return frozenset(
            grant.container
            for grant in self._scribe.book.grants()
            if grant.container and grant.state is not GrantState.QUARANTINED
        )

    def everyone(self) -> frozenset[ContainerId]:
        """Containers that the ledger knows, or that were seen and not seen to go."""
        return self.holders() | self._sightings.known()

    def known(self, container: str) -> Container | None:
        """A container as last seen."""
        return self._sightings.get(ContainerId(container))
