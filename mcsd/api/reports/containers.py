"""Containers, as reports."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from mcsd.api.reports.models import (
    ClaimReport,
    ConflictReport,
    ContainerReport,
    ContainerState,
    ContainerSummary,
    DiskReport,
    LeftOutReport,
    NoteReport,
    ReadyCount,
    ReasonReport,
    WeaknessReport,
)
from mcsd.api.reports.networks import network_report
from mcsd.core.containers import Container
from mcsd.core.exposure import Weakness
from mcsd.core.grants import Grant
from mcsd.core.json_values import moment
from mcsd.core.leftout import bound_by, missed
from mcsd.core.snapshot import Sighting, Snapshot
from mcsd.core.volumes import Claim, ClaimState
from mcsd.core.wishes import notes
from mcsd.errors import AmbiguousError, NotFoundError


def _left_out(claim: Claim, grant: Grant | None, snapshot: Snapshot) -> tuple[LeftOutReport, ...]:
    volume = snapshot.cache.volume(claim.volume) if claim.volume and claim.state is ClaimState.READY else None
    if volume is None or not volume.left_out or grant is None:
        return ()
    holders = (one.container for one in snapshot.container_status)
    bound = bound_by(next((one for one in holders if one.id == grant.container), None))
    return tuple(
        LeftOutReport(path=one.at(volume.path), code=one.why, text=one.text, hint=one.hint)
        for one in missed(volume.left_out, volume.path, bound)
    )


def _disk_report(claim: Claim, snapshot: Snapshot) -> DiskReport | None:
    """Report the labels on disk of a claim that is ready; before that, nothing is claimed about them."""
    known = snapshot.disks.get(claim.volume) if claim.volume and claim.state is ClaimState.READY else None
    if known is None or not claim.mode.is_labelled:
        return None
    return DiskReport(
        looked=None if known.looked is None else moment(known.looked),
        watching=known.watching,
        reason=known.why,
        drifted=known.count,
    )


def claim_report(claim: Claim, grant: Grant | None, snapshot: Snapshot) -> ClaimReport:
    """Report one claim of a grant."""
    return ClaimReport(
        container=(grant.container or None) if grant and grant.state.is_living else None,
        name=grant.name if grant else "",
        source=claim.source,
        destination=claim.destination,
        mode=claim.mode,
        state=claim.state,
        writable=claim.writable,
        reason=claim.reason,
        hint=claim.hint,
        left_out=_left_out(claim, grant, snapshot),
        disk=_disk_report(claim, snapshot),
    )


def weakness_report(weakness: Weakness) -> WeaknessReport:
    """Report one mount that shows more than the container's own files."""
    return WeaknessReport(
        code=weakness.what,
        barrier=weakness.barrier,
        weakens=weakness.barrier.weakens,
        source=weakness.source,
        destination=weakness.destination,
        text=weakness.text,
        hint=weakness.hint,
    )


def is_weakened(sighting: Sighting) -> bool:
    """Tell whether a running container has a mount that weakens isolation."""
    return sighting.container.running and any(one.barrier.weakens for one in sighting.weaknesses)


def _ready_count(claims: Iterable[Claim], grant: Grant | None, snapshot: Snapshot) -> ReadyCount:
    claims = tuple(claims)
    managed = [claim for claim in claims if claim.mode.is_labelled]
    ready = sum(claim.state is ClaimState.READY for claim in managed)
    partly = sum(bool(_left_out(claim, grant, snapshot)) for claim in managed)
    return ReadyCount(ready=ready, total=len(managed), partly=partly, unmanaged=len(claims) - len(managed))


def is_isolated(sighting: Sighting) -> bool | None:
    """Return the verdict; a container that could not be handled is never isolated."""
    isolated = sighting.verdict.isolated
    return False if isolated and sighting.error else isolated


def _conflicts(sighting: Sighting) -> tuple[ConflictReport, ...]:
    return tuple(
        ConflictReport(name=c.name, level=c.level, container=c.container or None) for c in sighting.conflicts
    )


def _notes(container: Container) -> tuple[NoteReport, ...]:
    return tuple(
        NoteReport(subject=one.subject, text=one.text, hint=one.hint, misread=one.misread)
        for one in notes(container)
    )


