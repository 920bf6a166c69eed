"""Watching SELinux: the kernel's announcements, and its status page to check that none was missed.

An announcement triggers a check at once. Without one, the page is read twice a second. That is a read of
shared memory, but it runs in a thread, because a lookup of a file context may hold the bindings' lock.
Changes are reported to the journal first, then to the rest of mcsd. If the kernel cannot be asked, or its
announcements cannot be received, that is a finding, and watching continues.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from mcsd.blocking.calls import Blocking
from mcsd.core.blocked import Party, Subject
from mcsd.core.host import NOT_ASKED, SelinuxStatus
from mcsd.core.labels import Label
from mcsd.core.notices import Kind, Notice
from mcsd.core.selinux_state import HostFinding, Move, NetlinkEvent, NetlinkEventKind, SelinuxState, findings
from mcsd.errors import HostError, SelinuxError
from mcsd.ports import NetlinkEvents, Selinux
from mcsd.state.events import EventBus

CHECK = 0.5
"""Seconds between reads of the status page."""
SETTLING = (0.005, 0.02, 0.05, 0.1)
"""Seconds to wait for the page to show what was announced."""
FIRST_PAUSE = 1.0
LONGEST_PAUSE = 60.0
"""The most seconds until the socket is opened again; they grow up to this."""


class SelinuxWatch:
    """The current state of SELinux. Owned by the event loop's thread.

    `file_type` is the type that volumes get; `pid` is mcsd's own.
    """

    def __init__(
        self,
        news: NetlinkEvents,
        selinux: Selinux,
        bus: EventBus,
        moved: Callable[[Move], None],
        *,
        file_type: str,
        pid: int,
        blocking: Blocking,
    ) -> None:
        self.heard = 0
        """Announcements so far."""
        self.missed = 0
        """Changes that the page showed without an announcement."""
        self._news = news
        self._selinux = selinux
        self._bus = bus
        self._moved = moved
        self._file_type = file_type
        self._pid = pid
        self._blocking = blocking
        self._deaf = ""
        self._waiting: list[NetlinkEvent] = []
        self._rang = asyncio.Event()
        self._unannounced = 0
        """Switches to permissive that the page showed and that were not announced yet."""
        self._state = SelinuxState(NOT_ASKED, unreadable="the kernel has not been asked yet")
        self._has_begun = False

    def state(self) -> SelinuxState:
        """Return the state of SELinux as last seen."""
        return self._state

    async def begin(self) -> SelinuxState:
        """Read the state for the first time, which is not a change; later calls only return it."""
        if not self._has_begun:
            self._state = await self._survey(await self._status())
            self._has_begun = True
        return self._state

    def findings(self) -> tuple[HostFinding, ...]:
        """Return what is wrong with the policy or the kernel's mode."""
        return findings(self.state())

    async def run(self) -> None:
        """Watch for ever."""
        await self.begin()
        for finding in self.findings():
            self._tell_worse(finding)
        if not self.state().status.enabled and not self.state().unreadable:
            await asyncio.Event().wait()  # SELinux can only be switched on by a reboot
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._listen())
                group.create_task(self._watch())
        finally:
            self._news.close()

    async def _listen(self) -> None:
        pause = FIRST_PAUSE
        while True:
            try:
                await self._news.open()
                self._unannounced = 0
                self._hears(again=True)
                while True:
                    self._ring(await self._news.next())
                    pause = FIRST_PAUSE
            except SelinuxError as exc:
                self._hears(again=False, reason=exc.what)
                await asyncio.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE)

    def _hears(self, *, again: bool, reason: str = "") -> None:
        if self._deaf != ("" if again else reason):
            self._deaf = "" if again else reason
            self._rang.set()

    def _ring(self, news: NetlinkEvent) -> None:
        self.heard += 1
        self._waiting.append(news)
        self._rang.set()

    async def _watch(self) -> None:
        while True:
            try:
                async with asyncio.timeout(CHECK):
                    await self._rang.wait()
            except TimeoutError:
                pass
            self._rang.clear()
            if self._waiting:
                await self._page_moves()
            await self.look()

    async def _page_moves(self) -> None:
        # The kernel announces a change before the page shows it, so we may be too early.
        for pause in SETTLING:
            if await self._status() != self.state().status:
                return
            await asyncio.sleep(pause)

    async def look(self) -> None:
        """Read the state now, and report what has changed since the last time."""
        old = await self.begin()
        waiting, self._waiting = self._waiting, []
        status = await self._status()
        if isinstance(status, SelinuxStatus) and status == old.status and not old.unreadable:
            if not waiting and old.deaf == self._deaf:
                return
        elif not waiting and not self._deaf:
            self.missed += 1
        new = await self._survey(status)
        loaded = new.status.generation != old.status.generation
        # Without the page there is no generation; then announcements, or their loss, have to do.
        announced = any(one.kind is not NetlinkEventKind.ENFORCING for one in waiting)
        move = Move(old, new, policy=loaded or (announced and not new.status.generation))
        self._state = new
        if move.policy or new != old:
            self._tell(move)
            self._moved(move)
        if self._was_permissive_unseen(waiting, told=move.enforcing is False) and new.trusted.enforcing:
            # Off and on again before we could read it: during that time nothing was denied.
            self._bus.emit(Notice(Kind.SELINUX_NOT_ENFORCING))
            self._bus.emit(Notice(Kind.SELINUX_ENFORCING))

    def _was_permissive_unseen(self, waiting: list[NetlinkEvent], *, told: bool) -> bool:
        # The page may show a switch before its announcement, which then is not a second switch.
        announced = sum(one.kind is NetlinkEventKind.ENFORCING and not one.value for one in waiting)
        self._unannounced += told
        known = min(announced, self._unannounced)
        self._unannounced -= known
        return announced > known

    async def _status(self) -> SelinuxStatus | SelinuxError | HostError:
        try:
            return await self._blocking.run(_POLICY, self._selinux.status)
        except (SelinuxError, HostError) as exc:
            return exc

    async def _survey(self, status: SelinuxStatus | SelinuxError | HostError) -> SelinuxState:
        if not isinstance(status, SelinuxStatus):
            return SelinuxState(self._state.status, unreadable=status.what, deaf=self._deaf)
        if not status.enabled:
            return SelinuxState(status)
        try:
            error, own = await self._blocking.run(_POLICY, lambda: (self._file_type_error(), self._own()))
        except HostError as exc:
            return SelinuxState(status, unreadable=exc.what, deaf=self._deaf)
        return SelinuxState(status, file_type_error=error, own=own, deaf=self._deaf)

    def _file_type_error(self) -> str:
        try:
            self._selinux.file_context(self._file_type, "s0")
        except SelinuxError as exc:
            return exc.what
        return ""

    def _own(self) -> Label | None:
        try:
            return self._selinux.process_context(self._pid)
        except SelinuxError:  # the domain may not be allowed to ask; then nothing is reported
            return None

    def _tell(self, move: Move) -> None:
        if move.enforcing is not None:
            kind = Kind.SELINUX_ENFORCING if move.enforcing else Kind.SELINUX_NOT_ENFORCING
            self._bus.emit(Notice(kind))
        if move.policy:
            generation = move.new.status.generation or "not counted"
            self._bus.emit(Notice(Kind.POLICY_LOADED, {"generation": generation}))
        for finding in move.worse:
            self._tell_worse(finding)
        for finding in move.better:
            fields = {"reason": finding.text, "code": finding.trouble}
            self._bus.emit(Notice(Kind.GROUND_BETTER, fields))

    def _tell_worse(self, finding: HostFinding) -> None:
        fields = {"reason": finding.text, "hint": finding.hint, "code": finding.trouble}
        self._bus.emit(Notice(Kind.GROUND_WORSE, fields))


_POLICY = Subject(Party.POLICY)
