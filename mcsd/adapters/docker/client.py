"""mcsd's requests to Docker, blocking, one at a time: from paths and statuses to plain values.

The API version is negotiated: the newest that both sides support, determined again whenever the engine may
have been replaced. An unsuccessful status is an error with Docker's message. There is one exception: that a
container is gone is a valid answer. It is only accepted from Docker's own message, because a proxy or a wrong
path also gives 404, and mcsd restores the volumes of containers that are gone.
"""

from __future__ import annotations

import http
import json
import re
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import quote

from mcsd.adapters.docker.inspect import (
    ApiVersions,
    Inspected,
    Labels,
    is_full_id,
    read_container,
    read_glance,
    read_image_labels,
    read_info,
    read_list,
    read_refusal,
    read_versions,
)
from mcsd.adapters.docker.programs import DOCKER, Program
from mcsd.adapters.docker.socket import URL_HINT, Guard
from mcsd.core.containers import Container, ContainerId, EngineInfo
from mcsd.errors import ContainerGoneError, EngineProtocolError, EngineUnavailableError

if TYPE_CHECKING:
    from mcsd.adapters.docker.connection import GuardConnection, HttpReply, Stream

NEWEST_KNOWN = (1, 52)
"""The newest API version this module was written for (Docker 29); newer engines speak it too."""

_NAME = re.compile(r"/?([a-zA-Z0-9][a-zA-Z0-9_.-]*)")
"""Valid names of containers; ids have the same form."""

_IMAGE = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.:/@-]*")
_CONTENT_ADDRESS = re.compile(r"(sha256:)?[0-9a-f]{64}")
_BEHIND_A_PROXY = {
    http.HTTPStatus.BAD_GATEWAY,
    http.HTTPStatus.SERVICE_UNAVAILABLE,
    http.HTTPStatus.GATEWAY_TIMEOUT,
}


class ImageLabels:
    """Caches the labels of at most `capacity` images, for all threads; they cannot change for an image id."""

    def __init__(self, capacity: int = 256) -> None:
        self._capacity = capacity
        self._labels: dict[str, Labels] = {}
        self._lock = threading.Lock()

    def get(self, image: str) -> Labels | None:
        """Return an image's labels if they are cached."""
        return self._labels.get(image)

    def put(self, image: str, labels: Labels) -> None:
        """Cache an image's labels, and drop the oldest if there are too many."""
        if not _CONTENT_ADDRESS.fullmatch(image):
            return
        with self._lock:
            while len(self._labels) >= self._capacity:
                del self._labels[next(iter(self._labels))]
            self._labels[image] = labels


