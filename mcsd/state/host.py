"""The host as it is known now: the kernel's SELinux and the engine, and who must hear when they change."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from mcsd.core.containers import EngineInfo
from mcsd.core.host import NOT_ASKED, Host, SelinuxStatus


class HostStatus:
    """Holds one `Host`. Owned by the event loop's thread."""

    def __init__(self) -> None:
        self._host = Host(NOT_ASKED)
        self._listeners: list[Callable[[], None]] = []

    def __call__(self) -> Host:
        """The host as last seen."""
        return self._host

    def listen(self, listener: Callable[[], None]) -> None:
        """Call `listener` after each change."""
        self._listeners.append(listener)

    def engine_is(self, engine: EngineInfo | None) -> None:
        """Take over what the engine says of itself."""
        self._become(replace(self._host, engine=engine))

    def selinux_is(self, status: SelinuxStatus) -> None:
        """Take over what the kernel was seen to say of itself."""
        self._become(replace(self._host, selinux=status))

    def _become(self, host: Host) -> None:
        if host == self._host:
            return
        self._host = host
        for listener in self._listeners:
            listener()
