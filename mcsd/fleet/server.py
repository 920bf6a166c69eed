"""The service's side of the socket: one question a connection, asked of etcd one after the other."""

from __future__ import annotations

import contextlib
import select
import socket
import sys
import time

from mcsd.core.fleet.messages import LONGEST, answer, asked, failure
from mcsd.core.fleet.values import FleetValueError
from mcsd.errors import FleetError, McsdError
from mcsd.fleet.etcd import EtcdStore

PATIENCE = 10.0
"""Seconds that mcsd may take to ask, or to take the answer."""
_CHUNK = 64 * 1024


def serve(listening: socket.socket, store: EtcdStore) -> None:
    """Answer for ever. A caller that goes away, or asks nonsense, ends its own connection only."""
    while True:
        connection, _ = listening.accept()
        with connection, contextlib.suppress(OSError):  # the caller is gone, and asks again
            connection.settimeout(PATIENCE)
            connection.sendall(_answered(connection, store))


def decline(listening: socket.socket, error: McsdError) -> None:
    """Tell whoever waits why nobody answers.

    With a caller in the queue systemd would start the service again as soon as it has ended, over and over.
    """
    while select.select([listening], [], [], 0)[0]:
        connection, _ = listening.accept()
        with connection, contextlib.suppress(OSError):  # the caller is gone
            connection.settimeout(PATIENCE)
            _question(connection)  # with data unread, closing would take the answer away
            connection.sendall(failure(error.what, error.hint))


def _answered(connection: socket.socket, store: EtcdStore) -> bytes:
    try:
        swap = asked(_question(connection))
        return answer(store.read() if swap is None else store.swap(swap))
    except FleetValueError as exc:
        return failure(f"mcsd asks what makes no sense: {exc}", "are mcsd and mcsd-fleet of one version?")
    except FleetError as exc:
        print(f"mcsd-fleet: {exc}", file=sys.stderr, flush=True)  # noqa: T201  (the journal)
        return failure(exc.what, exc.hint)


def _question(connection: socket.socket) -> bytes:
    end, found = time.monotonic() + PATIENCE, bytearray()
    while not found.endswith(b"\n") and len(found) <= LONGEST:
        part = connection.recv(_CHUNK)
        if not part or time.monotonic() > end:
            break
        found += part
    return bytes(found)
