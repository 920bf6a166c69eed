"""Executing: turn planned actions into ledger changes and walks, and their outcomes into ledger changes.

`draft` and `conclude` are pure except for the allocator, the clock and fresh volume ids, which are
parameters; the reconciler commits what they return and runs the walks in between.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import assert_never

from mcsd.core.allocation import Allocator
from mcsd.core.changes import Change, DropClaim, PutClaim, PutGrant, PutVolume
from mcsd.core.containers import Container
from mcsd.core.grants import Grant, GrantEvent, GrantState, Origin
from mcsd.core.hints import Hint
from mcsd.core.labels import Context, Level
from mcsd.core.leftout import counted, left_out, missed
from mcsd.core.notices import Kind, Notice
from mcsd.core.plan import (
    Action,
    Adopt,
    Advance,
    Assign,
    LabelVolume,
    Occupy,
    RenameGrant,
    SetClaim,
    Unclaim,
    Vacate,
    is_live,
)
from mcsd.core.refusals import is_left_alone
from mcsd.core.state_cache import StateCache
from mcsd.core.volumes import (
    CONCEDED,
    Claim,
    ClaimMode,
    ClaimState,
    GrantId,
    Volume,
    VolumeEvent,
    VolumeId,
    VolumePhase,
    of_it,
)
from mcsd.core.walks import Walk
from mcsd.errors import McsdError, VolumeRefusedError


@dataclass(slots=True)
class Draft:
    """The result of one planning round: changes to commit first, then walks, and notices."""

    changes: list[Change] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)
    walks: list[tuple[Claim, Volume]] = field(default_factory=list)
    vacate: set[GrantId] = field(default_factory=set)
    waiting: set[str] = field(default_factory=set)
    """Destinations that wait for `vacate`."""


@dataclass(frozen=True, slots=True)
class DraftInputs:
    """What drafting needs besides the cache; tests can fix each part."""

    allocator: Allocator
    now: Callable[[], float]
    new_volume_id: Callable[[], VolumeId]


def draft(
    actions: Sequence[Action], cache: StateCache, means: DraftInputs, targets: Mapping[Level, Context]
) -> Draft:
    """Turn one round of actions into a stage; raises `ExhaustedError`.

    `targets` has the file context for each level in `levels_to_label`.
    """
    stage = Draft()
    for action in actions:
        _draft(action, stage, cache, means, targets)
    return stage


def levels_to_label(actions: Iterable[Action]) -> frozenset[Level]:
    """Return the levels that volumes will get."""
    return frozenset(action.level for action in actions if isinstance(action, LabelVolume))


def _draft(
    action: Action, stage: Draft, cache: StateCache, means: DraftInputs, targets: Mapping[Level, Context]
) -> None:
    match action:
        case Adopt(container, level, shares, group):
            grant = _new_grant(container, level, Origin.ADOPTED, cache, means)
            _put_grant(replace(grant, shares_with=shares, group=group), stage, Kind.GRANTED)
        case Assign(container):
            level = means.allocator.choose().level
            _put_grant(assigned(container, level, cache, means), stage, Kind.GRANTED)
        case Occupy(container, grant_id):
            grant = _advanced(_grant(cache, grant_id), GrantEvent.STARTED, means)
            taken = replace(grant, container=container.id, name=container.name, engine=container.engine)
            _put_grant(taken, stage, Kind.GRANTED)
        case RenameGrant(grant_id, name, engine):
            stage.changes.append(PutGrant(replace(_grant(cache, grant_id), name=name, engine=engine)))
        case Advance(grant_id, event, at):
            _put_grant(_advanced(_grant(cache, grant_id), event, means, at), stage, Kind.GRANT_CHANGED)
        case SetClaim(claim, rule):
            stage.changes.append(PutClaim(claim))
            stage.notices += _claim_notice(claim, _grant(cache, claim.grant), rule)
        case LabelVolume():
            _draft_label(action, stage, cache, means, targets[action.level])
        case Unclaim(claim):
            stage.changes.append(DropClaim(claim.grant, claim.destination))
        case Vacate(grants, destination, ousted):
            stage.changes += _ended(ousted, cache)
            stage.vacate.update(grants)
            stage.waiting.add(destination)
        case _:
            assert_never(action)


def _grant(cache: StateCache, grant_id: GrantId) -> Grant:
    grant = cache.grant(grant_id)
    assert grant is not None, "a plan names grants that hold"
    return grant


def _new_grant(
    container: Container, level: Level, origin: Origin, cache: StateCache, means: DraftInputs
) -> Grant:
    return Grant(
        id=GrantId(cache.next_grant),
        container=container.id,
        name=container.name,
        level=level,
        origin=origin,
        state=GrantState.ACTIVE if is_live(container) else GrantState.IDLE,
        since=means.now(),
        engine=container.engine,
    )


def assigned(
    container: Container, level: Level, cache: StateCache, means: DraftInputs, *, group: str = ""
) -> Grant:
    """Return the grant on a level that mcsd has chosen for a container."""
    return replace(_new_grant(container, level, Origin.ASSIGNED, cache, means), group=group)


def _ended(ousted: Sequence[Claim], cache: StateCache) -> list[Change]:
    """Return changes that end the claims of exited containers on another container's volume."""
    changes: list[Change] = []
    for claim in ousted:
        reason = "another container has it now, as this one had exited"
        left = replace(claim, mode=ClaimMode.IGNORE, state=ClaimState.UNMANAGED, reason=reason, volume=None)
        changes.append(PutClaim(replace(left, conceded=False)))
    return changes


