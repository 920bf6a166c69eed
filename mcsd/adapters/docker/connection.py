"""One exchange at a time with Docker's API: requests and the event stream, as bytes within limits.

The SDK's `APIClient` is the session; its transport is an adapter of `requests` over a `GuardedSocket`,
mounted as `requests` documents it. Its decoding methods are not used on purpose: they read bodies of any
size, wait for a stream's next byte for ever, and do not distinguish a broken stream from one that ended
(`CancellableStream`), which mcsd needs to know.

An `APIClient` holds state between requests, so each `GuardConnection` has its own and belongs to one thread.
Importing this module imports the SDK, which is slow: import it where the first connection is made.
"""

from __future__ import annotations

import contextlib
import http.client
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import docker
import requests
import urllib3
from docker import APIClient
from docker.constants import MINIMUM_DOCKER_API_VERSION
from requests.adapters import HTTPAdapter

from mcsd.adapters.docker.socket import URL_HINT, Guard
from mcsd.errors import EngineProtocolError, EngineUnavailableError, McsdError

OLDEST_SDK = "7.1"
"""The oldest release of Docker's SDK for Python that mcsd works with."""

_READ_SIZE = 65536
_SCHEME = "http+docker://"


@dataclass(frozen=True, slots=True)
class HttpReply:
    """An HTTP response, successful or not."""

    status: int
    body: bytes


class GuardConnection:
    """Requests to the guard's socket, one at a time.

    `limit` bounds an answer, in bytes. Errors as in `mcsd.ports.ContainerEngine`. `guard.shut` ends it from
    any thread; it must still be closed when no thread uses it.
    """

    def __init__(self, guard: Guard, *, limit: int) -> None:
        self._guard = guard
        self._limit = limit
        # The version is part of the requested paths; naming one keeps the SDK from asking for it.
        self._client = APIClient(base_url=f"unix://{guard.path}", version=MINIMUM_DOCKER_API_VERSION)
        self._client.trust_env = False  # no proxies and no .netrc for a Unix socket
        self._client.headers.update({"Accept": "application/json", "Accept-Encoding": "identity"})
        self._client.mount(_SCHEME, _GuardedAdapter(guard))

    def get(self, path: str, query: Mapping[str, str] | None = None, *, seconds: float) -> HttpReply:
        """Send a request and read the whole answer within `seconds`."""
        what = f"GET {path}"
        self._guard.ask(what, seconds=seconds, limit=self._limit)
        with _explained(self._guard, what):
            return _read(self._request(path, query))

    def stream(
        self, path: str, query: Mapping[str, str], *, seconds: float, line_limit: int
    ) -> tuple[Stream | None, HttpReply]:
        """Open a stream of lines within `seconds`; there is none if the status is not a success.

        A line of more than `line_limit` bytes raises `EngineProtocolError`.
        """
        what = f"GET {path}"
        self._guard.ask(what, seconds=seconds, limit=self._limit)
        with _explained(self._guard, what):
            response = self._request(path, query)
            if response.status_code != http.client.OK:
                return None, _read(response)
            return Stream(self._guard, what, response, line_limit), HttpReply(response.status_code, b"")

    def close(self) -> None:
        """Release the connection."""
        self._client.close()

    def _request(self, path: str, query: Mapping[str, str] | None) -> requests.Response:
        return self._client.get(
            f"{self._client.base_url}{path}", params=query, stream=True, timeout=None, allow_redirects=False
        )


class Stream:
    """The lines of an open response, without their ends; empty ones are left out."""

    def __init__(self, guard: Guard, what: str, response: requests.Response, line_limit: int) -> None:
        self._guard = guard
        self._what = what
        self._response = response
        self._line_limit = line_limit
        self._rest = bytearray()

    def lines(self, *, silence: float, still_there: Callable[[], None]) -> Iterator[bytes]:
        """Yield line after line; raise `EngineUnavailableError` when the stream ends, for whatever reason.

        `still_there` is called after every `silence` seconds without a byte, and raises if the engine is
        gone.
        """

        def judge() -> None:
            if self._rest or self._response.raw.chunk_left:
                raise self._broken(
                    f"stopped in the middle of an event, {silence:g} s ago", self._guard.program.hangs_hint
                )
            still_there()

        self._guard.follow(seconds=silence, limit=self._line_limit + 2 * _READ_SIZE, on_silence=judge)
        with _explained(self._guard, self._what):
            for piece in self._pieces():
                yield from self._split(piece)
                self._guard.renew()
        raise self._broken("ended", self._guard.program.down_hint)

    def close(self) -> None:
        """Close the response and, because it is not read to its end, the connection."""
        self._response.close()

    def _pieces(self) -> Iterator[bytes]:
        raw = self._response.raw
        # Without chunked encoding, a read waits for all the requested bytes: only single bytes come in time.
        yield from raw.stream(_READ_SIZE if raw.chunked else 1, decode_content=False)

    def _split(self, piece: bytes) -> list[bytes]:
        self._rest += piece
        lines: list[bytes] = []
        if b"\n" in piece:
            *lines, rest = bytes(self._rest).split(b"\n")
            self._rest = bytearray(rest)
        if len(self._rest) > self._line_limit:
            raise EngineProtocolError(
                f"{self._guard.where} sent an event of more than {self._line_limit} bytes",
                hint=f"look at the labels of the newest containers: {self._guard.program.name} events",
            )
        # A record separator goes before each object of application/json-seq (RFC 7464).
        return [stripped for line in lines if (stripped := line.strip(b"\x1e \t\r"))]

    def _broken(self, how: str, hint: str) -> EngineUnavailableError:
        return EngineUnavailableError(f"the event stream of {self._guard.where} {how}", hint=hint)


