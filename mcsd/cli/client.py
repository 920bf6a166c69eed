"""mcsctl's client for the socket: HTTP over AF_UNIX, with errors that say what to do.

Answers are used as plain JSON, and missing fields are ignored, so that mcsctl works with any daemon of the
same major version.
"""

from __future__ import annotations

import grp
import http.client
import json
import os
import select
import socket
import struct
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from mcsd.cli.errors import CtlError, Exit, exit_status

if TYPE_CHECKING:
    from mcsd.cli.service import Failure, SystemdService

DEFAULT_SOCKET = "/run/mcsd/mcsd.sock"
ANSWER_TIME = 30.0
"""Seconds that the daemon may take to answer."""
PATIENCE = 0.5
"""Seconds without an answer after which systemd is asked whether the service runs."""

Object = Mapping[str, Any]
Parameters = Sequence[tuple[str, str]]


_TIMEVAL = struct.Struct("@ll")


def _split(seconds: float) -> tuple[int, int]:
    whole = int(seconds)
    return whole, int((seconds - whole) * 1_000_000)


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float | None) -> None:
        super().__init__("mcsd")
        self._path = path
        self._seconds = timeout

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        # With Python's own timeout, connect() fails at once if the queue is full; the kernel's timeout waits.
        patience = ANSWER_TIME if self._seconds is None else self._seconds
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _TIMEVAL.pack(*_split(patience)))
        try:
            self.sock.connect(self._path)
        except BlockingIOError as exc:
            raise TimeoutError from exc
        self.sock.settimeout(self._seconds)


class _ServiceQuery:
    """The service, queried repeatedly while waiting for an answer."""

    def __init__(self) -> None:
        self._service: SystemdService | None = None

    def __call__(self) -> Failure | None:
        # Imported only when an answer is late, to start faster.
        from mcsd.cli.service import SystemdService

        if self._service is None:
            self._service = SystemdService()
        return self._service.failure()


