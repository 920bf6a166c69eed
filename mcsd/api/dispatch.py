"""HTTP on the socket: from a request to a route, and from its result or exception to a response.

aiohttp's low-level server (`aiohttp.web.Server`) reads and writes HTTP; the paths are in the table of
`mcsd.api.routes`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from operator import itemgetter
from typing import TypeVar
from urllib.parse import unquote

from aiohttp.web import BaseRequest, Response, StreamResponse
from pydantic import BaseModel

from mcsd import __version__
from mcsd.api.connection import Connection
from mcsd.api.limits import ConnectionLimiter, Limits
from mcsd.api.peers import Peer
from mcsd.api.problems import MEDIA_TYPE, of_error, problem_report
from mcsd.api.queries import NoQuery, PageQuery, read_body, read_query
from mcsd.api.reports.models import ProblemReport
from mcsd.api.reports.pages import page_of
from mcsd.api.service import Service
from mcsd.errors import ForbiddenError, McsdError, Problem

T = TypeVar("T", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class ApiRequest:
    """One validated request. `name` is the value of `{name}` in the path."""

    service: Service
    request: BaseRequest
    connection: Connection
    admission: ConnectionLimiter
    query: BaseModel
    body: BaseModel
    name: str = ""

    @property
    def peer(self) -> Peer:
        """The client."""
        return self.connection.peer


Respond = Callable[[ApiRequest], Awaitable[StreamResponse]]


@dataclass(frozen=True, slots=True)
class Route:
    """One route. `answer` is None if the response has no JSON object as its body."""

    method: str
    path: str
    summary: str
    respond: Respond
    answer: type[BaseModel] | None
    query: type[BaseModel] = NoQuery
    body: type[BaseModel] = NoQuery
    status: HTTPStatus = HTTPStatus.OK
    media_type: str = "application/json"
    problems: tuple[Problem, ...] = ()
    body_size: int = 0
    """The most bytes of a body, if that is not `Limits.body_size`."""
    also: tuple[tuple[HTTPStatus, str, type[BaseModel]], ...] = ()
    """Further answers: status, media type, model."""

    @property
    def changes(self) -> bool:
        """Whether only root may use it."""
        return self.method not in {"GET", "HEAD"}

    @property
    def has_body(self) -> bool:
        """Whether the request carries an object."""
        return self.body is not NoQuery


def _written(answer: BaseModel) -> bytes:
    return json.dumps(answer.model_dump(mode="json"), ensure_ascii=False).encode()


def as_response(answer: BaseModel, *, status: int = 200, media_type: str = "application/json") -> Response:
    """Return the response for an answer."""
    return Response(body=_written(answer), status=status, headers={"Content-Type": media_type})


_NO_ITEMS = b'{"items": ['


def as_page(
    frame: type[BaseModel],
    reports: Iterable[T],
    place: Callable[[T], str],
    query: PageQuery,
    **more: object,
) -> Response:
    """Return the response for a page of reports: `frame` with its items, which are its first field.

    Each report is serialized before the next is made: a thousand as objects need ten times the memory of
    their text, which the process would keep.
    """
    written = ((place(report), _written(report)) for report in reports)
    page = page_of(written, itemgetter(0), after=query.after, limit=query.limit)
    empty = _written(frame(items=(), total=page.total, next=page.next, **more))
    assert empty.startswith(_NO_ITEMS), "a page begins with its items"
    items = b", ".join(text for _, text in page.items)
    body = b"".join((_NO_ITEMS, items, empty.removeprefix(_NO_ITEMS)))
    return Response(body=body, headers={"Content-Type": "application/json"})


def as_problem(report: ProblemReport, **headers: str) -> Response:
    """Return the response for a problem."""
    response = as_response(report, status=report.status, media_type=MEDIA_TYPE)
    response.headers.update(headers)
    return response


class _RefusedError(Exception):
    """A request that HTTP itself has a status for."""

    def __init__(self, status: HTTPStatus, what: str, hint: str, **headers: str) -> None:
        super().__init__(what)
        problem = Problem.NOT_FOUND if status is HTTPStatus.NOT_FOUND else Problem.REQUEST
        self.report = problem_report(problem, what, hint, status=status.value)
        self.headers = headers


def match_path(template: str, path: str) -> str | None:
    """Return the value of `{name}` in a path ("" if the template has none), None if it does not match."""
    name = ""
    wanted, given = template.split("/"), path.split("/")
    if len(wanted) != len(given):
        return None
    for want, got in zip(wanted, given, strict=True):
        if want.startswith("{") and got:
            name = unquote(got)
        elif want != got:
            return None
    return name


class Dispatcher:
    """Turns requests into responses. `report_bug` is called with unforeseen exceptions."""

    def __init__(
        self,
        service: Service,
        routes: Sequence[Route],
        limits: Limits,
        admission: ConnectionLimiter,
        *,
        answered: Callable[[str, str, int], None],
    ) -> None:
        self._service = service
        self._routes = routes
        self._limits = limits
        self._admission = admission
        self._answered = answered
        self._at_work = 0
        self._all_answered = asyncio.Event()
        self._all_answered.set()

    async def wait(self, within: float) -> None:
        """Wait so many seconds for answers in work, also those whose client is gone."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within):
                await self._all_answered.wait()

    async def answer(self, connection: Connection, request: BaseRequest) -> StreamResponse:
        """Answer one request; the connection ends with it."""
        self._at_work += 1
        self._all_answered.clear()
        try:
            return await self._answer(connection, request)
        finally:
            self._at_work -= 1
            if not self._at_work:
                self._all_answered.set()

    async def _answer(self, connection: Connection, request: BaseRequest) -> StreamResponse:
        route: Route | None = None
        try:
            route, name = self._route(request)
            call = await self._read(request, connection, route, name)
            connection.request_complete()
            response = await route.respond(call)
        except _RefusedError as refused:
            response = as_problem(refused.report, **refused.headers)
        except McsdError as error:
            response = as_problem(of_error(error))
        except ConnectionError:
            raise
        except Exception as error:  # noqa: BLE001  the boundary: a bug in one answer must not stop the others
            self._service.report_bug(f"{request.method} {route.path if route else '?'}", error)
            response = as_problem(bug_report())
        if not response.prepared:
            response.headers["Server"] = f"mcsd/{__version__}"
            response.force_close()
            connection.answer_begins()
        self._answered(request.method, route.path if route else "", response.status)
        return response

    def _route(self, request: BaseRequest) -> tuple[Route, str]:
        path = request.rel_url.raw_path
        found = [(r, name) for r in self._routes if (name := match_path(r.path, path)) is not None]
        if not found:
            raise _RefusedError(
                HTTPStatus.NOT_FOUND,
                f"there is nothing at {path!r}",
                "GET /v1/openapi.json lists what there is",
            )
        method = "GET" if request.method == "HEAD" else request.method
        for route, name in found:
            if route.method == method:
                return route, name
        allowed = ", ".join(sorted({route.method for route, _ in found}))
        raise _RefusedError(
            HTTPStatus.METHOD_NOT_ALLOWED,
            f"{path!r} does not take {request.method!r}",
            f"use {allowed}",
            Allow=allowed,
        )

    async def _read(
        self, request: BaseRequest, connection: Connection, route: Route, name: str
    ) -> ApiRequest:
        if route.changes and not connection.peer.may_change:
            raise ForbiddenError(
                f"user {connection.peer.uid} may not change anything",
                hint="do it as root; others may only read",
            )
        parameters: dict[str, list[str]] = {}
        for key, value in request.rel_url.query.items():
            parameters.setdefault(key, []).append(value)
        query = read_query(route.query, parameters)
        body = read_body(route.body, await self._body(request, route)) if route.has_body else NoQuery()
        return ApiRequest(self._service, request, connection, self._admission, query, body, name)

    async def _body(self, request: BaseRequest, route: Route) -> bytes:
        longest = route.body_size or self._limits.body_size
        too_long = _RefusedError(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            f"the body is longer than {longest} bytes",
            "send less",
        )
        if request.content_type != "application/json" or request.headers.get("Content-Encoding"):
            raise _RefusedError(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
                "the body is not plain application/json",
                "send Content-Type: application/json and no Content-Encoding",
            )
        if (request.content_length or 0) > longest:
            raise too_long
        body = bytearray()
        try:
            async with asyncio.timeout(self._limits.request_time):
                async for chunk in request.content.iter_chunked(self._limits.body_size):
                    body += chunk
                    if len(body) > longest:
                        raise too_long
        except TimeoutError as exc:
            raise _RefusedError(
                HTTPStatus.REQUEST_TIMEOUT, "the request's body did not come in time", "send it at once"
            ) from exc
        return bytes(body)


def bug_report() -> ProblemReport:
    """Describe an unforeseen failure, without its details, which are in the journal."""
    return problem_report(
        Problem.INTERNAL, "an unforeseen failure", "see journalctl -u mcsd -p crit, and please report it"
    )
