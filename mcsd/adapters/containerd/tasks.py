"""containerd's tasks, as its runc shim has them on disk.

Each task has a bundle in `STATE/io.containerd.runtime.v2.task/NAMESPACE/NAME` from before it is created until
it is deleted, with its OCI configuration (`config.json`) and the pid of its first process (`init.pid`); the
runtime keeps its own state in `/run/containerd/runc/NAMESPACE/NAME` (containerd: core/runtime/v2/bundle.go,
cmd/containerd-shim-runc-v2). So there is nothing to ask of containerd, which is spoken to in gRPC alone, and
tasks are seen while it is away.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from mcsd.core.containers import (
    LABEL_PREFIX,
    Container,
    ContainerId,
    Mount,
    MountKind,
    is_left_to_others,
    task_id,
)
from mcsd.core.daemon_json import NAME
from mcsd.core.labels import label_in
from mcsd.errors import ContainerGoneError, EngineProtocolError, EngineUnavailableError

GATE = "mcsd-gate"
"""How the name of a runtime begins that is the gate."""
RUNTIMES = Path("/run/containerd/runc")
"""Where the shim has runtimes keep their state, wherever containerd has its own."""
CREATED = "created"
"""The status of a task whose bundle is there, and whose first process was not created yet."""
FORMER = "io.mcsd.mount-label"
"""The annotation that the gate leaves in a bundle; `mcsd.runtime.oci.bundle` writes it."""
_TASKS = "io.containerd.runtime.v2.task"
_HINT = "systemctl status containerd"


class _Read(BaseModel):
    """The fields that are used, strictly typed; all others are ignored. Go writes empty lists as `null`."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True, alias_generator=to_camel)


class _Process(_Read):
    selinux_label: str = ""


class _Namespace(_Read):
    type: str
    path: str = ""


class _Linux(_Read):
    mount_label: str = ""
    namespaces: list[_Namespace] | None = None


class _Mount(_Read):
    destination: str
    type: str = ""
    source: str = ""
    options: list[str] | None = None


class _Spec(_Read):
    process: _Process = Field(default_factory=_Process)
    linux: _Linux = Field(default_factory=_Linux)
    mounts: list[_Mount] | None = None
    annotations: dict[str, str] | None = None


class Task(NamedTuple):
    """A task, by its namespace and its name there."""

    namespace: str
    name: str

    @property
    def ident(self) -> ContainerId:
        """Its id for mcsd."""
        return task_id(self.namespace, self.name)

    @property
    def shown(self) -> str:
        """The name to show for it, as `mcsd.runtime.oci.bundle.task_name` has it without nerdctl's."""
        return self.name if self.namespace == "default" else f"{self.namespace}:{self.name}"


