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

from mcsd.core.book import Book
from mcsd.core.changes import Change, DropClaim, DropVolume, PutClaim, PutGrant, PutVolume
from mcsd.core.containers import ContainerId
from mcsd.core.grants import Grant, GrantState, Origin
from mcsd.core.labels import Context, Level
from mcsd.core.volumes import Claim, ClaimMode, ClaimState, GrantId, Volume, VolumeId, VolumePhase
from mcsd.errors import LabelSyntaxError
from mcsd.relabel.values import StoredVolume


def recover(stored: Sequence[StoredVolume], book: Book, now: float) -> tuple[Change, ...]:
    """Give the changes that make the book know every stored volume; `()` where it does."""
    return tuple(_changes(stored, book, now))


def _changes(stored: Sequence[StoredVolume], book: Book, now: float) -> Iterator[Change]:
    holders: dict[Level, GrantId] = {
        grant.level: grant.id for grant in book.grants() if grant.state is GrantState.QUARANTINED
    }
    following = book.next_grant
    on_disk = {found.id for found in stored}
    for found in stored:
        known = book.volume(found.id)
        if not found.target or found.state == "restored" or (known and known.target == found.target):
            continue
        try:
            level = Context.parse(found.target).level
        except LabelSyntaxError:
            continue  # a target that mcsd cannot have written; its file stays for the administrator
        if known is None:
            yield from _superseded(found, book, on_disk)
            yield PutVolume(_volume(found, now))
        else:
            yield from _corrected(known, found, book)
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


def _superseded(found: StoredVolume, book: Book, on_disk: Collection[VolumeId]) -> Iterator[Change]:
    """Drop the volume that the book has in a found one's place, and that is not on disk any more."""
    old = book.volume_of(found.identity)
    if old is not None and old.id not in on_disk:
        yield from (DropClaim(*claim.key) for claim in book.claims_on(old.id))
        yield DropVolume(old.id)


def _corrected(known: Volume, found: StoredVolume, book: Book) -> Iterator[Change]:
    """Have the book know what a volume carries. Nobody's claim on it is ready until that was looked at."""
    detail = "what is on disk was written later than the ledger"
    yield PutVolume(replace(known, target=found.target, phase=VolumePhase.LABELLING, detail=detail))
    for claim in book.claims_on(known.id):
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
