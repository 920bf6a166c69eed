"""etcd's gateway as it must not be: whatever it answers is an error that says so, or what it meant."""

from __future__ import annotations

import base64
import json
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from urllib3.util import connection

from mcsd.adapters.fleet.service_store import ServiceStore
from mcsd.adapters.host.machine import machine_identity
from mcsd.core.fleet.messages import answered, ask
from mcsd.core.fleet.values import Swap
from mcsd.errors import ConfigurationError, FleetError
from mcsd.fleet import etcd
from mcsd.fleet.etcd import EtcdAccess, EtcdStore
from mcsd.fleet.main import main
from mcsd.fleet.server import decline
from mcsd.fleet.settings import load

Answer = Callable[[BaseHTTPRequestHandler], None]
HEADER = {"cluster_id": "7", "member_id": "8", "revision": "9", "raft_term": "2"}


class Gateway:
    """Answers as it is told, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, object], str]] = []
        self.answer: Answer = lambda handler: send(handler, 200, b"{}")
        gateway = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                gateway.asked.append((self.path, body, self.headers.get("Authorization", "")))
                gateway.answer(self)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def send(handler: BaseHTTPRequestHandler, status: int, body: bytes) -> None:
    handler.send_response(status)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def saying(value: object, status: int = 200) -> Answer:
    return lambda handler: send(handler, status, json.dumps(value).encode())


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    made = Gateway()
    yield made
    made.close()


@pytest.fixture
def store(gateway: Gateway) -> Iterator[EtcdStore]:
    made = EtcdStore(EtcdAccess((gateway.url,), timeout=2))
    yield made
    made.close()


def coded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def test_a_reading_is_what_etcd_has_below_the_prefix(gateway: Gateway, store: EtcdStore) -> None:
    kvs = [{"key": coded("/mcsd/fleet"), "value": coded("{}")}, {"key": coded("/mcsd/empty")}]
    gateway.answer = saying({"header": HEADER, "kvs": kvs, "count": "2"})
    reading = store.read()
    assert (reading.cluster, reading.revision) == ("7", 9)
    assert reading.values == {"fleet": "{}", "empty": ""}
    path, body, _ = gateway.asked[0]
    assert path == "/v3/kv/range" and body == {"key": coded("/mcsd/"), "range_end": coded("/mcsd0")}


@pytest.mark.parametrize(
    "value",
    [
        {},
        [],
        "",
        None,
        {"header": {}},
        {"header": None, "kvs": None},
        {"header": {**HEADER, "cluster_id": "-1"}},
        {"header": {**HEADER, "cluster_id": "x"}},
        {"header": {**HEADER, "revision": "0"}},
        {"header": {**HEADER, "revision": None}},
        {"header": HEADER, "kvs": [{"key": coded("/other/fleet")}], "count": "1"},
        {"header": HEADER, "kvs": [{"key": "%%%"}], "count": "1"},
        {"header": HEADER, "kvs": [{"key": base64.b64encode(b"\xff").decode()}], "count": "1"},
        {"header": HEADER, "kvs": [{"value": "e30="}], "count": "1"},
        {"header": HEADER, "kvs": [{"key": coded("/mcsd/fleet")}], "count": "2", "more": True},
        {"header": HEADER, "kvs": 5},
    ],
)
def test_an_answer_that_makes_no_sense_is_an_error(gateway: Gateway, store: EtcdStore, value: object) -> None:
    gateway.answer = saying(value)
    with pytest.raises(FleetError) as refused:
        store.read()
    assert refused.value.hint


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b"<html>"])
def test_an_answer_that_is_no_json_is_an_error(gateway: Gateway, store: EtcdStore, body: bytes) -> None:
    gateway.answer = lambda handler: send(handler, 200, body)
    for question in (store.read, lambda: store.swap(Swap({}, {"a": "b"}))):
        with pytest.raises(FleetError):
            question()


@pytest.mark.parametrize("status", [301, 400, 401, 403, 404, 500, 503])
def test_any_other_status_is_an_error(gateway: Gateway, store: EtcdStore, status: int) -> None:
    gateway.answer = saying({"error": "no", "header": HEADER, "succeeded": True}, status)
    for question in (store.read, lambda: store.swap(Swap({}, {"a": "b"}))):
        with pytest.raises(FleetError):
            question()


@pytest.mark.parametrize("value", [{}, {"succeeded": False}, {"succeeded": "true"}, {"succeeded": 1}])
def test_a_transaction_is_done_only_if_etcd_says_so(
    gateway: Gateway, store: EtcdStore, value: object
) -> None:
    gateway.answer = saying(value)
    assert store.swap(Swap({}, {"a": "b"})) is False


def test_an_answer_that_is_too_large_or_too_slow_is_given_up(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(etcd, "LARGEST", 1000)
    store = EtcdStore(EtcdAccess((gateway.url,), timeout=0.3))
    gateway.answer = lambda handler: send(handler, 200, b"x" * 5000)
    with pytest.raises(FleetError, match="too large"):
        store.read()

    def drip(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        for _ in range(20):
            handler.wfile.write(b"x" * etcd._CHUNK)
            time.sleep(0.1)

    gateway.answer = drip
    with pytest.raises(FleetError):
        store.read()
    store.close()


def test_a_token_is_asked_for_again_when_it_is_not_known_any_more(gateway: Gateway) -> None:
    store = EtcdStore(EtcdAccess((gateway.url,), user="alpha", password="word"))
    tokens = iter(["one", "two"])
    valid = "two"

    def answer(handler: BaseHTTPRequestHandler) -> None:
        if handler.path.endswith("authenticate"):
            saying({"token": next(tokens)})(handler)
        elif handler.headers.get("Authorization") != valid:
            saying({"error": "etcdserver: invalid auth token"}, 401)(handler)
        else:
            saying({"header": HEADER})(handler)

    gateway.answer = answer
    assert store.read().values == {}
    assert [path for path, _, _ in gateway.asked] == [
        *("/v3/auth/authenticate", "/v3/kv/range", "/v3/auth/authenticate", "/v3/kv/range"),
    ]
    store.close()


def test_a_token_of_before_users_were_changed_is_asked_for_again(gateway: Gateway) -> None:
    """As with `--auth-token jwt`: a host that is admitted must not stop the others."""
    store = EtcdStore(EtcdAccess((gateway.url,), user="alpha", password="word"))
    tokens = iter(["one", "two"])

    def answer(handler: BaseHTTPRequestHandler) -> None:
        if handler.path.endswith("authenticate"):
            saying({"token": next(tokens)})(handler)
        elif handler.headers.get("Authorization") != "two":
            saying({"error": "etcdserver: revision of auth store is old", "code": 3}, 400)(handler)
        else:
            saying({"header": HEADER})(handler)

    gateway.answer = answer
    assert store.read().values == {}
    store.close()


def test_a_certificate_that_is_gone_is_named_and_nothing_else_happens(tmp_path: Path) -> None:
    """It may go while the service runs; requests raises what is no error of its own then."""
    none = str(tmp_path / "none")
    for files in (EtcdAccess((), ca=none), EtcdAccess((), certificate=none)):
        store = EtcdStore(replace(files, endpoints=("https://127.0.0.1:1",)))
        with pytest.raises(FleetError, match=f"invalid path: {tmp_path}/none"):
            store.read()
        store.close()


def test_what_one_has_refused_is_told_before_that_another_is_away(gateway: Gateway) -> None:
    gateway.answer = saying({"error": "etcdserver: permission denied", "code": 7}, 403)
    store = EtcdStore(EtcdAccess(("http://127.0.0.1:1", gateway.url)))
    with pytest.raises(FleetError, match=r"etcd refuses: .*connection refused; .*may not do this") as refused:
        store.read()
    assert refused.value.hint == "see the roles in mcsd-fleet(8)"
    store.close()


def test_what_mcsd_fleet_says_is_read_strictly(tmp_path: Path) -> None:
    path = tmp_path / "s"
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(path))
    listening.listen()
    said = [b"", b"{}\n", b'{"done":true}\n', b'{"error":"no","hint":"h"}\n', b"x" * 50]

    def serve() -> None:
        for line in said:
            connection, _ = listening.accept()
            with connection:
                while connection.recv(4096):
                    pass
                connection.sendall(line)

    thread = threading.Thread(target=serve)
    thread.start()
    store = ServiceStore(str(path), deadline=5)
    for _ in said:
        with pytest.raises(FleetError) as refused:
            store.read()
        assert refused.value.hint
    thread.join()
    listening.close()
    with pytest.raises(FleetError, match="cannot be asked"):
        store.read()
    with pytest.raises(FleetError, match="cannot be asked"):
        ServiceStore(str(tmp_path / "none")).swap(Swap({}, {}))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "endpoints"),
        ("endpoints = []", "endpoints"),
        ('endpoints = ["etcd:2379"]', "endpoints"),
        ('endpoints = ["https://a:1"]\nprefix = "mcsd"', "prefix"),
        ('endpoints = ["https://a:1"]\ntimeout = 0', "timeout"),
        ('endpoints = ["https://a:1"]\npasword = "x"', "pasword"),
        ("endpoints = [", "not valid TOML"),
    ],
)
def test_a_wrong_configuration_is_named(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "fleet.toml"
    file.write_text(text)
    with pytest.raises(ConfigurationError, match=told):
        load(file)
    assert main(["--config", str(file), "--socket", str(tmp_path / "s")]) == 78


def test_the_configuration_says_how_to_ask(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("secret\n")
    file = tmp_path / "fleet.toml"
    file.write_text(
        f'endpoints = ["https://a:1", "http://b:2"]\nuser = "alpha"\npassword_file = "{tmp_path}/password"\n'
    )
    access = load(file).access()
    assert access == EtcdAccess(("https://a:1", "http://b:2"), user="alpha", password="secret")
    (tmp_path / "password").unlink()
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load(file).access()
    for key in ("ca", "certificate", "key"):
        file.write_text(f'endpoints = ["https://a:1"]\n{key} = "{tmp_path}/none"\n')
        with pytest.raises(ConfigurationError, match="none: cannot be read"):
            load(file).access()


def test_the_example_that_is_shipped_is_valid() -> None:
    shipped = load(Path(__file__).parents[3] / "packaging/fleet.toml")
    assert shipped.prefix == "/mcsd/" and shipped.timeout == 3.0 and len(shipped.endpoints) == 3


def test_an_etcd_that_has_ipv6_alone_is_reached_where_nothing_may_be_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """urllib3 takes a bind(2) that is denied for a host without IPv6, and mcsd-fleet may bind nothing."""
    monkeypatch.setattr(connection, "HAS_IPV6", False)
    (tmp_path / "fleet.toml").write_text("")
    main(["--config", str(tmp_path / "fleet.toml")])
    assert connection.allowed_gai_family() == (socket.AF_UNSPEC if socket.has_ipv6 else socket.AF_INET)


def test_who_waits_is_told_why_the_service_cannot_start(tmp_path: Path) -> None:
    """systemd starts it for each caller in the queue: one that is left there would have it start for ever."""
    with socket.socket(socket.AF_UNIX) as listening, ExitStack() as callers:
        listening.bind(str(tmp_path / "s"))
        listening.listen()
        waiting = [callers.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(3)]
        for one in waiting:
            one.connect(str(tmp_path / "s"))
        for one in waiting[1:]:
            one.sendall(ask(None))
            one.shutdown(socket.SHUT_WR)
        waiting[0].close()
        decline(listening, ConfigurationError("fleet.toml is not valid", hint="mend it"))
        assert [answered(one.recv(4096)) for one in waiting[1:]] == [
            ("fleet.toml is not valid", "mend it")
        ] * 2
        assert not select.select([listening], [], [], 0)[0]


def test_without_a_socket_it_says_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LISTEN_PID", raising=False)
    file = tmp_path / "fleet.toml"
    file.write_text('endpoints = ["https://a:1"]')
    assert main(["--config", str(file)]) == 78
    assert "mcsd-fleet.socket" in capsys.readouterr().err


def test_a_machine_is_known_by_its_firmware_first(tmp_path: Path) -> None:
    assert machine_identity(tmp_path) == ""
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/machine-id").write_text("a" * 32 + "\n")
    assert machine_identity(tmp_path) == "id:" + "a" * 32
    (tmp_path / "proc/device-tree").mkdir(parents=True)
    (tmp_path / "proc/device-tree/serial-number").write_bytes(b"10000000c0ffee\0")
    assert machine_identity(tmp_path) == "tree:10000000c0ffee"
    (tmp_path / "sys/class/dmi/id").mkdir(parents=True)
    (tmp_path / "sys/class/dmi/id/product_uuid").write_bytes(b"\xff\xff")
    assert machine_identity(tmp_path) == "tree:10000000c0ffee"
    (tmp_path / "sys/class/dmi/id/product_uuid").write_text("4c4c4544-0042\n")
    assert machine_identity(tmp_path) == "dmi:4c4c4544-0042"
