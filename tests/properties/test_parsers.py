"""What reads other people's bytes: the gate's socket and the API's, fed with whatever a fuzzer makes.

A hundred inputs in `make test`, with coverage of what valid requests lead to; as many as MCSD_LONG says in
`make test-long`.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import Sequence
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mcsd.api.connection import Connection
from mcsd.api.gate_socket import LINE_LIMIT, GateServer
from mcsd.api.limits import ConnectionLimiter as Places
from mcsd.api.limits import Limits
from mcsd.api.request_head import read_head
from mcsd.control.start_admission import StartLabels, StartRequest
from mcsd.core.containers import ContainerId
from mcsd.core.labels import Context
from mcsd.errors import GateError

EXAMPLES = int(os.environ.get("MCSD_LONG", "") or 100)
fuzzed = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)

VALID: dict[str, Any] = {
    "version": 1,
    "operation": "create",
    "container": "0123456789abcdef" * 4,
    "process_label": "system_u:system_r:container_t:s0:c1,c2",
    "mount_label": "system_u:object_r:container_file_t:s0:c1,c2",
    "security_options": ["label=level:s0:c1,c2"],
    "ipc_mode": "private",
    "pid_mode": "",
    "obstacle": "",
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
CHANGED = st.dictionaries(st.sampled_from(sorted(VALID)) | st.text(), JSON, max_size=4).map(
    lambda changes: json.dumps({**VALID, **changes}).encode()
)


@st.composite
def mutated(draw: st.DrawFn, whole: bytes) -> bytes:
    """A valid input with some of its bytes taken out, doubled or replaced."""
    data = bytearray(whole)
    for _ in range(draw(st.integers(0, 6))):
        start = draw(st.integers(0, len(data)))
        end = draw(st.integers(start, min(len(data), start + 9)))
        data[start:end] = draw(st.binary(max_size=9) | st.just(bytes(data[start:end]) * 2))
    return bytes(data)


class Keeper:
    """Takes what the server has read, and holds it to what it promises."""

    async def create(self, request: StartRequest) -> StartLabels:
        self._judge(request.container)
        labels = (request.process_label, request.mount_label)
        assert all(isinstance(label, Context) for label in labels)
        texts = (request.ipc_mode, *request.security_options)
        assert all(isinstance(text, str) for text in texts)
        if not request.process_label.level.categories:
            raise GateError("no categories", hint="none")
        return StartLabels(request.process_label, request.mount_label)

    def delete(self, container: ContainerId) -> None:
        self._judge(container)

    @staticmethod
    def _judge(container: str) -> None:
        assert len(container) == 64 and set(container) <= set("0123456789abcdef")


class NoBugs:
    def report_bug(self, where: str, error: BaseException) -> None:
        raise AssertionError(f"a bug in {where}") from error


def answer(data: bytes) -> dict[str, object]:
    async def ask() -> dict[str, object]:
        reader = asyncio.StreamReader(limit=LINE_LIMIT)
        reader.feed_data(data)
        reader.feed_eof()
        return await GateServer(Keeper(), NoBugs())._answer(reader)

    return asyncio.run(ask())


@fuzzed
@given(st.binary() | CHANGED | mutated(json.dumps(VALID).encode() + b"\n"))
def test_whatever_the_gate_s_socket_reads_is_answered_in_one_line(data: bytes) -> None:
    found = answer(data)
    assert found["admitted"] in {True, False}
    line = json.dumps(found).encode()
    assert b"\n" not in line
    assert found["admitted"] or found["reason"]


def test_what_is_valid_is_read_and_what_is_too_long_is_not() -> None:
    assert answer(json.dumps(VALID).encode() + b"\n")["admitted"] is True
    assert answer(b"x" * (LINE_LIMIT + 1))["admitted"] is False


class Wire(asyncio.Transport):
    """A transport that keeps what is written; this process is at the other end."""

    def __init__(self) -> None:
        super().__init__()
        self.ours, self.theirs = socket.socketpair()
        self.written = b""
        self.is_closed = False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self.ours if name == "socket" else default

    def write(self, data: Any) -> None:
        self.written += bytes(data)

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    def close(self) -> None:
        self.is_closed = True

    abort = close


class Inner(asyncio.Protocol):
    """Stands for the HTTP server: takes heads."""

    def __init__(self) -> None:
        self.received = b""

    def data_received(self, data: bytes) -> None:
        self.received += data


HEAD = b"GET /v1/status HTTP/1.1\r\nHost: mcsd\r\nAccept: application/json\r\n\r\n"
LIMITS = Limits(head_size=256, body_size=512)


def converse(pieces: Sequence[bytes]) -> tuple[Wire, list[Inner]]:
    async def talk() -> tuple[Wire, list[Inner]]:
        wire, made = Wire(), list[Inner]()

        def inner(_: Connection) -> asyncio.Protocol:
            made.append(Inner())
            return made[-1]

        ended: list[Connection] = []
        connection = Connection(
            limits=LIMITS,
            admission=Places(LIMITS),
            group=None,
            make_inner=inner,
            begun=lambda _: None,
            ended=ended.append,
        )
        connection.connection_made(wire)
        for piece in pieces:
            if wire.is_closed:
                break
            connection.data_received(piece)
        connection.connection_lost(None)
        assert ended == [connection]
        wire.ours.close()
        wire.theirs.close()
        return wire, made

    return asyncio.run(talk())


@fuzzed
@given(st.lists(st.binary(max_size=300) | mutated(HEAD), max_size=8))
def test_whatever_the_api_s_socket_reads_begins_one_request_or_none(pieces: list[bytes]) -> None:
    """Nothing is kept beyond the limits, and whoever is refused is told so in HTTP."""
    wire, made = converse(pieces)
    assert len(made) <= 1
    if made:
        head, end, _ = made[0].received.partition(b"\r\n\r\n")
        assert end and len(head) <= LIMITS.head_size
    assert not wire.written or wire.written.startswith(b"HTTP/1.1 4")
    assert bool(wire.written) <= wire.is_closed


@fuzzed
@given(st.lists(st.integers(1, 30), max_size=10))
def test_a_head_is_the_same_however_it_is_cut(sizes: list[int]) -> None:
    pieces, rest = [], HEAD
    for size in sizes:
        pieces.append(rest[:size])
        rest = rest[size:]
    _, made = converse([*pieces, rest] if rest else pieces)
    assert [one.received for one in made] == [read_head(HEAD).passed_on]
