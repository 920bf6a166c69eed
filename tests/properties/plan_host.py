"""A host for the pure core: containers, trees and a ledger as plain values, and the rounds of the daemon.

A tree is a path with one label. A walk treats everything below its volume's path as the label engine does:
what already carries a target of the volume has no original, and restoring gives that the policy's default.
So an undo that is out of order shows.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import PurePosixPath

from mcsd.control.executor import (
    Draft,
    DraftInputs,
    WalkOutcome,
    conclude,
    draft,
    levels_to_label,
)
from mcsd.core.allocation import Allocator
from mcsd.core.changes import Change, DropClaim, DropVolume, PutGrant, PutVolume
from mcsd.core.containers import Container, ContainerId, EngineInfo, Mount, MountKind
from mcsd.core.grants import GrantEvent, next_state
from mcsd.core.host import Host, SelinuxStatus
from mcsd.core.labels import Context, Level
from mcsd.core.modes import VolumePolicy
from mcsd.core.plan import Observed, Usable, plan
from mcsd.core.reclaim import Forget, Moment, Prove, Restore, Step, reclaim
from mcsd.core.state_cache import StateCache
from mcsd.core.volumes import Claim, GrantId, Identity, Volume, VolumeId, VolumePhase
from mcsd.core.walks import SkipReason, Walk
from mcsd.errors import VolumeFailedError
from tests.fakes.ledger import Tables

PATHS = ("/a", "/a/b", "/a/b/d", "/c")
BORN = {path: f"system_u:object_r:was{number}_t:s0" for number, path in enumerate(PATHS)}
DEFAULT = "system_u:object_r:default_t:s0"
LINGER = 600.0
"""Seconds that a volume waits before it is given back."""

HOST = Host(
    SelinuxStatus("kernel", enabled=True, enforcing=True, mls=True, policy="targeted"),
    {"docker": EngineInfo(True, "26.1", "1.45", "/var/lib/docker", "runc")},
)


class Luck(Enum):
    """How walks go."""

    WELL = "well"
    FAILING = "failing"
    PARTIAL = "partial"
    CANCELLED = "cancelled"


@dataclass
class Originals:
    """What one volume's file of originals would hold."""

    before: dict[str, str] = field(default_factory=dict)
    targets: set[str] = field(default_factory=set)


def label_of(level: Level) -> Context:
    """Return a container's process label."""
    return Context.parse("system_u:system_r:container_t:s0").at(level)


def file_context(level: Level) -> str:
    """Spell what its files carry."""
    return f"system_u:object_r:container_file_t:{level}"


def lies_below(path: str, root: str) -> bool:
    """Tell whether a path is a root or in it."""
    return PurePosixPath(path).is_relative_to(root)


