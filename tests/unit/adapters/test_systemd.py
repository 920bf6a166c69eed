"""systemd: what it is told, and the sockets it passes."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from mcsd.adapters.systemd import service as adapter
from mcsd.adapters.systemd.service import Notifier, inherited_sockets
from mcsd.errors import ConfigurationError
from tests.fakes.settled import settled


@pytest.fixture(autouse=True)
def _settled() -> Iterator[None]:
    with settled():
        yield


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """The socket on which a service manager listens."""
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as listener:
        listener.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        listener.settimeout(10)
        yield listener


def told(manager: socket.socket) -> list[str]:
    return manager.recv(4096).decode().splitlines()


class TestNotifier:
    """The messages, over a real socket."""

    def test_each_message_is_one_datagram(self, manager: socket.socket) -> None:
        notifier = Notifier()
        assert notifier.is_available
        notifier.ready("looking after 3 containers")
        notifier.ready()
        notifier.status("idle")
        notifier.stopping()
        notifier.watchdog()
        assert told(manager) == ["READY=1", "STATUS=looking after 3 containers"]
        assert told(manager) == ["READY=1"]
        assert told(manager) == ["STATUS=idle"]
        assert told(manager) == ["STOPPING=1"]
        assert told(manager) == ["WATCHDOG=1"]

    def test_the_headline_is_told_when_it_changes(
        self, manager: socket.socket, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(adapter, "HEADLINES", 0.01)
        lines = ["two", "one", "one"]

        async def tell() -> None:
            with pytest.raises(IndexError):
                await Notifier().keep_told(lambda: lines.pop())

        asyncio.run(tell())
        assert [told(manager), told(manager)] == [["STATUS=one"], ["STATUS=two"]]

    def test_text_cannot_forge_an_assignment(self, manager: socket.socket) -> None:
        Notifier().status("evil\nMAINPID=1\nSTOPPING=1")
        assert told(manager) == ["STATUS=evil\\nMAINPID=1\\nSTOPPING=1"]

    def test_without_a_service_manager_nothing_is_said(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
        notifier = Notifier()
        assert not notifier.is_available
        for say in (notifier.ready, notifier.stopping, notifier.watchdog):
            say()

    def test_manager_that_is_gone_is_survived(self, manager: socket.socket) -> None:
        notifier = Notifier()
        manager.close()
        notifier.ready()

    def test_manager_that_may_not_be_told_is_named(
        self, manager: socket.socket, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class Daemon:
            @staticmethod
            def notify(text: str) -> None:
                raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(adapter, "daemon", Daemon)
        with pytest.raises(
            ConfigurationError, match="systemd cannot be notified: Permission denied"
        ) as caught:
            Notifier().ready()
        assert "ausearch" in caught.value.hint

    def test_missing_bindings_are_said_before_systemd_waits_in_vain(
        self, manager: socket.socket, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(adapter, "daemon", None)
        with pytest.raises(ConfigurationError, match="bindings are missing") as caught:
            Notifier()
        assert "python3-systemd" in caught.value.hint

    @pytest.mark.parametrize(
        ("environment", "interval"),
        [
            ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 30.0),
            ({"WATCHDOG_USEC": "500000"}, 0.5),
            ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
            ({"WATCHDOG_USEC": "0"}, None),
            ({"WATCHDOG_USEC": "soon"}, None),
            ({}, None),
        ],
    )
    def test_watchdog_is_this_process_s_or_none(
        self, environment: dict[str, str], interval: float | None
    ) -> None:
        assert Notifier(environment).watchdog_interval == interval

    def test_life_is_told_again_and_again(self, manager: socket.socket) -> None:
        async def until_three() -> None:
            notifier = Notifier({"NOTIFY_SOCKET": os.environ["NOTIFY_SOCKET"], "WATCHDOG_USEC": "2000"})
            keeping = asyncio.create_task(notifier.keep_alive())
            for _ in range(3):
                assert await asyncio.to_thread(told, manager) == ["WATCHDOG=1"]
            keeping.cancel()

        asyncio.run(until_three())

    def test_a_stuck_loop_tells_nothing(self, manager: socket.socket) -> None:
        """The sign of life comes from the loop that does the work: while that hangs, none is given."""

        async def hang() -> None:
            notifier = Notifier({"NOTIFY_SOCKET": os.environ["NOTIFY_SOCKET"], "WATCHDOG_USEC": "40000"})
            keeping = asyncio.create_task(notifier.keep_alive())
            await asyncio.sleep(0.05)
            manager.setblocking(False)
            with pytest.raises(BlockingIOError):
                while True:
                    told(manager)
            time.sleep(0.1)  # five signs of life are missed
            with pytest.raises(BlockingIOError):
                told(manager)
            keeping.cancel()

        asyncio.run(hang())


ASK = """
import os, sys
from mcsd.adapters.systemd.service import inherited_sockets
from mcsd.errors import ConfigurationError
os.environ["LISTEN_PID"] = str(os.getpid())
try:
    passed = [(name, one) for name in sys.argv[1:] for one in inherited_sockets(name)]
    for name, one in passed:
        print(name, one.getsockname(), one.get_inheritable())
