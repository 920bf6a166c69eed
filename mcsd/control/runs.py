"""Runs: a command at a pair of its own, from the request to the end of its process.

Theory of operation ------------------- `mcsctl run` makes two requests. With the first (`create`) its own
process gets a run: a level that nobody holds, and the record of what it is to have, in one transaction. From
then on the run is a container like any other (`mcsd.control.run_engine`): the reconciler labels its volumes.
mcsctl then sets the context for its next execve(2), and with the second request (`start`) waits until the
volumes are ready. The answer lets it execute the command, in its own place, so that the first process of the
run is the command's.

What always holds:

- A run lasts as long as its process, which is mcsctl's and then the command's: the same pid, start and boot.
  So whoever is killed, and whenever, the run ends (`mcsd.control.life_watch`), also while mcsd does not run.
- The end of a run is the removal of a container: its level goes into quarantine, its volumes are restored
  after their linger.
- A command is only let start when each of its volumes is ready, or is one that is never labelled.

What a failure means: a run whose volumes cannot be had is ended at once, and the error is the volume's.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from mcsd.blocking.calls import Blocking
from mcsd.control.executor import grant_notice
from mcsd.control.life_watch import Lives
from mcsd.control.reclaimer import Reclaimer
from mcsd.control.reconciler import Reconciler
from mcsd.control.reservations import Reservations
from mcsd.core.blocked import Party, Subject
from mcsd.core.changes import DropRun, PutGrant, PutRun
from mcsd.core.containers import RUN, ContainerId
from mcsd.core.grants import Grant, GrantState, Origin
from mcsd.core.hints import Hint
from mcsd.core.labels import Context
from mcsd.core.lives import Life, LifeRequest, ProcessLife
from mcsd.core.notices import Kind
from mcsd.core.runs import PREFIX, Run, RunRequest, can_be_wished
from mcsd.core.volumes import Claim, ClaimMode, ClaimState, GrantId
from mcsd.errors import ConflictError, McsdError, NotFoundError, RequestError, VolumeFailedError
from mcsd.ports import Selinux
from mcsd.state.state import State


@dataclass(frozen=True, slots=True)
class Means:
    """The parts that give a run what a container has."""

    reservations: Reservations
    reclaimer: Reclaimer
    reconciler: Reconciler
    file_type: str
    """`[labels] file_type`."""


class Runs:
    """Owned by the event loop's thread. `look` requests a look at a run, `changed` at all lives."""

    def __init__(
        self,
        state: State,
        means: Means,
        lives: Lives,
        selinux: Selinux,
        blocking: Blocking,
        look: Callable[[ContainerId], None],
        changed: Callable[[], None],
    ) -> None:
        self._state = state
        self._means = means
        self._lives = lives
        self._selinux = selinux
        self._blocking = blocking
        self._look = look
        self._changed = changed

    # --- beginning ---------------------------------------------------------------------------------

    async def create(self, wanted: RunRequest, pid: int) -> tuple[Run, Context]:
        """Give the process `pid`, which asks for it, a run; return it with the label of its files.

        Raises `RequestError` for what makes no sense, `ConflictError` for a name that somebody has,
        `SelinuxError` if there is no SELinux or no such domain, and as `Reservations.reserve` does.
        """
        life = self._lives.begin(LifeRequest(pid=pid))
        assert isinstance(life, ProcessLife), "a process was asked for"
        _require_sense(wanted)
        domain, file = await self._contexts(wanted.domain)
        await self._means.reservations.require_holders()
        await self._means.reservations.prepare_group(wanted.group)
        wanted = replace(wanted, name=wanted.name or f"run-{pid}")
        run = await self._means.reclaimer.relieve(lambda: self._create(wanted, life, domain))
        self._changed()
        return run, file.at(run.context.level)

    async def _contexts(self, domain: str) -> tuple[Context, Context]:
        """Return the contexts for a run's processes and files, without its level."""
        selinux = self._selinux
        return await self._blocking.run(
            Subject(Party.POLICY),
            lambda: (selinux.container_domain(domain), selinux.file_context(self._means.file_type, "s0")),
        )

    async def _create(self, wanted: RunRequest, life: ProcessLife, domain: Context) -> Run:
        await self._state.process_levels.refresh()  # before the lock for decisions is taken: it may take time
        store, now = self._state.store, self._lives.clock.now()
        async with store.deciding:
            self._require_free(wanted.name)
            changes, level = self._means.reservations.choose(wanted.group or None)
            run = Run(
                id=ContainerId(PREFIX + uuid.uuid4().hex),
                name=wanted.name,
                life=life,
                context=domain.at(level),
                created=now,
                group=wanted.group,
                command=wanted.command,
                volumes=wanted.volumes,
            )
            grant = Grant(
                id=GrantId(store.cache.next_grant),
                container=run.id,
                name=run.name,
                level=level,
                origin=Origin.ASSIGNED,
                state=GrantState.ACTIVE,
                since=now,
                group=run.group,
                engine=RUN,
            )
            await store.commit([*changes, PutGrant(grant), PutRun(run)])
        self._state.bus.emit(grant_notice(grant, Kind.GRANTED))
        return run

    def _require_free(self, name: str) -> None:
        taken = {one.name for one in self._state.container_status.containers()}
        taken |= {grant.name for grant in self._state.store.cache.grants() if grant.state.is_living}
        if name in taken:
            raise ConflictError(f"the name {name!r} is taken", hint=Hint.ANOTHER_NAME.say())

    # --- starting ----------------------------------------------------------------------------------

    async def start(self, key: str) -> None:
        """Wait until a run's volumes are ready, and let it execute its command from then on.

        Raises `NotFoundError` if there is no such run (any more). If a volume cannot be had, the run ends,
        and this raises why: `ConflictError` if a rule or a holder is in the way, `VolumeFailedError`
        otherwise.
        """
        run = self._present(key)
        try:
            await self._means.reconciler.reconcile(run.id)
            self._require_ready(run)
        except McsdError:
            await self.end(run.id, run.life)
            raise
        async with self._state.store.deciding:
            run = replace(self._present(key), started=self._lives.clock.now())
            await self._state.store.commit([PutRun(run)])
        await self._means.reconciler.reconcile(run.id)

    def _present(self, key: str) -> Run:
        run = self._state.store.cache.run(key)
        if run is None:
            raise NotFoundError(f"there is no run {key!r}", hint=Hint.RUN_AGAIN.say())
        return run

    def _require_ready(self, run: Run) -> None:
        sighting = self._state.container_status.sighting(run.id)
        grant = self._state.store.cache.grant_of(run.id)
        if sighting is None or grant is None:
            raise NotFoundError(f"the process of run {run.name!r} has ended", hint=Hint.RUN_AGAIN.say())
        if sighting.error:
            raise VolumeFailedError(f"run {run.name!r}: {sighting.error}", hint=sighting.error_hint)
        for claim in self._state.store.cache.claims_of(grant.id):
            if claim.mode.is_labelled and claim.state is not ClaimState.READY:
                raise _unready(claim)

    # --- ending ------------------------------------------------------------------------------------

    def lives(self) -> Mapping[ContainerId, Life]:
        """Return the lives of all runs."""
        return {run.id: run.life for run in self._state.store.cache.runs()}

    async def end(self, key: ContainerId, life: Life) -> None:
        """End a run whose process is gone; nothing if it has ended already. Raises `LedgerError`."""
        async with self._state.store.deciding:
            run = self._state.store.cache.run(key)
            if run is None or run.life != life:
                return
            await self._state.store.commit([DropRun(key)])
        self._state.walks.cancel(key)
        self._look(key)


def _require_sense(wanted: RunRequest) -> None:
    for volume in wanted.volumes:
        if volume.mode is not None and not can_be_wished(volume.path):
            raise RequestError(
                f"volume {volume.path!r} can have no mode of its own",
                hint=Hint.PLAIN_PATH.say(path=volume.path),
            )
        if volume.mode is ClaimMode.GROUP and not wanted.group:
            raise RequestError(
                f"volume {volume.path!r} is to be a group's, and no group is named",
                hint=Hint.NAME_GROUP.say(),
            )


def _unready(claim: Claim) -> McsdError:
    reason = claim.reason or f"it is {claim.state.value}"
    kind = ConflictError if claim.state is ClaimState.REFUSED else VolumeFailedError
    return kind(f"volume {claim.source!r} cannot be had: {reason}", hint=claim.hint)