class PlanHost:
    """Everything the core decides about, with nothing of the outside."""

    def __init__(self, *, share_on_conflict: bool, seed: int = 0) -> None:
        self.policy = VolumePolicy(share_on_conflict=share_on_conflict)
        self.tables = Tables()
        self.cache = StateCache()
        self.now = 1000.0
        self.is_tangled = False
        """Whether a walk went wrong: then one of two volumes, one in the other, may be written down first
        and walked last, and what they share comes back with the policy's default."""
        self.containers: dict[ContainerId, Container] = {}
        self.labels = dict(BORN)
        self.originals: dict[VolumeId, Originals] = {}
        self._numbers = itertools.count(1)
        self._means = DraftInputs(
            Allocator(low=500, high=600, random=random.Random(seed)),
            lambda: self.now,
            lambda: VolumeId(f"v{next(self._numbers)}"),
        )

    # --- what happens on it ----------------------------------------------------------------------

    def create(self, name: str, level: Level, mounts: Sequence[tuple[str, str]], *, wish: str = "") -> None:
        """Create a container that runs; `mounts` are pairs of source and destination."""
        key = ContainerId(f"{name}-{next(self._numbers)}")
        wishes = ",".join(f"{at}:{wish}" for _, at in mounts) if wish else ""
        self.containers[key] = Container(
            key,
            name,
            running=True,
            pid=1,
            process_label=label_of(level),
            mounts=tuple(Mount(MountKind.BIND, source, at) for source, at in mounts),
            labels=(("io.mcsd.volume", wishes),) if wishes else (),
            status="running",
        )

    def share(self, name: str, other: ContainerId) -> None:
        """Create a container in another one's IPC namespace: Docker gives it the other's label."""
        self.create(name, Level(0, 0), ())
        key = next(reversed(self.containers))
        self.containers[key] = replace(
            self.containers[key],
            process_label=self.containers[other].process_label,
            ipc_mode=f"container:{other}",
        )

    def run(self, key: ContainerId, *, running: bool) -> None:
        """Start or stop a container."""
        status = "running" if running else "exited"
        self.containers[key] = replace(self.containers[key], running=running, status=status)

    # --- the daemon's rounds ---------------------------------------------------------------------

    def commit(self, changes: Sequence[Change]) -> None:
        """Write down, then remember."""
        self.tables = self.tables.apply(changes)
        self.cache.apply(changes)

    def restart(self) -> None:
        """Forget everything that is not written down."""
        self.cache = StateCache(self.tables.contents())

    def look(
        self,
        key: ContainerId,
        attempted: frozenset[str] = frozenset(),
        vacated: frozenset[str] = frozenset(),
    ) -> Observed:
        """What an observer would see."""
        container = self.containers.get(key)
        sights = {
            mount.destination: Usable(
                mount.source, Identity(1, PATHS.index(mount.source)), self.labels[mount.source]
            )
            for mount in (container.mounts if container else ())
        }
        return Observed(key, container, HOST, sights, attempted, vacated)

    def settle(self, key: ContainerId, luck: Luck = Luck.WELL) -> None:
        """Plan and execute until nothing is left to do."""
        attempted, vacated = frozenset[str](), frozenset[str]()
        for _ in range(12):
            actions = plan(self.look(key, attempted, vacated), self.cache, self.policy)
            if not actions:
                return
            stage = draft(
                actions,
                self.cache,
                self._means,
                {level: Context.parse(file_context(level)) for level in levels_to_label(actions)},
            )
            self.commit(stage.changes)
            vacated |= stage.waiting
            self.reclaim(luck, urgent=frozenset(stage.vacate))
            for claim, volume in stage.walks:
                self._carry_out(claim, volume, luck)
                attempted |= {claim.destination}
        raise AssertionError(f"the plan for {key} did not come to rest: {actions}")

    def _carry_out(self, claim: Claim, volume: Volume, luck: Luck) -> None:
        self.is_tangled |= luck is not Luck.WELL
        if luck is Luck.FAILING:
            outcome = WalkOutcome(volume, error=VolumeFailedError("it cannot be opened"))
        else:
            self._relabel(volume, root=luck is Luck.WELL)
            skipped = {SkipReason.IO_ERROR: 1} if luck is Luck.PARTIAL else {}
            walk = Walk(complete=luck is Luck.WELL, skipped=skipped, cancelled=luck is Luck.CANCELLED)
            outcome = WalkOutcome(volume, walk=walk, cancelled=walk.cancelled)
        stage: Draft = conclude(outcome, claim, self.cache, self.now)
        self.commit(stage.changes)

    def _relabel(self, volume: Volume, *, root: bool) -> None:
        """Label what is below, and the root last if it comes to that (promises 3 and 4)."""
        kept = self.originals.setdefault(volume.id, Originals())
        kept.targets.add(str(volume.target))
        for path in PATHS:
            if lies_below(path, volume.path) and (root or path != volume.path):
                if self.labels[path] not in kept.targets:
                    kept.before[path] = self.labels[path]
                self.labels[path] = str(volume.target)

    def reclaim(self, luck: Luck = Luck.WELL, urgent: frozenset[GrantId] = frozenset()) -> None:
        """Take back what can be taken back."""
        blocked: set[VolumeId] = set()
        unproven: set[Step] = set()
        for _ in range(200):
            moment = Moment(self.now, LINGER, urgent, frozenset(blocked))
            steps = [step for step in reclaim(self.cache, moment) if step not in unproven]
            if not steps:
                return
            for step in steps:
                self._step(step, luck, blocked, unproven)
        raise AssertionError(f"reclaiming did not come to rest: {steps}")

    def _step(self, step: Step, luck: Luck, blocked: set[VolumeId], unproven: set[Step]) -> None:
        match step:
            case Forget(claim):
                self.commit([DropClaim(claim.grant, claim.destination)])
            case Restore(key):
                self._restore(key, luck, blocked)
            case Prove(grant_id):
                grant = self.cache.grant(grant_id)
                if grant is None or self.cache.claims_of(grant_id):
                    unproven.add(step)
                else:
                    self.commit([PutGrant(replace(grant, state=next_state(grant.state, GrantEvent.PROVEN)))])

    def _restore(self, key: VolumeId, luck: Luck, blocked: set[VolumeId]) -> None:
        volume = self.cache.volume(key)
        if volume is None:
            return
        self.commit([PutVolume(replace(volume, phase=VolumePhase.RESTORING))])
        if luck is not Luck.WELL:
            self.commit([PutVolume(replace(volume, phase=VolumePhase.STRANDED))])
            blocked.add(key)
            return
        kept = self.originals.pop(key, Originals())
        for path in PATHS:
            if lies_below(path, volume.path) and self.labels[path] in kept.targets:
                self.labels[path] = kept.before.get(path, DEFAULT)
        drops = [DropClaim(claim.grant, claim.destination) for claim in self.cache.claims_on(key)]
        self.commit([*drops, DropVolume(key)])

    def quiet(self) -> None:
        """Everything that can be done is done: containers settled, gone ones reclaimed."""
        for _ in range(3):
            for key in sorted({*self.containers, *(grant.container for grant in self.cache.grants())}):
                self.settle(key)
            self.reclaim()