class Client:
    """A client for the daemon, or for another HTTP server on a Unix socket. Every method raises `CtlError`.

    `failure` says why nobody answers although systemd listens; it is only used for the default socket. `who`
    names the server in errors.
    """

    def __init__(
        self,
        path: str = DEFAULT_SOCKET,
        *,
        who: str = "mcsd",
        failure: Callable[[], Failure | None] | None = None,
    ) -> None:
        self._path = path
        self._who = who
        self._failure = failure or (_ServiceQuery() if path == DEFAULT_SOCKET else lambda: None)

    def get(self, path: str, parameters: Parameters = (), *, timeout: float = ANSWER_TIME) -> Any:
        """Return one object."""
        return self._ask("GET", path, parameters, timeout=timeout)

    def every(self, path: str, parameters: Parameters = ()) -> Object:
        """Return all pages of a list as one page."""
        page = dict(self.get(path, parameters))
        items = list(page.get("items", ()))
        while page.get("next"):
            page = dict(self.get(path, [*parameters, ("after", page["next"])]))
            items += page.get("items", ())
        return page | {"items": items, "total": len(items)}

    def post(self, path: str, body: Object | None = None) -> Any:
        """Request a change, and wait for it without a timeout."""
        return self._ask("POST", path, body=body, timeout=None)

    def delete(self, path: str) -> None:
        """Request a deletion."""
        self._ask("DELETE", path)

    def lines(self, path: str, parameters: Parameters = ()) -> Iterator[Any]:
        """Follow a stream of JSON lines until the daemon ends it."""
        with self._talking(None) as connection:
            connection.request("GET", _target(path, parameters))
            self._wait(connection, None)
            response = connection.getresponse()
            if response.status >= 400:
                raise _problem(response.status, response.read(), self._who)
            while line := response.readline():
                yield _parsed(line, self._who)

    def _ask(
        self,
        method: str,
        path: str,
        parameters: Parameters = (),
        *,
        body: Object | None = None,
        timeout: float | None = ANSWER_TIME,
    ) -> Any:
        headers = {} if body is None else {"Content-Type": "application/json"}
        with self._talking(timeout) as connection:
            data = None if body is None else json.dumps(body)
            with suppress(BrokenPipeError):  # refused before the body was read; the answer says why
                connection.request(method, _target(path, parameters), data, headers)
            self._wait(connection, timeout)
            response = connection.getresponse()
            content = response.read()
        # Even with a failed ledger, `GET /healthz` is answered, with its own object and status 503.
        if response.status >= 400 and "problem" in response.getheader("Content-Type", ""):
            raise _problem(response.status, content, self._who)
        is_ill = response.status == HTTPStatus.SERVICE_UNAVAILABLE and content.startswith(b"{")
        if response.status >= 400 and not is_ill:
            raise _problem(response.status, content, self._who)
        return _parsed(content, self._who) if content else None

    def _wait(self, connection: _UnixConnection, seconds: float | None) -> None:
        """Wait until an answer begins; give up if systemd says that none will come."""
        until = None if seconds is None else time.monotonic() + seconds
        pause = PATIENCE
        while True:
            left = pause if until is None else min(pause, until - time.monotonic())
            if select.select([connection.sock], [], [], max(0.0, left))[0]:
                return
            if until is not None and time.monotonic() >= until:
                raise TimeoutError
            if (found := self._failure()) is not None:
                raise CtlError(
                    found.what,
                    hint="see systemctl status mcsd and journalctl -u mcsd",
                    status=Exit.NO_DAEMON,
                    lines=found.lines,
                )
            pause = min(2 * pause, 15.0)

    @contextmanager
    def _talking(self, timeout: float | None) -> Iterator[_UnixConnection]:
        connection = _UnixConnection(self._path, timeout)
        try:
            yield connection
        except TimeoutError as exc:
            raise CtlError(
                f"{self._who} did not answer within {ANSWER_TIME if timeout is None else timeout:g} s",
                hint="see systemctl status mcsd and journalctl -u mcsd",
                status=Exit.TIMED_OUT,
            ) from exc
        except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError) as exc:
            found = self._failure()
            raise CtlError(
                f"no {self._who} answers at {self._path!r}: {(exc.strerror or str(exc)).lower()}",
                hint="systemctl status mcsd; systemctl start mcsd",
                status=Exit.NO_DAEMON,
                lines=() if found is None else (found.what, *found.lines),
            ) from exc
        except PermissionError as exc:
            raise self._shut_out() from exc
        except (http.client.HTTPException, OSError) as exc:
            raise self._cut_off(exc) from exc
        finally:
            connection.close()

    def _cut_off(self, exc: Exception) -> CtlError:
        if not _is_let_in(self._path):
            return self._shut_out()
        why = str(exc).lower() or type(exc).__name__
        return CtlError(
            f"the connection to {self._who} at {self._path!r} broke off: {why}",
            hint="see systemctl status mcsd and journalctl -u mcsd, then try again",
            status=Exit.NO_DAEMON,
            lines=() if (found := self._failure()) is None else (found.what, *found.lines),
        )

    def _shut_out(self) -> CtlError:
        return CtlError(
            f"you may not use {self._who}'s socket {self._path!r}",
            hint=f"do it as root, or, to read only, as a member of the group {_group_name(self._path)}",
            status=Exit.REFUSED,
        )


def _target(path: str, parameters: Parameters) -> str:
    return path + ("?" + urlencode(parameters) if parameters else "")


def segment(text: str) -> str:
    """Encode a name as one segment of a path."""
    return quote(text, safe="")


def _parsed(content: bytes, who: str) -> Any:
    try:
        return json.loads(content)
    except ValueError as exc:
        raise CtlError(f"{who}'s answer is not JSON", hint="is another program listening there?") from exc


def _problem(status: int, content: bytes, who: str) -> CtlError:
    try:
        problem = json.loads(content)
        detail = str(problem["detail"] if "detail" in problem else problem["message"])  # Docker's key
    except (ValueError, KeyError, TypeError):
        return CtlError(f"{who} answered with status {status}", hint="see journalctl -u mcsd")
    return CtlError(
        detail,
        hint=str(problem.get("hint", "")),
        status=exit_status(str(problem.get("code", "")), status),
    )


def _gid(path: str) -> int | None:
    try:
        return os.stat(path).st_gid
    except OSError:
        return None


def _is_let_in(path: str) -> bool:
    return os.geteuid() == 0 or _gid(path) in {os.getegid(), *os.getgroups()}


def _group_name(path: str) -> str:
    gid = _gid(path)
    if gid is None:
        return "that owns it"
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)
