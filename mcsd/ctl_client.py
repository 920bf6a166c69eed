"""mcsctl's end of the socket: HTTP over AF_UNIX, with errors that a person can act on.

Answers are used as the JSON they are, and what is not there is passed over, so that mcsctl works with
any daemon of the same major version.
"""

from __future__ import annotations

import grp
import http.client
import json
import os
import socket
import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import quote, urlencode

from mcsd.ctl_errors import CtlError, Exit, exit_status

DEFAULT_SOCKET = "/run/mcsd/mcsd.sock"
ANSWER_TIME = 30.0
"""Seconds that the daemon may take over a question."""

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
        # With a timeout of Python's own, connect() fails at once when many others queue; the kernel can wait.
        patience = ANSWER_TIME if self._seconds is None else self._seconds
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _TIMEVAL.pack(*_split(patience)))
        try:
            self.sock.connect(self._path)
        except BlockingIOError as exc:
            raise TimeoutError from exc
        self.sock.settimeout(self._seconds)


class Client:
    """Asks the daemon. Every method raises `CtlError`."""

    def __init__(self, path: str = DEFAULT_SOCKET) -> None:
        self._path = path

    def get(self, path: str, parameters: Parameters = (), *, timeout: float = ANSWER_TIME) -> Any:
        """Ask for one object."""
        return self._ask("GET", path, parameters, timeout=timeout)

    def every(self, path: str, parameters: Parameters = ()) -> Object:
        """Ask for a list with all its pages, as one page."""
        page = dict(self.get(path, parameters))
        items = list(page.get("items", ()))
        while page.get("next"):
            page = dict(self.get(path, [*parameters, ("after", page["next"])]))
            items += page.get("items", ())
        return page | {"items": items, "total": len(items)}

    def post(self, path: str, body: Object) -> Any:
        """Ask for a change, and wait for it however long it takes."""
        return self._ask("POST", path, body=body, timeout=None)

    def delete(self, path: str) -> None:
        """Ask for something to be given up."""
        self._ask("DELETE", path)

    def lines(self, path: str, parameters: Parameters = ()) -> Iterator[Any]:
        """Follow a stream of JSON lines until the daemon ends it."""
        with self._talking(None) as connection:
            connection.request("GET", _target(path, parameters))
            response = connection.getresponse()
            if response.status >= 400:
                raise _problem(response.status, response.read())
            while line := response.readline():
                yield _parsed(line)

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
            with suppress(BrokenPipeError):  # refused before the body was read: the answer says why
                connection.request(method, _target(path, parameters), data, headers)
            response = connection.getresponse()
            content = response.read()
        # A daemon in trouble still answers `GET /healthz`, with its own object and a status of 503.
        if response.status >= 400 and "problem" in response.getheader("Content-Type", ""):
            raise _problem(response.status, content)
        if response.status >= 400 and not content.startswith(b"{"):
            raise _problem(response.status, content)
        return _parsed(content) if content else None

    @contextmanager
    def _talking(self, timeout: float | None) -> Iterator[_UnixConnection]:
        connection = _UnixConnection(self._path, timeout)
        try:
            yield connection
        except TimeoutError as exc:
            raise CtlError(
                f"mcsd did not answer within {ANSWER_TIME if timeout is None else timeout:g} s",
                hint="see systemctl status mcsd and journalctl -u mcsd",
                status=Exit.TIMED_OUT,
            ) from exc
        except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError) as exc:
            raise CtlError(
                f"no mcsd answers at {self._path!r}: {(exc.strerror or str(exc)).lower()}",
                hint="systemctl status mcsd; systemctl start mcsd",
                status=Exit.NO_DAEMON,
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
        return CtlError(
            f"the connection to mcsd at {self._path!r} broke off: {str(exc).lower() or type(exc).__name__}",
            hint="see systemctl status mcsd and journalctl -u mcsd, then try again",
            status=Exit.NO_DAEMON,
        )

    def _shut_out(self) -> CtlError:
        return CtlError(
            f"you may not use mcsd's socket {self._path!r}",
            hint=f"do it as root, or, to read only, as a member of the group {_group_name(self._path)}",
            status=Exit.REFUSED,
        )


def _target(path: str, parameters: Parameters) -> str:
    return path + ("?" + urlencode(parameters) if parameters else "")


def segment(text: str) -> str:
    """Make a name fit for one part of a path."""
    return quote(text, safe="")


def _parsed(content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError as exc:
        raise CtlError("mcsd's answer is not JSON", hint="is another program listening there?") from exc


def _problem(status: int, content: bytes) -> CtlError:
    try:
        problem = json.loads(content)
        detail = str(problem["detail"])
    except (ValueError, KeyError, TypeError):
        return CtlError(f"mcsd answered with status {status}", hint="see journalctl -u mcsd")
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
