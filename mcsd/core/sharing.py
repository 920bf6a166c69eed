"""Who may share with whom: levels that are comparable, and volumes that overlap.

Sharing on purpose is `--ipc/--pid=container:X` (Docker copies X's label), and membership of one group.
Any other comparable levels are a conflict; any other volumes that overlap, and are not shared by both, are a
clash.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mcsd.core.containers import Container
from mcsd.core.grants import Grant, GrantState
from mcsd.core.labels import Level
from mcsd.core.state_cache import StateCache
from mcsd.core.volumes import (
    Claim,
    ClaimMode,
    ClaimState,
    GrantId,
    Identity,
    Volume,
    VolumePhase,
    overlap,
)

SHARED_LEVEL = Level(0, 0)
"""The bare `s0`, which every container may read and write."""


def shares_with(container: Container) -> str:
    """Return the container whose label this one copies on purpose, "" if none."""
    for mode in (container.ipc_mode, container.pid_mode):
        kind, colon, other = mode.partition(":")
        if colon and kind == "container":
            return other
    return ""


def _root_of(grant: Grant, cache: StateCache) -> str:
    """Follow `shares_with` to the container that the level came from; stop at a cycle."""
    seen: set[str] = set()
    here: Grant | None = grant
    while here is not None and here.shares_with and here.container not in seen:
        seen.add(here.container)
        wanted = here.shares_with
        there = next(
            (g for g in cache.grants() if wanted and (g.container == wanted or g.name == wanted)), None
        )
        if there is None:
            return wanted
        here = there
    return here.container if here is not None else ""


def are_shared(one: Grant, other: Grant, cache: StateCache) -> bool:
    """Tell whether two grants hold one level on purpose."""
    if not (one.shares_with or other.shares_with):
        return False
    return one.level == other.level and _root_of(one, cache) == _root_of(other, cache)


def conflicts_of(grant: Grant, cache: StateCache) -> tuple[Grant, ...]:
    """List the other holders whose level equals, dominates or is dominated by this one's, oldest first.

    A level without categories isolates nobody and is reported as such, not as a conflict with everyone.
    """
    return tuple(
        other
        for other in cache.grants_near(grant.level)
        if other.id != grant.id and not are_shared(grant, other, cache)
    )


def outsiders_of(group: str, level: Level, cache: StateCache) -> tuple[Grant, ...]:
    """List the live holders of a level that dominates a group's and are not members, oldest first."""
    return tuple(
        other
        for other in cache.grants_near(level)
        if other.state.is_living and other.group != group and other.level.dominates(level)
    )


def target_level(mode: ClaimMode, grant: Grant, cache: StateCache) -> Level:
    """Return the level a volume gets for a claim in this mode."""
    if mode is ClaimMode.SHARED:
        return SHARED_LEVEL
    if mode is ClaimMode.GROUP:
        for group in cache.groups():
            if group.name == grant.group:
                return group.level
    return grant.level


@dataclass(frozen=True, slots=True)
class Clash:
    """Claims that stand in the way of another one.

    `same` if they are on the same volume, not on one above or below. `gone` lists grants in quarantine that
    alone hold an overlapping volume: it is restored first. `ousted` are claims of containers that have
    exited; they end, and their volumes are restored as well. `unfinished` if an inner volume is to get the
    same level and could not be labelled: what it carries instead is not the outer one's original.
    """

    holder: str
    path: str
    same: bool
    claims: tuple[Claim, ...] = ()
    gone: tuple[GrantId, ...] = ()
    ousted: tuple[Claim, ...] = ()
    unfinished: bool = False

    @property
    def is_over(self) -> bool:
        """Whether no live holder is left: what remains on disk has to be restored first."""
        return not self.claims


_STANDING = {ClaimState.PENDING, ClaimState.READY, ClaimState.PARTIAL, ClaimState.FAILED}


def _others(claim: Claim, volume: Volume, cache: StateCache) -> list[tuple[Grant, Claim]]:
    found = []
    for other in cache.claims_on(volume.id):
        grant = cache.grant(other.grant)
        if grant is not None and other.key != claim.key and other.state in _STANDING:
            found.append((grant, other))
    return found


def _is_gone(grant: Grant) -> bool:
    return grant.state is GrantState.QUARANTINED


def _has_exited(grant: Grant, start: float | None) -> bool:
    """Tell whether a holder's container had exited before the claimant's process started.

    Then the claimant follows it, as an application follows an init container. A claimant that was refused
    while the holder ran does not take the volume while the holder is restarted.
    """
    return grant.state is GrantState.IDLE and start is not None and grant.since <= start