def _advanced(grant: Grant, event: GrantEvent, means: DraftInputs, at: float | None = None) -> Grant:
    now = means.now()
    return grant.after(event, now if at is None else min(at, now))


def _put_grant(grant: Grant, stage: Draft, kind: Kind) -> None:
    stage.changes.append(PutGrant(grant))
    stage.notices.append(grant_notice(grant, kind))


def grant_notice(grant: Grant, kind: Kind) -> Notice:
    """Return the notice about a grant as it is now."""
    fields = {"name": grant.name, "level": str(grant.level), "origin": grant.origin, "state": grant.state}
    return Notice(kind, fields, grant.container)


def _claim_notice(claim: Claim, grant: Grant, rule: str) -> list[Notice]:
    kinds = {
        ClaimState.UNMANAGED: Kind.VOLUME_LEFT_ALONE,
        ClaimState.REFUSED: Kind.VOLUME_REFUSED,
        ClaimState.FAILED: Kind.VOLUME_FAILED,
        ClaimState.PARTIAL: Kind.VOLUME_FAILED,
    }
    if claim.state not in kinds or (claim.state is ClaimState.UNMANAGED and not rule):
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


def _draft_label(
    action: LabelVolume, stage: Draft, cache: StateCache, means: DraftInputs, target: Context
) -> None:
    volume = cache.volume_of(action.root.identity) or Volume(
        id=means.new_volume_id(),
        path=action.root.path,
        identity=action.root.identity,
        target=target,
        phase=VolumePhase.LABELLING,
        since=means.now(),
    )
    volume = replace(
        volume.after(VolumeEvent.TARGETED),
        path=action.root.path,
        target=target,
        since=means.now(),
        detail="",
    )
    claims = [
        replace(claim, volume=volume.id, state=ClaimState.PENDING, hint="")
        for claim in (action.claim, *action.also)
    ]
    stage.changes += [*_ended(action.ousted, cache), PutVolume(volume), *map(PutClaim, claims)]
    stage.walks.append((claims[0], volume))


# --- outcomes ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class WalkOutcome:
    """How a walk ended: with a result, or with the error that prevented or stopped it."""

    volume: Volume
    walk: Walk | None = None
    error: McsdError | None = None
    cancelled: bool = False
    bound: frozenset[str] = frozenset()
    """Host paths that are bound into the container; mount points inside the volume may be among them."""


