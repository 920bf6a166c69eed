"""Why etcd did not do what it was asked for, in words that say what to change."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator
from typing import NamedTuple

from mcsd.errors import FleetError

STORE_HINT = "see journalctl -u mcsd-fleet, and etcdctl endpoint status"
"""What to do where nothing better is known."""
_ACCESS_HINT = "see user and password_file in fleet.toml"
_TRUST_HINT = "see ca in fleet.toml, and whom etcd's certificate is for: openssl x509 -noout -text"
_IDENTITY_HINT = "see endpoints, certificate and key in fleet.toml, and --trusted-ca-file of etcd"
STALE = "revision of auth store is old"
"""etcd's answer to a token (`--auth-token jwt`) of before its users or roles were changed; status 400."""


class RefusedError(FleetError):
    """etcd has answered, and does not do it."""


class _Answer(NamedTuple):
    """A text of etcd's (api/v3rpc/rpctypes/error.go), and what it means here; `{user}` is who asks."""

    text: str
    what: str
    hint: str


_ANSWERS = (
    _Answer("permission denied", "the user {user!r} may not do this", "see the roles in mcsd-fleet(8)"),
    _Answer("authentication failed", "the user {user!r} and the password are not etcd's", _ACCESS_HINT),
    _Answer("user name is empty", "etcd wants a user", _ACCESS_HINT.replace("see", "set")),
    _Answer(
        "authentication is not enabled",
        "etcd does not tell users apart",
        "have its administrator type etcdctl auth enable: see mcsd-fleet(8)",
    ),
    *(
        # The gateway is a client of its own etcd, with etcd's certificate: so gRPC calls a broken connection.
        _Answer(
            text,
            "its gateway does not reach etcd itself",
            "is etcd's certificate for clients as well? see mcsd-fleet(8)",
        )
        for text in ("connection closed", "connection error: ", "transport is closing")
    ),
    _Answer(
        "database space exceeded",
        "etcd has no space left",
        "etcdctl compact, defrag, and alarm disarm; see who writes so much, and mcsd-fleet(8)",
    ),
)


def refused(status: int, content: bytes, user: str) -> RefusedError:
    """Return the error for an answer of any other status than 200."""
    said = _said(content)
    for answer in _ANSWERS:
        if answer.text in said:
            return RefusedError(answer.what.format(user=user), hint=answer.hint)
    return RefusedError(f"status {status}: {said!r}", hint=STORE_HINT)


def _said(content: bytes) -> str:
    """Return etcd's own words of an answer, or what there is instead of them; `error` is gone in etcd 3.6."""
    try:
        fields = json.loads(content)
    except (ValueError, RecursionError):
        fields = None
    found = fields.get("error", fields.get("message")) if isinstance(fields, dict) else None
    return found[:200] if isinstance(found, str) else content[:200].decode(errors="replace")


def unreachable(error: OSError) -> FleetError:
    """Return the error for a connection that was not made, or broke; `error` is what requests raises."""
    found = tuple(_behind(error))
    for one in found:
        if isinstance(one, ssl.SSLCertVerificationError):
            return FleetError(f"its certificate does not hold: {one.verify_message}", hint=_TRUST_HINT)
    for one in found:
        if isinstance(one, (ssl.SSLError, ConnectionResetError, BrokenPipeError)):
            # A server that wants another certificate, or one at all, may be gone before it has said so.
            return FleetError(f"the connection broke: {_short(one)}", hint=_IDENTITY_HINT)
    for one in found:
        if isinstance(one, OSError) and one.strerror:
            return FleetError(_short(one), hint=STORE_HINT)
    return FleetError(_short(error), hint=STORE_HINT)


def _short(error: OSError) -> str:
    """Return what it says, without where in a library's source; its name, if that is a library's text."""
    match error:
        case ssl.SSLError(reason=str(reason)):
            return reason.replace("_", " ").lower()
        case ssl.SSLError():
            return str(error.args[-1]).partition(" (")[0].lower()
        case _ if error.strerror:
            return error.strerror.lower()
        case _ if type(error).__module__.startswith("requests"):
            return type(error).__name__
    return str(error).lower()


def _behind(error: BaseException) -> Iterator[BaseException]:
    """Walk through an exception and all that it was raised for, each once: libraries wrap in many ways."""
    waiting: list[object] = [error]
    known: set[int] = set()
    while waiting:
        one = waiting.pop(0)
        if not isinstance(one, BaseException) or id(one) in known:
            continue
        known.add(id(one))
        yield one
        waiting += [*one.args, one.__cause__, one.__context__, getattr(one, "reason", None)]
