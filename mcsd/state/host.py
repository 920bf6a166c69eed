"""The current status of the host, SELinux and the engine, with listeners for changes."""

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
        """Return the host as last observed."""
        return self._host

    def listen(self, listener: Callable[[], None]) -> None:
        """Call `listener` after each change."""
        self._listeners.append(listener)

    def engine_is(self, name: str, engine: EngineInfo) -> None:
        """Store what an engine says about itself."""
        self._become(self._host.with_engine(name, engine))

    def selinux_is(self, status: SelinuxStatus) -> None:
        """Store the status of SELinux."""
        self._become(replace(self._host, selinux=status))

    def _become(self, host: Host) -> None:
        if host == self._host:
            return
        self._host = host
        for listener in self._listeners:
            listener()
