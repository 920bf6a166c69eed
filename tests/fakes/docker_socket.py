"""A stand-in for dockerd on a Unix socket: any number of containers and events, and ways to lose them.

It serves what mcsd asks for (`/version /info /_ping /events /containers/json /containers/ID/json
/images/ID/json`) from recorded answers, fast, from a thread with an event loop of its own; its methods may
be called from any thread. Like dockerd it replays its last 256 events to a subscriber that names `since`,
and drops events for one that does not read. For benches run it in a process of its own:
`tests.fakes.docker_process`.
"""

from __future__ import annotations

import collections
import hashlib
import itertools
import json
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qs

from tests.fakes.docker_documents import (
    IMAGE_ID,
    Document,
    container_document,
    event_document,
    recorded,
    summary_document,
)
from tests.fakes.unix_http import STREAM_HEAD, Connection, UnixHttpServer, http_answer, http_chunk

_RING = 256
"""Events that dockerd remembers (daemon/events/events.go)."""
_UNREAD = 2**20
"""Bytes that may wait for a subscriber before its events are dropped."""


class DockerStandIn(UnixHttpServer):
    """dockerd as far as mcsd sees it.

    Containers survive `stop` and `start`, as they survive a restart of dockerd. With `selinux` each gets a
    pair of its own, as Docker gives it at create, unless it is privileged.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        selinux: bool = True,
        api: str = "1.41",
        oldest_api: str = "1.12",
        root: str = "/var/lib/docker",
    ) -> None:
        super().__init__(path)
        self.subscribers: set[Connection] = set()
        self.requests: collections.Counter[str] = collections.Counter()
        self._selinux = selinux
        self._version = recorded("docker-20.10-version") | {"ApiVersion": api, "MinAPIVersion": oldest_api}
        self._info = recorded("docker-20.10-info") | {"DockerRootDir": root}
        if selinux:
            self._info["SecurityOptions"].append("name=selinux")
        self._containers: dict[str, Document] = {}
        self._names: dict[str, str] = {}
        self._images: dict[str, Document] = {IMAGE_ID: {"Id": IMAGE_ID, "Config": {"Labels": None}}}
        self._answers: dict[str, bytes] = {}
        self._ring: collections.deque[tuple[int, bytes]] = collections.deque(maxlen=_RING)
        self._made = 0
        self._last_ns = 0
        self._held_up: dict[str, list[Connection]] = {}
        self._dropping = 0
        self._copies = 1
        self._held: list[bytes] | None = None
        self._pairs = itertools.combinations(range(1022), 2)

    def restart(self) -> None:
        """Stop and start; what was remembered of events is lost."""
        self.stop()
        self._ring.clear()
        self.start()

    # Containers

    def create(
        self,
        name: str = "",
        *,
        labels: Mapping[str, str] | None = None,
        mounts: Sequence[Document] = (),
        process_label: str | None = None,
        image: str = IMAGE_ID,
        host_config: Mapping[str, Any] | None = None,
    ) -> str:
        """Create a container and give its id; image labels that it does not set itself come with it."""

        def work() -> str:
            ident = self._new(name, labels or {}, mounts, process_label, image, host_config)
            self._emit(ident, "create")
            return ident

        return self.on_loop(work)

    def populate(
        self,
        count: int,
        *,
        mounts_of: Callable[[int], Sequence[Document]] | None = None,
        labels: Mapping[str, str] | None = None,
        running: bool = True,
        pid: int = 0,
    ) -> list[str]:
        """Have `count` more containers without an event each; `mounts_of` is told a number from 0.

        All run as process `pid`, or each as one that there is not.
        """

        def work() -> list[str]:
            made = []
            for number in range(count):
                mounts = mounts_of(number) if mounts_of else ()
                made.append(self._new("", labels or {}, mounts, None, IMAGE_ID, None))
                if running:
                    self._set_running(made[-1], pid or self._made + 2**22)
            return made

        return self.on_loop(work)

    def hold_start(self, ident: str) -> None:
        """Be busy with a start until `start_container`: inspections meanwhile wait for that."""
        self.on_loop(lambda: self._held_up.setdefault(ident, []))

    def start_container(self, ident: str, pid: int | None = None) -> None:
        """Start a container; without `pid` it gets one that no process can have."""

        def work() -> None:
            self._set_running(ident, pid or self._made + 2**22)
            for connection in self._held_up.pop(ident, ()):
                connection.transport.write(self._inspect(ident))
            self._emit(ident, "start")

        self.on_loop(work)

    def die(self, ident: str) -> None:
        """End a container's process."""

        def work() -> None:
            state = {"Status": "exited", "Running": False, "Pid": 0}
            self._containers[ident]["State"] |= state
            self._answers.pop(ident, None)
            self._emit(ident, "die")

        self.on_loop(work)

    def destroy(self, ident: str) -> None:
        """Remove a container."""

        def work() -> None:
            self._forget(ident)
            self._emit(ident, "destroy")

        self.on_loop(work)

    def vanish(self, ident: str) -> None:
        """Remove a container without an event."""
        self.on_loop(lambda: self._forget(ident))

    def change(self, ident: str, change: Callable[[Document], None]) -> None:
        """Let `change` edit a container's inspect answer in place."""

        def work() -> None:
            change(self._containers[ident])
            self._answers.pop(ident, None)

        self.on_loop(work)

    def put_image(self, image: str, labels: Mapping[str, str] | None) -> None:
        """Have an image with these labels; containers made from it get them too."""
        document = {"Id": image, "Config": {"Labels": dict(labels) if labels else None}}
        self.on_loop(lambda: self._images.__setitem__(image, document))

    def remove_image(self, image: str) -> None:
        """Remove an image, containers or not."""
        self.on_loop(lambda: self._images.pop(image))

    # Events

    def event(self, ident: str, action: str, attributes: Mapping[str, str] | None = None) -> None:
        """Send an event, whether it is true or not."""
        self.on_loop(lambda: self._emit(ident, action, attributes))

    def storm(self, idents: Iterable[str], actions: Sequence[str] = ("die", "start")) -> int:
        """Send each action for each id, at once; give the number of events."""

        def work() -> int:
            count = 0
            for ident in idents:
                for action in actions:
                    self._emit(ident, action)
                    count += 1
            return count

        return self.on_loop(work)

    def drop_events(self, count: int) -> None:
        """Lose the next `count` events."""
        self.on_loop(lambda: setattr(self, "_dropping", count))

    def duplicate_events(self, copies: int = 2) -> None:
        """Send each event `copies` times from now on."""
        self.on_loop(lambda: setattr(self, "_copies", copies))

    def hold_events(self) -> None:
        """Keep events back until `release_events`."""
        self.on_loop(lambda: setattr(self, "_held", []))

    def release_events(self, order: Callable[[list[bytes]], Iterable[bytes]] = reversed) -> None:
        """Send what was kept back, in another order: the reverse unless told."""

        def work() -> None:
            held, self._held = self._held or [], None
            for line in order(held):
                self._broadcast(line)

        self.on_loop(work)

    def break_streams(self) -> None:
        """Break every event stream there is."""

        def work() -> None:
            for subscriber in list(self.subscribers):
                subscriber.transport.abort()

        self.on_loop(work)

    def subscriptions(self) -> int:
        """Return the number of open event streams."""
        return self.on_loop(lambda: len(self.subscribers & self.connections))

    def asked(self, kind: str) -> int:
        """Return how often `/events`, `/containers/json`, `/containers/ID/json`, … were asked for."""
        return self.on_loop(lambda: self.requests[kind])

    # Inside, on the loop

    def requested(self, connection: Connection, path: str, query: str) -> None:
        """Answer one request."""
        if path == "/events":
            self.requests[path] += 1
            self._subscribe(connection, query)
        elif (asked := path.removeprefix("/containers/").removesuffix("/json")) in self._held_up:
            self._held_up[asked].append(connection)
        else:
            connection.transport.write(self._answer(path))

    def _answer(self, path: str) -> bytes:
        match path.split("/")[1:]:
            case ["containers", "json"]:
                self.requests[path] += 1
                return http_answer([summary_document(document) for document in self._containers.values()])
            case ["containers", asked, "json"]:
                self.requests["/containers/ID/json"] += 1
                return self._inspect(asked)
            case ["images", asked, "json"]:
                self.requests["/images/ID/json"] += 1
                missing = {"message": f"No such image: {asked}"}
                return (
                    http_answer(self._images[asked]) if asked in self._images else http_answer(missing, 404)
                )
            case ["version" | "info" | "_ping"]:
                self.requests[path] += 1
                return http_answer({"/version": self._version, "/info": self._info, "/_ping": b"OK"}[path])
            case _:
                return http_answer({"message": "page not found"}, 404)

    def _inspect(self, asked: str) -> bytes:
        """Find by full id, then by name, then by the beginning of an id, as dockerd does."""
        if asked in self._containers:
            found = [asked]
        elif asked in self._names:
            found = [self._names[asked]]
        else:
            found = [ident for ident in self._containers if ident.startswith(asked)]
        if not found:
            return http_answer({"message": f"No such container: {asked}"}, 404)
        if len(found) > 1:
            return http_answer({"message": f"Multiple IDs found with provided prefix: {asked}"}, 400)
        ident = found[0]
        if ident not in self._answers:
            self._answers[ident] = http_answer(self._containers[ident])
        return self._answers[ident]

    def _new(
        self,
        name: str,
        labels: Mapping[str, str],
        mounts: Sequence[Document],
        process_label: str | None,
        image: str,
        host_config: Mapping[str, Any] | None,
    ) -> str:
        number = self._made
        self._made += 1
        ident = hashlib.sha256(str(number).encode()).hexdigest()
        pair = "s0:c{},c{}".format(*next(self._pairs))
        confined = self._selinux and not (host_config or {}).get("Privileged")
        if process_label is None:
            process_label = f"system_u:system_r:container_t:{pair}" if confined else ""
        mount_pair = process_label.partition("_t:")[2] if process_label else "s0:c1022,c1023"
        document = container_document(
            ident,
            name or f"c{number}",
            labels={**(self._images[image]["Config"]["Labels"] or {}), **labels},
            mounts=mounts,
            process_label=process_label,
            mount_label=f"system_u:object_r:container_file_t:{mount_pair}" if self._selinux else "",
            image_id=image,
            host_config=host_config,
        )
        self._containers[ident] = document
        self._names[name or f"c{number}"] = ident
        return ident

    def _set_running(self, ident: str, pid: int) -> None:
        started = "2026-11-24T08:46:26.969203742Z"
        state = {"Status": "running", "Running": True, "Pid": pid, "StartedAt": started}
        self._containers[ident]["State"] |= state
        self._answers.pop(ident, None)

    def _forget(self, ident: str) -> None:
        document = self._containers.pop(ident)
        self._answers.pop(ident, None)
        self._names.pop(document["Name"].removeprefix("/"), None)

    def _emit(self, ident: str, action: str, attributes: Mapping[str, str] | None = None) -> None:
        self._last_ns = max(self._last_ns + 1, time.time_ns())
        document = event_document(ident, action, self._last_ns, attributes=attributes)
        line = json.dumps(document).encode() + b"\n"
        if self._dropping > 0:
            self._dropping -= 1
            return
        self._ring.append((self._last_ns, line))
        for _ in range(self._copies):
            if self._held is not None:
                self._held.append(line)
            else:
                self._broadcast(line)

    def _broadcast(self, line: bytes) -> None:
        self.subscribers &= self.connections
        if self.hangs:
            return
        chunk = http_chunk(line)
        for subscriber in self.subscribers:
            if subscriber.transport.get_write_buffer_size() < _UNREAD:
                subscriber.transport.write(chunk)

    def _subscribe(self, connection: Connection, query: str) -> None:
        since = parse_qs(query).get("since", [""])[0]
        connection.transport.write(STREAM_HEAD)
        if since:
            seconds, _, fraction = since.partition(".")
            since_ns = int(seconds) * 10**9 + int(fraction.ljust(9, "0") or 0)
            for time_ns, line in self._ring:
                if time_ns >= since_ns:
                    connection.transport.write(http_chunk(line))
        self.subscribers.add(connection)
