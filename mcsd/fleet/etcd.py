"""etcd as the fleet's store, through its JSON gateway (grpc-gateway, `/v3`, etcd 3.4 and newer).

Every read is linearizable, which is etcd's default. A failure of one endpoint is tried at the next: a
transaction that was done already fails then, by its conditions, and the next reading shows it as done.

The gateway does not tell users by their certificates ("common name auth not supported by gRPC-gateway"): a
client certificate opens the connection, and a name with a password says whose keys may be written. A token is
asked for anew when etcd does not take it any more: it is too old, etcd was restarted, or a user or a role was
changed since (`--auth-token jwt`).
"""

from __future__ import annotations

import base64
import binascii
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import requests

from mcsd.core.fleet.values import Reading, Swap
from mcsd.errors import FleetError
from mcsd.fleet.reasons import STALE, STORE_HINT, RefusedError, refused, unreachable

LARGEST = 32 * 2**20
"""Bytes of an answer."""
_CHUNK = 64 * 1024


@dataclass(frozen=True, slots=True)
class EtcdAccess:
    """Where etcd is and who asks; "" for what is not used. `timeout` in seconds, for a whole request."""

    endpoints: tuple[str, ...]
    prefix: str = "/mcsd/"
    ca: str = ""
    certificate: str = ""
    key: str = ""
    user: str = ""
    password: str = ""
    timeout: float = 3.0


class _UnauthorisedError(Exception):
    """etcd does not take the token, or not any more."""


class EtcdStore:
    """`mcsd.ports.FleetStore`. For one thread."""

    def __init__(self, access: EtcdAccess) -> None:
        self._access = access
        self._session = requests.Session()
        self._session.trust_env = False
        if access.ca:
            self._session.verify = access.ca
        if access.certificate:
            # A file may have both.
            self._session.cert = (access.certificate, access.key) if access.key else access.certificate
        self._endpoints = list(access.endpoints)
        self._token = ""

    def read(self) -> Reading:
        """Return everything below the prefix at one moment; raises `FleetError`."""
        prefix = self._access.prefix.encode()
        end = prefix[:-1] + bytes([prefix[-1] + 1])
        answer = self._ask("/v3/kv/range", {"key": _coded(prefix), "range_end": _coded(end)})
        return _reading(answer, self._access.prefix)

    def swap(self, swap: Swap) -> bool:
        """Do a transaction, and return whether etcd says that it was done; raises `FleetError`."""
        body = {
            "compare": [self._compare(key, value) for key, value in swap.conditions.items()],
            "success": [self._write(key, value) for key, value in swap.writes.items()],
        }
        return self._ask("/v3/kv/txn", body).get("succeeded", False) is True

    def close(self) -> None:
        """Close all connections."""
        self._session.close()

    def _key(self, key: str) -> str:
        return _coded((self._access.prefix + key).encode())

    def _compare(self, key: str, value: str | None) -> Mapping[str, str]:
        if value is None:
            return {"key": self._key(key), "target": "VERSION", "result": "EQUAL", "version": "0"}
        return {"key": self._key(key), "target": "VALUE", "result": "EQUAL", "value": _coded(value.encode())}

    def _write(self, key: str, value: str | None) -> Mapping[str, Mapping[str, str]]:
        if value is None:
            return {"requestDeleteRange": {"key": self._key(key)}}
        return {"requestPut": {"key": self._key(key), "value": _coded(value.encode())}}

    def _ask(self, path: str, body: Mapping[str, object]) -> Mapping[str, Any]:
        """Ask the endpoints in turn, the one that answered last first."""
        failures = {}
        for endpoint in tuple(self._endpoints):
            try:
                answer = self._ask_one(endpoint, path, body)
            except FleetError as exc:
                failures[endpoint] = exc
            except OSError as exc:  # all of requests' errors, and files of certificates that are not there
                failures[endpoint] = unreachable(exc)
            else:
                self._endpoints.remove(endpoint)
                self._endpoints.insert(0, endpoint)
                return answer
        raise _failure(failures)

    def _ask_one(self, endpoint: str, path: str, body: Mapping[str, object]) -> Mapping[str, Any]:
        if self._access.user and not self._token:
            self._token = self._authenticate(endpoint)
        try:
            return self._post(endpoint, path, body)
        except _UnauthorisedError:
            self._token = self._authenticate(endpoint)
        try:
            return self._post(endpoint, path, body)
        except _UnauthorisedError as exc:
            raise RefusedError("etcd does not take its own token", hint=STORE_HINT) from exc

    def _authenticate(self, endpoint: str) -> str:
        self._token = ""
        if not self._access.user:
            raise RefusedError("etcd wants a user", hint="set user and password_file in fleet.toml")
        who = {"name": self._access.user, "password": self._access.password}
        try:
            token = self._post(endpoint, "/v3/auth/authenticate", who).get("token")
        except _UnauthorisedError as exc:
            raise RefusedError(f"etcd refuses the user {self._access.user!r}", hint=STORE_HINT) from exc
        if not isinstance(token, str) or not token.isascii() or not token.isprintable():
            raise FleetError("etcd gives no token", hint=STORE_HINT)
        return token

    def _post(self, endpoint: str, path: str, body: Mapping[str, object]) -> Mapping[str, Any]:
        deadline = time.monotonic() + self._access.timeout
        with self._session.post(
            endpoint + path,
            data=json.dumps(body),
            headers={"Authorization": self._token} if self._token else {},
            timeout=self._access.timeout,
            allow_redirects=False,
            stream=True,
        ) as response:
            content = _content(response, deadline)
        if response.status_code != requests.codes.ok:
            if response.status_code == requests.codes.unauthorized or STALE.encode() in content:
                raise _UnauthorisedError
            raise refused(response.status_code, content, self._access.user)
        try:
            answer = json.loads(content)
        except (ValueError, RecursionError) as exc:
            raise FleetError(f"the answer {content[:80]!r} is no JSON", hint=STORE_HINT) from exc
        if not isinstance(answer, dict):
            raise FleetError(f"the answer {content[:80]!r} is no object", hint=STORE_HINT)
        return answer


