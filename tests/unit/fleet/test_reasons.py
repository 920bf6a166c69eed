"""What etcd and the C library say of failures, in words that say what to change."""

from __future__ import annotations

import errno
import ssl

import pytest
import requests

from mcsd.fleet.reasons import refused, unreachable


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b'{"error":"etcdserver: permission denied","code":7}', "the user 'alpha' may not do this"),
        (b'{"code":7,"message":"etcdserver: permission denied","details":[]}', "may not do this"),
        (b'{"error":"etcdserver: no leader"}', "status 503: 'etcdserver: no leader'"),
        (b'{"error":7}', "status 503: "),
        (b"[]", "status 503: "),
        (b"<html>", "status 503: '<html>'"),
        (b"\xff" * 1000, "status 503: "),
        (b"[" * 100_000, "status 503: "),
    ],
)
def test_any_answer_says_what_was_refused(content: bytes, what: str) -> None:
    found = refused(503, content, "alpha")
    assert what in found.what and found.hint and len(found.what) < 900


def test_what_libraries_wrap_is_found() -> None:
    broken = requests.ConnectionError(
        OSError("aborted", ConnectionResetError(errno.ECONNRESET, "Connection reset"))
    )
    assert unreachable(broken).what == "the connection broke: connection reset"
    tls = requests.exceptions.SSLError(ssl.SSLEOFError(8, "EOF occurred in violation of protocol (_ssl.c:1)"))
    assert unreachable(tls).what == "the connection broke: eof occurred in violation of protocol"
    refusing = requests.ConnectionError()
    refusing.__cause__ = ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")
    assert unreachable(refusing).what == "connection refused"
    refusing.__cause__.__context__ = refusing
    assert unreachable(refusing).what == "connection refused", "a circle has an end"
    assert unreachable(requests.ConnectTimeout("a library's text")).what == "ConnectTimeout"
