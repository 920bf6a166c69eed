"""The daemon's side of the gate: a container's level and volumes, ready before its first instruction.

`create` is asked at each start and answers when everything is prepared; `delete` says that a start has ended
or failed. While the gate waits, Docker holds the container: nothing here may ask Docker's `inspect` about it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from mcsd.config import GateOnError, GateTable
from mcsd.core.changes import Change, PutGrant
from mcsd.core.containers import Container, ContainerId
from mcsd.core.gating import Choice, Fresh, Wanted, choose, has_own_level, is_gated
from mcsd.core.grants import Grant, GrantEvent, GrantState
from mcsd.core.labels import Context, Level
from mcsd.core.notices import Kind, Notice
from mcsd.core.plan import Observed
from mcsd.core.sharing import conflicts_of
from mcsd.core.volumes import Claim, ClaimState
from mcsd.errors import GateError, LabelSyntaxError, McsdError
from mcsd.execute import Means, Stage, assigned, draft, grant_notice
from mcsd.herald import Herald
from mcsd.hostview import HostView
from mcsd.observe import Observer
from mcsd.ports import ContainerEngine
from mcsd.reclaimer import Reclaimer
from mcsd.reconcile import Reconciler
from mcsd.reservations import Reservations
from mcsd.scribe import Scribe
from mcsd.sightings import Sightings
from mcsd.starts import Starts

_KEEP_LEVEL = '[gate] level = "docker" in mcsd.toml keeps the level that Docker chose'


@dataclass(frozen=True, slots=True)
class StartRequest:
    """What the gate knows of a start. Labels are the engine's choice."""

    container: ContainerId
    process_label: str
    mount_label: str
    security_options: tuple[str, ...] = ()
    ipc_mode: str = ""
    pid_mode: str = ""
    obstacle: str = ""
    """Why its file systems cannot be mounted with another level than the engine's; "" where they can."""


@dataclass(frozen=True, slots=True)
class Admission:
    """The answer: the labels to start with; empty ones mean those that the engine chose."""

    process_label: str = ""
    mount_label: str = ""
    warning: str = ""


