"""Everything that can be asked for on the socket: one table, from which the OpenAPI document is made too."""

from __future__ import annotations

from http import HTTPStatus

from aiohttp.web_response import Response, StreamResponse

from mcsd import api_stream
from mcsd.api_http import Call, Route, as_page, as_response
from mcsd.api_queries import (
    BooleanRequest,
    ContainersQuery,
    EventsQuery,
    Isolation,
    PageQuery,
    PairsQuery,
    ReservationRequest,
    RestoreRequest,
    VerifyRequest,
    VolumesQuery,
)
from mcsd.core.report import models
from mcsd.core.report.booleans import (
    BooleanPage,
    BooleanReport,
    boolean_report,
    place_of_boolean,
    refusal_report,
)
from mcsd.core.report.containers import container_report, container_reports, find_container
from mcsd.core.report.pages import place_of_container, place_of_pair, place_of_volume
from mcsd.core.report.pairs import grant_report, pair_reports, pair_summary
from mcsd.core.report.status import health_report, status_report
from mcsd.core.report.volumes import is_within, volume_reports
from mcsd.errors import Problem


async def health(call: Call) -> StreamResponse:
    """Say whether mcsd can do its work; 503 when it can write nothing down."""
    report = health_report(call.service.picture())
    ill = report.condition is models.Condition.BAD
    return as_response(report, status=HTTPStatus.SERVICE_UNAVAILABLE if ill else HTTPStatus.OK)


async def status(call: Call) -> StreamResponse:
    """Give everything at one glance."""
    return as_response(status_report(call.service.picture()))


async def containers(call: Call) -> StreamResponse:
    """List containers."""
    query = call.query
    assert isinstance(query, ContainersQuery)

    def is_wanted(report: models.ContainerReport) -> bool:
        return (
            (not query.state or report.state in query.state)
            and (query.level is None or report.level == query.level)
            and (query.path is None or any(is_within(c.source, query.path) for c in report.claims))
            and (not query.isolated or Isolation.of(report.isolated) in query.isolated)
            and (query.conflicts is None or bool(report.conflicts) == query.conflicts)
            and (query.failed is None or bool(report.error) == query.failed)
        )

    reports = filter(is_wanted, container_reports(call.service.picture()))
    return as_page(models.ContainerPage, reports, place_of_container, query)


async def container(call: Call) -> StreamResponse:
    """Show one container."""
    picture = call.service.picture()
    return as_response(container_report(find_container(picture, call.name), picture.book))


async def volumes(call: Call) -> StreamResponse:
    """List volumes."""
    query = call.query
    assert isinstance(query, VolumesQuery)
    picture = call.service.picture()
    holder = find_container(picture, query.container).container.id if query.container else None

    def is_wanted(report: models.VolumeReport) -> bool:
        return (
            (not query.state or report.state in query.state)
            and (query.level is None or report.level == query.level)
            and (query.path is None or is_within(report.path, query.path))
            and (holder is None or any(claim.container == holder for claim in report.claims))
        )

    reports = filter(is_wanted, volume_reports(picture))
    return as_page(models.VolumePage, reports, place_of_volume, query)


async def pairs(call: Call) -> StreamResponse:
    """List levels."""
    query = call.query
    assert isinstance(query, PairsQuery)
    picture = call.service.picture()

    def is_wanted(report: models.PairReport) -> bool:
        return (not query.state or report.state in query.state) and (
            query.level is None or report.level == query.level
        )

    reports = filter(is_wanted, pair_reports(picture))
    return as_page(models.PairPage, reports, place_of_pair, query, summary=pair_summary(picture.pairs))


async def booleans(call: Call) -> StreamResponse:
    """List booleans."""
    query = call.query
    assert isinstance(query, PageQuery)
    picture = call.service.picture()
    reports = map(boolean_report, picture.booleans)
    refusals = tuple(map(refusal_report, picture.refusals))
    return as_page(BooleanPage, reports, place_of_boolean, query, refusals=refusals)


async def set_boolean(call: Call) -> StreamResponse:
    """Hold a boolean, or let it go."""
    body = call.body
    assert isinstance(body, BooleanRequest)
    return as_response(boolean_report(await call.service.set_boolean(call.name, body.state.value)))


async def events(call: Call) -> StreamResponse:
    """List events, or follow them."""
    query = call.query
    assert isinstance(query, EventsQuery)
    if query.follow and call.request.method == "GET":
        return await api_stream.follow(call)
    return as_response(api_stream.remembered(call, query))


async def verify(call: Call) -> StreamResponse:
    """Compare disk, processes and ledger."""
    body = call.body
    assert isinstance(body, VerifyRequest)
    target = body.target
    if target is not None and not target.startswith("/"):
        target = find_container(call.service.picture(), target).container.id
    found = await call.service.verify(target, repair=body.repair)
    checks = tuple(
        models.VolumeCheckReport.model_validate(check, from_attributes=True) for check in found.volumes
    )
    amiss = any(check.error or (check.wrong and not check.repaired) for check in checks)
    report = models.VerificationReport(
        good=not (amiss or found.processes or found.pairs or found.ledger),
        volumes=checks,
        processes=found.processes,
        pairs=found.pairs,
        ledger=found.ledger,
    )
    return as_response(report)


async def restore(call: Call) -> StreamResponse:
    """Put a volume's original labels back."""
    body = call.body
    assert isinstance(body, RestoreRequest)
    done = await call.service.restore(body.path)
    return as_response(models.RestorationReport.model_validate(done, from_attributes=True))


async def reserve(call: Call) -> StreamResponse:
    """Set a level aside under a name; asking again gives the same."""
    body = call.body
    assert isinstance(body, ReservationRequest)
    grant = await call.service.reserve(body.name, group=body.group)
    return as_response(grant_report(grant, call.service.picture().book))


async def release(call: Call) -> StreamResponse:
    """Give a reservation up."""
    await call.service.release(call.name)
    return Response(status=HTTPStatus.NO_CONTENT)


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
    Route(
        "POST",
        "/v1/reservations",
        "set a level aside under a name; the same again for a name that is taken",
        reserve,
        models.PairReport,
        body=ReservationRequest,
        problems=(Problem.CONFLICT, Problem.EXHAUSTED, *_UNAVAILABLE),
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
)
"""All but the OpenAPI document and the metrics, which are made from this table and kept by the server."""