except ConfigurationError as exc:
    print(exc)
"""


def ask_with(sockets: list[tuple[str, socket.socket]], *names: str) -> list[str]:
    """Ask a process for its sockets that gets these as systemd would pass them."""
    names_passed = ":".join(name for name, _ in sockets)
    environment = {"LISTEN_FDS": str(len(sockets)), "LISTEN_FDNAMES": names_passed}
    # A shell puts them where systemd does, at 3 and up; they are parked high first, not to be overwritten.
    passed = [one.fileno() for _, one in sockets]
    moves = " ".join(f"{50 + place}<&{number}" for place, number in enumerate(passed))
    places = " ".join(f"{3 + place}<&{50 + place}" for place in range(len(passed)))
    script = f'exec {moves}; exec {places}; exec "$0" -c "$@"' if passed else 'exec "$0" -c "$@"'
    done = subprocess.run(
        ["bash", "-c", script, sys.executable, ASK, *names],
        env=os.environ | environment,
        pass_fds=passed,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def listening(path: Path, kind: socket.SocketKind = socket.SOCK_STREAM) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, kind)
    listener.bind(str(path))
    if kind is socket.SOCK_STREAM:
        listener.listen()
    return listener


class TestSockets:
    """Socket activation, in a process that really gets descriptors."""

    def test_each_name_gets_its_sockets(self, tmp_path: Path) -> None:
        api, gate, other = (tmp_path / name for name in ("mcsd.sock", "mcsd-gate.sock", "mcsd2.sock"))
        with closing(listening(api)) as a, closing(listening(gate)) as b, closing(listening(other)) as c:
            assert ask_with([("api", a), ("gate", b), ("api", c)], "api", "gate") == [
                f"api {api} False",
                f"api {other} False",
                f"gate {gate} False",
            ]

    def test_without_activation_there_are_none(self) -> None:
        assert inherited_sockets("api") == []

    def test_another_process_s_descriptors_are_left_alone(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("LISTEN_PID", "1")
        monkeypatch.setenv("LISTEN_FDS", "3")
        assert inherited_sockets("api") == []

    def test_unknown_name_is_refused_because_nobody_would_answer(self, tmp_path: Path) -> None:
        with closing(listening(tmp_path / "s")) as passed:
            (said,) = ask_with([("mcsd.socket", passed)], "api")
        assert "passed as 'mcsd.socket' has an unknown name" in said
        assert "FileDescriptorName=api or gate" in said

    def test_what_is_no_listening_stream_is_refused(self, tmp_path: Path) -> None:
        with closing(listening(tmp_path / "s", socket.SOCK_DGRAM)) as passed:
            (said,) = ask_with([("api", passed)], "api")
        assert "not a listening Unix stream socket" in said

    def test_missing_bindings_are_said(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("LISTEN_PID", str(os.getpid()))
        monkeypatch.setattr(adapter, "daemon", None)
        with pytest.raises(ConfigurationError, match="bindings are missing"):
            inherited_sockets("api")
