"""What is on disk decides: promises 2 and 9 after a ledger that was lost, or put back from an old copy."""

from __future__ import annotations

from dataclasses import replace
from pathlib import PurePosixPath

from mcsd.control.recovery import recover
from mcsd.core.changes import LedgerContents
from mcsd.core.containers import ContainerId
from mcsd.core.grants import Grant, GrantState, Origin
from mcsd.core.labels import Context, Level, read_label
from mcsd.core.state_cache import StateCache
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
from mcsd.core.walks import StoredVolume
from tests.fakes.disk import BORN, FakeDisk
from tests.fakes.world import World, with_world

FILE = "system_u:object_r:container_file_t"
NOW = 5.0


def stored(
    target: str = "s0:c1,c2", *, name: str = "v1", inode: int = 7, state: str = "complete"
) -> StoredVolume:
    return StoredVolume(
        VolumeId(name), "/srv/a", Identity(1, inode), 1.0, Context.parse(f"{FILE}:{target}"), state, 3
    )


def grant(level: str, state: GrantState = GrantState.ACTIVE) -> Grant:
    return Grant(GrantId(1), ContainerId("c"), "web", Level.parse(level), Origin.ADOPTED, state, 1.0)


def volume(target: str = "s0:c1,c2", *, name: str = "v1") -> Volume:
    return Volume(
        VolumeId(name),
        "/srv/a",
        Identity(1, 7),
        Context.parse(f"{FILE}:{target}"),
        VolumePhase.LABELLED,
        since=1.0,
    )


CLAIM = Claim(GrantId(1), "/data", "/srv/a", ClaimMode.PRIVATE, ClaimState.READY, VolumeId("v1"))


def recovered(cache: StateCache, *found: StoredVolume) -> StateCache:
    cache.apply(recover(found, cache, NOW))
    assert recover(found, cache, NOW) == (), "recovering is done once"
    return cache


def quarantined(cache: StateCache) -> list[str]:
    return [str(one.level) for one in cache.grants() if one.state is GrantState.QUARANTINED]


def test_a_lost_ledger_knows_volumes_and_holds_their_levels_again() -> None:
    cache = recovered(
        StateCache(), stored(), stored("s0:c3,c4", name="v2", inode=8), stored("s0", name="v3", inode=9)
    )
    assert [(one.id, one.phase) for one in cache.volumes()] == [
        ("v1", VolumePhase.LABELLED),
        ("v2", VolumePhase.LABELLED),
        ("v3", VolumePhase.LABELLED),
    ]
    assert quarantined(cache) == ["s0:c1,c2", "s0:c3,c4"]


def test_two_volumes_at_one_level_are_held_by_one_grant() -> None:
    cache = recovered(StateCache(), stored(), stored(name="v2", inode=8))
    assert quarantined(cache) == ["s0:c1,c2"]
    assert len(cache.claims_of(cache.grants()[0].id)) == 2


def test_a_ledger_that_is_right_is_left_alone() -> None:
    contents = LedgerContents((grant("s0:c1,c2"),), (volume(),), (CLAIM,), (), 2)
    assert recover([stored()], StateCache(contents), NOW) == ()


def test_what_was_restored_or_is_damaged_or_not_ours_holds_nothing() -> None:
    none, others = replace(stored(), target=None), replace(stored(), target=read_label("gibberish"))
    found = (stored(state="restored"), none, others)
    assert recover(found, StateCache(), NOW) == ()


def test_an_old_backup_learns_the_level_that_a_volume_has_by_now() -> None:
    """Promise 2: the level on disk was given after the backup, and nobody in the ledger holds it."""
    cache = StateCache(LedgerContents((grant("s0:c1,c2"),), (volume(),), (CLAIM,), (), 2))
    recovered(cache, stored("s0:c8,c9"))
    (now,) = cache.volumes()
    assert now.level == Level.of(8, 9) and now.phase is VolumePhase.LABELLING
    assert quarantined(cache) == ["s0:c8,c9"]
    claim = cache.claim(GrantId(1), "/data")
    assert claim is not None and claim.state is ClaimState.PENDING, "nobody is told that it is ready"


def test_an_old_backup_lets_go_of_a_volume_that_is_another_by_now() -> None:
    cache = StateCache(LedgerContents((grant("s0:c1,c2"),), (volume(),), (CLAIM,), (), 2))
    recovered(cache, stored("s0:c8,c9", name="newer"))
    assert [one.id for one in cache.volumes()] == ["newer"]
    assert cache.claims_of(GrantId(1)) == ()
    assert quarantined(cache) == ["s0:c8,c9"]


def test_an_old_backup_lets_go_of_a_volume_that_was_labelled_over_since() -> None:
    """Promise 7: what was given back, and is part of another volume by now, keeps that one from nothing."""
    cache = StateCache(LedgerContents((grant("s0:c1,c2"),), (volume(),), (CLAIM,), (), 2))
    (old,) = cache.volumes()
    around = replace(stored("s0:c8,c9", name="newer"), path=str(PurePosixPath(old.path).parent))
    around = replace(around, identity=Identity(old.identity.device, 77))
    recovered(cache, replace(around, state="labelling"))
    assert {one.id for one in cache.volumes()} == {old.id, "newer"}, "it may not all be labelled yet"
    cache = StateCache(LedgerContents((grant("s0:c1,c2"),), (volume(),), (CLAIM,), (), 2))
    recovered(cache, replace(around, state="complete"))
    assert [one.id for one in cache.volumes()] == ["newer"]
    assert cache.claims_of(GrantId(1)) == ()


def test_what_was_found_on_disk_is_put_back_before_something_around_it_is_labelled() -> None:
    """Promise 6: of two volumes, one in the other, that which was there first knows what both had before."""

    async def story(world: World) -> None:
        assert world.disk is not None
        inner, outer = world.mount("/srv/b/inside"), world.mount("/srv/b")
        shared = world.create("shared", inner, labels=(("io.mcsd.volume", "/data:shared"),))
        await world.quiet()
        assert world.label("/srv/b/inside").endswith(":s0") and world.label("/srv/b/inside") != BORN
        await world.kill()
        world.docker.vanish(shared)
        around = world.create("around", outer)
        world.tables = type(world.tables)()
        await world.boot()
        await world.quiet()
        assert [claim.state for claim in world.claims(around)] == [ClaimState.READY]
        assert {world.level_on(path) for path in world.disk.below("/srv/b")} == {world.level(around)}
        world.docker.remove(around)
        for _ in range(3):
            await world.quiet()
            world.clock.advance(700)
        assert {world.label(path) for path in world.disk.below("/srv/b")} == {BORN}

    with_world(story, disk=FakeDisk())
