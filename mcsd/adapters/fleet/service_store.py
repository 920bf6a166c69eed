"""The fleet's store as mcsd reaches it: the service mcsd-fleet, one connection for each question."""

from __future__ import annotations

import socket
import time

from mcsd.core.fleet.messages import LONGEST, answered, ask
from mcsd.core.fleet.values import FleetValueError, Reading, Swap
from mcsd.errors import FleetError

DEADLINE = 9.5
"""Seconds for an answer: the service asks three members, each for three. Less than a call may
take to return at all (`mcsd.blocking.calls`): a store that is down is no fault of this host's."""
_HINT = "systemctl status mcsd-fleet.service"


class ServiceStore:
    """`mcsd.ports.FleetStore`. Thread-safe; `path` is the service's socket."""

    def __init__(self, path: str, *, deadline: float = DEADLINE) -> None:
        self._path = path
        self._deadline = deadline

    def read(self) -> Reading:
        """Return everything that is in the store at one moment; raises `FleetError`."""
        found = self._ask(None)
        if isinstance(found, bool):
            raise FleetError("mcsd-fleet answers another question", hint=_HINT)
        return found

    def swap(self, swap: Swap) -> bool:
        """Do a transaction, and return whether it is said to be done; raises `FleetError`."""
        found = self._ask(swap)
        if not isinstance(found, bool):
            raise FleetError("mcsd-fleet answers another question", hint=_HINT)
        return found

    def _ask(self, swap: Swap | None) -> Reading | bool:
        try:
            found = answered(self._exchange(ask(swap)))
        except OSError as exc:
            reason = (exc.strerror or str(exc) or "it takes too long").lower()
            raise FleetError(f"mcsd-fleet at {self._path!r} cannot be asked: {reason}", hint=_HINT) from exc
        except FleetValueError as exc:
            raise FleetError(f"mcsd-fleet's answer makes no sense: {exc}", hint=_HINT) from exc
        if isinstance(found, tuple):
            what, hint = found
            raise FleetError(what, hint=hint)
        return found

    def _exchange(self, question: bytes) -> bytes:
        end = time.monotonic() + self._deadline
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(self._deadline)
            connection.connect(self._path)
            connection.sendall(question)
            connection.shutdown(socket.SHUT_WR)
            found = bytearray()
            while not found.endswith(b"\n"):
                connection.settimeout(max(0.001, end - time.monotonic()))
                part = connection.recv(64 * 1024)
                if not part:
                    break
                found += part
                if len(found) > LONGEST:
                    break
        return bytes(found)
