"""mcsctl where systemd's sockets listen and nobody answers: at once, in systemd's words (promise 8)."""

from __future__ import annotations

import io
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mcsd.cli import client as ctl_client
from mcsd.cli import main as ctl
from mcsd.cli.client import ANSWER_TIME, Client
from mcsd.cli.errors import CtlError, Exit
from mcsd.cli.service import Failure, SystemdService, failure

NAMESPACE = """ActiveState=activating
SubState=auto-restart
Result=exit-code
ExecMainCode=1
ExecMainStatus=226
NRestarts=35
StatusText=
ActiveEnterTimestampMonotonic=0
ExecMainStartTimestampMonotonic=90000000
"""
CONFIGURATION = """ActiveState=failed
SubState=failed
Result=exit-code
ExecMainCode=1
ExecMainStatus=78
NRestarts=0
StatusText=/etc/mcsd/mcsd.toml: docker.urn: unknown key
ActiveEnterTimestampMonotonic=0
ExecMainStartTimestampMonotonic=90000000
"""
CRASHED = NAMESPACE.replace("ActiveEnterTimestampMonotonic=0", "ActiveEnterTimestampMonotonic=95000000")
STARTING = NAMESPACE.replace("auto-restart", "start").replace("exit-code", "success")
RUNNING = STARTING.replace("activating", "active").replace("SubState=start", "SubState=running")
KILLED = CONFIGURATION.replace("ExecMainCode=1", "ExecMainCode=2").replace(
    "ExecMainStatus=78", "ExecMainStatus=9"
)


class Systemd:
    """Its two programs, as scripted."""

    def __init__(self, shown: str, journal: str = "") -> None:
        self.shown, self.journal = shown, journal
        self.asked: list[str] = []

    def __call__(self, command: tuple[str, ...]) -> str:
        self.asked.append(command[0])
        return self.journal if command[0] == "journalctl" else self.shown


@pytest.mark.parametrize(
    ("shown", "words"),
    [
        (NAMESPACE, ("auto-restart", "exit-code", "226/NAMESPACE", "35 times")),
        (CONFIGURATION, ("failed", "78/CONFIG", "docker.urn: unknown key")),
        (KILLED, ("failed", "signal 9")),
    ],
)
def test_a_service_that_does_not_get_ready_is_a_failure(shown: str, words: tuple[str, ...]) -> None:
    found = failure(Systemd(shown, "one\n\ntwo\n"))
    assert found is not None and found.lines == ("one", "two")
    assert all(word in found.what for word in words)


@pytest.mark.parametrize("shown", [CRASHED, STARTING, RUNNING, "", "nonsense"])
def test_one_that_runs_starts_or_has_crashed_once_is_none(shown: str) -> None:
    systemd = Systemd(shown)
    assert failure(systemd) is None
    assert systemd.asked == ["systemctl"]


def test_starts_that_follow_each_other_are_a_failure() -> None:
    """A connection that waits has the socket start what has failed: there is always a start to be seen."""
    systemd = Systemd(STARTING, "status=78/CONFIG")
    service = SystemdService(systemd)
    assert service.failure() is None and service.failure() is None
    systemd.shown = STARTING.replace("90000000", "93000000")
    found = service.failure()
    assert found is not None and found.lines == ("status=78/CONFIG",)


def test_a_start_after_one_that_was_ready_is_none() -> None:
    systemd = Systemd(STARTING)
    service = SystemdService(systemd)
    assert service.failure() is None
    systemd.shown = CRASHED.replace("auto-restart", "start").replace("=90000000", "=97000000")
    assert service.failure() is None


@contextmanager
def listening(path: Path) -> Iterator[socket.socket]:
    """A socket as systemd holds it: connections are taken, and nobody reads."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        server.bind(str(path))
        server.listen(8)
        yield server


FAILED = Failure(
    "mcsd does not run: systemd says failed (exit-code, exit status 226/NAMESPACE)", ("last line",)
)


def test_a_question_that_nobody_will_answer_ends_at_once(tmp_path: Path) -> None:
    """Fault of old: half a minute of silence, and no word about why."""
    begun = time.monotonic()
    with listening(tmp_path / "s"), pytest.raises(CtlError) as refused:
        Client(str(tmp_path / "s"), failure=lambda: FAILED).get("/v1/status")
    assert time.monotonic() - begun < ANSWER_TIME / 2
    assert refused.value.status is Exit.NO_DAEMON
    assert refused.value.what == FAILED.what and refused.value.lines == FAILED.lines


def test_so_does_following(tmp_path: Path) -> None:
    with listening(tmp_path / "s"), pytest.raises(CtlError) as refused:
        list(Client(str(tmp_path / "s"), failure=lambda: FAILED).lines("/v1/events"))
    assert refused.value.status is Exit.NO_DAEMON


def test_a_socket_that_is_gone_is_explained_too(tmp_path: Path) -> None:
    with pytest.raises(CtlError) as refused:
        Client(str(tmp_path / "none"), failure=lambda: FAILED).get("/v1/status")
    assert refused.value.lines == (FAILED.what, *FAILED.lines)


def test_a_daemon_that_takes_its_time_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctl_client, "PATIENCE", 0.01)
    asked = threading.Event()

    def ask() -> Failure | None:
        asked.set()
        return None

    def answer(server: socket.socket) -> None:
        connection, _ = server.accept()
        with connection:
            connection.recv(4096)
            assert asked.wait(20)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

    with listening(tmp_path / "s") as server:
        daemon = threading.Thread(target=answer, args=(server,))
        daemon.start()
        assert Client(str(tmp_path / "s"), failure=ask).get("/v1/status") == {}
        daemon.join(20)


def test_only_systemd_s_own_socket_is_systemd_s_to_explain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never() -> Failure | None:
        raise AssertionError("systemd was asked about somebody else's socket")

    monkeypatch.setattr(ctl_client._ServiceQuery, "__call__", lambda self: never())
    with pytest.raises(CtlError):
        Client(str(tmp_path / "none")).get("/v1/status")


def test_what_systemd_says_is_shown_line_by_line() -> None:
    out = io.StringIO()
    error = CtlError("what", hint="do", status=Exit.NO_DAEMON, lines=("one", "two\x1b[2J"))
    assert ctl._complain(error, out) is Exit.NO_DAEMON
    assert out.getvalue().splitlines() == ["mcsctl: what", "  one", "  two\\x1b[2J", "hint: do"]
