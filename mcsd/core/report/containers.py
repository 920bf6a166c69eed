"""Containers, as reports."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from mcsd.core.book import Book
from mcsd.core.grants import Grant
from mcsd.core.picture import Picture, Sighting
from mcsd.core.report.base import moment
from mcsd.core.report.models import (
    ClaimReport,
    ConflictReport,
    ContainerReport,
    ContainerState,
    ContainerSummary,
    ReadyCount,
    ReasonReport,
)
from mcsd.core.report.networks import network_report
from mcsd.core.volumes import Claim, ClaimState
from mcsd.errors import AmbiguousError, NotFoundError


def claim_report(claim: Claim, grant: Grant | None) -> ClaimReport:
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
    )


def _ready_count(claims: Iterable[Claim]) -> ReadyCount:
    claims = tuple(claims)
    managed = [claim for claim in claims if claim.mode.is_labelled]
    ready = sum(claim.state is ClaimState.READY for claim in managed)
    return ReadyCount(ready=ready, total=len(managed), unmanaged=len(claims) - len(managed))


def is_isolated(sighting: Sighting) -> bool | None:
    """Give the verdict; nothing good is said of a container that could not be looked after."""
    isolated = sighting.verdict.isolated
    return False if isolated and sighting.error else isolated


def container_report(sighting: Sighting, book: Book) -> ContainerReport:
    """Report one container."""
    container = sighting.container
    grant = book.grant_of(container.id)
    claims = book.claims_of(grant.id) if grant else ()
    return ContainerReport(
        id=container.id,
        name=container.name,
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
        reasons=tuple(ReasonReport(code=r.why, text=r.text, hint=r.hint) for r in sighting.verdict.reasons),
        conflicts=tuple(
            ConflictReport(name=c.name, level=c.level, container=c.container or None)
            for c in sighting.conflicts
        ),
        process=sighting.process,
        process_label=container.process_label,
        volumes=_ready_count(claims),
        claims=tuple(claim_report(claim, grant) for claim in claims),
        network=network_report(sighting.network),
        settled=sighting.settled,
        seen=moment(sighting.seen),
        error=sighting.error,
        hint=sighting.error_hint,
    )


def container_reports(picture: Picture) -> Iterator[ContainerReport]:
    """Report all containers, one by one, in no particular order."""
    return (container_report(sighting, picture.book) for sighting in picture.sightings)


def summarize(sightings: Iterable[Sighting]) -> ContainerSummary:
    """Count containers."""
    seen = tuple(sightings)
    verdicts = [is_isolated(sighting) for sighting in seen]
    return ContainerSummary(
        total=len(seen),
        isolated=verdicts.count(True),
        not_isolated=verdicts.count(False),
        not_running=verdicts.count(None),
        in_conflict=sum(bool(sighting.conflicts) for sighting in seen),
        failed=sum(bool(sighting.error) for sighting in seen),
        unsettled=sum(not sighting.settled and not sighting.error for sighting in seen),
    )


def find_container(picture: Picture, wanted: str) -> Sighting:
    """Find a container by full id, by name, or by the beginning of its id, in this order, as Docker does.

    A name that looks like the beginning of another container's id means the container of that name.
    Raises `NotFoundError`, and `AmbiguousError` where several ids begin so.
    """
    wanted = wanted.removeprefix("/")
    exact = [s for s in picture.sightings if s.container.id == wanted]
    exact = exact or [s for s in picture.sightings if s.container.name == wanted]
    if exact:
        return exact[0]
    matching = [s for s in picture.sightings if wanted and s.container.id.startswith(wanted)]
    if len(matching) > 1:
        names = ", ".join(sorted(s.container.name for s in matching)[:5])
        raise AmbiguousError(
            f"{wanted!r} is the beginning of {len(matching)} containers' ids: {names}",
            hint="give more digits of the id, or the name",
        )
    if not matching:
        raise NotFoundError(f"there is no container {wanted!r}", hint="mcsctl containers lists them")
    return matching[0]
