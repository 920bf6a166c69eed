"""A container as the engine describes it: plain values, parsed in the Docker adapter."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from pathlib import PurePosixPath
from typing import NewType

from mcsd.core.labels import Label, Level, readable

ContainerId = NewType("ContainerId", str)
"""A full container id: 64 lower-case hex digits, or `run-` and 32 for a run of `mcsctl run`."""

_NAMESPACES_LEFT = frozenset({"moby", "k8s.io"})


def is_left_to_others(namespace: str) -> bool:
    """Tell whether a namespace of containerd's is somebody else's.

    Docker's containers are Docker's: its namespace is `moby`, with userns-remap followed by the ids that root
    is mapped to. The kubelet chooses the levels of pods.
    """
    return namespace in _NAMESPACES_LEFT or namespace.startswith("moby-")


LABEL_PREFIX = "io.mcsd."
"""Docker labels with this prefix are for mcsd; the adapter drops all others."""

DOCKER = "docker"
"""The name of the engine of `[docker]`, and the kind of every engine that is Docker."""

PODMAN = "podman"
"""The kind of every engine that is Podman."""

CONTAINERD = "containerd"
"""The kind of every engine that is containerd without Docker: nerdctl's containers, and ctr's."""

RUN = "run"
"""The name of what has the commands of `mcsctl run`, beside those of container engines."""

_FULL_ID = re.compile(r"[0-9a-f]{64}", re.ASCII)

SUBSCRIBED = "subscribed"
"""Action of the first event of a stream: the subscription is active, list now. It names no container."""

LOST = "lost"
"""Action of an event that stands for dropped ones: list again. It names no container."""


def title_of(engine: str) -> str:
    """Return an engine's name as a word in a sentence: `Docker`, `Podman`."""
    return "mcsd" if engine == RUN else engine.capitalize()


def task_id(namespace: str, name: str) -> ContainerId:
    """Return the id of a task of containerd's: its own if that has the form of one, as nerdctl's have.

    ctr lets people choose, and two namespaces may have the same. `mcsd.runtime.oci.bundle` does the same.
    """
    if _FULL_ID.fullmatch(name):
        return ContainerId(name)
    return ContainerId(hashlib.sha256(f"{namespace}/{name}".encode()).hexdigest())


def full_name(name: str, engine: str) -> str:
    """Return a container's name, with its engine's before it unless that is Docker, or mcsd itself."""
    return name if engine in {DOCKER, RUN} else f"{engine}/{name}"


class MountKind(StrEnum):
    """`Type` of a mount in Docker's inspect answer; everything else is OTHER."""

    BIND = "bind"
    VOLUME = "volume"
    TMPFS = "tmpfs"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Mount:
    """One entry of `Mounts[]`. `options` are the parts of Docker's comma list (`ro`, `Z`, `rslave`);
    `writable` is Docker's `RW`, which counts whatever the options say.

    If only a part of a volume is mounted (`volume-subpath`), `source` is that part, which is all that the
    container sees and Docker labels. `inside` is then the whole volume, which no link in it may lead out of;
    it is "" for every other mount.
    """

    kind: MountKind
    source: str
    destination: str
    name: str = ""
    driver: str = ""
    options: frozenset[str] = frozenset()
    writable: bool = True
    inside: str = ""

    def in_part(self, parts: Mapping[str, str]) -> Mount:
        """Return the mount with its subpath applied, if `parts` has one for its destination.

        The engine's `Mounts[]` does not show subpaths; `HostConfig` does.
        """
        if self.kind is not MountKind.VOLUME or self.inside:
            return self
        here = _cleaned(self.destination)
        part = next((part for target, part in parts.items() if _cleaned(target) == here), "")
        if not part:
            return self
        return replace(self, source=str(PurePosixPath(self.source, part.lstrip("/"))), inside=self.source)


@dataclass(frozen=True, slots=True)
class Container:
    """One container as Docker's inspect shows it.

    `process_label` is None where Docker confines nothing (no SELinux in the engine, `--privileged`,
    `label=disable`, `--pid=host`, `--ipc=host`), and unreadable where it passes on what is no level. `pid` is
    the init process's on the host, None unless running. `pid_mode` and `ipc_mode` are Docker's words: "",
    "host", "private", "container:ID"…
    `labels` are only the container's labels under `io.mcsd.`, sorted; `image_labels` those of its image,
    which its author set and not the container's owner. If the image cannot be inspected (removed by force,
    for example), all of `labels` count as the image's.
    `engine` is the name of its engine in the configuration.
    `running` is true of a paused container too: its processes exist. `image` is the name the container was
    created from; `started_at`, `finished_at` and `created_at` are Docker's RFC 3339 strings, "" if it never
    happened. `engine` is the name of the engine that has it.
    """

    id: ContainerId
    name: str
    running: bool
    pid: int | None = None
    process_label: Label | None = None
    mount_label: Label | None = None
    privileged: bool = False
    pid_mode: str = ""
    ipc_mode: str = ""
    userns_mode: str = ""
    network_mode: str = ""
    security_options: tuple[str, ...] = ()
    labels: tuple[tuple[str, str], ...] = ()
    image_labels: tuple[tuple[str, str], ...] = ()
    mounts: tuple[Mount, ...] = ()
    runtime: str = ""
    image: str = ""
    status: str = ""
    created_at: str = ""
    started_at: str = ""
    finished_at: str = ""
    auto_remove: bool = False
    volumes_from: tuple[str, ...] = ()
    engine: str = DOCKER

    @property
    def full_name(self) -> str:
        """The name, with the engine's before it (`podman/web`) unless that is Docker, or mcsd itself."""
        return full_name(self.name, self.engine)

    @property
    def level(self) -> Level | None:
        """The level that Docker starts it at, None if Docker does not confine it.

        Raises `LabelSyntaxError` if Docker's label cannot be read.
        """
        return None if self.process_label is None else readable(self.process_label).level

    def label(self, key: str) -> str | None:
        """Return the value of the container's own label `io.mcsd.KEY`, or None.

        A value that the image has as well is not the container owner's, and is ignored.
        """
        pair = LABEL_PREFIX + key, dict(self.labels).get(LABEL_PREFIX + key)
        if pair[1] is None or pair in self.image_labels:
            return None
        return pair[1]


def _cleaned(destination: str) -> str:
    return str(PurePosixPath("/", destination.lstrip("/")))


def seconds_of(moment: str) -> float | None:
    """Return an RFC 3339 time in seconds since the epoch, None if it is not one."""
    try:
        return datetime.fromisoformat(moment).timestamp()
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """What `GET /info` and `/version` say. `selinux` is whether the engine labels containers.

    `kind` is the program: `DOCKER`, `PODMAN` or `CONTAINERD`.
    """

    selinux: bool
    server_version: str
    api_version: str
    root_directory: str
    default_runtime: str
    runtimes: tuple[tuple[str, str], ...] = ()
    storage_driver: str = ""
    live_restore: bool = False
    kind: str = DOCKER


@dataclass(frozen=True, slots=True)
class EngineEvent:
    """A hint that something about a container changed.

    Only `container` is trusted. The action is free text, matched by prefix (`exec_create: cmd`); the
    attributes are dropped at the edge, because a container's labels can forge them.
    """

    container: ContainerId
    action: str
    time_ns: int