def _read(response: requests.Response) -> HttpReply:
    try:
        # Undecoded: a Content-Encoding could unpack to any size, and none was requested.
        body = b"".join(response.raw.stream(_READ_SIZE, decode_content=False))
        if missing := _missing(response, body):
            raise http.client.IncompleteRead(b"", missing)
        return HttpReply(response.status_code, body)
    finally:
        response.close()


def _missing(response: requests.Response, body: bytes) -> int:
    """Return how many bytes of the Content-Length are missing; urllib3 before 2 does not check."""
    promised = response.headers.get("Content-Length", "")
    if promised.isdecimal():
        return max(0, int(promised) - len(body))
    # Nothing more: the header was cut off, which http.client takes for complete.
    return int(response.status_code == http.client.OK and not body and not response.raw.chunked)


@contextlib.contextmanager
def _explained(guard: Guard, what: str) -> Iterator[None]:
    """Turn the libraries' exceptions into an error that says what happened, and to which request."""
    try:
        yield
    except McsdError:
        raise
    except (
        requests.RequestException,
        urllib3.exceptions.HTTPError,
        http.client.HTTPException,
        OSError,
    ) as exc:
        raise _explain(guard, what, exc) from exc


def _explain(guard: Guard, what: str, exc: Exception) -> McsdError:
    where, program = guard.where, guard.program
    cause = _innermost(exc)
    if guard.is_shut:
        return guard.shut_error()
    if guard.has_ended or isinstance(cause, ConnectionError):
        return EngineUnavailableError(
            f"{where} closed the connection before its answer to {what} was complete", hint=program.down_hint
        )
    if isinstance(exc, requests.RequestException) and not guard.has_asked:
        # docker 7.0 with requests 2.32 was like that: the two were not compatible.
        return EngineUnavailableError(
            f"{where} was not asked {what}: python's docker {docker.__version__} and requests "
            f"{requests.__version__} do not work together: {type(cause).__name__}: {cause}",
            hint=f"docker itself is not at fault: install python3-docker {OLDEST_SDK} or newer",
        )
    if isinstance(cause, OSError):
        return EngineUnavailableError(f"{where} failed at {what}: {cause}", hint=program.hangs_hint)
    return EngineProtocolError(
        f"{where} did not answer {what} in HTTP: {type(cause).__name__}: {cause}", hint=URL_HINT
    )


def _innermost(exc: Exception) -> Exception:
    """Return the innermost cause: `requests` and `urllib3` pass it on as an argument."""
    inner = [arg for arg in exc.args if isinstance(arg, Exception)]
    return _innermost(inner[-1]) if inner else exc


class _Wire(http.client.HTTPConnection):
    """HTTP over a socket that a guard makes."""

    def __init__(self, guard: Guard) -> None:
        super().__init__("localhost")
        self._guard = guard

    def connect(self) -> None:
        self.sock = self._guard.connect()


class _GuardedAdapter(HTTPAdapter):
    """A transport of `requests` for one request at a time, each on a connection of its own.

    Reusing connections gains little on a Unix socket, and needs the last answer to be read completely.
    """

    def __init__(self, guard: Guard) -> None:
        super().__init__()
        self._wire = _Wire(guard)

    def send(self, request: requests.PreparedRequest, *_: object, **__: object) -> requests.Response:
        """Send, and return the response with its body unread; raises what `http.client` and the guard
        raise."""
        assert request.method is not None
        self._wire.close()
        self._wire.request(request.method, request.path_url, headers=dict(request.headers))
        answer = self._wire.getresponse()
        unread = urllib3.HTTPResponse(
            body=answer,
            headers=dict(answer.headers.items()),
            status=answer.status,
            version=answer.version,
            reason=answer.reason,
            preload_content=False,
            decode_content=False,
            original_response=answer,
        )
        return self.build_response(request, unread)

    def close(self) -> None:
        """Release the connection."""
        self._wire.close()
        super().close()