class Tasks:
    """The tasks below containerd's state directory. Each method blocks, and may be called from any thread."""

    def __init__(self, state: Path, *, runtimes: Path = RUNTIMES, proc: Path = Path("/proc")) -> None:
        self._state = state
        self._runtimes = runtimes
        self._proc = proc

    def all(self) -> tuple[Task, ...]:
        """List all tasks that are nobody else's; raise `EngineUnavailableError` if that cannot be done."""
        try:
            os.stat(self._state)
            return tuple(self._listed())
        except OSError as exc:
            raise EngineUnavailableError(
                f"containerd's state cannot be read at {str(self._state)!r}: {exc.strerror}", hint=_HINT
            ) from exc

    def _listed(self) -> Iterator[Task]:
        above = self._state / _TASKS
        for namespace in _names_in(above):
            if not is_left_to_others(namespace):
                yield from (Task(namespace, name) for name in _names_in(above / namespace))

    def find(self, asked: str) -> Task:
        """Return a task by its id or the name to show; raise `ContainerGoneError`."""
        for task in self.all():
            if asked in {task.ident, task.shown}:
                return task
        raise ContainerGoneError(
            f"containerd has no container {asked!r}", hint="ctr -n NAMESPACE task ls lists them"
        )

    def read(self, task: Task) -> Container:
        """Return a task as a container.

        Raises `ContainerGoneError`, and `EngineProtocolError` for a configuration that makes no sense.
        """
        bundle = self._state / _TASKS / task.namespace / task.name
        try:
            spec = _Spec.model_validate_json((bundle / "config.json").read_bytes())
            made = (bundle / "config.json").stat().st_ctime
        except FileNotFoundError as exc:
            raise ContainerGoneError(f"containerd has no container {task.shown!r}", hint=_HINT) from exc
        except OSError as exc:
            raise EngineUnavailableError(
                f"the bundle of {task.shown!r} cannot be read: {exc.strerror}", hint=_HINT
            ) from exc
        except ValidationError as exc:
            first = exc.errors(include_url=False, include_context=False)[0]
            field = ".".join(map(str, first["loc"]))
            raise EngineProtocolError(
                f"the configuration of {task.shown!r} cannot be read: {field}: {first['msg']}", hint=_HINT
            ) from exc
        pid, since = self.process(task)
        return _container(task, spec, pid, since, made, _runtime(bundle))

    def process(self, task: Task) -> tuple[int | None, float | None]:
        """Return the first process of a task while it lives, and when it was created, if it was."""
        file = self._state / _TASKS / task.namespace / task.name / "init.pid"
        try:
            pid, since = int(file.read_text(encoding="ascii")), file.stat().st_mtime
        except (OSError, ValueError):
            return None, None
        return (pid if self._lives(task, pid) else None), since

    def _lives(self, task: Task, pid: int) -> bool:
        try:
            text = (self._proc / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return False
        fields = text.rpartition(")")[2].split()
        begun = self._begun(task)
        return fields[0] not in {"Z", "X"} and (begun is None or begun == int(fields[19]))

    def _begun(self, task: Task) -> int | None:
        """Return when the first process began, in clock ticks after boot, as runc or crun recorded it."""
        state = self._runtimes / task.namespace / task.name
        for name, key in (("state.json", "init_process_start"), ("status", "process-start-time")):
            try:
                return int(json.loads((state / name).read_bytes())[key])
            except (OSError, ValueError, KeyError, TypeError):
                continue
        return None


def _names_in(directory: Path) -> list[str]:
    try:
        return sorted(one.name for one in os.scandir(directory) if one.is_dir(follow_symlinks=False))
    except FileNotFoundError:
        return []  # containerd makes it for the first task


def _runtime(bundle: Path) -> str:
    """Return mcsd's name for the runtime of a bundle if it is the gate, otherwise the runtime's own."""
    try:
        program = (bundle / "runtime").read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        return "runc"
    name = program.rpartition("/")[2]
    return NAME if name.startswith(GATE) else name or "runc"


def _container(
    task: Task, spec: _Spec, pid: int | None, since: float | None, made: float, runtime: str
) -> Container:
    notes = spec.annotations or {}
    name = notes.get("nerdctl/name")
    return Container(
        id=task.ident,
        name=Task(task.namespace, name).shown if name else task.shown,
        running=pid is not None,
        pid=pid,
        process_label=label_in(spec.process.selinux_label),
        mount_label=label_in(spec.linux.mount_label),
        pid_mode=_mode(spec, "pid"),
        ipc_mode=_mode(spec, "ipc"),
        network_mode=_mode(spec, "network"),
        labels=tuple(sorted(pair for pair in notes.items() if _is_for_mcsd(pair[0]))),
        mounts=tuple(_mount(mount) for mount in spec.mounts or () if mount.type == MountKind.BIND),
        runtime=runtime,
        status="running" if pid is not None else CREATED if since is None else "exited",
        created_at=_moment(made),
        started_at="" if since is None else _moment(since),
    )


def _is_for_mcsd(annotation: str) -> bool:
    """Tell whether the container's owner wrote an annotation for mcsd; one is the gate's own."""
    return annotation.startswith(LABEL_PREFIX) and annotation != FORMER


def _mode(spec: _Spec, kind: str) -> str:
    """Return `host` for a namespace that is the host's, "" for any other."""
    return "" if any(one.type == kind for one in spec.linux.namespaces or ()) else "host"


def _mount(mount: _Mount) -> Mount:
    options = frozenset(mount.options or ())
    return Mount(
        kind=MountKind.BIND,
        source=mount.source,
        destination=mount.destination,
        options=options,
        writable="ro" not in options,
    )


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def states(tasks: Tasks) -> dict[ContainerId, Any]:
    """Return what tells one look at all tasks from another: which there are, and which process each has."""
    return {task.ident: tasks.process(task) for task in tasks.all()}
