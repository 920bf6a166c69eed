"""Conversion between records and rows: the only place that knows the order of the ledger's columns.

Reading is strict. A row that is not a valid record (an unknown state, a level that cannot be parsed)
raises `ValueError`, `TypeError`, `KeyError` or `LabelSyntaxError`; the ledger then counts as damaged.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from mcsd.core.changes import Group
from mcsd.core.containers import ContainerId
from mcsd.core.grants import Grant, GrantState, Origin
from mcsd.core.labels import Context, Level
from mcsd.core.leftout import left_out
from mcsd.core.lives import Life, LifeKind, ProcessLife, TimeLife, UnitLife
from mcsd.core.runs import Run, RunVolume
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

Row = tuple[Any, ...]

GRANT_COLUMNS = (
    "id",
    "container",
    "name",
    "level",
    "origin",
    "state",
    "since",
    "shares_with",
    "group_name",
    "reservation",
    "life",
    "engine",
)
HISTORY_COLUMNS = tuple(column for column in GRANT_COLUMNS if column not in {"state", "life", "engine"})
VOLUME_COLUMNS = (
    "id",
    "path",
    "device",
    "inode",
    "target",
    "phase",
    "since",
    "inodes",
    "skipped",
    "detail",
    "left_out",
)
CLAIM_COLUMNS = (
    "grant_id",
    "destination",
    "source",
    "mode",
    "state",
    "volume",
    "writable",
    "reason",
    "hint",
    "conceded",
)
GROUP_COLUMNS = ("name", "low", "high", "since")

RUN_COLUMNS = (
    *("id", "name", "life", "context", "created"),
    *("started", "group_name", "command", "volumes"),
)

_UNSIGNED = 1 << 64
_SIGNED = 1 << 63


def stored_text(text: str) -> str | bytes:
    """Return text as SQLite can store it: as it is, or as bytes if it has lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")
    return str(text)


def read_text(stored: object) -> str:
    """Return the text that `stored_text` converted."""
    match stored:
        case str():
            return stored
        case bytes():
            return stored.decode("utf-8", "surrogatepass")
        case _:
            raise TypeError(f"expected text, found {stored!r}")


def _stored_number(number: int) -> int:
    return number - _UNSIGNED if number >= _SIGNED else number


def _read_number(stored: int) -> int:
    return stored + _UNSIGNED if stored < 0 else stored


def grant_row(grant: Grant) -> Row:
    """Return a grant's columns."""
    return (
        grant.id,
        stored_text(grant.container),
        stored_text(grant.name),
        str(grant.level),
        grant.origin.value,
        grant.state.value,
        grant.since,
        stored_text(grant.shares_with),
        stored_text(grant.group),
        stored_text(grant.reservation),
        _stored_life(grant.life),
        stored_text(grant.engine),
    )


def history_row(grant: Grant) -> Row:
    """Return a freed grant's columns."""
    return tuple(
        value
        for column, value in zip(GRANT_COLUMNS, grant_row(grant), strict=True)
        if column in HISTORY_COLUMNS
    )


def read_grant(row: Row) -> Grant:
    """Read a grant."""
    key, container, name, level, origin, state, since, shares_with, group, reservation, life, engine = row
    return Grant(
        id=GrantId(key),
        container=ContainerId(read_text(container)),
        name=read_text(name),
        level=Level.parse(level),
        origin=Origin(origin),
        state=GrantState(state),
        since=since,
        shares_with=read_text(shares_with),
        group=read_text(group),
        reservation=read_text(reservation),
        life=_read_life(life),
        engine=read_text(engine),
    )


def _stored_life(life: Life | None) -> str:
    return "" if life is None else json.dumps({"kind": life.kind.value, **asdict(life)}, sort_keys=True)


def _read_life(stored: str) -> Life | None:
    if not stored:
        return None
    match json.loads(stored):
        case {"kind": LifeKind.PROCESS, "pid": int(pid), "start": int(start), "boot": str(boot)}:
            return ProcessLife(pid, start, boot)
        case {"kind": LifeKind.UNIT, "unit": str(unit), "invocation": str(invocation)}:
            return UnitLife(unit, invocation)
        case {"kind": LifeKind.TIME, "until": float() | int() as until}:
            return TimeLife(until)
        case _:
            raise TypeError(f"expected a life, found {stored!r}")


def volume_row(volume: Volume) -> Row:
    """Return a volume's columns."""
    return (
        volume.id,
        stored_text(volume.path),
        _stored_number(volume.identity.device),
        _stored_number(volume.identity.inode),
        str(volume.target),
        volume.phase.value,
        volume.since,
        volume.inodes,
        json.dumps(dict(volume.skipped), sort_keys=True),
        stored_text(volume.detail),
        json.dumps([[one.why, one.path] for one in volume.left_out]),
    )


def read_volume(row: Row) -> Volume:
    """Read a volume."""
    key, path, device, inode, target, phase, since, inodes, skipped, detail, missed = row
    return Volume(
        id=VolumeId(key),
        path=read_text(path),
        identity=Identity(_read_number(device), _read_number(inode)),
        target=Context.parse(target),
        phase=VolumePhase(phase),
        since=since,
        inodes=inodes,
        skipped=_read_counts(skipped),
        detail=read_text(detail),
        left_out=left_out((str(why), str(path)) for why, path in json.loads(missed)),
    )


def _read_counts(stored: str) -> Mapping[str, int]:
    counts = json.loads(stored)
    if not isinstance(counts, dict) or not all(type(count) is int for count in counts.values()):
        raise TypeError(f"expected counts by reason, found {stored!r}")
    return counts


def claim_row(claim: Claim) -> Row:
    """Return a claim's columns."""
    return (
        claim.grant,
        stored_text(claim.destination),
        stored_text(claim.source),
        claim.mode.value,
        claim.state.value,
        claim.volume,
        int(claim.writable),
        stored_text(claim.reason),
        stored_text(claim.hint),
        int(claim.conceded),
    )


def read_claim(row: Row) -> Claim:
    """Read a claim."""
    grant, destination, source, mode, state, volume, writable, reason, hint, conceded = row
    return Claim(
        grant=GrantId(grant),
        destination=read_text(destination),
        source=read_text(source),
        mode=ClaimMode(mode),
        state=ClaimState(state),
        volume=None if volume is None else VolumeId(volume),
        writable=bool(writable),
        reason=read_text(reason),
        hint=read_text(hint),
        conceded=bool(conceded),
    )


def run_row(run: Run) -> Row:
    """Return a run's columns."""
    return (
        run.id,
        stored_text(run.name),
        _stored_life(run.life),
        str(run.context),
        run.created,
        run.started,
        stored_text(run.group),
        stored_text(run.command),
        json.dumps([[one.path, one.mode] for one in run.volumes]),
    )


def read_run(row: Row) -> Run:
    """Read a run."""
    key, name, life, context, created, started, group, command, volumes = row
    process = _read_life(life)
    if not isinstance(process, ProcessLife):
        raise TypeError(f"expected a process's life, found {life!r}")
    return Run(
        id=ContainerId(key),
        name=read_text(name),
        life=process,
        context=Context.parse(context),
        created=created,
        started=started,
        group=read_text(group),
        command=read_text(command),
        volumes=tuple(
            RunVolume(read_text(path), None if mode is None else ClaimMode(mode))
            for path, mode in json.loads(volumes)
        ),
    )


def group_row(group: Group) -> Row:
    """Return a group's columns."""
    return stored_text(group.name), group.low, group.high, group.since


def read_group(row: Row) -> Group:
    """Read a group."""
    name, low, high, since = row
    return Group(read_text(name), low, high, since)
