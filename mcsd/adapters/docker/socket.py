"""A Unix socket with limits of time and bytes, which can be shut down from outside.

A client library's read timeout starts again with every byte, and bodies may have any size. Here a request has
one deadline and one budget of bytes for the whole response, headers included. Both are enforced where the
bytes arrive, so that no layer above can miss them. A stream has no deadline, because silence is normal there;
after each period of silence, a callback checks whether the other side is still alive.

A `Guard` belongs to one connection and is used by one thread, except for `shut`, which any thread may call:
it wakes the other one, whose read then fails with `EngineUnavailableError`.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from mcsd.adapters.docker.programs import DOCKER, Program
from mcsd.errors import EngineProtocolError, EngineUnavailableError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

URL_HINT = "correct url under [docker] or [[engine]] in the configuration"
ACCESS_HINT = "mcsd must run as root; if it does, look for a denial: ausearch -m avc -c mcsd"

_KINDS = {
    stat.S_IFREG: "a regular file",
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a fifo",
    stat.S_IFCHR: "a character device",
    stat.S_IFBLK: "a block device",
}


class Guard:
    """The limits of one connection to the socket at `path`, and the way to end it from outside."""

    def __init__(self, path: str, program: Program = DOCKER) -> None:
        self.path = path
        self.program = program
        self.lock = threading.RLock()
        """Held while a descriptor is closed, so that `shut` never uses its number for another file."""
        self._socket: GuardedSocket | None = None
        self._shut = False
        self._what = "a question"
        self._asked = self._ended = False
        self._deadline: float | None = None
        self._seconds = 0.0
        self._limit = self._left = 0
        self._on_silence: Callable[[], None] | None = None

    @property
    def where(self) -> str:
        """The program and its socket, for errors."""
        return f"{self.program.name} at {self.path!r}"

    def ask(self, what: str, *, seconds: float, limit: int) -> None:
        """Begin a request: its answer must be complete in `seconds` and fit into `limit` bytes."""
        self._what = what
        self._asked = self._ended = False
        self._seconds, self._deadline = seconds, time.monotonic() + seconds
        self._limit = self._left = limit
        self._on_silence = None

    def follow(self, *, seconds: float, limit: int, on_silence: Callable[[], None]) -> None:
        """Lift the deadline, and call `on_silence`, which may raise, after each `seconds` without a byte.

        At most `limit` bytes may arrive between two calls of `renew`.
        """
        self._seconds, self._deadline, self._on_silence = seconds, None, on_silence
        self._limit = self._left = limit

    def renew(self) -> None:
        """Restore the full budget of bytes."""
        self._left = self._limit

    @property
    def is_shut(self) -> bool:
        """Whether `shut` was called."""
        return self._shut

    @property
    def has_asked(self) -> bool:
        """Whether a part of the request was sent."""
        return self._asked

    @property
    def has_ended(self) -> bool:
        """Whether the other side has closed the connection since the request."""
        return self._ended

    def shut(self) -> None:
        """Shut the connection down for good and wake its thread; idempotent, from any thread."""
        with self.lock:
            self._shut = True
            if self._socket is not None:
                # It is not connected, or not any more, as requested.
                with contextlib.suppress(OSError):
                    self._socket.shutdown(socket.SHUT_RDWR)

    def connect(self) -> GuardedSocket:
        """Open a socket under this guard; raise `EngineUnavailableError` with the reason if that fails."""
        seconds = self.patience()
        connection = GuardedSocket(self)
        try:
            connection.settimeout(seconds)
            connection.connect(self.path)
            with self.lock:
                self._socket = connection
                if self._shut:
                    raise self.shut_error()
        except OSError as exc:
            connection.close()
            raise self._unreachable(exc) from exc
        except EngineUnavailableError:
            connection.close()
            raise
        return connection

    def shut_error(self) -> EngineUnavailableError:
        """Build the error of a connection that mcsd ended itself."""
        return EngineUnavailableError(f"mcsd closed its connection to {self.where}")

    def sending(self) -> None:
        """Note that something is sent."""
        self._asked = True

    def patience(self) -> float:
        """Return the seconds that the next step may take, more than 0."""
        if self._deadline is None:
            return self._seconds
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise self._too_late()
        return left

    def silent(self) -> None:
        """Handle a timeout."""
        if self._on_silence is None:
            raise self._too_late()
        self._on_silence()

    def count(self, received: int) -> None:
        """Subtract received bytes from the budget; 0 means that the connection has ended."""
        self._ended = not received
        self._left -= received
        if self._left < 0:
            raise EngineProtocolError(
                f"{self.where} sent more than {self._limit} bytes for {self._what}",
                hint=f"restart {self.program.name}; if it goes on, is this socket {self.program.name}'s?",
            )

    def _too_late(self) -> EngineUnavailableError:
        return EngineUnavailableError(
            f"{self.where} did not answer {self._what} within {self._seconds:g} s",
            hint=self.program.hangs_hint,
        )

    def _unreachable(self, exc: OSError) -> EngineUnavailableError:
        def because(why: str, hint: str) -> EngineUnavailableError:
            return EngineUnavailableError(f"cannot connect to {self.where}: {why}", hint=hint)

        match exc.errno:
            case errno.ENOENT:
                return because("there is no such socket", self.program.down_hint)
            case errno.ECONNREFUSED if kind := _kind_unless_socket(self.path):
                return because(f"it is {kind}, not a socket", URL_HINT)
            case errno.ECONNREFUSED:
                return because("nobody listens there", self.program.down_hint)
            case errno.EAGAIN:
                # A Unix socket with a timeout does not wait for space in the listener's queue.
                return because("its queue of waiting connections is full", self.program.hangs_hint)
            case errno.EACCES | errno.EPERM:
                return because(os.strerror(exc.errno).lower(), ACCESS_HINT)
            case _:
                return because((exc.strerror or str(exc)).lower(), URL_HINT)


class GuardedSocket(socket.socket):
    """A client socket that checks its guard at every read and write."""

    def __init__(self, guard: Guard) -> None:
        super().__init__(socket.AF_UNIX, socket.SOCK_STREAM)
        self._guard = guard

    def recv_into(self, buffer: WriteableBuffer, nbytes: int = 0, flags: int = 0) -> int:
        """Receive some bytes within the guard's limits."""
        while True:
            self.settimeout(self._guard.patience())
            try:
                received = super().recv_into(buffer, nbytes, flags)
            except TimeoutError:
                self._guard.silent()
                continue
            if self._guard.is_shut:
                raise self._guard.shut_error()
            self._guard.count(received)
            return received

    def sendall(self, data: ReadableBuffer, flags: int = 0) -> None:
        """Send all of it within the guard's time."""
        self.settimeout(self._guard.patience())
        self._guard.sending()
        try:
            super().sendall(data, flags)
        except TimeoutError:
            self._guard.silent()
            raise

    def close(self) -> None:
        """Close the descriptor; never while `Guard.shut` uses it."""
        with self._guard.lock:
            super().close()


def _kind_unless_socket(path: str) -> str:
    try:
        kind = stat.S_IFMT(os.stat(path).st_mode)
    except OSError:  # gone since: then "nobody listens there" is the better message
        return ""
    return "" if kind == stat.S_IFSOCK else _KINDS.get(kind, "something else")
