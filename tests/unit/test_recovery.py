"""What is on disk decides: promises 2 and 9 after a ledger that was lost, or put back from an old copy."""

from __future__ import annotations

from dataclasses import replace

from mcsd.core.book import Book
from mcsd.core.changes import Contents
from mcsd.core.containers import ContainerId
from mcsd.core.grants import Grant, GrantState, Origin
from mcsd.core.labels import Level
from mcsd.core.volumes import (
    Claim,
    ClaimMode,
    ClaimState,
    GrantId,
    Identity,
    Volume,
    VolumeId,
    VolumePhase,
)
from mcsd.recovery import recover
from mcsd.relabel.values import StoredVolume

FILE = "system_u:object_r:container_file_t"
NOW = 5.0


def stored(
    target: str = "s0:c1,c2", *, name: str = "v1", inode: int = 7, state: str = "complete"
) -> StoredVolume:
    return StoredVolume(VolumeId(name), "/srv/a", Identity(1, inode), 1.0, f"{FILE}:{target}", state, 3)


def grant(level: str, state: GrantState = GrantState.ACTIVE) -> Grant:
    return Grant(GrantId(1), ContainerId("c"), "web", Level.parse(level), Origin.ADOPTED, state, 1.0)


def volume(target: str = "s0:c1,c2", *, name: str = "v1") -> Volume:
    return Volume(
        VolumeId(name), "/srv/a", Identity(1, 7), f"{FILE}:{target}", VolumePhase.LABELLED, since=1.0
    )


CLAIM = Claim(GrantId(1), "/data", "/srv/a", ClaimMode.PRIVATE, ClaimState.READY, VolumeId("v1"))


def recovered(book: Book, *found: StoredVolume) -> Book:
    book.apply(recover(found, book, NOW))
    assert recover(found, book, NOW) == (), "recovering is done once"
    return book


def quarantined(book: Book) -> list[str]:
    return [str(one.level) for one in book.grants() if one.state is GrantState.QUARANTINED]


def test_a_lost_ledger_knows_volumes_and_holds_their_levels_again() -> None:
    book = recovered(
        Book(), stored(), stored("s0:c3,c4", name="v2", inode=8), stored("s0", name="v3", inode=9)
    )
    assert [(one.id, one.phase) for one in book.volumes()] == [
        ("v1", VolumePhase.LABELLED),
        ("v2", VolumePhase.LABELLED),
        ("v3", VolumePhase.LABELLED),
    ]
    assert quarantined(book) == ["s0:c1,c2", "s0:c3,c4"]


def test_two_volumes_at_one_level_are_held_by_one_grant() -> None:
    book = recovered(Book(), stored(), stored(name="v2", inode=8))
    assert quarantined(book) == ["s0:c1,c2"]
    assert len(book.claims_of(book.grants()[0].id)) == 2


def test_a_ledger_that_is_right_is_left_alone() -> None:
    contents = Contents((grant("s0:c1,c2"),), (volume(),), (CLAIM,), (), 2)
    assert recover([stored()], Book(contents), NOW) == ()


def test_what_was_restored_or_is_damaged_or_not_ours_holds_nothing() -> None:
    found = (stored(state="restored"), replace(stored(), target=""), replace(stored(), target="gibberish"))
    assert recover(found, Book(), NOW) == ()


def test_an_old_backup_learns_the_level_that_a_volume_has_by_now() -> None:
    """Promise 2: the level on disk was given after the backup, and nobody in the ledger holds it."""
    book = Book(Contents((grant("s0:c1,c2"),), (volume(),), (CLAIM,), (), 2))
    recovered(book, stored("s0:c8,c9"))
    (now,) = book.volumes()
    assert now.target.endswith(":s0:c8,c9") and now.phase is VolumePhase.LABELLING
    assert quarantined(book) == ["s0:c8,c9"]
    claim = book.claim(GrantId(1), "/data")
    assert claim is not None and claim.state is ClaimState.PENDING, "nobody is told that it is ready"


def test_an_old_backup_lets_go_of_a_volume_that_is_another_by_now() -> None:
    book = Book(Contents((grant("s0:c1,c2"),), (volume(),), (CLAIM,), (), 2))
    recovered(book, stored("s0:c8,c9", name="newer"))
    assert [one.id for one in book.volumes()] == ["newer"]
    assert book.claims_of(GrantId(1)) == ()
    assert quarantined(book) == ["s0:c8,c9"]
