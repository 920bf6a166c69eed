"""What mcsd and mcsd-fleet say to each other over their socket: a line of JSON each way, then the end.

mcsd asks; the service answers with what etcd has. Both lines are read strictly: the daemon has all
privileges, and the service speaks to a network.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from mcsd.core.fleet.values import FleetValueError, Reading, Swap

LONGEST = 32 * 2**20
"""Bytes of a line."""


def ask(swap: Swap | None) -> bytes:
    """Write a question: for everything, or a transaction."""
    if swap is None:
        return _line({"do": "read"})
    return _line({"do": "swap", "conditions": dict(swap.conditions), "writes": dict(swap.writes)})


def asked(line: bytes) -> Swap | None:
    """Read a question; raise `FleetValueError`."""
    fields = _fields(line)
    match fields.get("do"):
        case "read":
            return None
        case "swap":
            conditions, writes = (_texts(fields.get(name)) for name in ("conditions", "writes"))
            return Swap(conditions, writes)
    raise FleetValueError(f"{line[:80]!r} asks for nothing that there is")


def answer(found: Reading | bool) -> bytes:
    """Write an answer: what is there, or whether a transaction was done."""
    if isinstance(found, bool):
        return _line({"done": found})
    return _line({"cluster": found.cluster, "revision": found.revision, "values": dict(found.values)})


def failure(what: str, hint: str) -> bytes:
    """Write why there is no answer."""
    return _line({"error": what, "hint": hint})


def answered(line: bytes) -> Reading | bool | tuple[str, str]:
    """Read an answer, or why there is none, and what to do; raise `FleetValueError`."""
    match _fields(line):
        case {"done": bool() as done}:
            return done
        case {"error": str() as error, "hint": str() as hint}:
            return error, hint
        case {"cluster": str() as cluster, "revision": int() as revision, "values": dict() as stored}:
            if not (cluster.isascii() and cluster.isdecimal() and len(cluster) <= 20):
                raise FleetValueError(f"the store's identity is {cluster[:80]!r}")
            values = {key: text for key, text in _texts(stored).items() if text is not None}
            return Reading(cluster, revision, values)
    raise FleetValueError(f"{line[:80]!r} is no answer")


def _line(fields: Mapping[str, object]) -> bytes:
    return json.dumps(fields, separators=(",", ":")).encode() + b"\n"


def _fields(line: bytes) -> Mapping[str, object]:
    if len(line) > LONGEST:
        raise FleetValueError(f"a line has {len(line)} bytes")
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError) as exc:
        raise FleetValueError(f"{line[:80]!r} is no JSON") from exc
    if not isinstance(fields, dict):
        raise FleetValueError(f"{line[:80]!r} is no object")
    return fields


def _texts(stored: object) -> Mapping[str, str | None]:
    if not isinstance(stored, dict):
        raise FleetValueError(f"{str(stored)[:80]!r} is no object")
    for key, text in stored.items():
        if not (text is None or isinstance(text, str)):
            raise FleetValueError(f"{key[:80]!r} has the value {str(text)[:80]!r}")
    return stored
