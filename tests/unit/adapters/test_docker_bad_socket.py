"""Whatever is behind the socket: the right error, with what, which object, why, and a way out."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import Callable
from pathlib import Path

import docker
import pytest
import requests

from mcsd.adapters.docker.connection import OLDEST_SDK
from mcsd.adapters.docker.engine import DockerEngine
from mcsd.core.containers import SUBSCRIBED
from mcsd.errors import ContainerGoneError, EngineProtocolError, EngineUnavailableError, McsdError
from tests.fakes.docker_documents import event_document, recorded
from tests.fakes.running import run, take
from tests.fakes.scripted_socket import Peer, Script, ScriptedSocket, answering, hanging, sending

ID = "ab" * 32
INSPECT = f"/containers/{ID}/json"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


def refused(url: str, ask: Callable[[DockerEngine], object] | None = None, **options: float) -> McsdError:
    """Ask an engine something, a whole answer or the event stream, and give the error."""

    async def scenario() -> McsdError:
        engine = DockerEngine(url, places=1, timeout=options.pop("timeout", 20.0), **options)  # type: ignore[arg-type]
        try:
            with pytest.raises(McsdError) as caught:
                if ask is None:
                    await engine.inspect(ID)
                else:
                    async for _ in engine.events():
                        pass
            return caught.value
        finally:
            await engine.close()

    return run(scenario())


def inspect_refused(path: Path, script: Script, **options: float) -> McsdError:
    with ScriptedSocket(path / "d.sock", {INSPECT: script}) as server:
        return refused(server.url, None, **options)


def events_refused(path: Path, script: Script, **options: float) -> McsdError:
    with ScriptedSocket(path / "d.sock", {"/events": script}) as server:
        return refused(server.url, DockerEngine.events, **options)


def streaming(*chunks: object, then: Callable[[Peer], None] = Peer.hang) -> Script:
    def script(peer: Peer) -> None:
        peer.begin_stream()
        for chunk in chunks:
            peer.chunk(chunk)
        then(peer)

    return script


# The socket itself


@pytest.mark.parametrize("ask", [None, DockerEngine.events])
def test_a_missing_socket(tmp_path: Path, ask: Callable[[DockerEngine], object] | None) -> None:
    error = refused(f"unix://{tmp_path}/none.sock", ask)
    assert isinstance(error, EngineUnavailableError)
    assert f"'{tmp_path}/none.sock': there is no such socket" in error.what
    assert error.hint == "docker.service is not running: systemctl status docker"


@pytest.mark.parametrize("kind", ["a regular file", "a directory", "a fifo"])
def test_not_a_socket(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "odd"
    makers: dict[str, Callable[[Path], None]] = {
        "a regular file": Path.touch,
        "a directory": Path.mkdir,
        "a fifo": os.mkfifo,
    }
    makers[kind](path)
    error = refused(f"unix://{path}")
    assert isinstance(error, EngineUnavailableError)
    assert f"it is {kind}, not a socket" in error.what
    assert "[docker]" in error.hint


def test_a_path_through_a_file_or_too_long(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "file" / "d.sock", tmp_path / ("long" * 40)):
        error = refused(f"unix://{path}")
        assert isinstance(error, EngineUnavailableError)
        assert repr(str(path)) in error.what


@pytest.mark.parametrize("ask", [None, DockerEngine.events])
def test_a_socket_that_refuses(tmp_path: Path, ask: Callable[[DockerEngine], object] | None) -> None:
    path = tmp_path / "d.sock"
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(path))  # and never listens, as one left behind by a daemon that was killed
        error = refused(f"unix://{path}", ask)
    assert isinstance(error, EngineUnavailableError)
    assert "nobody listens there" in error.what
    assert "systemctl status docker" in error.hint


def test_a_socket_where_connecting_hangs(tmp_path: Path) -> None:
    path = tmp_path / "d.sock"
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as first:
        listener.bind(str(path))
        listener.listen(0)  # room for one, and nobody takes it out
        first.connect(str(path))
        error = refused(f"unix://{path}")
    assert isinstance(error, EngineUnavailableError)
    assert "queue of waiting connections is full" in error.what
    assert "docker hangs" in error.hint


# An answer that does not come, or not whole


def test_an_answer_that_never_comes(tmp_path: Path) -> None:
    error = inspect_refused(tmp_path, hanging(), timeout=1)
    assert isinstance(error, EngineUnavailableError)
    assert f"did not answer GET /v1.41{INSPECT} within 1 s" in error.what
    assert "docker hangs" in error.hint


@pytest.mark.parametrize("start", [b"HTTP", HEAD, HEAD + b"Content-Length: 100\r\n\r\n{"])
def test_an_answer_that_stops_half_way(tmp_path: Path, start: bytes) -> None:
    error = inspect_refused(tmp_path, hanging(start), timeout=0.2)
    assert isinstance(error, EngineUnavailableError)
    assert "within 0.2 s" in error.what


def test_an_answer_that_trickles_has_one_deadline_as_a_whole(tmp_path: Path) -> None:
    """A client library's own timeout starts anew with every byte."""

    def trickle(peer: Peer) -> None:
        peer.send(HEAD + b"Content-Length: 1000000\r\n\r\n")
        while True:
            peer.send(b" ")

    error = inspect_refused(tmp_path, trickle, timeout=0.2)
    assert isinstance(error, EngineUnavailableError | EngineProtocolError)
    with ScriptedSocket(tmp_path / "slow.sock", {INSPECT: _slow_trickle}) as server:
        error = refused(server.url, timeout=0.3)
    assert isinstance(error, EngineUnavailableError)
    assert "within 0.3 s" in error.what


