"""Rebuilding what the ledger should say from what is on disk (promises 2 and 9).

A ledger that was damaged and moved aside, or put back from an old backup, does not know volumes that mcsd has
labelled. Their originals are still there, one file each, with the target last written. Each becomes a volume
again, under a quarantined grant without a container, so that its level is taken before anything is allocated.
The first look at Docker then lets the container that holds such a level have it back; what nobody claims is
restored when it has lingered.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mcsd.core.book import Book
from mcsd.core.changes import Change, PutClaim, PutGrant, PutVolume
from mcsd.core.containers import ContainerId
from mcsd.core.grants import Grant, GrantState, Origin
from mcsd.core.labels import Context, Level
from mcsd.core.volumes import Claim, ClaimMode, ClaimState, GrantId, Volume, VolumePhase
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
    for found in stored:
        if book.volume(found.id) is not None or not found.target or found.state == "restored":
            continue
        try:
            level = Context.parse(found.target).level
        except LabelSyntaxError:
            continue  # a target that mcsd cannot have written; its file stays for the administrator
        yield PutVolume(_volume(found, now))
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
