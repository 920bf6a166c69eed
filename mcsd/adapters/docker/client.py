"""The questions mcsd asks Docker, blocking, one at a time: from paths and statuses to plain values.

The API version is negotiated: the newest that both sides know, asked for anew whenever the engine may have
become another one. A status that is not success is an error that says what Docker said, with one
exception: that a container is gone is an answer, and taken only from Docker's own words, because a proxy
or a wrong path also says 404, and mcsd undoes the labels of containers that are gone.
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
from mcsd.adapters.docker.socket import DOWN_HINT, URL_HINT, Guard
from mcsd.core.containers import Container, ContainerId, EngineInfo
from mcsd.errors import ContainerGoneError, EngineProtocolError, EngineUnavailableError

if TYPE_CHECKING:
    from mcsd.adapters.docker.connection import GuardConnection, HttpReply, Stream

NEWEST_KNOWN = (1, 52)
"""The newest API version this module was written for (Docker 29); newer engines speak it too."""

_NAME = re.compile(r"/?([a-zA-Z0-9][a-zA-Z0-9_.-]*)")
"""What Docker lets a container be called; ids have the same form."""

_IMAGE = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.:/@-]*")
_CONTENT_ADDRESS = re.compile(r"(sha256:)?[0-9a-f]{64}")
_BEHIND_A_PROXY = {
    http.HTTPStatus.BAD_GATEWAY,
    http.HTTPStatus.SERVICE_UNAVAILABLE,
    http.HTTPStatus.GATEWAY_TIMEOUT,
}


class ImageLabels:
    """Remembers labels of at most `capacity` images, for all threads; an image's id fixes its labels."""

    def __init__(self, capacity: int = 256) -> None:
        self._capacity = capacity
        self._labels: dict[str, Labels] = {}
        self._lock = threading.Lock()

    def get(self, image: str) -> Labels | None:
        """Return an image's labels where they are remembered."""
        return self._labels.get(image)

    def put(self, image: str, labels: Labels) -> None:
        """Remember an image's labels, and forget the oldest when there are too many."""
        if not _CONTENT_ADDRESS.fullmatch(image):
            return
        with self._lock:
            while len(self._labels) >= self._capacity:
                del self._labels[next(iter(self._labels))]
            self._labels[image] = labels


class DockerClient:
    """Docker behind the socket at `path`, for one thread; errors as in `mcsd.ports.ContainerEngine`.

    An answer must be complete within `seconds` and fit in `limit` bytes. Nothing is connected or imported
    before the first question. `shut` may be called from any thread.
    """

    def __init__(self, path: str, *, seconds: float, limit: int, images: ImageLabels) -> None:
        self._guard = Guard(path)
        self._seconds = seconds
        self._limit = limit
        self._images = images
        self._opened: GuardConnection | None = None
        self._spoken: str | None = None

    def info(self) -> EngineInfo:
        """Ask what the engine is."""
        versions = self._negotiate()
        return read_info(self._expect("/info"), versions)

    def containers(self) -> tuple[ContainerId, ...]:
        """List all containers, running or not."""
        return read_list(self._expect("/containers/json", {"all": "1"}))

    def inspect(self, asked: str) -> Container:
        """Look at one container by id or name; a full id is never taken for another container's name."""
        name = _NAME.fullmatch(asked)
        if name is None:
            raise _gone(asked)
        path = f"/containers/{name[1]}/json"
        answer = self._ask(path)
        if _says_gone(answer, name[1]):
            raise _gone(asked)
        seen = read_container(self._body(path, answer), name[1])
        if is_full_id(name[1]) and seen.container.id != name[1]:
            raise _gone(asked)
        if not seen.container.labels:
            return seen.container
        return replace(seen.container, image_labels=self._image_labels(seen))

    def list_one(self, asked: str) -> Container:
        """Look at one container by its full id in the list, which Docker answers while it starts one."""
        query = {"all": "1", "filters": json.dumps({"id": [asked]})}
        seen = read_glance(self._expect("/containers/json", query), asked)
        if seen is None:
            raise _gone(asked)
        if not seen.container.labels:
            return seen.container
        return replace(seen.container, image_labels=self._image_labels(seen))

    def ping(self, *, seconds: float) -> None:
        """Return if the engine answers within `seconds`."""
        self._body("/_ping", self._get("/_ping", seconds=seconds))

    def follow(self, *, seconds: float, line_limit: int) -> Stream:
        """Subscribe to what happens to containers from this moment on, within `seconds`.

        Docker says yes before it has subscribed (`getEvents` in moby's system router). `since` closes the
        gap: what happened from now on is replayed from Docker's buffer.
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
        """Make whatever this client does, or will do, fail at once; callable from any thread."""
        self._guard.shut()

    def close(self) -> None:
        """Release the connection; only when no thread uses it."""
        if self._opened is not None:
            self._opened.close()

    def _connection(self) -> GuardConnection:
        if self._opened is None:
            from mcsd.adapters.docker.connection import GuardConnection  # brings the SDK, 60 ms

            self._opened = GuardConnection(self._guard, limit=self._limit)
        return self._opened

    def _negotiate(self) -> ApiVersions:
        versions = read_versions(self._body("/version", self._get("/version", seconds=self._seconds)))
        self._spoken = "{}.{}".format(*max(versions.oldest, min(versions.newest, NEWEST_KNOWN)))
        return versions

    def _image_labels(self, seen: Inspected) -> Labels:
        """Tell which labels are the image's; all of the container's where its image cannot be looked at."""
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

    def _expect(self, path: str, query: Mapping[str, str] | None = None) -> bytes:
        return self._body(path, self._ask(path, query))

    def _ask(self, path: str, query: Mapping[str, str] | None = None) -> HttpReply:
        """Ask for a path of the versioned API."""
        for _ in range(2):
            if self._spoken is None:
                self._negotiate()
            answer = self._get(f"/v{self._spoken}{path}", query, seconds=self._seconds)
            if answer.status != http.HTTPStatus.BAD_REQUEST:
                break
            self._spoken = None  # the engine may have been replaced by one that speaks other versions
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
        what = f"docker at {self._guard.path!r} answered GET {path} with {answer.status}"
        if message := read_refusal(answer.body):
            what += f": {message!r}"
        match answer.status:
            case status if status in _BEHIND_A_PROXY:
                return EngineUnavailableError(what, hint=DOWN_HINT)
            case http.HTTPStatus.UNAUTHORIZED | http.HTTPStatus.FORBIDDEN:
                hint = "an authorization plug-in or a proxy of the socket forbids it: let mcsd ask this"
            case status if status >= http.HTTPStatus.INTERNAL_SERVER_ERROR:
                hint = "docker's own log says more: journalctl -u docker"
            case _:
                hint = URL_HINT
        return EngineProtocolError(what, hint=hint)


def _says_gone(answer: HttpReply, name: str) -> bool:
    """Tell whether the engine says that it has no such container.

    Podman finds a container and then looks at it: of one that is removed in between it says so with 500. That
    status has many reasons, another container that is missing among them, so this one must be named.
    """
    message = _message(answer)
    if "no such container" not in message:
        return False
    if answer.status == http.HTTPStatus.INTERNAL_SERVER_ERROR:
        return name.lower() in message
    return answer.status == http.HTTPStatus.NOT_FOUND


def _message(answer: HttpReply) -> str:
    return read_refusal(answer.body).lower()


def _gone(asked: str) -> ContainerGoneError:
    return ContainerGoneError(f"docker has no container {asked!r}", hint="docker ps -a lists all")
