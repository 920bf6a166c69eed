"""The routes of the socket: one table, from which the OpenAPI document is generated too."""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus

from aiohttp.web import Response, StreamResponse

from mcsd.api import event_stream as api_stream
from mcsd.api.dispatch import ApiRequest, Route, as_page, as_response
from mcsd.api.queries import (
    AuditRequest,
    BooleanRequest,
    ContainersQuery,
    CreateRunRequest,
    DenialsRequest,
    EventsQuery,
    Isolation,
    PageQuery,
    PairsQuery,
    ReservationRequest,
    RestoreRequest,
    ScanRequest,
    VerifyRequest,
    VolumesQuery,
)
from mcsd.api.reports import models
from mcsd.api.reports.audit import AuditReport, audit_report
from mcsd.api.reports.booleans import (
    BooleanPage,
    BooleanReport,
    boolean_report,
    place_of_boolean,
    refusal_report,
)
from mcsd.api.reports.containers import container_report, container_reports, find_container
from mcsd.api.reports.denials import denials_report
from mcsd.api.reports.fleet import fleet_report
from mcsd.api.reports.pages import place_of_container, place_of_pair, place_of_volume
from mcsd.api.reports.pairs import grant_report, pair_reports, pair_summary
from mcsd.api.reports.reach import ReachPage, lacking, place_of_cell, reach_reports
from mcsd.api.reports.runs import run_report
from mcsd.api.reports.status import engine_reports, health_report, status_report
from mcsd.api.reports.strays import strays_report
from mcsd.api.reports.volumes import check_report, volume_reports
from mcsd.core.denials.telling import ToldDenial
from mcsd.errors import Problem


async def health(call: ApiRequest) -> StreamResponse:
    """Return whether mcsd can do its work; 503 if the ledger cannot be written."""
    report = health_report(call.service.snapshot())
    ill = report.condition is models.Condition.BAD
    return as_response(report, status=HTTPStatus.SERVICE_UNAVAILABLE if ill else HTTPStatus.OK)


async def status(call: ApiRequest) -> StreamResponse:
    """Return the whole status."""
    return as_response(status_report(call.service.snapshot()))


async def containers(call: ApiRequest) -> StreamResponse:
    """List containers."""
    query = call.query
    assert isinstance(query, ContainersQuery)
    everyone = tuple(container_reports(call.service.snapshot()))
    within = await _within(call, query.path, (c.source for report in everyone for c in report.claims))

    def is_wanted(report: models.ContainerReport) -> bool:
        return (
            (not query.state or report.state in query.state)
            and (query.level is None or report.level == query.level)
            and (query.path is None or any(c.source in within for c in report.claims))
            and (not query.isolated or Isolation.of(report.isolated) in query.isolated)
            and (query.conflicts is None or bool(report.conflicts) == query.conflicts)
            and (query.weakened is None or _is_weakened(report) == query.weakened)
            and (query.failed is None or bool(report.error) == query.failed)
        )

    reports = filter(is_wanted, everyone)
    return as_page(models.ContainerPage, reports, place_of_container, query)


async def _within(call: ApiRequest, top: str | None, paths: Iterable[str]) -> frozenset[str]:
    return frozenset() if top is None else await call.service.within(top, frozenset(paths))


def _is_weakened(report: models.ContainerReport) -> bool:
    return report.running and any(weakness.weakens for weakness in report.weaknesses)


async def container(call: ApiRequest) -> StreamResponse:
    """Show one container."""
    snapshot = call.service.snapshot()
    return as_response(container_report(find_container(snapshot, call.name), snapshot))


