"""Records for tests of the ledger, and one story of transactions that uses every kind of change."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from mcsd.core.changes import (
    Change,
    DropClaim,
    DropGroup,
    DropRun,
    DropVolume,
    Group,
    PutClaim,
    PutFleet,
    PutGrant,
    PutGroup,
    PutRun,
    PutTurn,
    PutVolume,
)
from mcsd.core.containers import ContainerId
from mcsd.core.fleet.values import Document, FleetRecord, Operation
from mcsd.core.grants import Grant, GrantState, Origin
from mcsd.core.labels import CategoryPair, Context, Level
from mcsd.core.lives import ProcessLife, TimeLife, UnitLife
from mcsd.core.runs import Run, RunVolume
from mcsd.core.volumes import (
    CONCEDED,
    Claim,
    ClaimMode,
    ClaimState,
    GrantId,
    Identity,
    Volume,
    VolumeId,
    VolumePhase,
)

_GRANT = Grant(
    id=GrantId(1),
    container=ContainerId("c" * 64),
    name="web",
    level=Level.of(12, 900),
    origin=Origin.ADOPTED,
    state=GrantState.ACTIVE,
    since=1764000000.25,
)
_VOLUME = Volume(
    id=VolumeId("a" * 32),
    path="/srv/web",
    identity=Identity(64769, 4711),
    target=Context.parse("system_u:object_r:container_file_t:s0:c12,c900"),
    phase=VolumePhase.LABELLING,
    since=1764000001.5,
)
_CLAIM = Claim(
    grant=_GRANT.id,
    destination="/data",
    source="/srv/web",
    mode=ClaimMode.PRIVATE,
    state=ClaimState.PENDING,
    volume=_VOLUME.id,
)


_RUN = Run(
    id=ContainerId("run-" + "a" * 32),
    name="build",
    life=ProcessLife(42, 4711, "b" * 36),
    context=Context.parse("system_u:system_r:container_t:s0:c12,c900"),
    created=1764003700.5,
    group="team",
    command="make all",
    volumes=(RunVolume("/srv/web"), RunVolume("/srv/\udc80", ClaimMode.SHARED)),
)


def grant(number: int = 1, **values: Any) -> Grant:
    """Return a grant with this number."""
    return replace(_GRANT, id=GrantId(number), **values)


def volume(name: str = "a", **values: Any) -> Volume:
    """Return a volume whose id is made of one letter."""
    return replace(_VOLUME, id=VolumeId(name * 32), **values)


def claim(number: int = 1, destination: str = "/data", on: Volume | None = None, **values: Any) -> Claim:
    """Return a claim of the grant with this number, on a volume or on none."""
    named = None if on is None else on.id
    return replace(_CLAIM, grant=GrantId(number), destination=destination, volume=named, **values)


def run(name: str = "a", **values: Any) -> Run:
    """Return a run whose id is made of one letter."""
    return replace(_RUN, id=ContainerId("run-" + name * 32), **values)


_RECORD = FleetRecord(
    fleet="1" * 32,
    name="alpha",
    admission="2" * 32,
    incarnation="3" * 32,
    machine="dmi:4c4c4544",
    generation=1,
    cluster="14841639068965178418",
)
_PENDING = (Operation("4" * 32, 1, 1, Document(frozenset({0, 958}))),)


STORY: tuple[tuple[Change, ...], ...] = (
    (PutGrant(grant(1)), PutVolume(volume("a")), PutClaim(claim(1, on=volume("a")))),
    (
        PutVolume(volume("a", phase=VolumePhase.LABELLED, inodes=3, skipped={"device-node": 1})),
        PutClaim(claim(1, on=volume("a"), state=ClaimState.READY)),
    ),
    (
        PutGroup(Group("team", 5, 6, 1764000002.0)),
        PutGrant(grant(2, level=Level.of(5, 6, 30, 31), group="team", container="d" * 64)),
    ),
    (PutClaim(claim(2, "/logs", mode=ClaimMode.IGNORE, state=ClaimState.UNMANAGED)),),
    (PutGrant(grant(1, state=GrantState.QUARANTINED, since=1764000100.0)),),
    (
        PutGrant(grant(4, level=Level.of(7, 8), container="e" * 64)),
        PutClaim(claim(4, mode=ClaimMode.SHARED, conceded=True, reason=CONCEDED)),
    ),
    (DropClaim(GrantId(4), "/data"), PutGrant(grant(4, level=Level.of(7, 8), state=GrantState.FREE))),
    (PutVolume(volume("a", phase=VolumePhase.RESTORING)),),
    (DropClaim(GrantId(1), "/data"), DropVolume(volume("a").id)),
    (PutGrant(grant(1, state=GrantState.FREE, since=1764000200.0)),),
    (
        DropClaim(GrantId(2), "/logs"),
        PutGrant(grant(2, state=GrantState.FREE, group="team", container="d" * 64)),
        DropGroup("team"),
    ),
    (
        PutGrant(grant(3, level=Level.of(12, 900), engine="podman")),
        PutTurn(CategoryPair(12, 900)),
        PutTurn(CategoryPair(5, 6)),
    ),
    (PutTurn(CategoryPair(1022, 1023)), PutTurn(CategoryPair(12, 900))),
    tuple(
        PutGrant(grant(number, container="", state=GrantState.RESERVED, reservation=f"r{number}", life=life))
        for number, life in enumerate(
            (ProcessLife(42, 4711, "b" * 36), UnitLife("web.service", "f" * 32), TimeLife(1764003600.5)), 5
        )
    ),
    (PutRun(_RUN), PutRun(run("c"))),
    (PutRun(replace(_RUN, started=1764003701.25)), DropRun(ContainerId("run-" + "c" * 32))),
    (PutFleet(_RECORD),),
    (PutFleet(replace(_RECORD, document=Document(frozenset({3, 4}), "in doubt"), pending=_PENDING)),),
)
