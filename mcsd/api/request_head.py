"""The head of a request, if it is HTTP that this server answers (RFC 9112, sections 2 to 6).

aiohttp answers what is none by itself, in plain text, and logs it as an error: clients could fill the
journal. So it is given heads that have passed here, with those fields alone that mean something to this
server, and of the body as much as was announced. Every answer is a problem report or what was asked for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_REQUEST = re.compile(rb"(GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS|TRACE) (/[\x21-\x7e]*) HTTP/1\.[01]")
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[\t ]*([\x21-\x7e\x80-\xff\t ]*)")
_LENGTH = re.compile(rb"[0-9]{1,18}")
_USED = (b"content-type", b"content-encoding", b"content-length")


class HeadError(ValueError):
    """What is wrong with a head, as a clause."""


@dataclass(frozen=True, slots=True)
class Head:
    """`passed_on` is the head for the HTTP library, `body_size` how many bytes come after it."""

    passed_on: bytes
    body_size: int


def read_head(head: bytes) -> Head:
    """Read a head, with its empty line; raise `HeadError` if it is not HTTP."""
    request, *lines = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
    if _REQUEST.fullmatch(request) is None:
        raise HeadError("the first line is not METHOD /path HTTP/1.1")
    fields: dict[bytes, bytes] = {}
    for name, value in _fields(lines):
        if name in fields and name in {*_USED, b"host"}:
            raise HeadError(f"the header {name.decode()} is there twice")
        fields[name] = value
    if b"host" not in fields and request.endswith(b"1.1"):
        raise HeadError("the header host is missing")
    if b"transfer-encoding" in fields:
        raise HeadError("the body comes without a content-length")
    length = fields.get(b"content-length", b"0")
    if _LENGTH.fullmatch(length) is None:
        raise HeadError("the content-length is not a number")
    used = (name + b": " + fields[name] for name in _USED if name in fields)
    return Head(b"\r\n".join((request, b"host: mcsd", *used, b"", b"")), int(length))


def _fields(lines: list[bytes]) -> Iterator[tuple[bytes, bytes]]:
    for line in lines:
        match = _FIELD.fullmatch(line)
        if match is None:
            raise HeadError("a header line is not NAME: VALUE")
        yield match[1].lower(), match[2].strip(b"\t ")
