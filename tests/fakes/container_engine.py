"""A container engine in memory: `mcsd.ports.ContainerEngine` without a socket.

Use it on one event loop. Surprises of a real engine are methods here: events that get lost, containers that
vanish, an engine that goes away.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import itertools
import time
from collections.abc import AsyncGenerator, Iterator
from dataclasses import replace
from datetime import UTC, datetime

from mcsd.core.containers import (
    LOST,
    SUBSCRIBED,
    Container,
    ContainerId,
    EngineEvent,
    EngineInfo,
    Mount,
)
from mcsd.core.labels import Label, label_in
from mcsd.errors import ContainerGoneError, EngineUnavailableError, McsdError

_CREATED = "2026-11-24T08:46:26.779285273Z"
_BEGINNING = 900_000.0
"""When the first thing happens, in seconds since the epoch."""


class FakeContainerEngine:
    """Containers by id, each with a pair of its own while `selinux` is on."""

    def __init__(self, *, selinux: bool = True, kind: str = "docker") -> None:
        self._kind = kind
        self.present: dict[ContainerId, Container] = {}
        self.engine_info = EngineInfo(
            selinux, "20.10.24", "1.41", "/var/lib/docker", "runc", (("runc", "runc"),), kind=kind
        )
        self.asked: list[str] = []
        """Ids and names that were inspected, in order."""
        self._numbers = itertools.count()
        self._moments = itertools.count()
        self._pairs = itertools.combinations(range(0 if kind == "docker" else 500, 1022), 2)
        self._streams: set[asyncio.Queue[EngineEvent | McsdError]] = set()
        self._down: McsdError | None = None
        self._dropping = 0
        self._starting: dict[ContainerId, asyncio.Event] = {}

    # The port

    async def info(self) -> EngineInfo:
        """Ask what the engine is."""
        self._answer()
        return self.engine_info

    async def containers(self) -> tuple[ContainerId, ...]:
        """List all containers, running or not."""
        self._answer()
        return tuple(self.present)

    async def inspect(self, container: str) -> Container:
        """Look at one container by id or name; raise `ContainerGoneError` when there is none."""
        self._answer()
        self.asked.append(container)
        name = container.removeprefix("/")
        for seen in self.present.values():
            if name in (seen.id, seen.name):
                if seen.id in self._starting:
                    await self._starting[seen.id].wait()
                    return await self.inspect(seen.id)
                return seen
        raise ContainerGoneError(f"docker has no container {container!r}", hint="docker ps -a lists all")

    async def list_one(self, container: ContainerId) -> Container:
        """Look at one container without waiting for what the engine is doing with it."""
        self._answer()
        seen = self.present.get(container)
        if seen is None:
            raise ContainerGoneError(f"docker has no container {container!r}", hint="docker ps -a lists all")
        return Container(
            id=seen.id,
            name=seen.name,
            running=False,
            labels=seen.labels,
            image_labels=seen.image_labels,
            mounts=tuple(_whole(mount) for mount in seen.mounts),
            image=seen.image,
        )

    async def events(self) -> AsyncGenerator[EngineEvent, None]:
        """Stream what happens to containers from now on, `SUBSCRIBED` first."""
        self._answer()
        stream: asyncio.Queue[EngineEvent | McsdError] = asyncio.Queue()
        stream.put_nowait(self._event("", SUBSCRIBED))
        self._streams.add(stream)
        try:
            while True:
                event = await stream.get()
                if isinstance(event, McsdError):
                    raise event
                yield event
        finally:
            self._streams.discard(stream)

    async def close(self) -> None:
        """Refuse everything from now on."""
        self.go_down(EngineUnavailableError("mcsd closed its connection to docker"))

    # What the world does

    def create(
        self,
        name: str = "",
        *,
        labels: tuple[tuple[str, str], ...] = (),
        image_labels: tuple[tuple[str, str], ...] = (),
        mounts: tuple[Mount, ...] = (),
        process_label: str | Label | None = None,
        **fields: object,
    ) -> ContainerId:
        """Create a container; `fields` are any others of `Container`, and None is the engine's own label."""
        number = next(self._numbers)
        ident = ContainerId(hashlib.sha256(f"{self._kind} {number}".encode()).hexdigest())
        low, high = next(self._pairs)
        selinux = self.engine_info.selinux
        if process_label is None:
            process_label = f"system_u:system_r:container_t:s0:c{low},c{high}" if selinux else ""
        pair = str(process_label).partition("_t:")[2] or "s0:c1022,c1023"
        container = Container(
            id=ident,
            name=name or f"c{number}",
            running=False,
            process_label=_label(process_label),
            mount_label=_label(f"system_u:object_r:container_file_t:{pair}") if selinux else None,
            labels=tuple(sorted({**dict(image_labels), **dict(labels)}.items())),
            image_labels=tuple(sorted(image_labels)),
            mounts=mounts,
            ipc_mode="private",
            network_mode="none",
            runtime="runc",
            image="bb",
            status="created",
            created_at=_CREATED,
        )
        self.present[ident] = replace(container, **fields)  # type: ignore[arg-type]
        self.emit(ident, "create")
        return ident

    @contextlib.contextmanager
    def starting(self, ident: ContainerId) -> Iterator[None]:
        """Be busy with a start within the block, successful or not: `inspect` waits for that."""
        self._starting[ident] = asyncio.Event()
        try:
            yield
        finally:
            self._starting.pop(ident).set()

    def _moment(self) -> str:
        """Return the time of something that happens: a second after the last, and in the past of every
        test."""
        return datetime.fromtimestamp(_BEGINNING + next(self._moments), UTC).isoformat()

    def start(self, ident: ContainerId, pid: int = 2**22 + 1) -> None:
        """Start a container; unless told, with a pid that no process can have."""
        self.change(ident, running=True, pid=pid, status="running", started_at=self._moment())
        self.emit(ident, "start")

    def die(self, ident: ContainerId) -> None:
        """End a container's process."""
        self.change(ident, running=False, pid=None, status="exited", finished_at=self._moment())
        self.emit(ident, "die")

    def remove(self, ident: ContainerId) -> None:
        """Remove a container."""
        self.vanish(ident)
        self.emit(ident, "destroy")

    def vanish(self, ident: ContainerId) -> None:
        """Remove a container without an event."""
        del self.present[ident]

    def change(self, ident: ContainerId, **fields: object) -> None:
        """Set fields of a container without an event."""
        self.present[ident] = replace(self.present[ident], **fields)  # type: ignore[arg-type]

    # What goes wrong

    def emit(self, ident: str, action: str) -> None:
        """Send an event, whether it is true or not."""
        if self._dropping > 0:
            self._dropping -= 1
            return
        for stream in self._streams:
            stream.put_nowait(self._event(ident, action))

    def lose_events(self) -> None:
        """Send the event that stands for others that were dropped."""
        self.emit("", LOST)

    def drop_events(self, count: int) -> None:
        """Lose the next `count` events silently."""
        self._dropping = count

    def break_streams(self) -> None:
        """Break every event stream, as a restart of the engine does."""
        for stream in self._streams:
            stream.put_nowait(EngineUnavailableError("the event stream of docker ended"))

    def go_down(self, error: McsdError | None = None) -> None:
        """Fail everything until `come_up`, and break the streams."""
        self._down = error or EngineUnavailableError(
            "cannot connect to docker: there is no such socket",
            hint="docker.service is not running: systemctl status docker",
        )
        for stream in self._streams:
            stream.put_nowait(self._down)

    def come_up(self) -> None:
        """Answer again."""
        self._down = None

    def _answer(self) -> None:
        if self._down is not None:
            raise self._down

    def _event(self, ident: str, action: str) -> EngineEvent:
        return EngineEvent(ContainerId(ident), action, time.time_ns())


def _label(written: str | Label) -> Label | None:
    """Read what a test writes as a label of the engine's, which may be none."""
    return label_in(written) if isinstance(written, str) else written


def _whole(mount: Mount) -> Mount:
    """A mount as Docker's list has it, which knows no parts of volumes."""
    return replace(mount, source=mount.inside, inside="") if mount.inside else mount