async def volumes(call: ApiRequest) -> StreamResponse:
    """List volumes."""
    query = call.query
    assert isinstance(query, VolumesQuery)
    snapshot = call.service.snapshot()
    holder = find_container(snapshot, query.container).container.id if query.container else None
    everything = tuple(volume_reports(snapshot))
    within = await _within(call, query.path, (report.path for report in everything))

    def is_wanted(report: models.VolumeReport) -> bool:
        return (
            (not query.state or report.state in query.state)
            and (query.level is None or report.level == query.level)
            and (query.path is None or report.path in within)
            and (holder is None or any(claim.container == holder for claim in report.claims))
        )

    reports = filter(is_wanted, everything)
    return as_page(models.VolumePage, reports, place_of_volume, query)


async def pairs(call: ApiRequest) -> StreamResponse:
    """List levels."""
    query = call.query
    assert isinstance(query, PairsQuery)
    snapshot = call.service.snapshot()

    def is_wanted(report: models.PairReport) -> bool:
        return (not query.state or report.state in query.state) and (
            query.level is None or report.level == query.level
        )

    reports = filter(is_wanted, pair_reports(snapshot))
    return as_page(models.PairPage, reports, place_of_pair, query, summary=pair_summary(snapshot.pairs))


async def booleans(call: ApiRequest) -> StreamResponse:
    """List booleans."""
    query = call.query
    assert isinstance(query, PageQuery)
    snapshot = call.service.snapshot()
    reports = map(boolean_report, snapshot.booleans)
    refusals = tuple(map(refusal_report, snapshot.refusals))
    return as_page(BooleanPage, reports, place_of_boolean, query, refusals=refusals)


async def set_boolean(call: ApiRequest) -> StreamResponse:
    """Hold a boolean, or end that."""
    body = call.body
    assert isinstance(body, BooleanRequest)
    return as_response(boolean_report(await call.service.set_boolean(call.name, body.state.value)))


async def events(call: ApiRequest) -> StreamResponse:
    """List events, or follow them."""
    query = call.query
    assert isinstance(query, EventsQuery)
    if query.follow and call.request.method == "GET":
        return await api_stream.follow(call)
    return as_response(api_stream.remembered(call, query))


async def verify(call: ApiRequest) -> StreamResponse:
    """Compare disk, processes and ledger."""
    body = call.body
    assert isinstance(body, VerifyRequest)
    target = body.target
    if target is not None and not target.startswith("/"):
        target = find_container(call.service.snapshot(), target).container.id
    found = await call.service.verify(target, repair=body.repair)
    checks = tuple(map(check_report, found.volumes))
    amiss = any(check.error or (check.wrong and not check.repaired) for check in checks)
    report = models.VerificationReport(
        good=not (amiss or found.processes or found.pairs or found.ledger),
        volumes=checks,
        processes=found.processes,
        pairs=found.pairs,
        ledger=found.ledger,
    )
    return as_response(report)


async def restore(call: ApiRequest) -> StreamResponse:
    """Restore a volume's original labels."""
    body = call.body
    assert isinstance(body, RestoreRequest)
    done = await call.service.restore(body.path)
    return as_response(models.RestorationReport.model_validate(done, from_attributes=True))


async def strays(call: ApiRequest) -> StreamResponse:
    """Return what scans have found."""
    return as_response(strays_report(call.service.strays()))


async def scan(call: ApiRequest) -> StreamResponse:
    """Start a scan for strays."""
    body = call.body
    assert isinstance(body, ScanRequest)
    call.service.scan(body.path or "", gently=body.gently)
    return as_response(strays_report(call.service.strays()))


async def engines(call: ApiRequest) -> StreamResponse:
    """List the engines."""
    return as_response(models.EnginesReport(items=engine_reports(call.service.snapshot())))


async def fleet(call: ApiRequest) -> StreamResponse:
    """Return how this host stands among those it shares storage with."""
    standing = call.service.snapshot().fleet
    assert standing is not None, "only a part of a snapshot is without it"
    return as_response(fleet_report(standing))


async def denials(call: ApiRequest) -> StreamResponse:
    """Return the latest denials."""
    return as_response(denials_report(call.service.denials()))