class DockerClient:
    """Docker behind the socket at `path`, for one thread; errors as in `mcsd.ports.ContainerEngine`.

    An answer must be complete within `seconds` and fit into `limit` bytes. Nothing is connected or imported
    before the first request. `shut` may be called from any thread.
    """

    def __init__(
        self, path: str, *, seconds: float, limit: int, images: ImageLabels, program: Program = DOCKER
    ) -> None:
        self._guard = Guard(path, program)
        self._program = program
        self._seconds = seconds
        self._limit = limit
        self._images = images
        self._opened: GuardConnection | None = None
        self._spoken: str | None = None

    def info(self) -> EngineInfo:
        """Return what the engine is."""
        versions = self._negotiate()
        return read_info(self._expect("/info"), versions, self._program.name)

    def containers(self) -> tuple[ContainerId, ...]:
        """List all containers, running or not."""
        return read_list(self._expect("/containers/json", {"all": "1"}))

    def inspect(self, asked: str) -> Container:
        """Inspect one container by id or name; a full id is never taken for another container's name."""
        name = _NAME.fullmatch(asked)
        if name is None:
            raise self._gone(asked)
        path = f"{self._program.inspect}/{name[1]}/json"
        answer = self._ask(path, version=self._program.version)
        if _says_gone(answer, name[1]):
            raise self._gone(asked)
        seen = read_container(self._body(path, answer), name[1])
        if is_full_id(name[1]) and seen.container.id != name[1]:
            raise self._gone(asked)
        if not seen.container.labels:
            return seen.container
        return replace(seen.container, image_labels=self._image_labels(seen))

    def list_one(self, asked: str) -> Container:
        """Find one container in the list by its full id, which Docker answers even while it starts one."""
        query = {"all": "1", "filters": json.dumps({"id": [asked]})}
        seen = read_glance(self._expect("/containers/json", query), asked)
        if seen is None:
            raise self._gone(asked)
        if not seen.container.labels:
            return seen.container
        return replace(seen.container, image_labels=self._image_labels(seen))

    def ping(self, *, seconds: float) -> None:
        """Return if the engine answers within `seconds`."""
        self._body("/_ping", self._get("/_ping", seconds=seconds))

    def follow(self, *, seconds: float, line_limit: int) -> Stream:
        """Subscribe to events about containers from now on, within `seconds`.

        Docker answers before it has subscribed (`getEvents` in moby's system router). `since` closes the gap:
        events from now on are replayed from Docker's buffer.
        """
        now = time.time_ns()
        self._negotiate()
        path = f"/v{self._spoken}/events"
        query = {"since": f"{now // 10**9}.{now % 10**9:09d}", "filters": '{"type":["container","daemon"]}'}
        stream, answer = self._connection().stream(path, query, seconds=seconds, line_limit=line_limit)
        if stream is None:
            raise self._refused(path, answer)
        return stream

    def shut(self) -> None:
        """Make all current and future requests fail at once; may be called from any thread."""
        self._guard.shut()

    def close(self) -> None:
        """Close the connection; only while no thread uses it."""
        if self._opened is not None:
            self._opened.close()

    def _connection(self) -> GuardConnection:
        if self._opened is None:
            from mcsd.adapters.docker.connection import GuardConnection  # imports the SDK, 60 ms

            self._opened = GuardConnection(self._guard, limit=self._limit)
        return self._opened

    def _negotiate(self) -> ApiVersions:
        versions = read_versions(self._body("/version", self._get("/version", seconds=self._seconds)))
        self._spoken = "{}.{}".format(*max(versions.oldest, min(versions.newest, NEWEST_KNOWN)))
        return versions

    def _image_labels(self, seen: Inspected) -> Labels:
        """Return the image's labels; all of the container's if its image cannot be inspected."""
        known = self._images.get(seen.image_id)
        if known is not None:
            return known
        if not _IMAGE.fullmatch(seen.image_id):
            return seen.container.labels
        answer = self._ask(f"/images/{quote(seen.image_id, safe=':')}/json")
        if answer.status != http.HTTPStatus.OK:
            return seen.container.labels
        labels = read_image_labels(answer.body, seen.image_id)
        self._images.put(seen.image_id, labels)
        return labels

    def _gone(self, asked: str) -> ContainerGoneError:
        program = self._program.name
        return ContainerGoneError(f"{program} has no container {asked!r}", hint=f"{program} ps -a lists all")

    def _expect(self, path: str, query: Mapping[str, str] | None = None) -> bytes:
        return self._body(path, self._ask(path, query))

    def _ask(self, path: str, query: Mapping[str, str] | None = None, *, version: str = "") -> HttpReply:
        """Request a path of the API, in the negotiated version unless another is given."""
        for _ in range(2):
            if self._spoken is None:
                self._negotiate()
            answer = self._get(f"/v{version or self._spoken}{path}", query, seconds=self._seconds)
            if answer.status != http.HTTPStatus.BAD_REQUEST:
                break
            self._spoken = None  # the engine may have been replaced by one with other versions
        return answer

    def _get(self, path: str, query: Mapping[str, str] | None = None, *, seconds: float) -> HttpReply:
        try:
            return self._connection().get(path, query, seconds=seconds)
        except EngineUnavailableError:
            self._spoken = None
            raise

    def _body(self, path: str, answer: HttpReply) -> bytes:
        if answer.status == http.HTTPStatus.OK:
            return answer.body
        raise self._refused(path, answer)

    def _refused(self, path: str, answer: HttpReply) -> EngineProtocolError | EngineUnavailableError:
        what = f"{self._guard.where} answered GET {path} with {answer.status}"
        if message := read_refusal(answer.body):
            what += f": {message!r}"
        match answer.status:
            case status if status in _BEHIND_A_PROXY:
                return EngineUnavailableError(what, hint=self._program.down_hint)
            case http.HTTPStatus.UNAUTHORIZED | http.HTTPStatus.FORBIDDEN:
                hint = "an authorization plug-in or a proxy of the socket forbids it: let mcsd ask this"
            case status if status >= http.HTTPStatus.INTERNAL_SERVER_ERROR:
                hint = f"{self._program.name}'s own log says more: journalctl -u {self._program.name}"
            case _:
                hint = URL_HINT
        return EngineProtocolError(what, hint=hint)


def _says_gone(answer: HttpReply, name: str) -> bool:
    """Tell whether the engine says that there is no such container.

    Podman looks a container up and then inspects it: if it is removed in between, the status is 500. That has
    many other causes, such as another missing container, so the message must name this one.
    """
    message = _message(answer)
    if "no such container" not in message:
        return False
    if answer.status == http.HTTPStatus.INTERNAL_SERVER_ERROR:
        return name.lower() in message
    return answer.status == http.HTTPStatus.NOT_FOUND


def _message(answer: HttpReply) -> str:
    return read_refusal(answer.body).lower()
