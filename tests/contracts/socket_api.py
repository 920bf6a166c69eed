"""Checks with schemathesis that mcsd's socket conforms to the OpenAPI document that it serves."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import requests
from docker.transport import UnixHTTPAdapter
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable

schemathesis = pytest.importorskip("schemathesis")

BASE = "http://mcsd"
MODES = ["positive", "negative"]
CHECKS = (
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
)


@contextmanager
def session_at(socket: str) -> Iterator[requests.Session]:
    """Return an HTTP session for a socket."""
    with requests.Session() as session:
        session.trust_env = False
        session.mount(BASE, UnixHTTPAdapter(f"http+unix://{socket}", timeout=20))
        yield session


def document_of(session: requests.Session) -> Any:
    """Return the document that is served."""
    return session.get(f"{BASE}/v1/openapi.json").json()


def hold_to_its_word(
    session: requests.Session, document: Any, method: str, path: str, *, mode: str, examples: int
) -> None:
    """Make valid and invalid requests of one operation, and check every answer against the document."""
    checks = importlib.import_module("schemathesis.specs.openapi.checks")
    held = [schemathesis.checks.not_a_server_error, *(getattr(checks, name) for name in CHECKS)]
    operation = schemathesis.openapi.from_dict(document)[path][method]
    strategy = operation.as_strategy(generation_mode=schemathesis.GenerationMode(mode))

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=strategy)
    def every(case: Any) -> None:
        if isinstance(case.query, dict) and "follow" in case.query:
            case.query["follow"] = "false"  # a stream ends when the reader does
        response = case.call(base_url=BASE, session=session)
        case.validate_response(response, checks=held)

    try:
        every()
    except Unsatisfiable:
        assert mode == "negative", "there is always something right to ask for"
