"""The gate's socket: one line in, one line out, and what is refused instead."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from mcsd.api.gate_socket import LINE_LIMIT, GateServer
from mcsd.control.start_admission import StartLabels, StartRequest
from mcsd.core.containers import ContainerId
from mcsd.core.hints import Hint
from mcsd.core.labels import Context
from mcsd.errors import GateError

ID = "f" * 64
CREATE = {
    "version": 1,
    "operation": "create",
    "container": ID,
    "process_label": "u:r:t:s0:c2,c1",
    "mount_label": "u:r:f:s0:c1,c2",
}
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root is answered")


class Keeper:
    """Admits, refuses or fails as it is told; notes bugs too."""

    def __init__(self) -> None:
        self.admission: StartLabels | Exception = StartLabels(
            Context.parse("u:r:t:s0:c3,c4"), Context.parse("u:r:f:s0:c3,c4"), "slow"
        )
        self.asked: list[StartRequest | ContainerId] = []
        self.bugs: list[BaseException] = []
        self.let = asyncio.Event()
        self.let.set()

    async def create(self, request: StartRequest) -> StartLabels:
        self.asked.append(request)
        await self.let.wait()
        if isinstance(self.admission, Exception):
            raise self.admission
        return self.admission

    def delete(self, container: ContainerId) -> None:
        self.asked.append(container)

    def report_bug(self, where: str, error: BaseException) -> None:
        self.bugs.append(error)


Ask = Callable[[object], Awaitable[dict[str, Any]]]


def served(tmp_path: Path, story: Callable[[Keeper, GateServer, Ask], Awaitable[None]]) -> Path:
    """Tell a story with a server on a socket; gives the socket's path."""
    path = tmp_path / "gate.sock"

    async def ask(line: object) -> dict[str, Any]:
        reader, writer = await asyncio.open_unix_connection(path)
        text = line if isinstance(line, bytes) else json.dumps(line).encode()
        writer.write(text + b"\n")
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        parsed: dict[str, Any] = json.loads(answer or b"{}")
        return parsed

    async def run() -> None:
        keeper = Keeper()
        server = GateServer(keeper, keeper)
        sock = socket.socket(socket.AF_UNIX)
        sock.bind(str(path))
        await server.start([sock])
        try:
            await story(keeper, server, ask)
        finally:
            await server.stop()

    asyncio.run(run())
    return path


def test_a_start_is_admitted_and_an_end_is_noted(tmp_path: Path) -> None:
    async def story(keeper: Keeper, _: GateServer, ask: Ask) -> None:
        answer = await ask({**CREATE, "security_options": ["label=level:s0"], "later": 1})
        assert answer == {
            "admitted": True,
            "process_label": "u:r:t:s0:c3,c4",
            "mount_label": "u:r:f:s0:c3,c4",
            "warning": "slow",
        }
        assert await ask({"version": 1, "operation": "delete", "container": ID}) == {"admitted": True}
        labels = Context.parse("u:r:t:s0:c1,c2"), Context.parse("u:r:f:s0:c1,c2")
        request = StartRequest(ContainerId(ID), *labels, ("label=level:s0",))
        assert keeper.asked == [request, ContainerId(ID)]

    served(tmp_path, story)


def test_a_refusal_and_a_bug_end_one_start_each(tmp_path: Path) -> None:
    """Promise 9."""

    async def story(keeper: Keeper, _: GateServer, ask: Ask) -> None:
        keeper.admission = GateError("no", hint="do")
        assert await ask(CREATE) == {"admitted": False, "reason": "no", "hint": "do"}
        keeper.admission = bug = RuntimeError("unforeseen")
        answer = await ask(CREATE)
        assert (answer["admitted"], answer["reason"], keeper.bugs) == (False, "mcsd failed", [bug])
        keeper.admission = StartLabels()
        assert await ask(CREATE) == {"admitted": True, "process_label": "", "mount_label": "", "warning": ""}

    served(tmp_path, story)


@pytest.mark.parametrize(
    "line",
    [b"", b"nonsense", {**CREATE, "version": 2}, {**CREATE, "container": "../x"}, b" " * (LINE_LIMIT * 2)],
)
def test_what_cannot_be_read_is_refused(tmp_path: Path, line: object) -> None:
    """Promise 9."""

    async def story(keeper: Keeper, _: GateServer, ask: Ask) -> None:
        with contextlib.suppress(ConnectionError):  # closed with more to read: also no admission
            assert (await ask(line))["admitted"] is False
        assert keeper.asked == []

    served(tmp_path, story)


@pytest.mark.parametrize("field", ["process_label", "mount_label"])
@pytest.mark.parametrize("label", ["", "kernel", "u:r:t", "u:r:t:nonsense", "u:r:t:s0:c1,c1024"])
def test_a_label_that_cannot_be_read_refuses_the_start(tmp_path: Path, field: str, label: str) -> None:
    """Promise 9: whatever `[gate] on_error` says, as no level could be put into it."""

    async def story(keeper: Keeper, _: GateServer, ask: Ask) -> None:
        answer = await ask({**CREATE, field: label})
        assert answer["admitted"] is False and answer["hint"] == Hint.READABLE_LEVEL.say()
        assert answer["reason"].startswith("the engine chose a label that cannot be read: ")
        assert not keeper.asked and not keeper.bugs
        ended = {"version": 1, "operation": "delete", "container": ID, field: label}
        assert await ask(ended) == {"admitted": True}, "an end is one, whatever it carried"

    served(tmp_path, story)


def test_a_start_in_work_hears_of_the_end_and_the_socket_stays_systemds(tmp_path: Path) -> None:
    """Promise 9: systemd listens on while mcsd is restarted, and starts wait there."""

    async def story(keeper: Keeper, server: GateServer, ask: Ask) -> None:
        keeper.let.clear()
        waiting = asyncio.ensure_future(ask(CREATE))
        while not keeper.asked:
            await asyncio.sleep(0)
        await server.stop()
        assert await waiting == {}

    assert served(tmp_path, story).is_socket()