def _content(response: requests.Response, deadline: float) -> bytes:
    """Read an answer, which may be neither too large nor too slow as a whole."""
    found = bytearray()
    for chunk in response.iter_content(_CHUNK):
        found += chunk
        if len(found) > LARGEST:
            raise FleetError("the answer is too large", hint=STORE_HINT)
        if time.monotonic() > deadline:
            raise FleetError("the answer takes too long", hint=STORE_HINT)
    return bytes(found)


def _failure(failures: Mapping[str, FleetError]) -> FleetError:
    """Return one error for all endpoints: that one has refused says more than that another is away."""
    answers: list[FleetError] = [one for one in failures.values() if isinstance(one, RefusedError)]
    what = "etcd refuses" if answers else "etcd does not answer"
    reasons = "; ".join(f"{endpoint}: {one.what}" for endpoint, one in failures.items())
    return FleetError(f"{what}: {reasons}", hint=(answers or [*failures.values()])[0].hint)


def _coded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _reading(answer: Mapping[str, Any], prefix: str) -> Reading:
    """Read what `/v3/kv/range` answers: numbers are strings, and what is empty or zero is left out."""
    try:
        header = answer["header"]
        items = answer.get("kvs", [])
        values = {_decoded(item["key"]): _decoded(item.get("value", "")) for item in items}
        if any(not key.startswith(prefix) for key in values) or int(answer.get("count", 0)) != len(values):
            raise ValueError("keys are missing, or others are there")
        cluster, revision = int(header["cluster_id"]), int(header["revision"])
        if not (0 <= cluster < 2**64 and 0 < revision < 2**63):
            raise ValueError("the header is out of range")
    except (KeyError, TypeError, ValueError, AttributeError, binascii.Error) as exc:
        raise FleetError(f"the answer makes no sense: {exc}", hint=STORE_HINT) from exc
    return Reading(str(cluster), revision, {key.removeprefix(prefix): text for key, text in values.items()})


def _decoded(text: str) -> str:
    return base64.b64decode(text, validate=True).decode()