def skipped_text(walk: Walk) -> str:
    """Return what was skipped and why, with the first example."""
    counts = ", ".join(f"{count} {reason}" for reason, count in sorted(walk.skipped.items()))
    example = f" (for instance {walk.examples[0][1]})" if walk.examples else ""
    return counts + example


def conclude(outcome: WalkOutcome, claim: Claim, cache: StateCache, now: float) -> Draft:
    """Turn a finished walk into changes; none for a volume that has another target by now."""
    stage = Draft()
    volume = cache.volume(outcome.volume.id)
    if volume is None or volume.target != outcome.volume.target or outcome.cancelled:
        return stage
    state, reason, hint = _verdict(outcome)
    rule = outcome.error.rule if isinstance(outcome.error, VolumeRefusedError) else ""
    if outcome.walk is not None:
        volume = replace(
            volume,
            inodes=outcome.walk.seen,
            skipped={str(why): count for why, count in outcome.walk.skipped.items()},
            left_out=left_out((str(why), path) for why, path in outcome.walk.examples),
        )
    event = VolumeEvent.COMPLETED if state is ClaimState.READY else VolumeEvent.BROKEN_OFF
    stage.changes.append(PutVolume(replace(volume.after(event), since=now, detail=reason)))
    for other in cache.claims_on(volume.id):
        grant = cache.grant(other.grant)
        if other.state in {ClaimState.REFUSED, ClaimState.UNMANAGED} or grant is None:
            continue
        done = replace(other, state=state, reason=reason or (CONCEDED if other.conceded else ""), hint=hint)
        if state is ClaimState.REFUSED:
            done = replace(done, volume=None)
        if state is ClaimState.UNMANAGED:
            done = replace(done, mode=ClaimMode.IGNORE, volume=None, conceded=False)
        stage.changes.append(PutClaim(done))
        stage.notices += _claim_notice(done, grant, rule)
    if outcome.walk is not None and state is ClaimState.READY:
        stage.notices.append(_labelled_notice(outcome.walk, claim, volume, cache))
        stage.notices += _partly_notice(claim, volume, cache, outcome.bound)
    return stage


def _verdict(outcome: WalkOutcome) -> tuple[ClaimState, str, str]:
    if isinstance(outcome.error, VolumeRefusedError):
        state = ClaimState.UNMANAGED if is_left_alone(outcome.error.rule) else ClaimState.REFUSED
        return state, of_it(outcome.error.what, outcome.volume.path), outcome.error.hint
    if outcome.error is not None:
        return ClaimState.FAILED, of_it(outcome.error.what, outcome.volume.path), outcome.error.hint
    assert outcome.walk is not None
    if outcome.walk.complete:
        return ClaimState.READY, "", ""
    return (
        ClaimState.PARTIAL,
        f"part of it could not be labelled: {skipped_text(outcome.walk)}",
        Hint.MEND_AND_RETRY.say(),
    )


def _partly_notice(claim: Claim, volume: Volume, cache: StateCache, bound: frozenset[str]) -> list[Notice]:
    """Report what a container cannot read in its volume, once as long as that does not change."""
    before = cache.volume(volume.id)
    left = missed(volume.left_out, volume.path, bound)
    if not left or (before is not None and before.left_out == volume.left_out):
        return []
    first, grant = left[0], _grant(cache, claim.grant)
    had = len(volume.left_out) - len(left)
    fields = {
        "name": grant.name,
        "volume": volume.path,
        "path": first.at(volume.path),
        "left": counted(volume.skipped.items()) - had,
        "reason": first.text,
        "hint": first.hint,
        "level": str(volume.level),
    }
    return [Notice(Kind.VOLUME_PARTLY, fields, grant.container)]


def _labelled_notice(walk: Walk, claim: Claim, volume: Volume, cache: StateCache) -> Notice:
    grant = _grant(cache, claim.grant)
    fields = {
        "name": grant.name,
        "volume": volume.path,
        "level": str(volume.level),
        "changed": walk.changed,
        "already": walk.already,
        "skipped": sum(walk.skipped.values()),
        "seconds": round(walk.seconds, 3),
    }
    return Notice(Kind.VOLUME_LABELLED, fields, grant.container)
