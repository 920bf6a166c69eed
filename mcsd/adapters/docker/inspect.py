"""What mcsd reads from Docker's answers: the models, and the parsing to `mcsd.core.containers`.

Exactly the fields that are used are declared, strictly typed. Fields that decide about isolation have no
default: an answer without one is refused, with an error that names field and object, and never taken for a
"no". Unknown fields and values are ignored, so that newer engines and Podman's compatible API work as well.
Go writes empty lists and maps as `null`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, NoReturn, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.alias_generators import to_pascal
from pydantic_core import ErrorDetails

from mcsd.core.containers import (
    DOCKER,
    LABEL_PREFIX,
    Container,
    ContainerId,
    EngineEvent,
    EngineInfo,
    Mount,
    MountKind,
)
from mcsd.core.labels import label_in
from mcsd.core.matching import Matching
from mcsd.errors import EngineProtocolError

Labels = tuple[tuple[str, str], ...]
"""Docker labels under `io.mcsd.`, sorted."""

_NEVER = "0001-01-01T00:00:00Z"
"""Go's zero time, for a container that was never started."""

_ACTION_LENGTH = 64
"""An action's text (`exec_create: COMMAND`) is cut to this: it may be megabytes, and contain secrets."""

_BY_PODMAN = {"remove": "destroy"}
"""Actions with another name in Podman, also in its compatible API; there `died` is `die` already."""

_STATUS_OF_PODMAN = {"configured": "created", "initialized": "created", "stopped": "exited"}
"""States with another name in Podman's own API."""

_SHOWN_PROBLEMS = 3
_SHOWN_TEXT = 200
_HINT = "mcsd reads docker 20.10 to 29 and podman's compatible API; compare docker version"

_FULL_ID = re.compile(r"[0-9a-f]{64}")
_FullId = Annotated[str, Matching(_FULL_ID.pattern, "a full container id")]
_ApiVersion = Annotated[str, Matching(r"[0-9]{1,4}\.[0-9]{1,4}", "an api version such as 1.44")]

_M = TypeVar("_M", bound=BaseModel)


class Read(BaseModel):
    """The fields of an answer that are used, strictly typed; all others are ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True, alias_generator=to_pascal)


class _State(Read):
    running: bool
    paused: bool = False
    pid: int = Field(0, ge=0)
    status: str = ""
    started_at: str = ""
    finished_at: str = ""


class ContainerConfig(Read):
    """The configuration of a container or an image. Only Podman has annotations here."""

    image: str = ""
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None


class _VolumeOptions(Read):
    subpath: str = ""


class _Wanted(Read):
    """A mount as requested with `--mount`; `-v` is in `Binds`, and has no subpaths."""

    type: str = ""
    target: str = ""
    volume_options: _VolumeOptions | None = None


class HostConfig(Read):
    """The options that a container was created with."""

    mounts: list[_Wanted] | None = None
    privileged: bool
    pid_mode: str
    ipc_mode: str
    userns_mode: str = ""
    network_mode: str = ""
    security_opt: list[str] | None = None
    runtime: str = ""
    auto_remove: bool = False
    volumes_from: list[str] | None = None


class _Mount(Read):
    type: str = ""
    name: str = ""
    source: str
    destination: str
    driver: str = ""
    mode: str = ""
    rw: bool = Field(alias="RW")


class InspectAnswer(Read):
    """The answer to `GET /containers/…/json`.

    `oci_runtime` is in the answer of Podman's own API, whose `HostConfig.Runtime` is always "oci".
    """

    id: _FullId
    name: str
    created: str = ""
    image: str = ""
    process_label: str
    mount_label: str
    state: _State
    host_config: HostConfig
    config: ContainerConfig
    mounts: list[_Mount] | None
    oci_runtime: str = Field("", alias="OCIRuntime")


class _Image(Read):
    config: ContainerConfig | None = None


class _Listed(Read):
    id: _FullId


class _ListedOne(_Listed):
    names: list[str] | None
    image: str = ""
    image_id: str = Field("", alias="ImageID")
    labels: dict[str, str] | None
    mounts: list[_Mount] | None


class _Runtime(Read):
    path: str = Field("", alias="path")


class _Info(Read):
    security_options: list[str] | None
    docker_root_dir: str
    server_version: str = ""
    default_runtime: str = ""
    runtimes: dict[str, _Runtime | None] | None = None
    driver: str = ""
    live_restore_enabled: bool = False


class _Version(Read):
    api_version: _ApiVersion
    min_api_version: _ApiVersion = Field("1.24", alias="MinAPIVersion")


class _Actor(Read):
    id: str = Field("", alias="ID")


class _Event(Read):
    type: str
    action: str = ""
    actor: _Actor | None = None
    time_nano: int = Field(0, alias="timeNano")


class _Refusal(Read):
    message: str = Field(alias="message")


_LIST = TypeAdapter(list[_Listed])
_GLANCES = TypeAdapter(list[_ListedOne])


@dataclass(frozen=True, slots=True)
class ApiVersions:
    """The range of API versions that an engine supports, both included, as pairs of numbers."""

    oldest: tuple[int, int]
    newest: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Inspected:
    """A container without its image's labels, and the id of the image that has them."""

    container: Container
    image_id: str