def _slow_trickle(peer: Peer) -> None:
    peer.send(HEAD + b"Content-Length: 1000000\r\n\r\n")
    while not peer.wait(0.01):
        peer.send(b" ")


@pytest.mark.parametrize(
    "start",
    [
        b"",
        b"HTTP/1.1 200",
        HEAD,
        HEAD + b"Content-Length: 100\r\n\r\n{}",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\n{",
    ],
)
def test_a_connection_closed_before_the_answer_is_complete(tmp_path: Path, start: bytes) -> None:
    error = inspect_refused(tmp_path, sending(start))
    assert isinstance(error, EngineUnavailableError)
    assert "closed the connection before its answer" in error.what
    assert INSPECT in error.what


# An answer that is not one


@pytest.mark.parametrize(
    "body", [b"not json", b'{"Id": "ab', b"[]", b"{}", b"null", b"\xff\xfe", b"[" * 100_000]
)
def test_malformed_or_truncated_json(tmp_path: Path, body: bytes) -> None:
    error = inspect_refused(tmp_path, answering(body))
    assert isinstance(error, EngineProtocolError)
    assert f"about container '{ID}' cannot be read" in error.what
    assert error.hint


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\x00\x01\x02\x03\r\n\r\n",
        b"HTTP/9.9 what ever\r\n\r\n",
        b"HTTP/1.1 200 " + b"x" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1000 + b"\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
    ],
)
def test_wrong_http(tmp_path: Path, answer: bytes) -> None:
    error = inspect_refused(tmp_path, sending(answer))
    assert isinstance(error, EngineProtocolError)
    assert "in HTTP" in error.what
    assert "[docker]" in error.hint


def test_an_sdk_that_does_not_know_its_requests_is_not_docker_s_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As docker 7.0 was beside requests 2.32: neither had heard of the other's changes."""

    def knows_none(session: requests.Session, url: str) -> requests.adapters.BaseAdapter:
        raise requests.exceptions.InvalidSchema(f"No connection adapters were found for {url!r}")

    monkeypatch.setattr(docker.APIClient, "get_adapter", knows_none)
    error = inspect_refused(tmp_path, answering({}))
    assert isinstance(error, EngineUnavailableError)
    assert (
        f"docker {docker.__version__} and requests {requests.__version__} do not work together" in error.what
    )
    assert "docker itself is not at fault" in error.hint
    assert OLDEST_SDK in error.hint


def test_a_huge_body_is_cut_off(tmp_path: Path) -> None:
    def flood(peer: Peer) -> None:
        peer.send(HEAD + b"Content-Length: 9999999999\r\n\r\n")
        while True:
            peer.send(b" " * 65536)

    error = inspect_refused(tmp_path, flood, body_limit=2**20)
    assert isinstance(error, EngineProtocolError)
    assert f"sent more than {2**20} bytes for GET /v1.41{INSPECT}" in error.what


def test_endless_headers_are_cut_off(tmp_path: Path) -> None:
    def flood(peer: Peer) -> None:
        peer.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        while True:
            peer.send(b"HTTP/1.1 100 Continue\r\n\r\n" * 1000)

    assert isinstance(inspect_refused(tmp_path, flood, body_limit=2**20), EngineProtocolError)


