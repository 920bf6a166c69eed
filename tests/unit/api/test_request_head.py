"""What is passed on to the HTTP library is what it takes: no client makes it answer or log by itself."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcsd.api.limits import Limits
from mcsd.api.request_head import HeadError, read_head
from tests.fakes.service import FakeService, troubled_scene
from tests.fakes.serving import Served, serving

EXAMPLES = int(os.environ.get("MCSD_LONG", "") or 100)
LINES = (
    b"GET /v1/status HTTP/1.1", b"POST /v1/verify HTTP/1.1", b"POST /v1/verify HTTP/1.0",
    b"GET //[x HTTP/1.1", b"GET /v1/status",
    b"GET /%zz?a=%&b#c HTTP/1.1", b"OPTIONS * HTTP/1.1", b"BREW /pot HTTP/1.1", b"get / HTTP/1.1",
    b"GET  / HTTP/1.1",
)  # fmt: skip
FIELDS = (
    b"Host: x", b"host:", b"Content-Length: 0", b"Content-Length: +1", b"Content-Length: 0x1",
    b"Transfer-Encoding: chunked", b"Transfer-Encoding: gzip, chunked", b"Connection: upgrade",
    b"Expect: 100-continue", b"A : b", b" folded", b"X: \xff\x80", b"X: a\x00b", b"X: a\nb", b": empty",
    b"Content-Type: application/json", b"Content-Encoding: gzip", b"Cookie: a=b; c",
    b"Sec-WebSocket-Key1: x", b"Upgrade: h2c", b"Connection: close, keep-alive", b"X:" + b" " * 40,
)  # fmt: skip

BODIES = (b"", b"{}", b"2\r\n{}\r\n0\r\n\r\n", b"2\r\n{}", b"zz\r\n", b"GET / HTTP/1.1\r\n\r\n")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    limits = Limits(request_time=0.1, linger_time=0.05, head_size=2048)
    with serving(
        FakeService(troubled_scene()), tmp_path_factory.mktemp("head") / "s", limits=limits
    ) as running:
        yield running


def heads() -> st.SearchStrategy[bytes]:
    line = st.sampled_from(LINES) | st.binary(max_size=30)
    field = st.sampled_from(FIELDS) | st.binary(max_size=20)
    fields = st.lists(field, max_size=4).flatmap(lambda some: st.sampled_from([some, [b"Host: x", *some]]))
    parts = st.tuples(line, fields)
    return parts.map(lambda one: b"\r\n".join((one[0], *one[1])) + b"\r\n\r\n")


@settings(deadline=None, max_examples=EXAMPLES)
@given(heads(), st.sampled_from(BODIES) | st.binary(max_size=20))
def test_every_answer_is_ours(served: Served, head: bytes, body: bytes) -> None:
    heard: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = heard.append  # type: ignore[method-assign, assignment]
    logging.getLogger("aiohttp").addHandler(handler)
    try:
        answer = served.send(head + body)
    finally:
        logging.getLogger("aiohttp").removeHandler(handler)
    assert heard == []
    if answer:
        assert b"Content-Type: application/json" in answer or b"application/problem+json" in answer, answer
    assert served.service.bugs == []


@pytest.mark.parametrize(
    ("head", "passed_on"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\nCookie: a=b", b"GET / HTTP/1.1\r\nhost: mcsd"),
        (b"GET / HTTP/1.0", b"GET / HTTP/1.0\r\nhost: mcsd"),
        (
            b"POST /v1/verify?a=b HTTP/1.1\r\nHost: mcsd\r\nContent-LENGTH: 12\r\nX: \xc3\xa4",
            b"POST /v1/verify?a=b HTTP/1.1\r\nhost: mcsd\r\ncontent-length: 12",
        ),
        (
            b"PUT / HTTP/1.1\r\nHost: \r\nContent-Type:\ta ",
            b"PUT / HTTP/1.1\r\nhost: mcsd\r\ncontent-type: a",
        ),
    ],
)
def test_what_means_something_is_passed_on(head: bytes, passed_on: bytes) -> None:
    read = read_head(head + b"\r\n\r\n")
    assert read.passed_on == passed_on + b"\r\n\r\n"
    assert read.body_size == (12 if b"12" in head else 0)


HOST = b"GET / HTTP/1.1\r\nHost: a\r\n"


@pytest.mark.parametrize(
    ("head", "flaw"),
    [
        (b"GET / HTTP/2.0", "the first line is not METHOD /path HTTP/1.1"),
        (b"GET http://x/ HTTP/1.1", "the first line is not METHOD /path HTTP/1.1"),
        (b"GET / HTTP/1.1", "the header host is missing"),
        (HOST + b" folded: x", "a header line is not NAME: VALUE"),
        (HOST + b"host: a", "the header host is there twice"),
        (HOST + b"Content-Length: 1,1", "the content-length is not a number"),
        (HOST + b"Transfer-Encoding: chunked", "the body comes without a content-length"),
    ],
)
def test_what_is_wrong_is_said(head: bytes, flaw: str) -> None:
    with pytest.raises(HeadError, match=f"^{flaw}$"):
        read_head(head + b"\r\n\r\n")
