"""The socket under pressure: sizes, times, and who has to go. Nobody is kept out by those who only wait."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NoReturn

import pytest

from mcsd.api.connection import Connection
from mcsd.api.limits import ConnectionLimiter, Limits
from mcsd.errors import NotFoundError
from tests.fakes.service import FakeService, quiet_scene
from tests.fakes.serving import Served, receive_all, serving
from tests.fakes.settled import settled

TIGHT = Limits(
    total=12,
    per_user=8,
    root_reserve=2,
    head_size=2048,
    body_size=1024,
    request_time=0.3,
    answer_time=0.3,
    linger_time=0.1,
)
POST = b"POST /v1/restore HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
GET = b"GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\n"


class Guest:
    def __init__(self, uid: int) -> None:
        self.uid = uid
        self.admission: ConnectionLimiter | None = None
        self.is_evicted = False

    def evict(self) -> None:
        assert self.admission is not None
        self.is_evicted = True
        self.admission.leave(self)


def enter(admission: ConnectionLimiter, uid: int) -> Guest | None:
    guest = Guest(uid)
    guest.admission = admission
    return guest if admission.enter(guest) else None


def test_the_longest_waiting_of_a_user_makes_room_for_the_same_user() -> None:
    admission = ConnectionLimiter(TIGHT)
    mine = [enter(admission, 7) for _ in range(8)]
    assert enter(admission, 7) is not None
    assert [guest.is_evicted for guest in mine if guest] == [True, *[False] * 7]
    assert (admission.connected, admission.evicted) == (8, 1)


def test_who_works_is_never_evicted() -> None:
    admission = ConnectionLimiter(TIGHT)
    for _ in range(8):
        guest = enter(admission, 7)
        assert guest is not None
        admission.begin_work(guest)
    assert enter(admission, 7) is None
    assert admission.refused == 1
    assert enter(admission, 8) is not None


def test_a_full_house_takes_from_whoever_has_most_and_keeps_places_for_root() -> None:
    admission = ConnectionLimiter(TIGHT)
    heavy = [enter(admission, 7) for _ in range(7)]
    light = [enter(admission, 8) for _ in range(3)]
    assert enter(admission, 9) is not None
    assert [guest.is_evicted for guest in heavy if guest].count(True) == 1
    assert not any(guest.is_evicted for guest in light if guest)
    assert enter(admission, 0) is not None
    assert enter(admission, 0) is not None
    assert (admission.connected, admission.evicted) == (12, 1)


@pytest.fixture
def tight(tmp_path: Path) -> Iterator[Served]:
    with settled(), serving(FakeService(quiet_scene()), tmp_path / "s", limits=TIGHT) as running:
        yield running


@pytest.mark.parametrize("sent", [b"", b"\r\n\r\n", b"GET /v1/status HTTP/1.1\r\nHost:"])
def test_a_request_that_does_not_come_is_not_waited_for(tight: Served, sent: bytes) -> None:
    answer = tight.send(sent)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"application/problem+json" in answer


def test_a_body_that_does_not_come_is_not_waited_for(tight: Served) -> None:
    answer = tight.send(POST + b"Content-Length: 100\r\n\r\n{")
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert tight.service.done == []


def test_a_request_byte_by_byte_in_time_is_answered(tight: Served) -> None:
    with tight.connect() as sock:
        for byte in GET:
            sock.sendall(bytes([byte]))
        assert receive_all(sock).startswith(b"HTTP/1.1 200 OK\r\n")


def test_who_sends_byte_by_byte_does_not_keep_the_daemon_busy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[int] = []
    received = Connection.data_received

    def count(connection: Connection, data: bytes) -> None:
        reads.append(len(data))
        received(connection, data)

    monkeypatch.setattr(Connection, "data_received", count)
    with settled(), serving(FakeService(quiet_scene()), tmp_path / "s") as served, served.connect() as sock:
        for byte in GET:
            sock.sendall(bytes([byte]))
            time.sleep(0.002)
        assert receive_all(sock).startswith(b"HTTP/1.1 200 OK\r\n")
    assert sum(reads) == len(GET)
    assert len(reads) < len(GET) / 2


@pytest.mark.parametrize(
    "head",
    [
        b"GET /" + b"a" * 4000,
        b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 500,
        b"GET / HTTP/1.1\r\nX: " + b"a" * 3000 + b"\r\n\r\n",
    ],
)
def test_a_head_that_is_too_long_is_refused(tight: Served, head: bytes) -> None:
    assert tight.send(head).startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00 tls \r\n\r\n",
        b"garbage\r\n\r\n",
        b"GET /v1/status HTTP/9.9\r\n\r\n",
        b"GET /v1/status HTTP/1.1\r\nBad header\r\n\r\n",
        b"GET /v1/status HTTP/1.1\r\nContent-Length: x\r\n\r\n",
    ],
)
def test_what_is_not_http_is_refused_as_a_problem(tight: Served, sent: bytes) -> None:
    answer = tight.send(sent)
    assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.0 400 ")), answer
    assert b"application/problem+json" in answer
    assert tight.service.bugs == []


def test_an_answer_whose_client_is_gone_is_waited_for_at_the_end(tmp_path: Path) -> None:
    """What it works with is closed after the server."""
    begun, ended = threading.Event(), threading.Event()

    async def restore(path: str) -> NoReturn:
        begun.set()
        await asyncio.sleep(0.3)
        ended.set()
        raise NotFoundError(f"there is no {path}")

    with settled(), serving(FakeService(quiet_scene()), tmp_path / "s") as served:
        served.service.restore = restore  # type: ignore[method-assign]
        with served.connect() as sock:
            body = b'{"path": "/srv/a"}'
            sock.sendall(POST + b"Content-Length: %d\r\n\r\n" % len(body) + body)
            assert begun.wait(10)
        while served.on_loop(lambda: served.server.admission.connected):
            time.sleep(0.01)
    assert ended.is_set()


def test_a_body_in_pieces_is_read_to_its_end(tmp_path: Path) -> None:
    with settled(), serving(FakeService(quiet_scene()), tmp_path / "s") as served, served.connect() as sock:
        body = b" " * 600_000
        sock.sendall(POST.replace(b"restore", b"audit") + b"Content-Length: %d\r\n\r\n" % len(body))
        for place in range(0, len(body), 60_000):
            sock.sendall(body[place : place + 60_000])
            time.sleep(0.01)
        assert receive_all(sock).startswith(b"HTTP/1.1 400 ")


def test_there_is_one_request_on_a_connection(tight: Served) -> None:
    answer = tight.send(GET * 20)
    assert answer.count(b"HTTP/1.1 200 OK") == 1
    assert b"Connection: close" in answer


def test_a_body_whose_length_is_not_told_is_refused(tight: Served) -> None:
    answer = tight.send(POST + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400 ") and b"the body comes without a content-length" in answer


def test_a_reader_that_takes_no_answer_is_dropped(tmp_path: Path) -> None:
    scene = quiet_scene()
    for number in range(900):
        scene.container(f"c{number}", f"s0:c{number % 500},c{number % 500 + 500}")
    with (
        settled(),
        serving(FakeService(scene), tmp_path / "s", limits=TIGHT) as served,
        served.connect() as sock,
    ):
        sock.sendall(GET.replace(b"status", b"containers"))
        while served.on_loop(lambda: served.server.admission.connected):
            time.sleep(0.01)
        assert len(receive_all(sock)) < 800_000


def test_idle_connections_keep_nobody_out(tmp_path: Path) -> None:
    with settled(), serving(FakeService(quiet_scene()), tmp_path / "s") as served, ExitStack() as stack:
        for _ in range(1000):
            stack.enter_context(served.connect())
        assert served.ask("/v1/status").status == 200
        assert served.on_loop(lambda: served.server.admission.connected) <= served.server.limits.per_user


def test_a_drip_on_every_connection_keeps_nobody_out(tmp_path: Path) -> None:
    with settled(), serving(FakeService(quiet_scene()), tmp_path / "s") as served, ExitStack() as stack:
        socks = [stack.enter_context(served.connect()) for _ in range(300)]
        stop = threading.Event()

        def drip() -> None:
            while not stop.is_set():
                for sock in socks:
                    try:
                        sock.send(b"G")
                    except OSError:  # evicted
                        continue

        thread = threading.Thread(target=drip)
        thread.start()
        try:
            assert [served.ask("/v1/status").status for _ in range(20)] == [200] * 20
        finally:
            stop.set()
            thread.join()
