"""The daemon's side of the gate: a container's level and volumes, ready before its first instruction.

Theory of operation ------------------- The gate calls `create` at each start, and continues with runc and the
returned labels. `create` finds out what the container is, chooses its level (`mcsd.core.gating`), records the
grant, and has the reconciler settle its volumes, as for any other container. `delete` says that the container
has ended or its start has failed. `mcsd.state.start_tracker` marks earlier observations of the container as
outdated.

What always holds:

- While the gate waits, Docker holds the container's lock: nothing here may ask Docker's `inspect` about it.
  Earlier observations count, or `list_one`, over connections of its own.
- A start is answered within `[gate] deadline`. The work continues afterwards, for this start or the next.
- A level is granted only after a scan of the levels of processes, unless the container has it already.
- No start continues at a level that another holder has, whatever `[gate] on_error` says.
- One start at a time for each container: it is `alone` with the reconciler.

What a failure means: `GateError` refuses the start, and the user sees the reason and what to do. With
`on_error = "start"`, a container that could not be prepared starts at Docker's level instead, with a warning.
If the gate is killed, nothing ends its start; a later observation of the container does.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace

from mcsd.blocking.calls import Blocking
from mcsd.config import GateOnError, GateTable
from mcsd.control.executor import Draft, DraftInputs, assigned, draft, grant_notice
from mcsd.control.observer import Observer
from mcsd.control.reclaimer import Reclaimer
from mcsd.control.reconciler import Reconciler
from mcsd.control.reservations import Reservations
from mcsd.core.blocked import Party, Subject
from mcsd.core.changes import Change, PutGrant
from mcsd.core.containers import DOCKER, Container, ContainerId, title_of
from mcsd.core.described import Described
from mcsd.core.gating import Choice, Fresh, GateLevel, MayHold, choose, has_own_level, is_gated
from mcsd.core.grants import Grant, GrantEvent, GrantState, Origin
from mcsd.core.hints import Hint
from mcsd.core.labels import Context, Level
from mcsd.core.notices import Kind, Notice
from mcsd.core.plan import Adopt, Observed, taken_back
from mcsd.core.sharing import conflicts_of
from mcsd.core.volumes import Claim, ClaimState, GrantId, overlap
from mcsd.errors import GateError, HostError, McsdError, SelinuxError
from mcsd.ports import ContainerEngine
from mcsd.state.state import State
from mcsd.state.store import LEDGER

GLANCE = 0.5
"""Seconds that a scan of processes may take if the container has its level already."""


@dataclass(frozen=True, slots=True)
class StartRequest:
    """What the gate knows about a start. The labels are the engine's."""

    container: ContainerId
    process_label: Context
    mount_label: Context
    security_options: tuple[str, ...] = ()
    ipc_mode: str = ""
    pid_mode: str = ""
    subpaths: tuple[tuple[str, str], ...] = ()
    """The mounted subpaths of volumes, by destination, which are not in the list of containers."""
    described: Described | None = None
    """The container, if the caller describes it: its engine cannot be asked about it meanwhile."""
    obstacle: str = ""
    """Why its file systems cannot be mounted with another level than the engine's; "" if they can."""
    keeps_level: bool = False
    """Whether it starts at the engine's level whatever mcsd answers: a hook asks, and not the gate."""


@dataclass(frozen=True, slots=True)
class StartLabels:
    """The answer: the labels to start with, None for the engine's."""

    process_label: Context | None = None
    mount_label: Context | None = None
    warning: str = ""


@dataclass(frozen=True, slots=True)
class Preparers:
    """The parts that prepare a start: they observe, grant a level, label volumes, and free levels."""

    observer: Observer
    reconciler: Reconciler
    reservations: Reservations
    reclaimer: Reclaimer
    means: DraftInputs
    may_hold: MayHold = lambda _: True
    """Whether the fleet lets a container start at a level that it has had before."""


