"""Rebuilding the ledger from the originals on disk (promises 2 and 9).

A ledger that was damaged and moved aside, or restored from an old backup, does not have volumes that mcsd has
labelled since. Their originals are still there, one file each, with the target last written. Each becomes a
volume again, under a quarantined grant without a container, so that its level is taken before anything is
allocated. The first inspection of Docker's containers then returns such a level to the container that holds
it; unclaimed volumes are restored when they have lingered.

An old backup may also have another level for a volume than it has by now, or a volume for a directory that
was restored since and is part of another volume by now. The originals on disk are right in both cases.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import PurePosixPath

from mcsd.core.changes import Change, DropClaim, DropVolume, PutClaim, PutGrant, PutVolume
from mcsd.core.containers import ContainerId
from mcsd.core.grants import Grant, GrantState, Origin
from mcsd.core.labels import Context, Level
from mcsd.core.state_cache import StateCache
from mcsd.core.volumes import (
    Claim,
    ClaimMode,
    ClaimState,
    GrantId,
    Volume,
    VolumeEvent,
    VolumeId,
    VolumePhase,
)
from mcsd.core.walks import StoredVolume


def recover(stored: Sequence[StoredVolume], cache: StateCache, now: float) -> tuple[Change, ...]:
    """Return the changes that add every stored volume to the ledger; `()` if it has all of them."""
    return tuple(_changes(stored, cache, now))


def _changes(stored: Sequence[StoredVolume], cache: StateCache, now: float) -> Iterator[Change]:
    holders: dict[Level, GrantId] = {
        grant.level: grant.id for grant in cache.grants() if grant.state is GrantState.QUARANTINED
    }
    following = cache.next_grant
    on_disk = {found.id for found in stored}
    for found in stored:
        known = cache.volume(found.id)
        target = found.target
        if found.state == "restored" or (known and known.target == target):
            continue
        if not isinstance(target, Context):
            continue  # none was begun, or mcsd cannot have written it; the file stays for the administrator
        level = target.level
        if known is None:
            yield from _superseded(found, cache, on_disk)
            yield from _labelled_over(found, cache, on_disk)
            yield PutVolume(_volume(found, target, now))
        else:
            yield from _corrected(known, target, cache)
        if not level.categories:
            continue
        if level not in holders:
            holders[level] = GrantId(following)
            following += 1
            yield PutGrant(_grant(holders[level], level, now))
        yield PutClaim(
            Claim(
                grant=holders[level],
                destination=f"(found on disk: {found.id})",
                source=found.path,
                mode=ClaimMode.PRIVATE,
                state=ClaimState.READY,
                volume=found.id,
            )
        )


def _superseded(found: StoredVolume, cache: StateCache, on_disk: Collection[VolumeId]) -> Iterator[Change]:
    """Delete the volume that the ledger has in a found one's place, if it has no originals on disk."""
    old = cache.volume_of(found.identity)
    if old is not None and old.id not in on_disk:
        yield from (DropClaim(*claim.key) for claim in cache.claims_on(old.id))
        yield DropVolume(old.id)


def _labelled_over(found: StoredVolume, cache: StateCache, on_disk: Collection[VolumeId]) -> Iterator[Change]:
    """Delete the volumes that the ledger has inside a found one, and that have no originals on disk.

    They were restored since the ledger was copied, and everything below the found volume carries its label
    now. So nothing of them is left to restore, and the found volume would wait for them for ever.
    """
    for old in cache.volumes() if found.state == "complete" else ():
        is_inside = found.path != old.path and PurePosixPath(old.path).is_relative_to(found.path)
        if is_inside and old.id not in on_disk and old.identity.device == found.identity.device:
            yield from (DropClaim(*claim.key) for claim in cache.claims_on(old.id))
            yield DropVolume(old.id)


def _corrected(known: Volume, target: Context, cache: StateCache) -> Iterator[Change]:
    """Record the level that a volume carries; claims on it are not ready until it is examined."""
    detail = "what is on disk was written later than the ledger"
    yield PutVolume(replace(known.after(VolumeEvent.TARGETED), target=target, detail=detail))
    for claim in cache.claims_on(known.id):
        if claim.state is ClaimState.READY:
            yield PutClaim(replace(claim, state=ClaimState.PENDING))


def _volume(found: StoredVolume, target: Context, now: float) -> Volume:
    return Volume(
        id=found.id,
        path=found.path,
        identity=found.identity,
        target=target,
        phase=VolumePhase.LABELLED if found.state == "complete" else VolumePhase.LABELLING,
        since=now,
        inodes=found.count,
        detail="found on disk; the ledger did not know it",
    )


def _grant(number: GrantId, level: Level, now: float) -> Grant:
    return Grant(
        id=number,
        container=ContainerId(""),
        name="(found on disk)",
        level=level,
        origin=Origin.ADOPTED,
        state=GrantState.QUARANTINED,
        since=now,
    )
