"""What mcsd reports about containers, levels, volumes, strays and booleans, for `mcsctl why`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from mcsd.cli.client import Client, Object
from mcsd.core.denials.facts import Held, Leasable, LevelHolder, Somebody, World
from mcsd.core.denials.values import type_of


def _seconds(moment: str | None) -> float:
    return datetime.fromisoformat(moment).timestamp() if moment else 0.0


def _claim(claim: Object) -> Held:
    return Held(
        source=str(claim["source"]),
        destination=str(claim["destination"]),
        mode=str(claim["mode"]),
        state=str(claim["state"]),
        reason=str(claim.get("reason") or ""),
        hint=str(claim.get("hint") or ""),
        left_out={one["path"]: (one["text"], one["hint"]) for one in claim.get("left_out") or ()},
    )


def _somebody(item: Object) -> Somebody:
    return Somebody(
        id=str(item["id"]),
        name=str(item["name"]),
        level=str(item.get("level") or ""),
        process=str(item.get("process") or item.get("process_label") or ""),
        pid=item.get("pid"),
        # A level that Docker chose is the container's from its creation on, whenever mcsd learned of it.
        since=0.0 if item.get("origin") == "adopted" else _seconds(item.get("since")),
        running=bool(item["running"]),
        claims=tuple(map(_claim, item.get("claims", ()))),
    )


def _holders(pairs: Iterable[Object]) -> dict[str, tuple[LevelHolder, ...]]:
    found: dict[str, list[LevelHolder]] = {}
    for pair in pairs:
        holder = LevelHolder(
            str(pair["name"]),
            str(pair["state"]),
            str(pair.get("container") or ""),
            _seconds(pair["since"]) if pair.get("since") else None,
            pair.get("pid"),
        )
        found.setdefault(str(pair["level"]), []).append(holder)
    return {level: tuple(holders) for level, holders in found.items()}


def _booleans(items: Iterable[Object]) -> tuple[Leasable, ...]:
    return tuple(
        Leasable(str(one["name"]), str(one["wish"]), str(one["asked"])) for one in items if one.get("name")
    )


def _file_type(volumes: Iterable[Object]) -> str:
    types = (type_of(str(one["target"])) for one in volumes if one.get("target"))
    return next((one for one in types if one), World().file_type)


def ask_world(client: Client) -> World:
    """Query mcsd for all of it; raises `CtlError`."""
    containers: Any = client.every("/v1/containers")["items"]
    volumes: Any = client.every("/v1/volumes")["items"]
    strays: Mapping[str, Any] = client.get("/v1/strays")
    return World(
        containers=tuple(map(_somebody, containers)),
        holders=_holders(client.every("/v1/pairs")["items"]),
        volumes={str(one["path"]): str(one.get("level") or "") for one in volumes},
        strays={str(path): str(one["remedy"]) for one in strays["items"] for path in one["paths"]},
        booleans=_booleans(client.every("/v1/booleans")["items"]),
        file_type=_file_type(volumes),
    )