def read_versions(body: bytes) -> ApiVersions:
    """Read the answer to `GET /version`."""
    version = parse(_Version, body, "about its version")
    return ApiVersions(_pair(version.min_api_version), _pair(version.api_version))


def read_info(body: bytes, versions: ApiVersions, kind: str = DOCKER) -> EngineInfo:
    """Read the answer to `GET /info` of an engine of that kind."""
    info = parse(_Info, body, "about itself")
    options = [part for option in info.security_options or () for part in option.split(",")]
    runtimes = {name: runtime.path if runtime else "" for name, runtime in (info.runtimes or {}).items()}
    return EngineInfo(
        selinux="name=selinux" in options,
        server_version=info.server_version,
        api_version="{}.{}".format(*versions.newest),
        root_directory=info.docker_root_dir,
        default_runtime=info.default_runtime,
        runtimes=tuple(sorted(runtimes.items())),
        storage_driver=info.driver,
        live_restore=info.live_restore_enabled,
        kind=kind,
    )


def read_list(body: bytes) -> tuple[ContainerId, ...]:
    """Read the answer to `GET /containers/json`."""
    try:
        return tuple(ContainerId(listed.id) for listed in _LIST.validate_json(body))
    except ValidationError as exc:
        _refuse(exc, "about its containers")


def read_container(body: bytes, asked: str) -> Inspected:
    """Read the answer to `GET /containers/…/json`; `asked` is the id or name that was asked for."""
    seen = parse(InspectAnswer, body, f"about container {asked!r}")
    return Inspected(container_of(seen), seen.image)


def container_of(seen: InspectAnswer) -> Container:
    """Return a container without its image's labels."""
    state, host = seen.state, seen.host_config
    parts = {
        wanted.target: wanted.volume_options.subpath
        for wanted in host.mounts or ()
        if wanted.type == MountKind.VOLUME and wanted.volume_options
    }
    running = state.running or state.paused  # Podman's paused containers are not "running"
    return Container(
        id=ContainerId(seen.id),
        name=seen.name.removeprefix("/"),
        running=running,
        pid=state.pid or None if running else None,
        process_label=label_in(seen.process_label),
        mount_label=label_in(seen.mount_label),
        privileged=host.privileged,
        pid_mode=host.pid_mode,
        ipc_mode=host.ipc_mode,
        userns_mode=host.userns_mode,
        network_mode=host.network_mode,
        security_options=tuple(host.security_opt or ()),
        labels=_addressed_labels({**(seen.config.labels or {}), **(seen.config.annotations or {})}),
        mounts=tuple(_mount(mount).in_part(parts) for mount in seen.mounts or ()),
        runtime=seen.oci_runtime or host.runtime,
        image=seen.config.image or seen.image,
        status=_STATUS_OF_PODMAN.get(state.status, state.status),
        created_at=seen.created,
        started_at="" if state.started_at == _NEVER else state.started_at,
        finished_at="" if state.finished_at == _NEVER else state.finished_at,
        auto_remove=host.auto_remove,
        volumes_from=tuple(host.volumes_from or ()),
    )