def container_report(sighting: Sighting, snapshot: Snapshot) -> ContainerReport:
    """Report one container."""
    container, cache = sighting.container, snapshot.cache
    grant = cache.grant_of(container.id)
    claims = cache.claims_of(grant.id) if grant else ()
    return ContainerReport(
        id=container.id,
        name=container.name,
        engine=container.engine,
        image=container.image,
        status=container.status,
        running=container.running,
        pid=container.pid,
        state=ContainerState(grant.state.value) if grant else ContainerState.NONE,
        since=moment(grant.since) if grant else None,
        level=str(grant.level) if grant else None,
        origin=grant.origin if grant else None,
        group=(grant.group or None) if grant else None,
        reservation=(grant.reservation or None) if grant else None,
        shares_with=(grant.shares_with or None) if grant else None,
        isolated=is_isolated(sighting),
        stage=sighting.stage,
        reasons=tuple(ReasonReport(code=r.why, text=r.text, hint=r.hint) for r in sighting.verdict.reasons),
        conflicts=_conflicts(sighting),
        weaknesses=tuple(map(weakness_report, sighting.weaknesses)),
        notes=_notes(container),
        process=None if sighting.process is None else str(sighting.process),
        process_label=str(container.process_label or ""),
        volumes=_ready_count(claims, grant, snapshot),
        claims=tuple(claim_report(claim, grant, snapshot) for claim in claims),
        network=network_report(sighting.network),
        settled=sighting.settled,
        seen=moment(sighting.seen),
        error=sighting.error,
        hint=sighting.error_hint,
    )


def container_reports(snapshot: Snapshot) -> Iterator[ContainerReport]:
    """Report all containers, one by one, in no particular order."""
    return (container_report(sighting, snapshot) for sighting in snapshot.container_status)


def summarize(container_status: Iterable[Sighting]) -> ContainerSummary:
    """Count containers."""
    seen = tuple(container_status)
    verdicts = [is_isolated(sighting) for sighting in seen]
    return ContainerSummary(
        total=len(seen),
        isolated=verdicts.count(True),
        not_isolated=verdicts.count(False),
        not_running=sum(not sighting.container.running for sighting in seen),
        passing=sum(
            sighting.container.running and verdict is None
            for sighting, verdict in zip(seen, verdicts, strict=True)
        ),
        in_conflict=sum(bool(sighting.conflicts) for sighting in seen),
        weakened=sum(map(is_weakened, seen)),
        failed=sum(bool(sighting.error) for sighting in seen),
        unsettled=sum(not sighting.settled and not sighting.error for sighting in seen),
    )


def find_container(snapshot: Snapshot, wanted: str) -> Sighting:
    """Find a container by full id, by name, or by the beginning of its id, in this order, as Docker does.

    `ENGINE/NAME` names a container of one engine; of a name alone, Docker's comes first.
    A name that looks like the beginning of another container's id means the container of that name.
    Raises `NotFoundError`, and `AmbiguousError` if several ids begin so.
    """
    wanted = wanted.removeprefix("/")
    exact = [s for s in snapshot.container_status if s.container.id == wanted]
    exact = exact or [s for s in snapshot.container_status if s.container.full_name == wanted]
    exact = exact or [s for s in snapshot.container_status if s.container.name == wanted]
    if len(exact) > 1:
        names = ", ".join(sorted(f"{s.container.engine}/{s.container.name}" for s in exact))
        raise AmbiguousError(f"{wanted!r} is the name of several containers: {names}", hint="name the engine")
    if exact:
        return exact[0]
    matching = [s for s in snapshot.container_status if wanted and s.container.id.startswith(wanted)]
    if len(matching) > 1:
        names = ", ".join(sorted(s.container.name for s in matching)[:5])
        raise AmbiguousError(
            f"{wanted!r} is the beginning of {len(matching)} containers' ids: {names}",
            hint="give more digits of the id, or the name",
        )
    if not matching:
        raise NotFoundError(f"there is no container {wanted!r}", hint="mcsctl containers lists them")
    return matching[0]
