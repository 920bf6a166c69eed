"""A claim that ends wakes those it refused, and nobody else."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mcsd.core.changes import Change, DropClaim, DropVolume, LedgerContents, PutClaim, PutGrant
from mcsd.core.containers import ContainerId
from mcsd.core.grants import Grant, GrantEvent, GrantState, Origin
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
from mcsd.core.waking import Ended, ended_by, woken_by

TARGET = "system_u:object_r:container_file_t:s0:c1,c2"
DATA = Volume(VolumeId("v"), "/srv/data", Identity(1, 2), Context.parse(TARGET), VolumePhase.LABELLED, 1.0)


def grant(number: int, level: str, state: GrantState = GrantState.ACTIVE) -> Grant:
    ident = ContainerId(str(number) * 64)
    return Grant(GrantId(number), ident, f"n{number}", Level.parse(level), Origin.ADOPTED, state, 1.0)


HOLDER = grant(1, "s0:c1,c2")
WAITING = grant(2, "s0:c3,c4")
HELD = Claim(HOLDER.id, "/d", "/srv/data", ClaimMode.PRIVATE, ClaimState.READY, DATA.id)
REFUSED = Claim(
    WAITING.id,
    "/d",
    "/srv/data",
    ClaimMode.PRIVATE,
    ClaimState.REFUSED,
    reason="n1 holds /srv/data as private",
)


def cache(*claims: Claim) -> StateCache:
    return StateCache(LedgerContents((HOLDER, WAITING), (DATA,), (HELD, *claims)))


def woken(change: Change, refused: Claim) -> set[ContainerId]:
    known = cache(refused)
    ended = ended_by([change], known)
    known.apply([change])
    return set(woken_by(ended, known))


LETTING_GO = [
    DropClaim(HOLDER.id, "/d"),
    PutClaim(replace(HELD, state=ClaimState.REFUSED, volume=None)),
    PutClaim(replace(HELD, mode=ClaimMode.SHARED)),
    PutGrant(HOLDER.after(GrantEvent.REMOVED, 2.0)),
    DropVolume(DATA.id),
]


@pytest.mark.parametrize("change", LETTING_GO)
@pytest.mark.parametrize("source", ["/srv/data", "/srv/data/below", "/srv", "/a-link"])
def test_whoever_waits_for_what_has_ended_is_woken(change: Change, source: str) -> None:
    assert woken(change, replace(REFUSED, source=source)) == {WAITING.container}


@pytest.mark.parametrize("change", LETTING_GO)
def test_nobody_else_is(change: Change) -> None:
    elsewhere = replace(REFUSED, source="/etc/localtime", reason="it is a part of the system")
    assert woken(change, elsewhere) == set()
    assert woken(change, replace(REFUSED, state=ClaimState.READY)) == set()


@pytest.mark.parametrize(
    "change",
    [
        PutClaim(replace(HELD, state=ClaimState.PENDING)),
        PutGrant(HOLDER.after(GrantEvent.EXITED, 2.0)),
        PutGrant(replace(HOLDER, name="m")),
        DropClaim(HOLDER.id, "/elsewhere"),
    ],
)
def test_what_goes_on_being_held_wakes_nobody(change: Change) -> None:
    assert woken(change, REFUSED) == set()


@pytest.mark.parametrize("level", ["s0:c3", "s0:c3,c4", "s0:c3,c4,c5", "s0:c8,c9"])
def test_a_level_that_nobody_carries_any_more_wakes_whom_it_was_not_separate_from(level: str) -> None:
    reason = "" if "c3" in level else "/srv/data carries the level of process 7 at s0:c8,c9"
    refused = replace(REFUSED, reason=reason)
    ended = Ended(levels=frozenset([Level.parse(level)]))
    assert woken_by(ended, cache(refused)) == {WAITING.container}
    assert woken_by(Ended(levels=frozenset([Level.parse("s0:c7,c11")])), cache(refused)) == set()