@pytest.mark.parametrize(
    ("status", "kind", "hint"),
    [
        ("500 Internal Server Error", EngineProtocolError, "journalctl -u docker"),
        ("502 Bad Gateway", EngineUnavailableError, "docker.service"),
        ("503 Service Unavailable", EngineUnavailableError, "docker.service"),
        ("403 Forbidden", EngineProtocolError, "authorization plug-in"),
        ("301 Moved Permanently", EngineProtocolError, "[docker]"),
        ("400 Bad Request", EngineProtocolError, "[docker]"),
        ("204 No Content", EngineProtocolError, "[docker]"),
    ],
)
def test_a_status_that_is_not_success(tmp_path: Path, status: str, kind: type, hint: str) -> None:
    body = b"" if status.startswith("204") else {"message": "driver failed"}
    for error in (
        inspect_refused(tmp_path, answering(body, status)),
        events_refused(tmp_path, answering(body, status)),
    ):
        assert isinstance(error, kind)
        assert f"with {status[:3]}" in error.what
        assert not body or "'driver failed'" in error.what
        assert hint in error.hint


def test_a_500_with_a_body_that_is_no_error_object(tmp_path: Path) -> None:
    for body in (b"<html>", b"[1]", b'{"message":5}', b""):
        assert isinstance(
            inspect_refused(tmp_path, answering(body, "500 Internal Server Error")), EngineProtocolError
        )


def test_a_container_that_podman_loses_while_it_looks_is_gone(tmp_path: Path) -> None:
    """As Podman 5.4 answers when a container is removed at that moment."""
    message = f"no container with ID {ID} found in database: no such container"
    answer = answering({"cause": "no such container", "message": message}, "500 Internal Server Error")
    assert isinstance(inspect_refused(tmp_path, answer), ContainerGoneError)


def test_a_500_about_another_container_is_not_gone(tmp_path: Path) -> None:
    """Promise 9."""
    message = f"no container with ID {'cd' * 32} found in database: no such container"
    answer = answering({"message": message}, "500 Internal Server Error")
    assert isinstance(inspect_refused(tmp_path, answer), EngineProtocolError)


@pytest.mark.parametrize("message", ["page not found", "", "No such image: x"])
def test_a_404_that_docker_did_not_say_of_a_container_is_not_gone(tmp_path: Path, message: str) -> None:
    """Promise 9: labels are undone when a container is gone, so a wrong path must not say so."""
    error = inspect_refused(tmp_path, answering({"message": message}, "404 Not Found"))
    assert type(error) is EngineProtocolError


@pytest.mark.parametrize(
    "version", [{}, {"ApiVersion": 1.41}, {"ApiVersion": "new"}, [], {"ApiVersion": "1.41\r\nX: y"}]
)
def test_an_engine_that_does_not_say_its_version(tmp_path: Path, version: object) -> None:
    with ScriptedSocket(tmp_path / "d.sock", {"/version": answering(version)}) as server:
        error = refused(server.url)
    assert isinstance(error, EngineProtocolError)
    assert "about its version cannot be read" in error.what


def test_compressed_answers_are_not_unpacked(tmp_path: Path) -> None:
    body = recorded("docker-20.10-inspect")
    packed = __import__("gzip").compress(json.dumps(body).encode())

    def script(peer: Peer) -> None:
        assert b"accept-encoding: identity" in peer.request.lower()
        peer.send(HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed) + packed)

    assert isinstance(inspect_refused(tmp_path, script), EngineProtocolError)


# The event stream


@pytest.mark.parametrize("line", [b"not json\n", b'{"Type":"container"}\n', b"[]\n", b"\xff\n"])
def test_malformed_events(tmp_path: Path, line: bytes) -> None:
    error = events_refused(tmp_path, streaming(line))
    assert isinstance(error, EngineProtocolError)
    assert "in an event cannot be read" in error.what


def test_a_stream_that_breaks_in_the_middle_of_an_event(tmp_path: Path) -> None:
    for script in (
        streaming(b'{"Type":', then=Peer.hang_up),
        sending(HEAD + b"Transfer-Encoding: chunked\r\n\r\nff\r\n{"),
        sending(HEAD + b"Transfer-Encoding: chunked\r\n\r\nf"),
    ):
        error = events_refused(tmp_path, script)
        assert isinstance(error, EngineUnavailableError)
        assert "systemctl status docker" in error.hint


def test_a_stream_that_ends_well_has_ended_all_the_same(tmp_path: Path) -> None:
    error = events_refused(tmp_path, streaming(then=lambda peer: peer.send(b"0\r\n\r\n")))
    assert isinstance(error, EngineUnavailableError)
    assert "ended" in error.what


@pytest.mark.parametrize(
    "start", [b"20\r\n{", b"1\r\n{\r\n"], ids=["in a chunk", "between the chunks of one event"]
)
def test_a_stream_that_hangs_in_the_middle_of_an_event(tmp_path: Path, start: bytes) -> None:
    """The ping is answered, and still: nobody writes half an event and then rests."""
    script = hanging(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + start)
    error = events_refused(tmp_path, script, ping_interval=0.1)
    assert isinstance(error, EngineUnavailableError)
    assert "stopped in the middle of an event" in error.what


