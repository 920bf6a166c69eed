"""Levels and who holds them, as reports."""

from __future__ import annotations

from collections.abc import Iterator

from mcsd.api.reports.models import LifeReport, PairReport, PairState, PairSummary
from mcsd.core.changes import Group
from mcsd.core.grants import Grant, GrantState
from mcsd.core.json_values import moment
from mcsd.core.labels import CategoryPair, Level
from mcsd.core.lives import Life, ProcessLife, TimeLife, UnitLife
from mcsd.core.snapshot import ForeignHolder, PairCounts, Snapshot
from mcsd.core.state_cache import StateCache
from mcsd.core.volumes import Volume, VolumePhase


def _pair(level: Level) -> str | None:
    pair = CategoryPair.from_level(level)
    return str(pair) if pair else None


def life_report(life: Life | None) -> LifeReport | None:
    """Report what a reservation lasts as long as."""
    if life is None:
        return None
    return LifeReport(
        kind=life.kind,
        pid=life.pid if isinstance(life, ProcessLife) else None,
        unit=life.unit if isinstance(life, UnitLife) else None,
        until=moment(life.until) if isinstance(life, TimeLife) else None,
        text=life.text,
    )


def grant_report(grant: Grant, cache: StateCache) -> PairReport:
    """Report a grant's level."""
    volumes = {claim.volume for claim in cache.claims_of(grant.id) if claim.volume is not None}
    return PairReport(
        level=str(grant.level),
        pair=_pair(grant.level),
        state=PairState(grant.state.value),
        origin=grant.origin,
        container=grant.container or None,
        name=grant.name or grant.reservation,
        engine=grant.engine or None,
        since=moment(grant.since),
        group=grant.group or None,
        reservation=grant.reservation or None,
        shares_with=grant.shares_with or None,
        pid=None,
        volumes=len(volumes),
        reason=_kept_by(grant, cache) if grant.state is GrantState.QUARANTINED else "",
        life=life_report(grant.life),
    )


def _kept_by(grant: Grant, cache: StateCache) -> str:
    """Return what keeps a level in quarantine: the first of its volumes, or a process."""
    claims = cache.claims_of(grant.id)
    found = (cache.volume(claim.volume) for claim in claims if claim.volume is not None)
    volumes = sorted((one for one in found if one is not None), key=_urgency)
    if not volumes:
        return "a process may still run at it"
    first = volumes[0]
    more = f", and {len(volumes) - 1} more" if len(volumes) > 1 else ""
    match first.phase:
        case VolumePhase.STRANDED:
            return f"{first.path} could not be restored{more}: {first.detail}"
        case VolumePhase.RESTORING:
            return f"{first.path} is being restored{more}"
        case _:
            return f"{first.path} keeps its label for the next container{more}, while [volumes] linger lasts"


def _urgency(volume: Volume) -> tuple[bool, bool, str]:
    return volume.phase is not VolumePhase.STRANDED, volume.phase is not VolumePhase.RESTORING, volume.path


def _group_report(group: Group) -> PairReport:
    return PairReport(
        level=str(group.level),
        pair=str(group.pair),
        state=PairState.GROUP,
        origin=None,
        container=None,
        name=group.name,
        since=moment(group.since),
        group=group.name,
        reservation=None,
        shares_with=None,
        pid=None,
        volumes=0,
    )


def _foreign_report(holder: ForeignHolder) -> PairReport:
    return PairReport(
        level=str(holder.level),
        pair=_pair(holder.level),
        state=PairState.FOREIGN,
        origin=None,
        container=None,
        name=str(holder.context),
        since=None,
        group=None,
        reservation=None,
        shares_with=None,
        pid=holder.pid,
        volumes=0,
        holder=holder.holder,
    )


def pair_reports(snapshot: Snapshot) -> Iterator[PairReport]:
    """Report all held levels, one by one, in no particular order."""
    yield from (grant_report(grant, snapshot.cache) for grant in snapshot.cache.grants())
    yield from map(_group_report, snapshot.cache.groups())
    yield from map(_foreign_report, snapshot.foreign)


def pair_summary(counts: PairCounts | None) -> PairSummary | None:
    """Report how many pairs are in which state."""
    if counts is None:
        return None
    return PairSummary(
        total=counts.total,
        free=counts.free,
        granted=counts.granted,
        reserved=counts.reserved,
        quarantined=counts.quarantined,
        foreign=counts.foreign,
        configured=counts.configured,
        elsewhere=counts.elsewhere,
    )
