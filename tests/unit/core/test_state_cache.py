"""The book keeps its indexes in step with its records."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mcsd.core.changes import (
    DropClaim,
    DropGroup,
    DropVolume,
    Group,
    LedgerContents,
    PutClaim,
    PutGrant,
    PutGroup,
)
from mcsd.core.changes import PutVolume as Put
from mcsd.core.containers import ContainerId
from mcsd.core.grants import Grant, GrantState, Origin
from mcsd.core.labels import Context, Level
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

OWNER = ContainerId("a" * 64)


def grant(key: int, level: Level, *, container: ContainerId = OWNER) -> Grant:
    return Grant(GrantId(key), container, f"c{key}", level, Origin.ADOPTED, GrantState.ACTIVE, 1.0)


def volume(key: str, path: str, inode: int = 1) -> Volume:
    return Volume(
        VolumeId(key), path, Identity(1, inode), Context.parse("u:r:t:s0"), VolumePhase.LABELLED, 1.0
    )


def claim(key: int, at: str, on: str) -> Claim:
    return Claim(GrantId(key), at, "/src", ClaimMode.PRIVATE, ClaimState.READY, VolumeId(on))


def test_grants_are_found_by_level_and_go_when_they_are_free() -> None:
    cache = StateCache()
    cache.apply([PutGrant(grant(1, Level.of(1, 2))), PutGrant(grant(2, Level.of(1)))])
    assert [one.id for one in cache.grants_near(Level.of(1, 2, 3))] == [1, 2]
    assert [one.id for one in cache.grants_at(Level.of(1))] == [2]
    cache.apply([PutGrant(grant(2, Level.of(4, 5)))])
    assert [one.id for one in cache.grants_near(Level.of(1, 2))] == [1]
    cache.apply([PutGrant(replace(grant(1, Level.of(1, 2)), state=GrantState.FREE))])
    assert cache.grants_near(Level.of(1, 2)) == () and [one.id for one in cache.grants()] == [2]
    assert cache.next_grant == 3, "an id is never used again"


def test_a_container_s_grant_is_its_newest() -> None:
    cache = StateCache()
    cache.apply([PutGrant(grant(2, Level.of(1, 2))), PutGrant(grant(1, Level.of(3, 4)))])
    found = cache.grant_of(OWNER)
    assert found is not None and found.id == 2
    cache.apply([PutGrant(replace(grant(2, Level.of(1, 2)), container=ContainerId("")))])
    assert cache.grant_of(ContainerId("")) is None, "a reservation nobody uses is no container's"


def test_claims_are_found_by_grant_by_place_and_by_volume() -> None:
    cache = StateCache()
    cache.apply([PutGrant(grant(1, Level.of(1, 2))), Put(volume("v", "/a")), PutClaim(claim(1, "/x", "v"))])
    assert cache.claims_of(GrantId(1)) == cache.claims_on(VolumeId("v")) == (claim(1, "/x", "v"),)
    cache.apply([Put(volume("w", "/b", 2)), PutClaim(claim(1, "/x", "w"))])
    assert cache.claims_on(VolumeId("v")) == () and cache.claims_on(VolumeId("w")) == (claim(1, "/x", "w"),)
    cache.apply([DropClaim(GrantId(1), "/x"), DropClaim(GrantId(1), "/x"), DropClaim(GrantId(7), "/x")])
    assert cache.claim(GrantId(1), "/x") is None and cache.claims_on(VolumeId("w")) == ()


@pytest.mark.parametrize(
    ("path", "around"),
    [
        ("/srv/www", ["/", "/srv", "/srv/www/a"]),
        ("/srv", ["/", "/srv/www", "/srv/www/a", "/srv/www2"]),
        ("/srv/www2", ["/", "/srv"]),
        ("/", ["/srv", "/srv/www", "/srv/www/a", "/srv/www2", "/srv.old"]),
    ],
)
def test_what_is_around_a_path_goes_by_whole_components(path: str, around: list[str]) -> None:
    cache = StateCache()
    paths = ["/srv/www/a", "/srv", "/srv/www2", "/", "/srv.old", "/srv/www"]
    cache.apply(Put(volume(one, one, number)) for number, one in enumerate(paths))
    assert sorted(one.path for one in cache.volumes_around(path)) == sorted(around)


def test_a_volume_goes_with_all_its_names() -> None:
    cache = StateCache()
    cache.apply([Put(volume("v", "/a")), Put(volume("v", "/b", 2))])
    assert [one.path for one in cache.volumes()] == ["/b"] and cache.volume_of(Identity(1, 1)) is None
    cache.apply([DropVolume(VolumeId("v")), DropVolume(VolumeId("v"))])
    assert cache.volumes() == () and cache.volume_of(Identity(1, 2)) is None


def test_a_book_read_again_is_the_same_book() -> None:
    contents = LedgerContents(
        grants=(grant(1, Level.of(1, 2)),),
        volumes=(volume("v", "/a"),),
        claims=(claim(1, "/x", "v"),),
        groups=(Group("team", 3, 4, 1.0),),
        next_grant=9,
    )
    cache = StateCache(contents)
    assert (cache.grants(), cache.volumes(), cache.groups()) == (
        contents.grants,
        contents.volumes,
        contents.groups,
    )
    assert cache.claims_of(GrantId(1)) == contents.claims and cache.next_grant == 9
    cache.apply([DropGroup("team"), DropGroup("team"), PutGroup(Group("b", 1, 2, 1.0))])
    assert [group.name for group in cache.groups()] == ["b"]
