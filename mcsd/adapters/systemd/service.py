"""systemd: status notifications, and the sockets that it passes.

Both use the environment that systemd sets (sd_notify(3), sd_listen_fds(3)); without it nothing is sent and
there are no sockets. A message is one datagram with one assignment per line, so text in it is escaped.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Mapping

from mcsd.core.notices import printable
from mcsd.errors import ConfigurationError

try:
    # Not `import systemd`: any directory of that name on the path would satisfy that.
    from systemd import daemon
except ImportError:
    daemon = None

SOCKET_NAMES = frozenset({"api", "gate"})
"""`FileDescriptorName=` in mcsd's socket units."""

HEADLINES = 1.0
"""Seconds between updates of the line that `systemctl status` shows."""

_MISSING = "install the systemd bindings of the Python that runs mcsd (python3-systemd)"


class Notifier:
    """Notifications to the service manager; every method is quick, and does nothing without one."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        environment = os.environ if environment is None else environment
        self.is_available = bool(environment.get("NOTIFY_SOCKET"))
        self.watchdog_interval = _watchdog_interval(environment)
        if self.is_available and daemon is None:
            raise ConfigurationError(
                "systemd waits to be notified, and its bindings are missing", hint=_MISSING
            )

    def ready(self, status: str = "") -> None:
        """Report that the service has started."""
        self._tell("READY=1", *_status(status))

    def status(self, text: str) -> None:
        """Set the line about the service in `systemctl status`."""
        self._tell(*_status(text))

    def stopping(self) -> None:
        """Report that the service is stopping."""
        self._tell("STOPPING=1")

    def watchdog(self) -> None:
        """Report that the service is alive."""
        self._tell("WATCHDOG=1")

    async def keep_alive(self) -> None:
        """Notify the watchdog for ever, twice per interval, as long as the event loop runs."""
        while True:
            self.watchdog()
            await asyncio.sleep(self.watchdog_interval / 2 if self.watchdog_interval else 3600)

    async def keep_told(self, headline: Callable[[], str]) -> None:
        """Keep the headline in `systemctl status` up to date, for ever."""
        shown = None
        while True:
            if (text := headline()) != shown:
                self.status(text)
                shown = text
            await asyncio.sleep(HEADLINES)

    def _tell(self, *assignments: str) -> None:
        if not self.is_available or not assignments:
            return
        try:
            daemon.notify("\n".join(assignments))
        except (ConnectionRefusedError, FileNotFoundError):  # nobody listens there any more
            return
        except OSError as exc:
            raise ConfigurationError(
                f"systemd cannot be notified: {exc.strerror}",
                hint="mcsd's domain must be allowed to send to it; see ausearch -m avc",
            ) from exc


def _status(text: str) -> tuple[str, ...]:
    return (f"STATUS={printable(text)}",) if text else ()


def _watchdog_interval(environment: Mapping[str, str]) -> float | None:
    """Return the watchdog's interval in seconds, None without a watchdog."""
    if environment.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    microseconds = environment.get("WATCHDOG_USEC", "")
    return int(microseconds) / 1e6 if microseconds.isdecimal() and int(microseconds) else None


def inherited_sockets(name: str) -> list[socket.socket]:
    """Return the listening sockets that systemd passed under a name of `SOCKET_NAMES`.

    Call it once for each name, and keep the sockets; the caller closes them. Raises `ConfigurationError`
    for an unknown descriptor: it would be open, and nobody would answer.
    """
    passed = _passed()
    for descriptor, its_name in passed.items():
        _judge(descriptor, its_name)
    return [socket.socket(fileno=descriptor) for descriptor, its_name in passed.items() if its_name == name]


def _passed() -> dict[int, str]:
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        return {}
    if daemon is None:
        raise ConfigurationError("systemd passed sockets, and its bindings are missing", hint=_MISSING)
    return dict(daemon.listen_fds_with_names(unset_environment=False))


def _judge(descriptor: int, name: str) -> None:
    what = f"the descriptor {descriptor} that systemd passed as {name!r}"
    if name not in SOCKET_NAMES:
        known = " or ".join(sorted(SOCKET_NAMES))
        raise ConfigurationError(
            f"{what} has an unknown name", hint=f"set FileDescriptorName={known} in its unit"
        )
    if not daemon.is_socket_unix(descriptor, socket.SOCK_STREAM, 1):
        raise ConfigurationError(
            f"{what} is not a listening Unix stream socket", hint="use ListenStream=/run/… in its unit"
        )
