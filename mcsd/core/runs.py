"""Runs: commands at a pair of their own, which `mcsctl run` starts with mcsd's help.

A run holds a level and claims volumes as a container does, and for all decisions it is one (`Run.container`).
It lasts as long as its first process: `mcsctl`, which executes the command in its own place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import PurePosixPath

from mcsd.core.containers import LABEL_PREFIX, RUN, Container, ContainerId, Mount, MountKind, task_id
from mcsd.core.labels import Context
from mcsd.core.lives import ProcessLife
from mcsd.core.processes import ProcessLevel
from mcsd.core.volumes import ClaimMode

PREFIX = "run-"
"""How the id of each begins. No engine has such ids."""
RUNTIME = "mcsctl"


@dataclass(frozen=True, slots=True)
class RunVolume:
    """A volume that was asked for; without a mode, the configuration decides."""

    path: str
    mode: ClaimMode | None = None


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What was asked for. `domain` is a type, "" for the policy's own for containers."""

    name: str = ""
    group: str = ""
    domain: str = ""
    command: str = ""
    volumes: tuple[RunVolume, ...] = ()


@dataclass(frozen=True, slots=True)
class Run:
    """A run. `context` is the one that its command gets; times are seconds since the epoch.

    `started` is when its volumes were ready and it was allowed to execute its command, None before.
    """

    id: ContainerId
    name: str
    life: ProcessLife
    context: Context
    created: float
    started: float | None = None
    group: str = ""
    command: str = ""
    volumes: tuple[RunVolume, ...] = ()

    @property
    def container(self) -> Container:
        """The run as a container, before and after its start."""
        running = self.started is not None
        return Container(
            id=self.id,
            name=self.name,
            engine=RUN,
            running=running,
            pid=self.life.pid if running else None,
            process_label=self.context,
            network_mode="host",
            labels=self._labels,
            mounts=tuple(Mount(MountKind.BIND, one.path, one.path) for one in self.volumes),
            runtime=RUNTIME,
            image=self.command,
            status="running" if running else "created",
            created_at=_moment(self.created),
            started_at="" if self.started is None else _moment(self.started),
        )

    @property
    def _labels(self) -> tuple[tuple[str, str], ...]:
        wishes = ",".join(f"{one.path}:{one.mode}" for one in self.volumes if one.mode is not None)
        pairs = (("group", self.group), ("volume", wishes))
        return tuple((LABEL_PREFIX + key, value) for key, value in pairs if value)


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def is_run(container: str) -> bool:
    """Tell whether an id is a run's."""
    return container.startswith(PREFIX)


def can_be_wished(path: str) -> bool:
    """Tell whether a path can be named in `io.mcsd.volume`, which is how a run has a mode of its own."""
    return "," not in path and path == path.strip() == str(PurePosixPath(path))


def with_runs(processes: Iterable[ProcessLevel], runs: Iterable[Run]) -> tuple[ProcessLevel, ...]:
    """Return the processes, those of runs with the run's id.

    A run has no control group of its own. So a process belongs to it if it has the run's level, and is in the
    control group of the run's first process or below. Whoever has that level elsewhere chose it himself.
    """
    processes = tuple(processes)
    by_pid = {process.pid: process for process in processes}
    holders = {}
    for run in runs:
        first = by_pid.get(run.life.pid)
        if first is not None and first.level == run.context.level:
            holders[first.level] = run.id, first.group
    if not holders:
        return processes
    return tuple(_owned(process, *holders.get(process.level, ("", ""))) for process in processes)


def with_tasks(
    processes: Iterable[ProcessLevel], is_known: Callable[[ContainerId], bool]
) -> tuple[ProcessLevel, ...]:
    """Return the processes, those of known tasks of containerd's with the task's id.

    The control group of a task is `/NAMESPACE/NAME` unless whoever started it chose another, and the name
    need not have the form of an id.
    """
    return tuple(_of_task(process, is_known) for process in processes)


def _of_task(process: ProcessLevel, is_known: Callable[[ContainerId], bool]) -> ProcessLevel:
    parts = process.group.split("/")
    if process.container or len(parts) < 3:
        return process
    task = task_id(parts[1], parts[2])
    return replace(process, container=task) if is_known(task) else process


def _owned(process: ProcessLevel, run: str, group: str) -> ProcessLevel:
    is_within = PurePosixPath(process.group).is_relative_to(group)
    return replace(process, container=run) if run and is_within and not process.container else process
