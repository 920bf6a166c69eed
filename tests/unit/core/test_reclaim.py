"""Reclaiming, rule by rule. Promises 2 and 6: free after proof only, and what was there is put back."""

from __future__ import annotations

import pytest

from mcsd.core.changes import DropClaim, PutClaim, PutGrant, PutVolume
from mcsd.core.containers import ContainerId
from mcsd.core.grants import Grant, GrantState, Origin
from mcsd.core.labels import Context, Level
from mcsd.core.reclaim import Forget, Moment, Prove, Restore, next_due, reclaim
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

LINGER = 600.0
EARLY, LATE = Moment(now=1300.0, linger=LINGER), Moment(now=1600.0, linger=LINGER)


def grant(key: int, level: Level, state: GrantState = GrantState.QUARANTINED) -> PutGrant:
    return PutGrant(
        Grant(GrantId(key), ContainerId(f"id{key}"), f"c{key}", level, Origin.ADOPTED, state, 1000.0)
    )


def volume(key: str, path: str, *, device: int = 1, phase: VolumePhase = VolumePhase.LABELLED) -> PutVolume:
    identity = Identity(device, sum(map(ord, path)))
    return PutVolume(Volume(VolumeId(key), path, identity, Context.parse("u:object_r:t:s0"), phase, 1000.0))


def claim(key: int, on: str | None, state: ClaimState = ClaimState.READY, at: str = "/data") -> PutClaim:
    name = VolumeId(on) if on else None
    return PutClaim(Claim(GrantId(key), at, "/src", ClaimMode.SHARED, state, name))


def cache(*changes: PutGrant | PutVolume | PutClaim) -> StateCache:
    made = StateCache()
    made.apply(changes)
    return made


@pytest.fixture
def gone() -> StateCache:
    return cache(grant(1, Level.of(1, 2)), volume("v", "/a"), claim(1, "v"))


def test_a_gone_container_s_volume_lingers_then_is_restored(gone: StateCache) -> None:
    assert reclaim(gone, EARLY) == ()
    assert next_due(gone, EARLY) == 1600.0
    assert reclaim(gone, LATE) == (Restore(VolumeId("v")),)
    assert next_due(gone, LATE) is None


def test_on_demand_nothing_lingers(gone: StateCache) -> None:
    urgent = Moment(EARLY.now, LINGER, urgent=frozenset({GrantId(1)}))
    assert reclaim(gone, urgent) == (Restore(VolumeId("v")),)


def test_what_could_not_be_restored_is_not_tried_twice_in_a_round_and_keeps_its_level(
    gone: StateCache,
) -> None:
    """Promise 2."""
    blocked = Moment(LATE.now, LINGER, blocked=frozenset({VolumeId("v")}))
    assert reclaim(gone, blocked) == ()


def test_a_level_is_to_be_proven_free_when_nothing_is_claimed_any_more(gone: StateCache) -> None:
    gone.apply([DropClaim(GrantId(1), "/data")])
    assert set(reclaim(gone, EARLY)) == {Prove(GrantId(1)), Restore(VolumeId("v"))}
    assert reclaim(cache(grant(1, Level.of(1, 2), GrantState.IDLE)), LATE) == (), "idle is not gone"


@pytest.mark.parametrize("state", [ClaimState.REFUSED, ClaimState.UNMANAGED])
def test_claims_that_stand_for_no_labels_are_forgotten(state: ClaimState) -> None:
    held = cache(grant(1, Level.of(1, 2)), claim(1, None, state))
    assert reclaim(held, EARLY) == (Forget(held.claims_of(GrantId(1))[0]),)


def test_a_volume_that_has_passed_on_is_forgotten_only_when_it_has() -> None:
    """Promise 2: until its walk is done, files of the old level may be there."""
    new = (grant(2, Level.of(3, 4), GrantState.ACTIVE), claim(2, "v", ClaimState.PENDING))
    held = cache(
        grant(1, Level.of(1, 2)), volume("v", "/a", phase=VolumePhase.LABELLING), claim(1, "v"), *new
    )
    assert reclaim(held, LATE) == ()
    held.apply([volume("v", "/a"), claim(2, "v")])
    assert reclaim(held, LATE) == (Forget(held.claims_of(GrantId(1))[0]),)


def test_who_came_to_be_at_a_gone_container_s_level_ends_its_lingering(gone: StateCache) -> None:
    """Promise 1: the new one can read what the old one left."""
    gone.apply([grant(2, Level.of(1, 2, 3), GrantState.ACTIVE)])
    assert reclaim(gone, EARLY) == (Restore(VolumeId("v")),)
    gone.apply([grant(2, Level.of(1, 2, 3))])
    assert reclaim(gone, EARLY) == (Prove(GrantId(2)),), "two that are gone read nothing"


@pytest.mark.parametrize(("own", "other"), [("/a", "/a/b"), ("/a/b", "/a")])
def test_a_volume_is_not_restored_around_or_inside_one_that_is_in_use(own: str, other: str) -> None:
    """Promise 6: one walk would undo the other's labels."""
    held = cache(
        grant(1, Level.of(1, 2)),
        volume("v", own),
        claim(1, "v"),
        grant(2, Level.of(3, 4), GrantState.IDLE),
        volume("w", other),
        claim(2, "w"),
    )
    assert reclaim(held, LATE) == ()
    held.apply([DropClaim(GrantId(1), "/data")])
    assert reclaim(held, LATE) == (Prove(GrantId(1)),), "not as an orphan either"


def test_of_nested_volumes_the_innermost_is_restored_first() -> None:
    """Promise 6: it was there first, and has the originals."""
    held = cache(
        grant(1, Level.of(1, 2)),
        volume("outer", "/a"),
        claim(1, "outer", at="/1"),
        volume("inner", "/a/b/c"),
        claim(1, "inner", at="/2"),
    )
    assert reclaim(held, LATE) == (Restore(VolumeId("inner")),)
    blocked = Moment(LATE.now, LINGER, blocked=frozenset({VolumeId("inner")}))
    assert reclaim(held, blocked) == ()


def test_what_is_mounted_inside_keeps_nobody_waiting() -> None:
    held = cache(
        grant(1, Level.of(1, 2)),
        volume("outer", "/a"),
        claim(1, "outer", at="/1"),
        volume("disk", "/a/mnt", device=2),
        claim(1, "disk", at="/2"),
    )
    blocked = Moment(LATE.now, LINGER, blocked=frozenset({VolumeId("disk")}))
    assert reclaim(held, blocked) == (Restore(VolumeId("outer")),)


def test_a_volume_that_nobody_claims_is_restored_at_once() -> None:
    assert reclaim(cache(volume("v", "/a")), EARLY) == (Restore(VolumeId("v")),)