def ousted_by(
    claim: Claim, identity: Identity, level: Level, cache: StateCache, *, start: float | None
) -> tuple[Claim, ...]:
    """List the claims of exited containers on a volume that is to get another level."""
    volume = cache.volume_of(identity)
    if volume is None:
        return ()
    return tuple(
        other
        for grant, other in _others(claim, volume, cache)
        if _has_exited(grant, start) and target_level(other.mode, grant, cache) != level
    )


def clash_of(
    claim: Claim,
    path: str,
    identity: Identity,
    level: Level,
    cache: StateCache,
    *,
    start: float | None = None,
) -> Clash | None:
    """Find what prevents labelling a volume at `level` for `claim`, None if nothing does.

    On the same volume: other claims at another level. Claims of containers that are gone do not count,
    because the volume goes directly from the old level to the new; nor do those of containers that had exited
    by `start`, the claimant's (seconds since the epoch, None if it does not run). Above or below: anything at
    another level, since one walk would undo the other.
    """
    volume = cache.volume_of(identity)
    if volume is not None:
        standing = [
            (grant, other)
            for grant, other in _others(claim, volume, cache)
            if not _is_gone(grant)
            and not _has_exited(grant, start)
            and target_level(other.mode, grant, cache) != level
        ]
        if standing:
            return Clash(standing[0][0].full_name, volume.path, True, tuple(other for _, other in standing))
    return clash_around(claim, path, identity, level, cache, start=start)


def clash_around(
    claim: Claim,
    path: str,
    identity: Identity,
    level: Level,
    cache: StateCache,
    *,
    start: float | None = None,
) -> Clash | None:
    """Find what prevents it above or below the volume, as `clash_of` does for all of it.

    What somebody holds comes before what has to be restored first: that is in vain while it is held.
    """
    found: Clash | None = None
    for around in cache.volumes_around(path):
        if around.identity == identity:
            continue
        clash = _clash_with(claim, around, path, level, cache, start)
        if clash is not None and not clash.is_over:
            return clash
        found = found or clash
    return found


def _carries(volume: Volume, level: Level) -> bool:
    """Tell whether a volume is complete at a level: then all that is left of a removed container is its
    claim, which is deleted in time."""
    return volume.phase is VolumePhase.LABELLED and volume.level == level


def _is_unfinished(around: Volume, path: str, standing: Sequence[tuple[Grant, Claim]]) -> bool:
    """Tell whether a volume inside `path` should be labelled, and its walk has failed."""
    failed = any(claim.state in {ClaimState.FAILED, ClaimState.PARTIAL} for _, claim in standing)
    is_done = around.phase is VolumePhase.LABELLED
    return failed and not is_done and around.path.startswith(path.rstrip("/") + "/")


def _clash_with(
    claim: Claim, around: Volume, path: str, level: Level, cache: StateCache, start: float | None
) -> Clash | None:
    everyone = _others(claim, around, cache)
    others = [(grant, other) for grant, other in everyone if target_level(other.mode, grant, cache) != level]
    ousted = [(grant, other) for grant, other in others if _has_exited(grant, start)]
    standing = [pair for pair in others if not _is_gone(pair[0]) and pair not in ousted]
    if standing:
        return Clash(standing[0][0].full_name, around.path, False, tuple(other for _, other in standing))
    if others and not _carries(around, level):
        return Clash(
            others[0][0].full_name,
            around.path,
            False,
            gone=tuple(sorted({grant.id for grant, _ in others})),
            ousted=tuple(other for _, other in ousted),
        )
    if _is_unfinished(around, path, everyone):
        claims = tuple(other for _, other in everyone)
        return Clash(everyone[0][0].name, around.path, False, claims, unfinished=True)
    if cache.claims_on(around.id) or others:
        return None
    if around.phase is VolumePhase.STRANDED or not _carries(around, level):
        # It has the originals of what both share, so it has to be restored first.
        return Clash("nobody", around.path, False)
    return None


def waiting_for(leaving: Grant, cache: StateCache) -> tuple[Grant, ...]:
    """List the living holders that were refused a volume that a grant claims, or one above or below."""
    paths = [path for claim in cache.claims_of(leaving.id) for path in _paths_of(claim, cache)]
    return tuple(
        grant
        for grant in cache.grants()
        if grant.id != leaving.id
        and grant.state.is_living
        and any(
            claim.state is ClaimState.REFUSED and any(overlap(claim.source, path) for path in paths)
            for claim in cache.claims_of(grant.id)
        )
    )


def _paths_of(claim: Claim, cache: StateCache) -> tuple[str, ...]:
    volume = cache.volume(claim.volume) if claim.volume else None
    return (claim.source,) if volume is None else (claim.source, volume.path)
