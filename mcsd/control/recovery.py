"""Rebuilding what the ledger should say from what is on disk (promises 2 and 9).

A ledger that was damaged and moved aside, or put back from an old backup, does not know volumes that mcsd has
labelled. Their originals are still there, one file each, with the target last written. Each becomes a volume
again, under a quarantined grant without a container, so that its level is taken before anything is allocated.
The first look at Docker then lets the container that holds such a level have it back; what nobody claims is
restored when it has lingered.

An old backup may also know a volume at another level than it has by now, or a directory as a volume whose
originals are back since, while it is another volume by now. What is on disk is right in both cases.
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
from mcsd.errors import LabelSyntaxError


def recover(stored: Sequence[StoredVolume], cache: StateCache, now: float) -> tuple[Change, ...]:
    """Return the changes that make the ledger know every stored volume; `()` where it does."""
    return tuple(_changes(stored, cache, now))


def _changes(stored: Sequence[StoredVolume], cache: StateCache, now: float) -> Iterator[Change]:
    holders: dict[Level, GrantId] = {
        grant.level: grant.id for grant in cache.grants() if grant.state is GrantState.QUARANTINED
    }
    following = cache.next_grant
    on_disk = {found.id for found in stored}
    for found in stored:
        known = cache.volume(found.id)
        if not found.target or found.state == "restored" or (known and known.target == found.target):
            continue
        try:
            level = Context.parse(found.target).level
        except LabelSyntaxError:
            continue  # a target that mcsd cannot have written; its file stays for the administrator
        if known is None:
            yield from _superseded(found, cache, on_disk)
            yield from _labelled_over(found, cache, on_disk)
            yield PutVolume(_volume(found, now))
        else:
            yield from _corrected(known, found, cache)
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
    """Drop the volume that the ledger has in a found one's place, and that is not on disk any more."""
    old = cache.volume_of(found.identity)
    if old is not None and old.id not in on_disk:
        yield from (DropClaim(*claim.key) for claim in cache.claims_on(old.id))
        yield DropVolume(old.id)


def _labelled_over(found: StoredVolume, cache: StateCache, on_disk: Collection[VolumeId]) -> Iterator[Change]:
    """Drop the volumes that the ledger has inside a found one, and that are not on disk any more.

    They were restored since the ledger was copied, and everything below the found one carries its label now:
    nothing of theirs is left to be restored, and it would wait for them for ever.
    """
    for old in cache.volumes() if found.state == "complete" else ():
        is_inside = found.path != old.path and PurePosixPath(old.path).is_relative_to(found.path)
        if is_inside and old.id not in on_disk and old.identity.device == found.identity.device:
            yield from (DropClaim(*claim.key) for claim in cache.claims_on(old.id))
            yield DropVolume(old.id)


def _corrected(known: Volume, found: StoredVolume, cache: StateCache) -> Iterator[Change]:
    """Record in the ledger what a volume carries. Nobody's claim on it is ready until that was looked at."""
    detail = "what is on disk was written later than the ledger"
    yield PutVolume(replace(known.after(VolumeEvent.TARGETED), target=found.target, detail=detail))
    for claim in cache.claims_on(known.id):
        if claim.state is ClaimState.READY:
            yield PutClaim(replace(claim, state=ClaimState.PENDING))


def _volume(found: StoredVolume, now: float) -> Volume:
    return Volume(
        id=found.id,
        path=found.path,
        identity=found.identity,
        target=found.target,
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