class StartAdmission:
    """Prepares starts. Owned by the event loop's thread."""

    def __init__(
        self,
        *,
        config: GateTable,
        engines: Mapping[str, ContainerEngine],
        names: Mapping[str, str],
        state: State,
        preparers: Preparers,
        blocking: Blocking,
        look: Callable[[ContainerId], None],
        look_later: Callable[[ContainerId], None],
    ) -> None:
        """`names` are those of the engines by kind, the first of each."""
        self._config = config
        self._engines = engines
        self._engine_names = names
        self._observer = preparers.observer
        self._reconciler = preparers.reconciler
        self._reservations = preparers.reservations
        self._reclaimer = preparers.reclaimer
        self._store = state.store
        self._container_status = state.container_status
        self._starts = state.starts
        self._process_levels = state.process_levels
        self._bus = state.bus
        self._host = state.host
        self._means = preparers.means
        self._may_hold = preparers.may_hold
        self._blocking = blocking
        self._look = look
        self._look_later = look_later
        self._at_work: set[asyncio.Task[StartLabels]] = set()
        self._goes_ahead: set[ContainerId] = set()
        """Containers that were allowed to start although the work for them continues."""
        self._names: dict[ContainerId, str] = {}
        """Names of containers being prepared, because a new one's is not known elsewhere yet."""

    async def create(self, request: StartRequest) -> StartLabels:
        """Prepare a start; raise `GateError` if it must not continue."""
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
        """Note that the container's process has ended, or was never created."""
        self._starts.end(container)
        self._look(container)

    async def close(self) -> None:
        """Cancel the remaining work for starts that were answered."""
        for work in self._at_work:
            work.cancel()
        if self._at_work:
            await asyncio.wait(self._at_work)

    def _late(self, request: StartRequest, work: asyncio.Task[StartLabels]) -> StartLabels:
        """Answer for a start that is not ready in time; the work continues, for this start or the next."""
        work.add_done_callback(lambda _: self._finished_late(request.container, work))
        seconds = self._config.deadline
        reason, hint = self._what_is_late(request.container)
        grant = self._store.cache.grant_of(request.container)
        is_settled = grant is not None and grant.state is GrantState.ACTIVE and not request.obstacle
        if not is_settled:
            self._refuse_docker_s_level(request)
        admission = self._failed(request, f"{reason} after {seconds:g} s", hint)
        self._goes_ahead.add(request.container)
        if grant is None or not is_settled:
            return admission
        return replace(self._labels(request, grant), warning=admission.warning)

    def _what_is_late(self, container: ContainerId) -> tuple[str, str]:
        """Return what a start waits for: what hangs and concerns it, or else its volumes."""
        grant = self._store.cache.grant_of(container)
        claims = self._store.cache.claims_of(grant.id) if grant is not None else ()
        mine = {Subject(Party.VOLUME, claim.source) for claim in claims}
        for blocked in self._blocking.blocked():
            if blocked.subject in mine or blocked.subject.party is not Party.VOLUME:
                return f"it is not ready, for {blocked.sentence},", blocked.subject.hint
        return (
            "its volumes are not ready",
            Hint.WAIT_LONGER.say(name=self._name_of(container)),
        )

    def _finished_late(self, container: ContainerId, work: asyncio.Task[StartLabels]) -> None:
        if container in self._goes_ahead:
            self._goes_ahead.discard(container)
        else:
            self.delete(container)  # it was refused, and nobody waits for it any more
        if not work.cancelled() and (exc := work.exception()) is not None and not isinstance(exc, McsdError):
            self._bus.report_bug(f"the gate's late start of {container[:12]}", exc)

    async def _prepare(self, request: StartRequest) -> StartLabels:
        try:
            container = await self._container(request)
            self._names[request.container] = container.name
            async with self._beginning(container.id):
                return await self._prepare_alone(container, request)
        except GateError:
            raise
        except McsdError as exc:
            return self._as_docker_has_it(request, exc.what, exc.hint)
        finally:
            self._names.pop(request.container, None)

    @asynccontextmanager
    async def _beginning(self, container: ContainerId) -> AsyncIterator[None]:
        async with self._reconciler.alone(container):
            self._starts.begin(container)
            self._look_later(container)  # if the gate is killed, no event may tell how the start ended
            try:
                yield
            except BaseException:
                self._starts.end(container)
                raise
            finally:
                self._starts.act(container)

    async def _prepare_alone(self, container: Container, request: StartRequest) -> StartLabels:
        obstacle, warning = self._obstructed(container, request), ""
        wanted = GateLevel.DOCKER if request.obstacle or request.keeps_level else self._config.level
        grant = await self._reclaimer.relieve(lambda: self._grant(container, wanted))
        await self._settle(container)
        if await self._look_at_unseen(grant):
            await self._settle(container)
        labels = self._labels(request, grant)
        if request.obstacle and grant.level != request.process_label.level:
            reason = f"it needs the level {grant.level}, and {request.obstacle}"
            return self._as_docker_has_it(request, reason, Hint.OWN_NAMESPACES.say())
        if obstacle:  # reported here, when it is certain that it starts
            warning = self._failed(request, obstacle, Hint.KEEP_LEVEL.say()).warning
        others = [other for other in conflicts_of(grant, self._store.cache) if other.state.is_living]
        if others and not has_own_level(container):
            warning = self._failed(request, *_inseparable(grant.level, others[0].name)).warning
        missing = self._missing(grant)
        if missing:
            first = missing[0]
            admission = self._failed(
                request, f"volume {first.source}: {first.reason or first.state.value}", first.hint
            )
            warning = admission.warning
        return replace(labels, warning=warning)

    async def _settle(self, container: Container) -> None:
        surveys, sights = await self._observer.mounts(container)
        host = self._host()
        await self._reconciler.settle(
            Observed(container.id, container, host, sights, gated=True, starting=True, surveys=surveys)
        )

    def _missing(self, grant: Grant) -> list[Claim]:
        return [claim for claim in self._claims(grant) if claim.state is not ClaimState.READY]

    async def _look_at_unseen(self, grant: Grant) -> bool:
        """Look at what is in the way and was not seen since mcsd started; return whether there was any.

        After a boot, the first start may come before the engine has told who is left: Podman's units make a
        new container each time, and the former one is gone. Podman may even be unable to tell, because this
        start holds what it waits for. So one at a level of mcsd's is taken for ended if the kernel has no
        process at it; others are asked about. One that is starting itself is left alone.
        """
        cache = self._store.cache
        wanted = [claim.source for claim in self._missing(grant)]
        unseen = [
            other
            for other in (cache.grants() if wanted else ())
            if other.container
            and other.id != grant.id
            and other.state.is_living
            and self._container_status.get(other.container) is None
            and not self._starts.is_starting(other.container)
            and any(overlap(claim.source, one) for claim in cache.claims_of(other.id) for one in wanted)
        ]
        ended = await self._end_without_process(unseen)
        for other in unseen:
            if other.id not in ended:
                with suppress(McsdError):  # then it stays in the way, and the start is refused for it
                    await self._reconciler.reconcile(other.container)
        return bool(unseen)

    async def _end_without_process(self, grants: Collection[Grant]) -> frozenset[GrantId]:
        """Take back the levels that mcsd chose and no process carries; return whose these are."""
        host = self._host().selinux
        if not grants or not host.enabled or host.backend != "kernel":
            return frozenset()
        with suppress(SelinuxError, HostError):
            await self._reconciler.refresh_carriers()
            async with self._store.deciding:
                carried = {process.level for process in self._process_levels.seen()}
                found = [one for one in grants if one.origin is Origin.ASSIGNED and one.level not in carried]
                same = [one for one in found if self._store.cache.grant(one.id) == one]
                await self._commit(
                    draft([taken_back(one) for one in same], self._store.cache, self._means, {})
                )
            return frozenset(one.id for one in same)
        return frozenset()

    def _as_docker_has_it(self, request: StartRequest, reason: str, hint: str) -> StartLabels:
        """Continue a start at the level that Docker chose, if [gate] on_error says so.

        Raises `GateError` if it does not, or another holder has that level.
        """
        if self._config.on_error is GateOnError.START:
            self._refuse_docker_s_level(request)
        return self._failed(request, reason, hint)

    def _refuse_docker_s_level(self, request: StartRequest) -> None:
        """Raise `GateError`, and report it, if a living holder has the level that Docker chose."""
        level = request.process_label.level
        mine = {request.container, *(mode.partition(":")[2] for mode in (request.ipc_mode, request.pid_mode))}
        for other in self._store.cache.grants_near(level) if level.categories else ():
            if other.state.is_living and not {other.container, other.name} & mine:
                raise self._refused(request, *_inseparable(level, other.name))

    def _obstructed(self, container: Container, request: StartRequest) -> str:
        """Return why a container cannot run at a level that mcsd chose, "" if it can.

        Raises `GateError` if such a container is not started."""
        if not request.obstacle or self._config.level is GateLevel.DOCKER or has_own_level(container):
            return ""
        reason = f"it cannot be given a level of mcsd's own: {request.obstacle}"
        if self._config.on_error is GateOnError.REFUSE:
            raise self._refused(request, reason, Hint.KEEP_LEVEL.say())
        return reason

    async def _container(self, request: StartRequest) -> Container:
        """Combine what is known about the container, from earlier or from the list, with what the gate
        says."""
        seen = self._container_status.get(request.container)
        if request.described is not None:
            container = self._described(request, request.described, seen)
        else:
            docker = self._docker()
            container = seen or await docker.list_one(request.container)
            if not is_gated(container, self._host()):
                self._host.engine_is(DOCKER, await docker.info())  # this call proves that it was reloaded
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
            mounts=tuple(mount.in_part(dict(request.subpaths)) for mount in container.mounts),
        )

    def _described(self, request: StartRequest, described: Described, seen: Container | None) -> Container:
        name, title = self._engine_names.get(described.kind), title_of(described.kind)
        if name is None:
            raise GateError(f"it is {title}'s, and mcsd watches no {title}", hint=Hint.NAME_ENGINE.say())
        info = self._host().engines.get(name)
        return described.container(request.container, name, seen, info.root_directory if info else "")

    def _docker(self) -> ContainerEngine:
        docker = self._engines.get(DOCKER)
        if docker is None:
            raise GateError("it is Docker's, and [docker] is not enabled", hint=Hint.NAME_ENGINE.say())
        return docker

    def _claims(self, grant: Grant) -> tuple[Claim, ...]:
        claims = self._store.cache.claims_of(grant.id)
        return tuple(claim for claim in claims if claim.mode.is_labelled)

    def _labels(self, request: StartRequest, grant: Grant) -> StartLabels:
        return StartLabels(request.process_label.at(grant.level), request.mount_label.at(grant.level))

    def _failed(self, request: StartRequest, reason: str, hint: str) -> StartLabels:
        if self._config.on_error is GateOnError.REFUSE:
            raise self._refused(request, reason, hint)
        fields = {"name": self._name(request), "reason": reason, "hint": hint}
        self._bus.emit(Notice(Kind.START_UNPREPARED, fields, request.container))
        return StartLabels(warning=f"started all the same, as [gate] on_error says: {reason}")

    def _refused(self, request: StartRequest, reason: str, hint: str) -> GateError:
        """Report a refused start to the journal; return the error to raise."""
        fields = {"name": self._name(request), "reason": reason, "hint": hint}
        self._bus.emit(Notice(Kind.START_REFUSED, fields, request.container))
        return GateError(f"container {self._name(request)} is not started: {reason}", hint=hint)

    def _name(self, request: StartRequest) -> str:
        return self._name_of(request.container)

    def _name_of(self, container: ContainerId) -> str:
        known = self._container_status.get(container) or self._store.cache.grant_of(container)
        return self._names.get(container) or (known.name if known else container[:12])

    # --- the level ---------------------------------------------------------------------------------

    async def _grant(self, container: Container, wanted: GateLevel) -> Grant:
        self._blocking.require(LEDGER)  # rather than wait for the holder of the lock
        cache = self._store.cache
        first = choose(container, cache, wanted, self._may_hold)
        if isinstance(first, Fresh):
            await self._reservations.prepare_group(first.group)
        has_looked = await self._look_who_runs(first)
        async with self._store.deciding:
            choice = choose(container, cache, wanted, self._may_hold)
            self._require_of_fleet(container, choice)
            if isinstance(choice, Fresh) and not has_looked:
                raise GateError("its level was taken meanwhile", hint=Hint.START_AGAIN.say())
            if choice is not None:
                await self._commit(self._draft(container, choice))
            grant = cache.grant_of(container.id)
            assert grant is not None, "the container holds what was chosen"
            return grant

    async def _commit(self, stage: Draft) -> None:
        """Record decisions, and report them; the caller holds `deciding`."""
        await self._store.commit(stage.changes)
        self._reclaimer.heed(stage.changes)
        for notice in stage.notices:
            self._bus.emit(notice)

    def _require_of_fleet(self, container: Container, choice: Choice) -> None:
        """Raise `GateError` if mcsd chose the level once, and the fleet may have given it to another host."""
        if isinstance(choice, Fresh | Adopt):
            return
        cache = self._store.cache
        grant = cache.grant(choice.grant) if choice is not None else cache.grant_of(container.id)
        if grant is not None and grant.origin is Origin.ASSIGNED and not self._may_hold(grant.level):
            raise GateError(
                f"its level {grant.level} is not certain to be this host's alone", hint=Hint.ASK_FLEET.say()
            )

    async def _look_who_runs(self, choice: Choice) -> bool:
        """Scan processes before a level is chosen; if the container has its level, do not wait long."""
        if isinstance(choice, Fresh):
            await self._reconciler.refresh_carriers()
            return True
        with suppress(HostError, TimeoutError):
            async with asyncio.timeout(GLANCE):
                await self._reconciler.refresh_carriers()
                return True
        return False

    def _draft(self, container: Container, choice: Choice) -> Draft:
        cache = self._store.cache
        if isinstance(choice, Fresh):
            changes, level = self._reservations.choose(choice.group or None)
            grant = assigned(container, level, cache, self._means, group=choice.group)
            stage = Draft(changes=[*changes, PutGrant(grant)], notices=[grant_notice(grant, Kind.GRANTED)])
        else:
            assert choice is not None
            stage = draft([choice], cache, self._means, {})  # no labels are needed
        return replace(stage, changes=[*self._former(container.id, stage.changes), *stage.changes])

    def _former(self, container: ContainerId, changes: list[Change]) -> list[Change]:
        """Release what the container held until now and does not hold any more."""
        kept = {change.grant.id for change in changes if isinstance(change, PutGrant)}
        return [
            PutGrant(grant.after(GrantEvent.RECLAIMED, self._means.now()))
            for grant in self._store.cache.grants()
            if grant.container == container and grant.id not in kept and grant.state.is_living
        ]


def _inseparable(level: Level, other: str) -> tuple[str, str]:
    return (
        f"its level {level} is not separate from that of {other}",
        Hint.NEW_LEVEL.say(),
    )