def read_glance(body: bytes, asked: str) -> Inspected | None:
    """Read the answer to `GET /containers/json` filtered by one full id; None if it lists another."""
    try:
        listed = _GLANCES.validate_json(body)
    except ValidationError as exc:
        _refuse(exc, f"about container {asked!r}")
    for seen in listed:
        if seen.id == asked:
            names = sorted(name.removeprefix("/") for name in seen.names or () if name.count("/") == 1)
            container = Container(
                id=ContainerId(seen.id),
                name=names[0] if names else seen.id[:12],
                running=False,
                labels=_addressed_labels(seen.labels),
                mounts=tuple(_mount(mount) for mount in seen.mounts or ()),
                image=seen.image,
            )
            return Inspected(container, seen.image_id)
    return None


def read_image_labels(body: bytes, image: str) -> Labels:
    """Read the answer to `GET /images/…/json`."""
    config = parse(_Image, body, f"about image {image!r}").config
    return _addressed_labels(config.labels if config else None)


def read_event(line: bytes) -> EngineEvent | None:
    """Read one object of the event stream; None if it is about neither a container nor a reload.

    A reload may change the runtimes; it has no container. Nor has `docker container prune`, whose removals
    are events of their own.
    """
    event = parse(_Event, line, "in an event")
    if event.type == "daemon" and event.action == "reload":
        return EngineEvent(ContainerId(""), event.action, event.time_nano)
    if event.type != "container" or event.action == "prune":
        return None
    container = event.actor.id if event.actor else ""
    if not is_full_id(container):
        raise EngineProtocolError(
            f"what docker says in an event cannot be read: field Actor.ID: {container[:_SHOWN_TEXT]!r}"
            " is not a full container id",
            hint=_HINT,
        )
    action = _BY_PODMAN.get(event.action, event.action[:_ACTION_LENGTH])
    return EngineEvent(ContainerId(container), action, event.time_nano)


def read_refusal(body: bytes) -> str:
    """Return the message of an error answer, which may come from a proxy, and not be JSON."""
    try:
        return _Refusal.model_validate_json(body).message[:_SHOWN_TEXT].strip()
    except ValidationError:
        return body[:_SHOWN_TEXT].decode(errors="replace").strip()


def is_full_id(text: str) -> bool:
    """Tell whether a text has the form of a full container id, which a name can have too."""
    return _FULL_ID.fullmatch(text) is not None


def _pair(version: str) -> tuple[int, int]:
    major, minor = version.split(".")
    return int(major), int(minor)


def _addressed_labels(labels: Mapping[str, str] | None) -> Labels:
    return tuple(sorted(pair for pair in (labels or {}).items() if pair[0].startswith(LABEL_PREFIX)))


def _mount(mount: _Mount) -> Mount:
    known = mount.type in set(MountKind)
    return Mount(
        kind=MountKind(mount.type) if known else MountKind.OTHER,
        source=mount.source,
        destination=mount.destination,
        name=mount.name,
        driver=mount.driver,
        options=frozenset(mount.mode.split(",")) - {""},
        writable=mount.rw,
    )


def parse(model: type[_M], answer: bytes | Mapping[str, object], subject: str) -> _M:
    """Read an answer, as bytes or parsed; `subject` names it in errors.

    Raises `EngineProtocolError`.
    """
    try:
        if isinstance(answer, bytes):
            return model.model_validate_json(answer)
        return model.model_validate(answer)
    except ValidationError as exc:
        _refuse(exc, subject)


def _refuse(exc: ValidationError, subject: str) -> NoReturn:
    problems = exc.errors(include_url=False, include_context=False)
    shown = [_sentence(problem) for problem in problems[:_SHOWN_PROBLEMS]]
    if len(problems) > len(shown):
        shown.append(f"and {len(problems) - len(shown)} more")
    raise EngineProtocolError(
        f"what docker says {subject} cannot be read: {'; '.join(shown)}", hint=_HINT
    ) from exc


def _sentence(problem: ErrorDetails) -> str:
    if not problem["loc"]:
        return problem["msg"].lower()
    field = ".".join(map(str, problem["loc"]))
    found = problem["input"]
    is_short = isinstance(found, (str, int, float)) or found is None
    return f"field {field}: {problem['msg'].lower()}" + (
        f", not {repr(found)[:_SHOWN_TEXT]}" if is_short else ""
    )
