"""Executing: turn planned actions into ledger changes and walks, and outcomes back into ledger changes.

`draft` and `conclude` are pure but for the allocator, the clock and fresh volume ids, which are parameters;
the reconciler commits what they return and runs the walks in between.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import assert_never

from mcsd.core.allocation import Allocator
from mcsd.core.book import Book
from mcsd.core.changes import Change, DropClaim, PutClaim, PutGrant, PutVolume
from mcsd.core.containers import Container, ContainerId
from mcsd.core.grants import Grant, GrantEvent, GrantState, Origin
from mcsd.core.labels import Context, Level
from mcsd.core.notices import Kind, Notice
from mcsd.core.plan import (
    Action,
    Adopt,
    Advance,
    Assign,
    Label,
    Occupy,
    Rename,
    SetClaim,
    Unclaim,
    Vacate,
    is_live,
)
from mcsd.core.volumes import Claim, ClaimState, GrantId, Volume, VolumeId, VolumePhase, of_it
from mcsd.errors import McsdError, VolumeRefusedError
from mcsd.relabel.values import Walk


@dataclass(slots=True)
class Stage:
    """What one planning round asks for: changes to commit first, then walks, and what to say."""

    changes: list[Change] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)
    walks: list[tuple[Claim, Volume]] = field(default_factory=list)
    vacate: set[GrantId] = field(default_factory=set)
    waiting: set[str] = field(default_factory=set)
    """Destinations that wait for `vacate`."""


@dataclass(frozen=True, slots=True)
class Means:
    """What drafting needs besides the book: each is a parameter, so that tests can fix it."""

    allocator: Allocator
    now: Callable[[], float]
    new_volume_id: Callable[[], VolumeId]
    file_context: Callable[[Level], str]


def draft(actions: Sequence[Action], book: Book, means: Means) -> Stage:
    """Turn one round of actions into a stage; raises `ExhaustedError` and `SelinuxError`."""
    stage = Stage()
    for action in actions:
        _draft(action, stage, book, means)
    return stage


def _draft(action: Action, stage: Stage, book: Book, means: Means) -> None:
    match action:
        case Adopt(container, level, shares, group):
            grant = _new_grant(container, level, Origin.ADOPTED, book, means)
            _put_grant(replace(grant, shares_with=shares, group=group), stage, Kind.GRANTED)
        case Assign(container):
            level = means.allocator.choose().level
            _put_grant(assigned(container, level, book, means), stage, Kind.GRANTED)
        case Occupy(container, grant_id):
            grant = _advanced(_grant(book, grant_id), GrantEvent.STARTED, means)
            _put_grant(replace(grant, container=container.id, name=container.name), stage, Kind.GRANTED)
        case Rename(grant_id, name):
            stage.changes.append(PutGrant(replace(_grant(book, grant_id), name=name)))
        case Advance(grant_id, event):
            _put_grant(_advanced(_grant(book, grant_id), event, means), stage, Kind.GRANT_CHANGED)
        case SetClaim(claim, rule):
            stage.changes.append(PutClaim(claim))
            stage.notices += _claim_notice(claim, _grant(book, claim.grant), rule)
        case Label():
            _draft_label(action, stage, book, means)
        case Unclaim(claim):
            stage.changes.append(DropClaim(claim.grant, claim.destination))
        case Vacate(grants, destination):
            stage.vacate.update(grants)
            stage.waiting.add(destination)
        case _:
            assert_never(action)


def _grant(book: Book, grant_id: GrantId) -> Grant:
    grant = book.grant(grant_id)
    assert grant is not None, "a plan names grants that hold"
    return grant


def _new_grant(container: Container, level: Level, origin: Origin, book: Book, means: Means) -> Grant:
    return Grant(
        id=GrantId(book.next_grant),
        container=container.id,
        name=container.name,
        level=level,
        origin=origin,
        state=GrantState.ACTIVE if is_live(container) else GrantState.IDLE,
        since=means.now(),
    )


def assigned(container: Container, level: Level, book: Book, means: Means, *, group: str = "") -> Grant:
    """Make the grant on a level that mcsd has chosen for a container."""
    return replace(_new_grant(container, level, Origin.ASSIGNED, book, means), group=group)


def _advanced(grant: Grant, event: GrantEvent, means: Means) -> Grant:
    advanced = grant.after(event, means.now())
    if event is GrantEvent.VACATED:
        return replace(advanced, container=ContainerId(""), name=grant.reservation)
    return advanced


def _put_grant(grant: Grant, stage: Stage, kind: Kind) -> None:
    stage.changes.append(PutGrant(grant))
    stage.notices.append(grant_notice(grant, kind))


def grant_notice(grant: Grant, kind: Kind) -> Notice:
    """Tell of a grant as it is now."""
    fields = {"name": grant.name, "level": str(grant.level), "origin": grant.origin, "state": grant.state}
    return Notice(kind, fields, grant.container)


def _claim_notice(claim: Claim, grant: Grant, rule: str) -> list[Notice]:
    kinds = {
        ClaimState.REFUSED: Kind.VOLUME_REFUSED,
        ClaimState.FAILED: Kind.VOLUME_FAILED,
        ClaimState.PARTIAL: Kind.VOLUME_FAILED,
    }
    if claim.state not in kinds:
        return []
    fields = {
        "name": grant.name,
        "volume": claim.source,
        "reason": claim.reason,
        "hint": claim.hint,
        "level": str(grant.level),
    }
    if rule:
        fields["rule"] = rule
    return [Notice(kinds[claim.state], fields, grant.container)]


def _draft_label(action: Label, stage: Stage, book: Book, means: Means) -> None:
    target = means.file_context(action.level)
    volume = book.volume_of(action.root.identity) or Volume(
        id=means.new_volume_id(),
        path=action.root.path,
        identity=action.root.identity,
        target=target,
        phase=VolumePhase.LABELLING,
        since=means.now(),
    )
    volume = replace(
        volume,
        path=action.root.path,
        target=target,
        phase=VolumePhase.LABELLING,
        since=means.now(),
        detail="",
    )
    claims = [
        replace(claim, volume=volume.id, state=ClaimState.PENDING, hint="")
        for claim in (action.claim, *action.also)
    ]
    stage.changes += [PutVolume(volume), *map(PutClaim, claims)]
    stage.walks.append((claims[0], volume))


# --- outcomes ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a walk ended: with a result, or with the error that kept it from starting or going on."""

    volume: Volume
    walk: Walk | None = None
    error: McsdError | None = None
    cancelled: bool = False


