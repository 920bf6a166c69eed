"""Volumes, as reports: those in the ledger, and those that were requested but not labelled."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from mcsd.api.reports.containers import claim_report
from mcsd.api.reports.models import ProgressReport, VolumeCheckReport, VolumeReport, VolumeState
from mcsd.core.grants import Grant
from mcsd.core.json_values import moment
from mcsd.core.snapshot import Snapshot, WalkProgress
from mcsd.core.verification import VolumeCheck
from mcsd.core.volumes import Claim, ClaimMode, ClaimState, Volume, VolumePhase

_Held = Sequence[tuple[Claim, Grant | None]]

_WORST_FIRST = (
    ClaimState.FAILED,
    ClaimState.REFUSED,
    ClaimState.PARTIAL,
    ClaimState.PENDING,
    ClaimState.READY,
    ClaimState.UNMANAGED,
)
_MODES_FIRST = (ClaimMode.SHARED, ClaimMode.GROUP, ClaimMode.PRIVATE, ClaimMode.OBSERVE, ClaimMode.IGNORE)

TROUBLED = (VolumeState.FAILED, VolumeState.REFUSED, VolumeState.PARTIAL, VolumeState.STRANDED)
"""States that need attention."""


def progress_report(walk: WalkProgress) -> ProgressReport:
    """Report a running walk."""
    return ProgressReport(
        path=walk.path,
        work=walk.work,
        started=moment(walk.started),
        seen=walk.seen,
        changed=walk.changed,
        skipped=walk.skipped,
        expected=walk.expected,
    )


def _worst(claims: _Held) -> Claim | None:
    return min((claim for claim, _ in claims), key=lambda c: _WORST_FIRST.index(c.state), default=None)


def _mode(claims: _Held) -> ClaimMode | None:
    return min((claim.mode for claim, _ in claims), key=_MODES_FIRST.index, default=None)


def _state_of(volume: Volume, worst: Claim | None) -> VolumeState:
    if volume.phase is VolumePhase.STRANDED:
        return VolumeState.STRANDED
    if volume.phase is VolumePhase.RESTORING:
        return VolumeState.RESTORING
    return VolumeState(worst.state.value) if worst else VolumeState.LINGERING


def _hint(volume: Volume, worst: Claim | None) -> str:
    if volume.phase is VolumePhase.STRANDED:
        return f"fix the cause, then run mcsctl restore {volume.path}"
    return worst.hint if worst else ""


def _labelled(volume: Volume, snapshot: Snapshot, walks: Mapping[str, WalkProgress]) -> VolumeReport:
    cache = snapshot.cache
    held = [(claim, cache.grant(claim.grant)) for claim in cache.claims_on(volume.id)]
    living = [(claim, grant) for claim, grant in held if grant is not None and grant.state.is_living]
    worst = _worst(living)
    walk = walks.get(volume.id)
    return VolumeReport(
        path=volume.path,
        id=volume.id,
        device=volume.identity.device,
        inode=volume.identity.inode,
        target=str(volume.target),
        level=str(volume.level),
        state=_state_of(volume, worst),
        mode=_mode(living),
        since=moment(volume.since),
        inodes=volume.inodes,
        skipped=dict(volume.skipped),
        reason=volume.detail or (worst.reason if worst else ""),
        hint=_hint(volume, worst),
        claims=tuple(claim_report(claim, grant, snapshot) for claim, grant in held),
        progress=progress_report(walk) if walk else None,
    )


def _unlabelled(path: str, held: _Held, snapshot: Snapshot) -> VolumeReport:
    worst = _worst(held)
    return VolumeReport(
        path=path,
        id=None,
        device=None,
        inode=None,
        target=None,
        level=None,
        state=VolumeState(worst.state.value) if worst else VolumeState.UNMANAGED,
        mode=_mode(held),
        since=None,
        inodes=0,
        skipped={},
        reason=worst.reason if worst else "",
        hint=worst.hint if worst else "",
        claims=tuple(claim_report(claim, grant, snapshot) for claim, grant in held),
        progress=None,
    )


def volume_reports(snapshot: Snapshot) -> Iterator[VolumeReport]:
    """Report all volumes, one by one; one that was never labelled is listed once for each host path."""
    cache = snapshot.cache
    walks = {str(walk.volume): walk for walk in snapshot.walks}
    for volume in cache.volumes():
        yield _labelled(volume, snapshot, walks)
    loose: dict[str, list[tuple[Claim, Grant | None]]] = {}
    for grant in cache.grants():
        for claim in cache.claims_of(grant.id):
            if claim.volume is None:
                loose.setdefault(claim.source, []).append((claim, grant))
    for path, held in loose.items():
        yield _unlabelled(path, held, snapshot)


def check_report(check: VolumeCheck) -> VolumeCheckReport:
    """Report how one volume's labels compare with the ledger."""
    return VolumeCheckReport(
        path=check.path,
        target=str(check.target),
        seen=check.seen,
        wrong=check.wrong,
        skipped=check.skipped,
        examples=check.examples,
        error=check.error,
        repaired=check.repaired,
    )


def count_states(reports: Iterable[VolumeReport]) -> dict[VolumeState, int]:
    """Count volumes by state."""
    counted = Counter(report.state for report in reports)
    return {state: counted[state] for state in VolumeState if counted[state]}
