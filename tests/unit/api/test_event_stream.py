"""Events: remembered, followed, and lost by readers that are too slow, without anybody waiting."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from mcsd.api.limits import Limits
from mcsd.core.snapshot import Event
from tests.fakes.service import FakeService, container_id, problem_events, troubled_scene
from tests.fakes.serving import Served, serving
from tests.fakes.settled import settled

SCENE = troubled_scene()


def event(number: int, *, text: str = "x") -> Event:
    return Event(number, 1.0, "granted", text, 6, container_id(2), {"name": "db"})


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    service = FakeService(SCENE, events=problem_events(SCENE), buffer=64)
    limits = Limits(streams=3, streams_per_user=2)
    with settled(), serving(service, tmp_path / "s", limits=limits) as running:
        yield running


class Follower:
    """Reads a chunked stream of lines, when asked to."""

    def __init__(self, served: Served, query: str = "") -> None:
        self.sock = served.connect()
        self.sock.sendall(f"GET /v1/events?follow=1{query} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        self.file = self.sock.makefile("rb")
        self.head = b""
        while not self.head.endswith(b"\r\n\r\n"):
            self.head += self.file.readline()

    def line(self) -> dict[str, object]:
        size = int(self.file.readline(), 16)
        body = self.file.read(size + 2)[:-2]
        found: dict[str, object] = json.loads(body)
        assert body.endswith(b"\n")
        return found

    def ends(self) -> bool:
        return self.file.readline() == b"0\r\n"

    def close(self) -> None:
        self.file.close()
        self.sock.close()


def test_events_are_listed_newest_last_and_filtered(served: Served) -> None:
    def numbers(query: str) -> list[int]:
        return [item["sequence"] for item in served.ask(f"/v1/events?{query}").object["items"]]

    assert numbers("") == [1, 2, 3, 4, 5]
    assert numbers("limit=2") == [4, 5]
    assert numbers("priority=3") == [2]
    assert numbers("kind=volume-refused&kind=conflict") == [2, 3]
    assert numbers("container=web-clone") == [2, 3]
    assert numbers(f"container={container_id(3)[:8]}") == [2, 3]
    page = served.ask("/v1/events?after=1&limit=2").object
    assert ([item["sequence"] for item in page["items"]], page["next"]) == ([2, 3], "3")


def test_a_follower_gets_what_it_missed_and_what_happens(served: Served) -> None:
    follower = Follower(served, "&after=3")
    assert b"200 OK" in follower.head
    assert b"application/x-ndjson" in follower.head
    assert [follower.line()["sequence"] for _ in range(2)] == [4, 5]
    served.on_loop(lambda: served.service.tell(event(6)))
    assert follower.line()["sequence"] == 6
    follower.close()


def tell_many(served: Served, start: int, text: str) -> None:
    for number in range(start, start + 50):
        served.service.tell(event(number, text=text))


def test_a_slow_reader_is_told_how_much_it_lost_and_nobody_waits(served: Served) -> None:
    """Promise 9: what was not delivered is told."""
    follower = Follower(served)
    follower.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    big = "y" * 8192
    total = 2000
    for start in range(0, total, 50):
        served.on_loop(partial(tell_many, served, start, big))
        assert served.ask("/v1/events?limit=1").status == 200
    got, lost = 0, 0
    last = -1
    while last < total - 1:
        line = follower.line()
        if "lost" in line:
            assert set(line) == {"lost"}
            lost += int(str(line["lost"]))
        else:
            got += 1
            last = int(str(line["sequence"]))
    assert lost > 0
    assert got + lost == total
    follower.close()


def test_more_followers_than_allowed_are_refused(served: Served) -> None:
    followers = [Follower(served) for _ in range(2)]
    answer = served.ask("/v1/events?follow=1")
    assert (answer.status, answer.object["code"]) == (503, "busy")
    followers.pop().close()
    while served.on_loop(lambda: served.server.admission.streaming) > 1:
        pass
    again = Follower(served)
    assert b"200 OK" in again.head
    again.close()
    followers.pop().close()


def test_a_stream_ends_properly_when_the_daemon_stops(tmp_path: Path) -> None:
    with settled():
        with serving(FakeService(SCENE), tmp_path / "s") as served:
            follower = Follower(served)
        assert follower.ends()
        follower.close()