def skipped_text(walk: Walk) -> str:
    """Say what was skipped and why, with the first example."""
    counts = ", ".join(f"{count} {reason}" for reason, count in sorted(walk.skipped.items()))
    example = f" (for instance {walk.examples[0][1]})" if walk.examples else ""
    return counts + example


def conclude(outcome: Outcome, claim: Claim, book: Book, now: float) -> Stage:
    """Turn a finished walk into changes; nothing for a volume that was retargeted meanwhile."""
    stage = Stage()
    volume = book.volume(outcome.volume.id)
    if volume is None or volume.target != outcome.volume.target or outcome.cancelled:
        return stage
    state, reason, hint = _verdict(outcome)
    rule = outcome.error.rule if isinstance(outcome.error, VolumeRefusedError) else ""
    if outcome.walk is not None:
        volume = replace(
            volume,
            inodes=outcome.walk.seen,
            skipped={str(why): count for why, count in outcome.walk.skipped.items()},
        )
    phase = VolumePhase.LABELLED if state is ClaimState.READY else VolumePhase.LABELLING
    stage.changes.append(PutVolume(replace(volume, phase=phase, since=now, detail=reason)))
    for other in book.claims_on(volume.id):
        grant = book.grant(other.grant)
        if other.state in {ClaimState.REFUSED, ClaimState.UNMANAGED} or grant is None:
            continue
        done = replace(other, state=state, reason=reason or _lasting(other, state), hint=hint)
        if state is ClaimState.REFUSED:
            done = replace(done, volume=None)
        stage.changes.append(PutClaim(done))
        stage.notices += _claim_notice(done, grant, rule)
    if outcome.walk is not None and state is ClaimState.READY:
        stage.notices.append(_labelled_notice(outcome.walk, claim, volume, book))
    return stage


def _lasting(claim: Claim, state: ClaimState) -> str:
    """Keep why a claim is shared; drop what a finished walk has mended."""
    return claim.reason if state is ClaimState.READY and claim.reason.startswith("shared because") else ""


def _verdict(outcome: Outcome) -> tuple[ClaimState, str, str]:
    if isinstance(outcome.error, VolumeRefusedError):
        return ClaimState.REFUSED, of_it(outcome.error.what, outcome.volume.path), outcome.error.hint
    if outcome.error is not None:
        return ClaimState.FAILED, of_it(outcome.error.what, outcome.volume.path), outcome.error.hint
    assert outcome.walk is not None
    if outcome.walk.complete:
        return ClaimState.READY, "", ""
    return (
        ClaimState.PARTIAL,
        f"part of it could not be labelled: {skipped_text(outcome.walk)}",
        "mend the cause, then restart the container or run mcsctl verify --repair",
    )


def _labelled_notice(walk: Walk, claim: Claim, volume: Volume, book: Book) -> Notice:
    grant = _grant(book, claim.grant)
    fields = {
        "name": grant.name,
        "volume": volume.path,
        "level": str(Context.parse(volume.target).level),
        "changed": walk.changed,
        "already": walk.already,
        "skipped": sum(walk.skipped.values()),
        "seconds": round(walk.seconds, 3),
    }
    return Notice(Kind.VOLUME_LABELLED, fields, grant.container)