class Gatekeeper:
    """Prepares starts. Owned by the event loop's thread."""

    def __init__(
        self,
        *,
        config: GateTable,
        docker: ContainerEngine,
        observer: Observer,
        reconciler: Reconciler,
        reservations: Reservations,
        reclaimer: Reclaimer,
        scribe: Scribe,
        sightings: Sightings,
        starts: Starts,
        herald: Herald,
        host: HostView,
        means: Means,
        look: Callable[[ContainerId], None],
        look_later: Callable[[ContainerId], None],
    ) -> None:
        self._config = config
        self._docker = docker
        self._observer = observer
        self._reconciler = reconciler
        self._reservations = reservations
        self._reclaimer = reclaimer
        self._scribe = scribe
        self._sightings = sightings
        self._starts = starts
        self._herald = herald
        self._host = host
        self._means = means
        self._look = look
        self._look_later = look_later
        self._at_work: set[asyncio.Task[Admission]] = set()
        self._goes_ahead: set[ContainerId] = set()
        """Containers that were let start although the work for them goes on."""
        self._names: dict[ContainerId, str] = {}
        """Names of those who are being prepared: of one that was made a moment ago nobody else knows it."""

    async def create(self, request: StartRequest) -> Admission:
        """Prepare a start; raise `GateError` where it must not go on."""
        work = asyncio.create_task(self._prepare(request))
        self._at_work.add(work)
        work.add_done_callback(self._at_work.discard)
        try:
            done, _ = await asyncio.wait({work}, timeout=self._config.deadline)
        except asyncio.CancelledError:
            work.cancel()
            raise
        return work.result() if done else self._late(request, work)

    def delete(self, container: ContainerId) -> None:
        """The container's process has ended, or never came to be."""
        self._starts.end(container)
        self._look(container)

    async def close(self) -> None:
        """Break off what goes on behind starts that were answered for."""
        for work in self._at_work:
            work.cancel()
        if self._at_work:
            await asyncio.wait(self._at_work)

    def _late(self, request: StartRequest, work: asyncio.Task[Admission]) -> Admission:
        """Answer for a start that is not ready in time; the work goes on, for this start or the next."""
        work.add_done_callback(lambda _: self._finished_late(request.container, work))
        seconds = self._config.deadline
        admission = self._failed(
            request,
            f"its volumes are not ready after {seconds:g} s",
            f"see mcsctl show {request.container[:12]}; the work goes on, or raise [gate] deadline",
        )
        self._goes_ahead.add(request.container)
        grant = self._scribe.book.grant_of(request.container)
        if grant is None or grant.state is not GrantState.ACTIVE or request.obstacle:
            return self._as_docker_has_it(request, admission)
        return replace(self._labels(request, grant), warning=admission.warning)

    def _finished_late(self, container: ContainerId, work: asyncio.Task[Admission]) -> None:
        if container in self._goes_ahead:
            self._goes_ahead.discard(container)
        else:
            self.delete(container)  # it was refused, and nobody waits for it
        if not work.cancelled() and (exc := work.exception()) is not None and not isinstance(exc, McsdError):
            self._herald.report_bug(f"the gate's late start of {container[:12]}", exc)

    async def _prepare(self, request: StartRequest) -> Admission:
        try:
            container = await self._container(request)
            self._names[request.container] = container.name
            async with self._beginning(container.id):
                return await self._prepare_alone(container, request)
        except GateError:
            raise
        except McsdError as exc:
            return self._as_docker_has_it(request, self._failed(request, exc.what, exc.hint))
        finally:
            self._names.pop(request.container, None)

    @asynccontextmanager
    async def _beginning(self, container: ContainerId) -> AsyncIterator[None]:
        async with self._reconciler.alone(container):
            self._starts.begin(container)
            self._look_later(container)  # if the gate is killed, no event need tell how the start ended
            try:
                yield
            except BaseException:
                self._starts.end(container)
                raise
            finally:
                self._starts.act(container)

    async def _prepare_alone(self, container: Container, request: StartRequest) -> Admission:
        warning = self._obstructed(container, request)
        wanted = Wanted.DOCKER if request.obstacle else self._config.level
        grant = await self._reclaimer.relieve(lambda: self._grant(container, wanted))
        sights = await self._observer.sights(container)
        await self._reconciler.settle(
            Observed(container.id, container, self._host(), sights, gated=True, starting=True)
        )
        labels = self._labels(request, grant)
        if request.obstacle and grant.level != Context.parse(request.process_label).level:
            reason = f"it needs the level {grant.level}, and {request.obstacle}"
            return self._failed(request, reason, "do not share another container's namespaces there")
        others = [other for other in conflicts_of(grant, self._scribe.book) if other.state.is_living]
        if others and not has_own_level(container):
            warning = self._failed(request, *_inseparable(grant.level, others[0].name)).warning
        missing = [claim for claim in self._claims(grant) if claim.state is not ClaimState.READY]
        if missing:
            first = missing[0]
            admission = self._failed(
                request, f"volume {first.source}: {first.reason or first.state.value}", first.hint
            )
            warning = admission.warning
        return replace(labels, warning=warning)

    def _as_docker_has_it(self, request: StartRequest, admission: Admission) -> Admission:
        """Let a start go on at the level that Docker chose; raise `GateError` where another has that."""
        level = Context.parse(request.process_label).level
        mine = {request.container, *(mode.partition(":")[2] for mode in (request.ipc_mode, request.pid_mode))}
        for other in self._scribe.book.grants_near(level) if level.categories else ():
            if other.state.is_living and not {other.container, other.name} & mine:
                what, hint = _inseparable(level, other.name)
                raise GateError(f"container {self._name(request)} is not started: {what}", hint=hint)
        return admission

    def _obstructed(self, container: Container, request: StartRequest) -> str:
        """Warn of a container that cannot run at a level of mcsd's own; raise `GateError`."""
        if not request.obstacle or self._config.level is Wanted.DOCKER or has_own_level(container):
            return ""
        reason = f"it cannot be given a level of mcsd's own: {request.obstacle}"
        return self._failed(request, reason, _KEEP_LEVEL).warning

    async def _container(self, request: StartRequest) -> Container:
        """Put together what is known of the container: last seen or glanced at, and what the gate says."""
        seen = self._sightings.get(request.container)
        container = seen or await self._docker.glance(request.container)
        if not is_gated(container, self._host()):
            self._host.engine_is(await self._docker.info())  # this call proves it: Docker was told to reload
        try:
            Context.parse(request.process_label)
            Context.parse(request.mount_label)
        except LabelSyntaxError as exc:
            raise GateError(
                f"Docker chose a label that cannot be read: {exc.what}",
                hint="see --security-opt label of the container",
            ) from exc
        return replace(
            container,
            running=False,
            pid=None,
            status="created",
            process_label=request.process_label,
            mount_label=request.mount_label,
            security_options=request.security_options or container.security_options,
            ipc_mode=request.ipc_mode or container.ipc_mode,
            pid_mode=request.pid_mode or container.pid_mode,
        )

    def _claims(self, grant: Grant) -> tuple[Claim, ...]:
        claims = self._scribe.book.claims_of(grant.id)
        return tuple(claim for claim in claims if claim.mode.is_labelled)

    def _labels(self, request: StartRequest, grant: Grant) -> Admission:
        return Admission(_at(request.process_label, grant.level), _at(request.mount_label, grant.level))

    def _failed(self, request: StartRequest, reason: str, hint: str) -> Admission:
        fields = {"name": self._name(request), "reason": reason, "hint": hint}
        if self._config.on_error is GateOnError.REFUSE:
            self._herald.emit(Notice(Kind.START_REFUSED, fields, request.container))
            raise GateError(f"container {self._name(request)} is not started: {reason}", hint=hint)
        self._herald.emit(Notice(Kind.START_UNPREPARED, fields, request.container))
        return Admission(warning=f"started all the same, as [gate] on_error says: {reason}")

    def _name(self, request: StartRequest) -> str:
        known = self._sightings.get(request.container) or self._scribe.book.grant_of(request.container)
        return self._names.get(request.container) or (known.name if known else request.container[:12])

    # --- the level ---------------------------------------------------------------------------------

    async def _grant(self, container: Container, wanted: Wanted) -> Grant:
        await self._reconciler.refresh_carriers()
        async with self._scribe.deciding:
            book = self._scribe.book
            choice = choose(container, book, wanted)
            if choice is not None:
                stage = self._draft(container, choice)
                await self._scribe.commit(stage.changes)
                self._reclaimer.heed(stage.changes)
                for notice in stage.notices:
                    self._herald.emit(notice)
            grant = book.grant_of(container.id)
            assert grant is not None, "the container holds what was chosen"
            return grant

    def _draft(self, container: Container, choice: Choice) -> Stage:
        book = self._scribe.book
        if isinstance(choice, Fresh):
            changes, level = self._reservations.choose(choice.group or None)
            grant = assigned(container, level, book, self._means, group=choice.group)
            stage = Stage(changes=[*changes, PutGrant(grant)], notices=[grant_notice(grant, Kind.GRANTED)])
        else:
            assert choice is not None
            stage = draft([choice], book, self._means)
        return replace(stage, changes=[*self._former(container.id, stage.changes), *stage.changes])

    def _former(self, container: ContainerId, changes: list[Change]) -> list[Change]:
        """Take back what the container held until now and does not hold any more."""
        kept = {change.grant.id for change in changes if isinstance(change, PutGrant)}
        return [
            PutGrant(grant.after(GrantEvent.RECLAIMED, self._means.now()))
            for grant in self._scribe.book.grants()
            if grant.container == container and grant.id not in kept and grant.state.is_living
        ]


def _inseparable(level: Level, other: str) -> tuple[str, str]:
    return (
        f"its level {level} is not separate from that of {other}",
        "make it again: it gets another level then",
    )


def _at(context: str, level: Level) -> str:
    parsed = Context.parse(context)
    return f"{parsed.user}:{parsed.role}:{parsed.type}:{level}"