async def tell_denials(call: ApiRequest) -> StreamResponse:
    """Report denials to mcsd."""
    body = call.body
    assert isinstance(body, DenialsRequest)
    call.service.tell_denials([ToldDenial(**one.model_dump()) for one in body.items])
    return Response(status=HTTPStatus.NO_CONTENT)


async def reach(call: ApiRequest) -> StreamResponse:
    """Return the cells that no level joins."""
    query = call.query
    assert isinstance(query, PageQuery)
    snapshot = call.service.snapshot()
    missing = lacking(snapshot)
    reports = reach_reports(snapshot, call.service.strays().strays.values())
    return as_page(ReachPage, reports, place_of_cell, query, enforced=not missing, lacking=missing)


async def audit(call: ApiRequest) -> StreamResponse:
    """Return the latest audit."""
    return as_response(audit_report(call.service.audit()))


async def tell_audit(call: ApiRequest) -> StreamResponse:
    """Send an audit to mcsd."""
    body = call.body
    assert isinstance(body, AuditRequest)
    call.service.tell_audit(body.told())
    return Response(status=HTTPStatus.NO_CONTENT)


async def reserve(call: ApiRequest) -> StreamResponse:
    """Set a level aside under a name; repeating it returns the same level."""
    body = call.body
    assert isinstance(body, ReservationRequest)
    grant = await call.service.reserve(body.name, group=body.group, life=body.life)
    return as_response(grant_report(grant, call.service.snapshot().cache))


async def release(call: ApiRequest) -> StreamResponse:
    """Release a reservation."""
    await call.service.release(call.name)
    return Response(status=HTTPStatus.NO_CONTENT)


async def create_run(call: ApiRequest) -> StreamResponse:
    """Give the process that asks a run."""
    body = call.body
    assert isinstance(body, CreateRunRequest)
    run, file_context = await call.service.create_run(body.wanted(), call.peer.pid)
    return as_response(run_report(run, file_context, call.service.snapshot().host))


async def start_run(call: ApiRequest) -> StreamResponse:
    """Wait until a run's volumes are ready."""
    await call.service.start_run(call.name)
    snapshot = call.service.snapshot()
    return as_response(container_report(find_container(snapshot, call.name), snapshot))


AUDIT_SIZE = 4 * 1024 * 1024
"""The most bytes of an audit; only root may send one."""

_UNAVAILABLE = (Problem.LEDGER, Problem.ENGINE_UNAVAILABLE)


