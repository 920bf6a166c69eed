"""What a mount shows beyond its container, and what stands between: each kind and barrier. Promise 8."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mcsd.core.changes import PutClaim, PutGrant, PutVolume
from mcsd.core.containers import Container, ContainerId, Mount, MountKind
from mcsd.core.exposure import Barrier, Shown, Survey, Weak, Weakness, barrier_of, weaknesses
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

SOCKET = Survey("/run/docker.sock", shown=(Shown(Weak.ENGINE_SOCKET, "/run/docker.sock"),))
ROOT = Survey(
    "/", shown=(Shown(Weak.HOST_ROOT, "/"), Shown(Weak.DEVICES, "/dev"), Shown(Weak.KERNEL, "/sys"))
)
PLAIN = Survey("/srv/a")


def container(*sources: str, kind: MountKind = MountKind.BIND, name: str = "web") -> Container:
    mounts = tuple(Mount(kind, source, f"/{at}") for at, source in enumerate(sources))
    return Container(ContainerId(name), name, running=True, mounts=mounts)


def grant(number: int, name: str = "web") -> Grant:
    level = Level.of(number, number + 100)
    return Grant(GrantId(number), ContainerId(name), name, level, Origin.ADOPTED, GrantState.ACTIVE, 1.0)


def found(
    *surveys: Survey, cache: StateCache | None = None, is_confined: bool = True
) -> tuple[Weakness, ...]:
    """Judge a container that has one mount for each survey."""
    here = container(*(survey.path for survey in surveys))
    seen = {f"/{at}": survey for at, survey in enumerate(surveys)}
    return weaknesses(here, None, seen, cache or StateCache(), is_confined=is_confined)


def codes(weak: tuple[Weakness, ...]) -> list[Weak]:
    return [one.what for one in weak]


@pytest.mark.parametrize("what", [what for what in Weak if what is not Weak.OTHERS])
def test_each_kind_is_said_with_what_holds_it_back(what: Weak) -> None:
    (one,) = found(Survey("/x", shown=(Shown(what, "/x/place"),), open=True))
    assert (one.what, one.barrier, one.barrier.weakens) == (what, Barrier.TYPES, True)
    assert one.text.startswith("/x shows it ") and one.hint


def test_the_root_directory_is_said_alone() -> None:
    assert codes(found(ROOT)) == [Weak.HOST_ROOT]


def test_what_shows_nothing_is_not_mentioned() -> None:
    assert found(PLAIN) == ()


@pytest.mark.parametrize(
    ("is_open", "is_confined", "barrier"),
    [
        (False, True, Barrier.POLICY),
        (True, True, Barrier.NOTHING),
        (None, True, Barrier.TYPES),
        (False, False, Barrier.NOTHING),
        (None, False, Barrier.NOTHING),
    ],
)
def test_a_socket_is_open_or_closed(is_open: bool | None, is_confined: bool, barrier: Barrier) -> None:
    """Who may write to an engine's socket may do everything: there is no in-between."""
    assert barrier_of(replace(SOCKET, open=is_open), is_confined=is_confined) is barrier


def test_a_directory_with_a_socket_in_it_is_judged_by_its_types() -> None:
    around = replace(SOCKET, path="/run", open=True)
    assert barrier_of(around, is_confined=True) is Barrier.TYPES


def test_what_the_policy_denies_weakens_nothing_and_needs_no_remedy() -> None:
    (one,) = found(replace(SOCKET, open=False))
    assert not one.barrier.weakens and one.hint == "" and "denies" in one.text


def test_a_named_volume_in_the_engine_s_storage_is_no_view_of_it() -> None:
    survey = Survey("/var/lib/docker/volumes/x/_data", shown=(Shown(Weak.ENGINE_STORAGE, "/var/lib/docker"),))
    volume = container(survey.path, kind=MountKind.VOLUME)
    assert weaknesses(volume, None, {"/0": survey}, StateCache(), is_confined=True) == ()
    assert codes(found(survey)) == [Weak.ENGINE_STORAGE]
    whole = replace(survey, shown=(*survey.shown, *ROOT.shown))
    assert codes(weaknesses(volume, None, {"/0": whole}, StateCache(), is_confined=True)) == [Weak.HOST_ROOT]


def others(mode: ClaimMode, state: GrantState = GrantState.ACTIVE) -> StateCache:
    """A book in which db has /srv/a/data."""
    cache = StateCache()
    claim = Claim(GrantId(2), "/data", "/srv/a/data", mode, ClaimState.READY, VolumeId("v"))
    path = Volume(
        VolumeId("v"),
        "/srv/a/data",
        Identity(1, 2),
        Context.parse("u:object_r:t:s0"),
        VolumePhase.LABELLED,
        1.0,
    )
    cache.apply([PutGrant(replace(grant(2, "db"), state=state)), PutVolume(path), PutClaim(claim)])
    return cache


@pytest.mark.parametrize("path", ["/srv", "/srv/a/data", "/srv/a/data/inner"])
def test_others_volumes_are_said_from_above_and_below(path: str) -> None:
    (one,) = found(Survey(path), cache=others(ClaimMode.PRIVATE))
    assert (one.what, one.barrier) == (Weak.OTHERS, Barrier.CATEGORIES) and "db" in one.text
    (one,) = found(Survey(path), cache=others(ClaimMode.GROUP), is_confined=False)
    assert one.barrier is Barrier.NOTHING and one.barrier.weakens


def test_what_is_everybody_s_or_nobody_s_is_not_another_s() -> None:
    assert found(Survey("/srv"), cache=others(ClaimMode.SHARED)) == ()
    assert found(Survey("/srv"), cache=others(ClaimMode.PRIVATE, GrantState.QUARANTINED)) == ()


def test_what_is_labelled_for_the_container_is_its_own() -> None:
    cache = StateCache()
    cache.apply([PutGrant(grant(1))])
    for mode, expected in ((ClaimMode.PRIVATE, []), (ClaimMode.IGNORE, [Weak.ENGINE_STORAGE])):
        cache.apply([PutClaim(Claim(GrantId(1), "/0", "/var/lib/docker/x", mode, ClaimState.UNMANAGED))])
        survey = Survey("/var/lib/docker/x", shown=(Shown(Weak.ENGINE_STORAGE, "/var/lib/docker"),))
        weak = weaknesses(container(survey.path), grant(1), {"/0": survey}, cache, is_confined=True)
        assert codes(weak) == expected
