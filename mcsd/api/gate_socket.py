"""The socket that only the gate may use: one JSON line in, one JSON line out, then closed.

Only root can access the socket's file, and each connection's credentials are checked too. The gate runs as
root in the container runtime's domain; what it passes on from a container's configuration is untrusted.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Sequence
from typing import Annotated, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mcsd.api.peers import peer_of
from mcsd.control.start_admission import StartLabels, StartRequest
from mcsd.core.containers import CONTAINERD, PODMAN, ContainerId
from mcsd.core.described import BoundMount, Described
from mcsd.core.hints import Hint
from mcsd.core.labels import Context
from mcsd.core.matching import Matching
from mcsd.errors import GateError, LabelSyntaxError, McsdError

LINE_LIMIT = 256 * 1024
"""The most bytes of a request."""
QUEUE = 1024
"""Connections that may wait to be accepted: a host may start all its containers at once."""
REQUEST_TIME = 5.0
"""Seconds that a request may take to arrive."""


class Keeper(Protocol):
    """Handles the requests; `mcsd.control.start_admission.StartAdmission` in production."""

    async def create(self, request: StartRequest) -> StartLabels: ...

    def delete(self, container: ContainerId) -> None: ...


class Bugs(Protocol):
    """Receives reports of unforeseen failures."""

    def report_bug(self, where: str, error: BaseException) -> None: ...


class BundleMount(BaseModel):
    """A bind mount of the bundle."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)

    source: str
    destination: str
    options: list[str] = []


class Description(BaseModel):
    """What the bundle of an engine says that cannot be asked meanwhile."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)

    name: str = Field(default="", max_length=256)
    mounts: list[BundleMount] = []
    annotations: dict[str, str] = {}

    def described(self, kind: str) -> Described:
        """Return it as the daemon's own value, for an engine of that kind."""
        mounts = (BoundMount(one.source, one.destination, frozenset(one.options)) for one in self.mounts)
        return Described(self.name, tuple(mounts), tuple(sorted(self.annotations.items())), kind)


class GateRequest(BaseModel):
    """What the gate asks, as it writes it."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)

    version: Literal[1]
    operation: Literal["create", "delete"]
    container: Annotated[str, Matching(r"[0-9a-f]{64}", "a full container id")]
    process_label: str = Field(default="", max_length=4096)
    mount_label: str = Field(default="", max_length=4096)
    security_options: list[str] = []
    ipc_mode: str = Field(default="", max_length=512)
    pid_mode: str = Field(default="", max_length=512)
    subpaths: dict[str, str] = {}
    obstacle: str = Field(default="", max_length=8192)
    keeps_level: bool = False
    podman: Description | None = None
    containerd: Description | None = None

    def start(self) -> StartRequest:
        """Return the request as the daemon's own value; raise `GateError` if a label cannot be read."""
        try:
            process, mount = Context.parse(self.process_label), Context.parse(self.mount_label)
        except LabelSyntaxError as exc:
            raise GateError(
                f"the engine chose a label that cannot be read: {exc.what}",
                hint=Hint.READABLE_LEVEL.say(),
            ) from exc
        return StartRequest(
            container=ContainerId(self.container),
            process_label=process,
            mount_label=mount,
            security_options=tuple(self.security_options),
            ipc_mode=self.ipc_mode,
            pid_mode=self.pid_mode,
            subpaths=tuple(self.subpaths.items()),
            obstacle=self.obstacle,
            keeps_level=self.keeps_level,
            described=self._described(),
        )

    def _described(self) -> Described | None:
        found = ((PODMAN, self.podman), (CONTAINERD, self.containerd))
        return next((one.described(kind) for kind, one in found if one), None)


class GateServer:
    """Answers the gate. Owned by the event loop's thread; `start` and `stop` once each."""

    def __init__(self, keeper: Keeper, bugs: Bugs) -> None:
        self._keeper = keeper
        self._bugs = bugs
        self._servers: list[asyncio.Server] = []
        self._busy: set[asyncio.Task[None]] = set()

    async def start(self, sockets: Sequence[socket.socket]) -> None:
        """Serve on sockets that are bound."""
        for sock in sockets:
            sock.setblocking(False)
            # Not start_unix_server(): from Python 3.13 on that removes the socket's file when it closes, but
            # systemd goes on listening there while mcsd is restarted.
            self._servers.append(
                await asyncio.start_server(self._serve, sock=sock, limit=LINE_LIMIT, backlog=QUEUE)
            )

    async def stop(self) -> None:
        """Accept no more requests; starts in preparation get an error that mcsd is stopping."""
        for server in self._servers:
            server.close()
        for task in self._busy:
            task.cancel()
        if self._busy:
            await asyncio.wait(self._busy)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._busy.add(task)
        try:
            peer = peer_of(writer.get_extra_info("socket"))
            if peer.uid == 0:
                answer = await self._answer(reader)
                writer.write(json.dumps(answer).encode() + b"\n")
                await writer.drain()
        except OSError:
            return  # the gate is gone; its start fails or continues without us, which is observed later
        finally:
            self._busy.discard(task)
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader) -> dict[str, object]:
        try:
            async with asyncio.timeout(REQUEST_TIME):
                line = await reader.readline()
            request = GateRequest.model_validate_json(line)
        except (TimeoutError, ValueError, ValidationError) as exc:
            return _refusal(GateError(f"what the gate asks cannot be read: {exc}"))
        try:
            return await self._carry_out(request)
        except McsdError as exc:
            return _refusal(exc)
        except Exception as exc:  # noqa: BLE001  the boundary: a bug must end one start, not the daemon
            self._bugs.report_bug(f"the gate's {request.operation} of {request.container[:12]}", exc)
            return _refusal(GateError("mcsd failed", hint="see journalctl -u mcsd -p err"))

    async def _carry_out(self, request: GateRequest) -> dict[str, object]:
        if request.operation == "delete":
            self._keeper.delete(ContainerId(request.container))
            return {"admitted": True}
        admission = await self._keeper.create(request.start())
        return {
            "admitted": True,
            "process_label": str(admission.process_label or ""),
            "mount_label": str(admission.mount_label or ""),
            "warning": admission.warning,
        }


def _refusal(error: McsdError) -> dict[str, object]:
    return {"admitted": False, "reason": error.what, "hint": error.hint}