ROUTES: tuple[Route, ...] = (
    Route(
        "GET",
        "/healthz",
        "whether mcsd can do its work",
        health,
        models.HealthReport,
        also=((HTTPStatus.SERVICE_UNAVAILABLE, "application/json", models.HealthReport),),
    ),
    Route("GET", "/v1/status", "everything at one glance", status, models.StatusReport),
    Route(
        "GET",
        "/v1/containers",
        "containers and whether they are isolated",
        containers,
        models.ContainerPage,
        query=ContainersQuery,
    ),
    Route(
        "GET",
        "/v1/containers/{container}",
        "one container, by id, name, or the beginning of its id",
        container,
        models.ContainerReport,
        problems=(Problem.NOT_FOUND, Problem.AMBIGUOUS),
    ),
    Route(
        "GET",
        "/v1/volumes",
        "volumes and how their labels stand",
        volumes,
        models.VolumePage,
        query=VolumesQuery,
        problems=(Problem.NOT_FOUND, Problem.AMBIGUOUS),
    ),
    Route("GET", "/v1/pairs", "levels and who holds them", pairs, models.PairPage, query=PairsQuery),
    Route(
        "GET",
        "/v1/booleans",
        "booleans that the configuration names",
        booleans,
        BooleanPage,
        query=PageQuery,
    ),
    Route(
        "POST",
        "/v1/booleans/{name}",
        "hold a boolean on or off until the next start, or as configured",
        set_boolean,
        BooleanReport,
        body=BooleanRequest,
        problems=(Problem.NOT_FOUND, Problem.BOOLEAN),
    ),
    Route(
        "GET",
        "/v1/events",
        "what happened; with follow=1 what happens, one JSON object on a line",
        events,
        models.EventPage,
        query=EventsQuery,
        also=((HTTPStatus.OK, api_stream.MEDIA_TYPE, models.EventReport),),
        problems=(Problem.BUSY,),
    ),
    Route(
        "POST",
        "/v1/verify",
        "compare disk, processes and ledger",
        verify,
        models.VerificationReport,
        body=VerifyRequest,
        problems=(Problem.NOT_FOUND, Problem.AMBIGUOUS, Problem.VOLUME_FAILED, *_UNAVAILABLE),
    ),
    Route(
        "POST",
        "/v1/restore",
        "put a volume's original labels back",
        restore,
        models.RestorationReport,
        body=RestoreRequest,
        problems=(Problem.NOT_FOUND, Problem.CONFLICT, Problem.VOLUME_FAILED, *_UNAVAILABLE),
    ),
    Route("GET", "/v1/engines", "the engines of the configuration", engines, models.EnginesReport),
    Route(
        "GET", "/v1/fleet", "the hosts that share labelled storage with this one", fleet, models.FleetReport
    ),
    Route("GET", "/v1/strays", "what carries levels outside every volume", strays, models.StraysReport),
    Route(
        "POST",
        "/v1/scan",
        "begin to look for strays; GET /v1/strays tells how far it is",
        scan,
        models.StraysReport,
        body=ScanRequest,
        problems=(Problem.CONFLICT,),
    ),
    Route("GET", "/v1/denials", "the newest denials that mcsd was told of", denials, models.DenialsReport),
    Route(
        "POST",
        "/v1/denials",
        "tell of denials that were seen",
        tell_denials,
        None,
        body=DenialsRequest,
        status=HTTPStatus.NO_CONTENT,
    ),
    Route(
        "GET",
        "/v1/reach",
        "what can reach what: cells between which the kernel lets nothing through",
        reach,
        ReachPage,
        query=PageQuery,
    ),
    Route("GET", "/v1/audit", "the newest audit that mcsd was told of", audit, AuditReport),
    Route(
        "POST",
        "/v1/audit",
        "tell of an audit, in place of the one before",
        tell_audit,
        None,
        body=AuditRequest,
        body_size=AUDIT_SIZE,
        status=HTTPStatus.NO_CONTENT,
    ),
    Route(
        "POST",
        "/v1/reservations",
        "set a level aside under a name, for a life if one is named; the same again for a name that is taken",
        reserve,
        models.PairReport,
        body=ReservationRequest,
        problems=(
            *(Problem.NOT_FOUND, Problem.CONFLICT, Problem.EXHAUSTED, Problem.HOST, Problem.FLEET),
            *_UNAVAILABLE,
        ),
    ),
    Route(
        "DELETE",
        "/v1/reservations/{name}",
        "give a reservation up",
        release,
        None,
        status=HTTPStatus.NO_CONTENT,
        problems=(Problem.NOT_FOUND, Problem.CONFLICT, *_UNAVAILABLE),
    ),
    Route(
        "POST",
        "/v1/runs",
        "give the process that asks a level of its own, for as long as it runs",
        create_run,
        models.RunReport,
        body=CreateRunRequest,
        problems=(
            *(Problem.NOT_FOUND, Problem.CONFLICT, Problem.EXHAUSTED, Problem.HOST, Problem.SELINUX),
            *(Problem.FLEET, *_UNAVAILABLE),
        ),
    ),
    Route(
        "POST",
        "/v1/runs/{run}/start",
        "wait until a run's volumes are ready; it may execute its command then",
        start_run,
        models.ContainerReport,
        problems=(
            *(Problem.NOT_FOUND, Problem.CONFLICT, Problem.VOLUME_FAILED, Problem.HOST, Problem.SELINUX),
            *_UNAVAILABLE,
        ),
    ),
)
"""All routes except the OpenAPI document and the metrics, which the server adds."""
