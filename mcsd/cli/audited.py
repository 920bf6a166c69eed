"""Which containers an audit is about, and what their engines say of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from mcsd.adapters.docker.audit import read_settings
from mcsd.cli.client import Client, Object, segment
from mcsd.cli.errors import CtlError, Exit
from mcsd.cli.text import Screen
from mcsd.config import Config, EngineKind
from mcsd.core.audit.facts import AuditedMount, ContainerSettings
from mcsd.core.containers import CONTAINERD, RUN, full_name, title_of
from mcsd.errors import McsdError

Inspected = tuple[ContainerSettings, int | None]
"""A container's settings, and its first process while it runs."""


@dataclass(frozen=True, slots=True)
class AuditedEngine:
    """An engine of the configuration, asked over its own socket."""

    name: str
    kind: str
    client: Client

    def ask(self, path: str, parameters: Sequence[tuple[str, str]] = ()) -> Any:
        """Return an answer; raise `CtlError`, with what to do about this engine."""
        try:
            return self.client.get(path, parameters)
        except CtlError as exc:
            missing = f"{self.kind} ps lists them"
            hint = missing if exc.status is Exit.NOT_FOUND else f"systemctl status {self.kind}"
            raise CtlError(exc.what, hint=hint, status=exc.status) from exc

    def inspect(self, container: str) -> Inspected:
        """Return one container, by id or name; raise `CtlError`."""
        answer = self.ask(f"/containers/{segment(container)}/json")
        try:
            settings, pid = read_settings(answer)
        except McsdError as exc:
            raise CtlError(exc.what, hint=exc.hint) from exc
        return replace(settings, engine=self.name, kind=self.kind), pid


def audited_engines(config: Config, sockets: Mapping[str, str]) -> tuple[AuditedEngine, ...]:
    """Return the engines of the configuration; `sockets` are paths in place of the configured ones."""
    return tuple(
        AuditedEngine(
            one.name,
            one.kind,
            Client(sockets.get(one.name) or one.url.removeprefix("unix://"), who=title_of(one.name)),
        )
        for one in config.engines
        if one.kind is not EngineKind.CONTAINERD
    )


def inspected(
    engines: Sequence[AuditedEngine], told: Sequence[Object], wanted: str, *, stopped: bool, notes: Screen
) -> Iterator[Inspected]:
    """Yield what was asked for: all containers and runs, or the one that is `wanted`; raise `CtlError`.

    `told` are mcsd's answers about those that no engine can be asked about: runs, and containerd's.
    """
    if wanted:
        yield _one(engines, told, wanted)
        return
    for engine in engines:
        yield from _all_of(engine, stopped=stopped, notes=notes)
    yield from (_described(one) for one in told if stopped or one["running"])


def _all_of(engine: AuditedEngine, *, stopped: bool, notes: Screen) -> Iterator[Inspected]:
    listed = engine.ask("/containers/json", [("all", "1")] if stopped else [])
    for number, one in enumerate(listed, 1):
        notes.progress(f"{number} of {len(listed)} containers of {engine.name}")
        try:
            yield engine.inspect(str(one["Id"]))
        except CtlError as exc:
            if exc.status is not Exit.NOT_FOUND:
                raise  # otherwise it is gone meanwhile


def _one(engines: Sequence[AuditedEngine], told: Sequence[Object], wanted: str) -> Inspected:
    """Return the container of a full name, a name or an id; of a name alone, the first engine's."""
    named, slash, name = wanted.partition("/")
    chosen = [engine for engine in engines if slash and engine.name == named]
    if not chosen:
        chosen, name = list(engines), wanted
    missing: CtlError | None = None
    for engine in chosen:
        try:
            return engine.inspect(name)
        except CtlError as exc:
            if exc.status is not Exit.NOT_FOUND:
                raise
            missing = missing or exc
    for item in told:
        if wanted in {item["id"], full_name(item["name"], item["engine"])}:
            return _described(item)
    if missing is None:
        raise CtlError(f"there is no container {wanted!r}", hint="mcsctl containers", status=Exit.NOT_FOUND)
    raise missing


def _described(item: Object) -> Inspected:
    """Return what mcsd describes: it has no other settings than these."""
    kind = RUN if item["engine"] == RUN else CONTAINERD
    mounts = (
        AuditedMount(str(one["source"]), str(one["destination"]), bool(one["writable"]))
        for one in item["claims"]
    )
    settings = ContainerSettings(
        id=str(item["id"]),
        name=str(item["name"]),
        running=bool(item["running"]),
        mounts=tuple(mounts),
        engine=str(item["engine"]),
        kind=kind,
    )
    return settings, item["pid"]
