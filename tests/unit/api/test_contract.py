"""The OpenAPI document keeps its word: requests made from it get answers that it describes.

Schemathesis makes requests from the document that the socket serves, right ones and wrong ones, sends them
over the real socket, and holds every answer against the document.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mcsd.api.problems import STATUS
from mcsd.errors import McsdError, Problem
from tests.contracts.socket_api import MODES, document_of, hold_to_its_word, session_at
from tests.fakes.service import FakeService, busy, problem_events, troubled_scene
from tests.fakes.serving import Served, serving
from tests.fakes.settled import settled

EXAMPLES = 25


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    scene = troubled_scene()
    service = FakeService(scene, events=problem_events(scene))
    service.change = busy
    with settled(), serving(service, tmp_path_factory.mktemp("contract") / "s") as running:
        yield running


@pytest.fixture(scope="module")
def session(served: Served) -> Iterator[requests.Session]:
    with session_at(served.path) as session:
        yield session


def operations() -> list[tuple[str, str]]:
    from mcsd.api.routes import ROUTES

    made = [("GET", "/v1/openapi.json"), ("GET", "/metrics")]
    return [(route.method, route.path) for route in ROUTES] + made


def test_the_document_is_the_same_each_time_and_names_every_route(served: Served) -> None:
    first = served.ask("/v1/openapi.json")
    assert first.body == served.ask("/v1/openapi.json").body
    paths = first.object["paths"]
    named = {(method.upper(), path) for path, methods in paths.items() for method in methods}
    assert named == {(route.method, route.path) for route in served.server.routes} == set(operations())


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("method", "path"), operations())
def test_answers_are_as_the_document_says(
    served: Served, session: requests.Session, method: str, path: str, mode: str
) -> None:
    hold_to_its_word(session, document_of(session), method, path, mode=mode, examples=EXAMPLES)
    assert served.service.bugs == []


def test_what_was_foreseen_is_no_internal_error() -> None:
    """A monitor that counts 500s counts bugs."""
    assert {problem for problem, status in STATUS.items() if status == 500} == {Problem.INTERNAL}


@pytest.mark.parametrize("problem", Problem)
def test_every_problem_is_answered_in_the_same_form(served: Served, problem: Problem) -> None:
    class _Error(McsdError):
        pass

    _Error.problem = problem
    served.service.raises = _Error("what", hint="what to do")
    try:
        answer = served.ask("/v1/status")
    finally:
        served.service.raises = None
    assert answer.status == STATUS[problem]
    assert answer.headers["Content-Type"] == "application/problem+json"
    found = answer.object
    assert (found["detail"], found["hint"], found["code"]) == ("what", "what to do", problem.value)
    assert set(found) == {"type", "title", "status", "detail", "hint", "code"}


@settings(max_examples=60, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(path=st.text(max_size=40), method=st.sampled_from(["GET", "POST", "DELETE", "HEAD", "PATCH"]))
def test_no_path_makes_a_bug(served: Served, path: str, method: str) -> None:
    target = "/" + "".join(
        c if (c.isascii() and c.isalnum()) or c in "/.-" else f"%{ord(c) % 256:02X}" for c in path
    )
    answer = served.ask(target, method=method)
    assert answer.status < 500
    if answer.status >= 400 and method != "HEAD":
        assert json.loads(answer.body)["hint"]
    assert served.service.bugs == []