def test_an_endless_line_is_cut_off(tmp_path: Path) -> None:
    def flood(peer: Peer) -> None:
        peer.begin_stream()
        while True:
            peer.chunk(b"x" * 10_000)

    error = events_refused(tmp_path, flood, event_limit=100_000)
    assert isinstance(error, EngineProtocolError)
    assert "an event of more than 100000 bytes" in error.what


def test_one_endless_chunk_is_cut_off(tmp_path: Path) -> None:
    def flood(peer: Peer) -> None:
        peer.begin_stream()
        peer.send(b"fffffffff\r\n")
        while True:
            peer.send(b"x" * 10_000)

    error = events_refused(tmp_path, flood, event_limit=100_000)
    assert isinstance(error, EngineProtocolError)
    assert "100000 bytes" in error.what


def test_an_endless_chunk_size_is_cut_off(tmp_path: Path) -> None:
    def flood(peer: Peer) -> None:
        peer.begin_stream()
        while True:
            peer.send(b"0" * 10_000)

    assert isinstance(events_refused(tmp_path, flood, event_limit=100_000), EngineProtocolError)


def test_a_stream_that_is_not_opened_in_time(tmp_path: Path) -> None:
    error = events_refused(tmp_path, hanging(HEAD), timeout=0.2)
    assert isinstance(error, EngineUnavailableError)
    assert "GET /v1.41/events within 0.2 s" in error.what


def test_a_silent_stream_of_an_engine_that_hangs(tmp_path: Path) -> None:
    scripts = {"/events": streaming(), "/_ping": hanging()}
    with ScriptedSocket(tmp_path / "d.sock", scripts) as server:
        error = refused(server.url, DockerEngine.events, ping_interval=0.05, ping_timeout=0.1)
    assert isinstance(error, EngineUnavailableError)
    assert "GET /_ping within 0.1 s" in error.what


def test_a_silent_stream_of_an_engine_that_lives_goes_on(tmp_path: Path) -> None:
    """Silence is normal: many pings are answered, and the next event still comes."""
    pings = 0

    def stream(peer: Peer) -> None:
        peer.begin_stream()
        while pings < 5 and not peer.wait(0.005):
            pass
        peer.chunk(event_document(ID, "start", 7))
        peer.hang()

    def ping(peer: Peer) -> None:
        nonlocal pings
        pings += 1
        peer.answer(b"OK")

    async def scenario(url: str) -> list[str]:
        engine = DockerEngine(url, ping_interval=0.02)
        events = await take(engine.events(), 2)
        await engine.close()
        return [event.action for event in events]

    with ScriptedSocket(tmp_path / "d.sock", {"/events": stream, "/_ping": ping}) as server:
        assert run(scenario(server.url)) == [SUBSCRIBED, "start"]


def test_a_stream_without_chunks_comes_in_time_too(tmp_path: Path) -> None:
    """An HTTP/1.0 proxy may take the chunks away."""
    line = json.dumps(event_document(ID, "die", 7)).encode()

    async def scenario(url: str) -> list[str]:
        engine = DockerEngine(url)
        events = await take(engine.events(), 3)
        await engine.close()
        return [event.action for event in events]

    script = hanging(b"HTTP/1.0 200 OK\r\n\r\n" + line + b"\n\x1e" + line + b"\r\n")
    with ScriptedSocket(tmp_path / "d.sock", {"/events": script}) as server:
        assert run(scenario(server.url)) == [SUBSCRIBED, "die", "die"]


def test_an_engine_recovers_on_the_same_socket(tmp_path: Path) -> None:
    """After an error nothing stays broken: the next question has a connection of its own."""

    async def scenario(path: Path) -> None:
        engine = DockerEngine(f"unix://{path}", places=1, timeout=0.2)
        for scripts in ({"/info": hanging()}, {"/info": sending(b"")}, {"/info": answering(b"}")}):
            with ScriptedSocket(path, scripts), pytest.raises(McsdError):
                await engine.info()
            with pytest.raises(EngineUnavailableError):
                await engine.info()
        with ScriptedSocket(path, {}):
            assert (await engine.info()).server_version
        await engine.close()

    run(scenario(tmp_path / "d.sock"))


def test_questions_do_not_wait_for_each_other(tmp_path: Path) -> None:
    async def scenario(url: str) -> None:
        engine = DockerEngine(url, places=2)
        stuck = asyncio.create_task(engine.inspect(ID))
        assert (await engine.info()).server_version
        assert not stuck.done()
        await engine.close()
        with pytest.raises(EngineUnavailableError, match="mcsd closed"):
            await stuck

    with ScriptedSocket(tmp_path / "d.sock", {INSPECT: hanging()}) as server:
        run(scenario(server.url))
