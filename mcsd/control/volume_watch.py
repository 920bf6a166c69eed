"""Watching volumes, and correcting what others change in them: carries out `mcsd.core.watching`.

Files that were moved out are restored; files that were moved in or changed get the volume's label, at once
and one by one, or by a walk if too much has changed. Until everything is correct again, the volume's state
says what is wrong (`mcsd.state.disk`), so that no container is reported as isolated based on the ledger
alone. Each change is reported once, and a volume that is changed again and again is corrected less and less
often.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from mcsd.blocking.calls import Blocking
from mcsd.control.executor import WalkOutcome, skipped_text
from mcsd.core.blocked import Party, Subject
from mcsd.core.disk import Loss, WatchEvent, Watching, What
from mcsd.core.labels import Context, Label, UnreadableLabel, level_of
from mcsd.core.notices import Kind, Notice
from mcsd.core.protected import is_left_alone
from mcsd.core.volumes import Volume, VolumeId, VolumePhase
from mcsd.core.watching import (
    SOMEBODY,
    Judgement,
    holders,
    is_shared_by_others,
    is_watchable,
    judge,
)
from mcsd.errors import (
    HostError,
    LedgerError,
    SelinuxError,
    VolumeFailedError,
    VolumeRefusedError,
)
from mcsd.ports import Clock, DiskWatch, Selinux
from mcsd.state.state import State

SETTLING = 3.0
"""Seconds until a newly watched volume is checked, because the engine relabels some at a start."""
EPISODE = 60.0
"""Seconds for which the same change to the same volume is not reported again."""
AT_ONCE = 4
"""Volumes for which a watch is set up concurrently, without those that take longer than `PATIENCE`."""
PATIENCE = 10.0
AGAIN = 600.0
"""Seconds until a volume that could not be watched is tried again."""
PAUSE = 0.1
"""Seconds between two updates of what is watched: most look at all volumes, and starts come many at once."""
SHARE = 0.2
"""The share of the time for correcting a volume that is changed again and again."""
LONGEST_PAUSE = 60.0
"""The most seconds that a volume rests after a correction."""

_FAILURES = (VolumeFailedError, VolumeRefusedError, HostError)

_SENTENCES = {
    What.RELABELLED: "{who} changed labels in it",
    What.MOVED_IN: "something was moved in",
    What.CREATED: "something was made with another label",
    What.DIFFERS: "something in it changed unseen",
}


@dataclass(slots=True)
class _Case:
    """Events to be judged for one volume, and until when it rests after a correction."""

    sights: list[WatchEvent] = field(default_factory=list)
    is_busy: bool = False
    rests_until: float = float("-inf")


class VolumeWatch:
    """Owned by the event loop's thread.

    `label_again` walks a volume whatever its root says, `may_label` tells whether files in it may be labelled
    one by one; `look_soon` has one checked in the background, after so many seconds.
    """

    def __init__(
        self,
        *,
        watch: DiskWatch,
        state: State,
        selinux: Selinux,
        blocking: Blocking,
        clock: Clock,
        label_again: Callable[[VolumeId], Awaitable[WalkOutcome | None]],
        may_label: Callable[[VolumeId], Awaitable[bool]],
        look_soon: Callable[[VolumeId, float], None],
    ) -> None:
        self._watch = watch
        self._disk = state.disk
        self._store = state.store
        self._walks = state.walks
        self._container_status = state.container_status
        self._selinux = selinux
        self._blocking = blocking
        self._bus = state.bus
        self._clock = clock
        self._label_again = label_again
        self._may_label = may_label
        self._look_soon = look_soon
        self._wake = asyncio.Event()
        self._is_whole = True
        """Whether the next update is of all volumes, not only of those that are shared."""
        self._shared: set[VolumeId] = set()
        self._watched: dict[VolumeId, tuple[Volume, bool]] = {}
        self._failure: BaseException | None = None
        self._taking: dict[VolumeId, asyncio.Task[None]] = {}
        self._retries: dict[VolumeId, float] = {}
        self._cases: defaultdict[VolumeId, _Case] = defaultdict(_Case)
        self._told: dict[tuple[VolumeId, Kind, str], float] = {}

    def directories(self) -> int:
        """How many directories are watched."""
        return self._watch.directories()

    @property
    def is_at_work(self) -> bool:
        """Whether an event has yet to be judged or corrected."""
        return any(case.is_busy for case in self._cases.values())

    def counts(self) -> Mapping[str, int]:
        """Count labelled volumes by how changes to them become known."""
        found = Counter(
            self._disk.state(one.id).watching for one in self._store.cache.volumes() if is_watchable(one)
        )
        return {watching.value: found[watching] for watching in Watching}

    # -- what is watched

    def wake(self) -> None:
        """Request an update, because the ledger has changed."""
        self._is_whole = True
        self._wake.set()

    def wake_shared(self) -> None:
        """Request an update of shared volumes: a container was observed, perhaps with another label."""
        self._wake.set()

    async def keep_watched(self) -> None:
        """Keep labelled volumes watched, for ever; smaller ones first."""
        try:
            while True:
                self._wake.clear()
                await self._update()
                await asyncio.sleep(PAUSE)
                try:
                    async with asyncio.timeout(self._until_retry()):
                        await self._wake.wait()
                except TimeoutError:
                    self._is_whole = True
        finally:
            for task in self._taking.values():
                task.cancel()

    async def _update(self) -> None:
        if self._is_whole:
            self._is_whole = False
            await self.synchronise()
        else:
            shared = map(self._store.cache.volume, sorted(self._shared))
            await self._watch_due([one for one in shared if one is not None])

    def _until_retry(self) -> float | None:
        if not self._retries:
            return None
        return max(0.0, min(self._retries.values()) - asyncio.get_running_loop().time())

    async def synchronise(self) -> None:
        """Watch labelled volumes that are not watched, and release those without labels."""
        if self._failure is not None:
            raise self._failure
        wanted = {one.id: one for one in self._store.cache.volumes() if is_watchable(one)}
        for gone in [one for one in self._watched if one not in wanted]:
            self._watch.release(gone)
            del self._watched[gone]
        for retried in [one for one in self._retries if one not in wanted]:
            del self._retries[retried]
        for one in [one for one in self._cases if one not in wanted and not self._cases[one].is_busy]:
            del self._cases[one]
        self._shared &= wanted.keys()
        self._disk.keep(wanted)
        await self._watch_due(sorted(wanted.values(), key=lambda one: (one.inodes, one.id)))

    async def _watch_due(self, volumes: Iterable[Volume]) -> None:
        for volume in volumes:
            if (
                volume.phase is VolumePhase.LABELLED
                and volume.id not in self._taking
                and await self._is_due(volume)
            ):
                await self._begin(volume)
        if self._taking:
            await asyncio.wait(self._taking.values(), timeout=PATIENCE)

    async def _begin(self, volume: Volume) -> None:
        """Set up a watch, a few at a time; a hung file system does not delay the others for long."""
        if len(self._taking) >= AT_ONCE:
            await asyncio.wait(self._taking.values(), timeout=PATIENCE, return_when=asyncio.FIRST_COMPLETED)
        task = self._taking[volume.id] = asyncio.create_task(self._take(volume))
        task.add_done_callback(lambda _: self._taken(volume.id, task))

    def _taken(self, volume: VolumeId, task: asyncio.Task[None]) -> None:
        del self._taking[volume]
        if not task.cancelled() and task.exception() is not None:
            self._failure = task.exception()
            self.wake()

    async def _is_due(self, volume: Volume) -> bool:
        retry = self._retries.get(volume.id)
        if retry is not None:
            return retry <= asyncio.get_running_loop().time()
        known = self._watched.get(volume.id)
        if known is None:
            return True
        before, with_files = known
        same = (before.path, before.identity, before.target) == (volume.path, volume.identity, volume.target)
        return not same or with_files != await self._with_files(volume)

    async def _take(self, volume: Volume) -> None:
        with_files = await self._with_files(volume)
        answer = await self._watch.watch(
            volume.id, volume.path, volume.identity, str(volume.target), with_files=with_files
        )
        if self._store.cache.volume(volume.id) is None:
            self._watch.release(volume.id)
            return
        state = self._disk.state(volume.id)
        if answer.is_watched:
            self._watched[volume.id] = volume, with_files
            self._retries.pop(volume.id, None)
            mounted = self._watch.mounts_inside(volume.id)
            self._disk.put(volume.id, replace(state, watching=Watching.WATCHED, why="", mounted=mounted))
            self._look_soon(volume.id, SETTLING)  # for changes until now, other than the engine's at a start
        else:
            self._unwatched(volume, answer.why)

    def _unwatched(self, volume: Volume, why: str) -> None:
        self._watched.pop(volume.id, None)
        self._retries[volume.id] = asyncio.get_running_loop().time() + AGAIN
        state = self._disk.state(volume.id)
        if state.watching is not Watching.ROUNDS or state.why != why:
            self._bus.emit(Notice(Kind.VOLUME_UNWATCHED, {"volume": volume.path, "reason": why}))
        self._disk.put(volume.id, replace(state, watching=Watching.ROUNDS, why=why))
        self.wake()

    async def _with_files(self, volume: Volume) -> bool:
        """Tell whether new files in a volume get a label other than the volume's.

        If the kernel does not answer, or cannot be asked, the result is True: then files are watched too,
        which only costs more.
        """
        grants = is_shared_by_others(volume, self._store.cache)
        if grants:
            self._shared.add(volume.id)
        else:
            self._shared.discard(volume.id)
        for grant in grants:
            container = self._container_status.get(grant.container)
            label = container.process_label if container is not None else None
            if label is None:
                continue
            if isinstance(label, UnreadableLabel):
                return True
            try:
                made = await self._label_of_new(label.at(grant.level), volume)
            except SelinuxError:  # no SELinux in the kernel: new files get no label either
                continue
            except HostError:
                return True
            if level_of(made) != volume.level:
                return True
        return False

    async def _label_of_new(self, process: Context, volume: Volume) -> Label:
        return await self._blocking.run(
            Subject(Party.POLICY), lambda: self._selinux.label_of_new(process, volume.target)
        )

    # -- what happens

    async def follow(self) -> None:
        """Judge and handle events for ever: volumes concurrently, each in order."""
        async with asyncio.TaskGroup() as group:
            while True:
                for news in await self._watch.next():
                    if isinstance(news, Loss):
                        self._lost(news)
                        continue
                    if news.what is What.MOUNTED:
                        self._covered(news)
                        continue
                    case = self._cases[news.volume]
                    case.sights.append(news)
                    if not case.is_busy:
                        case.is_busy = True
                        group.create_task(self._work_off(news.volume, case))

    def _lost(self, loss: Loss) -> None:
        volume = self._store.cache.volume(loss.volume)
        if volume is None:
            return
        if not loss.is_watched:
            self._unwatched(volume, loss.why)
        state = self._disk.state(loss.volume)
        self._disk.put(loss.volume, replace(state, mounted=self._watch.mounts_inside(loss.volume)))
        self._look_soon(loss.volume, 0.0)

    async def _work_off(self, volume: VolumeId, case: _Case) -> None:
        try:
            while case.sights:
                sights, case.sights = case.sights, []
                await self._handle(volume, sights, case)
        except (LedgerError, HostError):
            self._look_soon(volume, 0.0)  # reported by the store, or shown as not answering
        finally:
            case.is_busy = False

    async def _handle(self, volume_id: VolumeId, sights: list[WatchEvent], case: _Case) -> None:
        volume = self._store.cache.volume(volume_id)
        if volume is None:
            return
        for sight in sights:
            if sight.what is What.MOVED_OUT:
                await self._follow(volume, sight)
        judgement = self._judge(volume, sights)
        if not judgement.findings:
            return
        state = self._disk.state(volume_id)
        self._disk.put(volume_id, state.with_findings(judgement.findings, len(judgement.findings)))
        await self._wait_for_turn(case)
        loop = asyncio.get_running_loop()
        began = loop.time()
        await self._put_right(volume_id, judgement)
        took = loop.time() - began
        case.rests_until = loop.time() + min(took * (1 - SHARE) / SHARE, LONGEST_PAUSE)

    def _judge(self, volume: Volume, sights: Iterable[WatchEvent]) -> Judgement:
        seen, cache = self._container_status.containers(), self._store.cache
        return judge(volume, tuple(sights), cache, seen, lambda label: is_left_alone(label.encode()))

    @staticmethod
    async def _wait_for_turn(case: _Case) -> None:
        """Rest in proportion to the time of the last correction, because changes may go on."""
        await asyncio.sleep(max(0.0, case.rests_until - asyncio.get_running_loop().time()))

    async def _put_right(self, volume_id: VolumeId, judgement: Judgement) -> None:
        """Relabel what is wrong to the ledger's target, which may have changed by now."""
        volume = self._store.cache.volume(volume_id)
        if volume is None or not holders(volume, self._store.cache):
            return
        error = ""
        changed = 0
        if judgement.is_whole or volume.phase is not VolumePhase.LABELLED:
            outcome = await self._label_again(volume_id)
            if outcome is not None and outcome.walk is not None:
                changed = outcome.walk.changed
        elif await self._may_label(volume_id):
            try:
                walk = await self._walks.amend(volume, judgement.names)
                changed, error = walk.changed, "" if walk.complete else skipped_text(walk)
            except _FAILURES as exc:
                error = exc.what
            if error:
                self._look_soon(volume_id, 0.0)
            else:
                paths = {one.path for one in judgement.findings}
                self._disk.put(volume_id, self._disk.state(volume_id).amended(paths))
        if changed and judgement.who:
            self._tell_changed(volume, judgement, changed)
        self._container_status.tell_changes()

    # -- telling

    def _tell_changed(self, volume: Volume, judgement: Judgement, changed: int) -> None:
        first = judgement.findings[0]
        if first.what is What.CREATED:
            return  # caused by the policy, not by anybody
        kind = Kind.VOLUME_JOINED if first.what is What.MOVED_IN else Kind.VOLUME_TOUCHED
        fields = {
            **self._fields(volume),
            "what": _SENTENCES[first.what].format(who=judgement.who),
            "changed": changed,
            "example": first.path,
            "found": first.label or "no label",
        }
        who = "" if judgement.who == SOMEBODY else judgement.who
        self._tell_once(volume.id, kind, fields, who)

    def _covered(self, sight: WatchEvent) -> None:
        volume = self._store.cache.volume(sight.volume)
        if volume is None:
            return
        state = self._disk.state(volume.id)
        self._disk.put(volume.id, replace(state, mounted=self._watch.mounts_inside(volume.id)))
        if holders(volume, self._store.cache):
            self._tell_once(
                volume.id, Kind.VOLUME_COVERED, {**self._fields(volume), "path": sight.path}, sight.path
            )
            self._container_status.tell_changes()

    def _fields(self, volume: Volume) -> dict[str, object]:
        held = holders(volume, self._store.cache)
        return {
            "volume": volume.path,
            "name": ", ".join(sorted({grant.name for _, grant in held})),
            "level": str(volume.level),
        }

    def _tell_once(self, volume: VolumeId, kind: Kind, fields: dict[str, object], what: str) -> None:
        now = self._clock.now()
        self._told = {key: when for key, when in self._told.items() if now - when < EPISODE}
        key = volume, kind, what
        if key not in self._told:
            known = self._store.cache.volume(volume)
            held = {one.container for _, one in holders(known, self._store.cache)} if known else set()
            self._bus.emit(Notice(kind, fields, next(iter(held)) if len(held) == 1 else ""))
        self._told[key] = now

    # -- what left

    async def _follow(self, volume: Volume, sight: WatchEvent) -> None:
        """Restore what was moved out; what is in another volume by now gets that one's label."""
        assert sight.identity is not None
        fields: dict[str, object] = {
            "path": sight.path,
            "volume": volume.path,
            "level": str(volume.level),
        }
        try:
            walk = await self._walks.give_back(volume, sight.path, sight.identity)
        except _FAILURES as exc:
            self._bus.emit(Notice(Kind.FILE_ASTRAY, {**fields, "reason": exc.what, "hint": _BY_HAND}))
            return
        if not walk.complete or walk.skipped:
            reason = skipped_text(walk) or "the walk was broken off"
            self._bus.emit(Notice(Kind.FILE_ASTRAY, {**fields, "reason": reason, "hint": _BY_HAND}))
        else:
            self._bus.emit(Notice(Kind.FILE_FOLLOWED, {**fields, "changed": walk.changed}))
        for other in self._store.cache.volumes_around(sight.path):
            self._look_soon(other.id, 0.0)


_BY_HAND = "restorecon -F gives it the policy's label; mcsctl scan finds what else carries the level"
