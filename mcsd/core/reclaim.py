"""Reclaiming: what to do about levels whose container is gone.

A pair becomes free only with proof (promise 2): every volume that its grant claimed is restored or carries
another holder's label by now, and no process carries the level. `reclaim` is pure and returns the next steps;
the caller carries them out and asks again until only waiting is left.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from mcsd.core.grants import Grant, GrantState
from mcsd.core.sharing import conflicts_of
from mcsd.core.state_cache import StateCache
from mcsd.core.volumes import Claim, ClaimState, GrantId, Volume, VolumeId, VolumePhase


@dataclass(frozen=True, slots=True)
class Forget:
    """Delete a claim that no longer stands for labels on disk."""

    claim: Claim


@dataclass(frozen=True, slots=True)
class Restore:
    """Restore a volume's originals, then delete it and the claims on it."""

    volume: VolumeId


@dataclass(frozen=True, slots=True)
class Prove:
    """Free a grant without claims, if no process carries its level."""

    grant: GrantId


Step = Forget | Restore | Prove

_HOLDS_NOTHING = {ClaimState.REFUSED, ClaimState.UNMANAGED}


@dataclass(frozen=True, slots=True)
class Moment:
    """The time of a decision: `now` and `linger` in seconds; `urgent` grants do not linger.

    `blocked` are volumes whose restoration was tried in this round and could not be completed. `began` is
    when each grant began to linger, by the clock of `now`, which may be monotonic. For a grant that is not in
    it, the grant's own `since` counts, which is wall-clock time.
    """

    now: float
    linger: float
    urgent: frozenset[GrantId] = frozenset()
    blocked: frozenset[VolumeId] = frozenset()
    began: Mapping[GrantId, float] = field(default_factory=dict)

    def end_of(self, grant: Grant) -> float:
        """Return when a quarantined grant has lingered long enough, by the clock of `now`."""
        return self.began.get(grant.id, grant.since) + self.linger


def is_due(grant: Grant, cache: StateCache, moment: Moment) -> bool:
    """Tell whether a quarantined grant's volumes have lingered long enough.

    If a live container or process is at a comparable level by now, it can read them: then they do not linger.
    """
    if grant.id in moment.urgent or moment.now >= moment.end_of(grant):
        return True
    return any(other.state.is_living for other in conflicts_of(grant, cache))


def is_hastened_by(grant: Grant, cache: StateCache) -> bool:
    """Tell whether a live grant can read lingering volumes, which makes their restoration due."""
    if not grant.state.is_living:
        return False
    return any(other.state is GrantState.QUARANTINED for other in conflicts_of(grant, cache))


def _standing(volume: Volume, cache: StateCache) -> tuple[list[Claim], list[Grant]]:
    """Split a volume's claimants into the claims of living grants and the grants in quarantine."""
    living: list[Claim] = []
    gone: list[Grant] = []
    for claim in cache.claims_on(volume.id):
        grant = cache.grant(claim.grant)
        if claim.state in _HOLDS_NOTHING or grant is None:
            continue
        if grant.state is GrantState.QUARANTINED:
            gone.append(grant)
        else:
            living.append(claim)
    return living, gone


def _has_passed_on(volume: Volume, living: list[Claim]) -> bool:
    return volume.phase is VolumePhase.LABELLED and any(c.state is ClaimState.READY for c in living)


def _is_shared_around(volume: Volume, cache: StateCache) -> bool:
    """Tell whether a living grant holds a volume above or below, which has the same level: restoring this one
    would undo its labels too."""
    return any(_standing(around, cache)[0] for around in cache.volumes_around(volume.path))


def _inside(volume: Volume, cache: StateCache) -> Volume | None:
    """Find the innermost volume in this one, which is restored first.

    It was labelled first, or it would be part of this one (see `mcsd.core.plan`). So it has the originals of
    what both share."""
    inside = [
        one
        for one in cache.volumes_around(volume.path)
        if one.identity.device == volume.identity.device
        and PurePosixPath(one.path).is_relative_to(volume.path)
        and one.path != volume.path
    ]
    return max(inside, key=lambda one: len(PurePosixPath(one.path).parts), default=None)


def _of_claim(claim: Claim, cache: StateCache, moment: Moment) -> Step | None:
    volume = cache.volume(claim.volume) if claim.volume else None
    if volume is None or claim.state in _HOLDS_NOTHING:
        return Forget(claim)
    living, gone = _standing(volume, cache)
    if living:
        return Forget(claim) if _has_passed_on(volume, living) else None
    if volume.id in moment.blocked or not all(is_due(grant, cache, moment) for grant in gone):
        return None
    if _is_shared_around(volume, cache):
        return None
    inside = _inside(volume, cache)
    if inside is not None:
        return None if inside.id in moment.blocked else Restore(inside.id)
    return Restore(volume.id)


def _of_grant(grant: Grant, cache: StateCache, moment: Moment) -> Iterator[Step]:
    claims = cache.claims_of(grant.id)
    if not claims:
        yield Prove(grant.id)
    for claim in claims:
        step = _of_claim(claim, cache, moment)
        if step is not None:
            yield step


def _orphans(cache: StateCache, moment: Moment) -> Iterator[Step]:
    for volume in cache.volumes():
        if cache.claims_on(volume.id) or volume.id in moment.blocked:
            continue
        if not _is_shared_around(volume, cache) and _inside(volume, cache) is None:
            yield Restore(volume.id)


def reclaim(cache: StateCache, moment: Moment) -> tuple[Step, ...]:
    """Return what to do next, each step once; `()` if there is nothing to do but wait."""
    steps: dict[Step, None] = dict.fromkeys(_orphans(cache, moment))
    for grant in cache.grants():
        if grant.state is GrantState.QUARANTINED:
            steps.update(dict.fromkeys(_of_grant(grant, cache, moment)))
    return tuple(steps)


def next_due(cache: StateCache, moment: Moment) -> float | None:
    """Return when the next grant stops lingering, by the moment's clock; None if none lingers."""
    waiting = [
        moment.end_of(grant)
        for grant in cache.grants()
        if grant.state is GrantState.QUARANTINED and not is_due(grant, cache, moment)
    ]
    return min(waiting, default=None)
