"""`mcsctl fleet`: ranges for hosts that mount the same labelled storage, and how this one stands."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from mcsd.cli.client import Object
from mcsd.cli.errors import CtlError, Exit
from mcsd.cli.text import Screen, number, since
from mcsd.core.fleet.ranges import HOST_NAME, HostRange, plan_ranges
from mcsd.core.notices import printable
from mcsd.errors import RequestError


@dataclass(frozen=True, slots=True)
class FleetWish:
    """What is to be changed in a common store. `gone`: the evicted host is off, and its disks are gone."""

    verb: str
    hosts: tuple[str, ...]
    gone: bool = False


def show_plan(hosts: Sequence[str], screen: Screen, notes: Screen, *, as_json: bool) -> Exit:
    """Print disjoint ranges for hosts; raise `CtlError` if that is not possible."""
    for name in hosts:
        if re.fullmatch(HOST_NAME, name) is None:
            raise CtlError(
                f"{name!r} cannot be a host's name",
                hint="a name has letters, digits, '.', '_' and '-'",
                status=Exit.USAGE,
            )
    try:
        ranges = tuple(plan_ranges(hosts).values())
    except RequestError as exc:
        raise CtlError(exc.what, hint=exc.hint, status=Exit.USAGE) from exc
    if as_json:
        items = [{"host": one.host, "range": str(one), "pairs": one.pairs} for one in ranges]
        screen.line(json.dumps({"items": items}, indent=2))
        return Exit.DONE
    _show_ranges(ranges, screen)
    screen.line()
    screen.line("in /etc/mcsd/mcsd.toml of every host, each with its own range:")
    screen.line("  [categories]")
    screen.line(f'  range = "{ranges[0]}"')
    screen.line("  [fleet]")
    screen.line(f"  hosts = {json.dumps([one.host for one in ranges])}")
    notes.paragraph(
        "restart mcsd there; a level that a container has already stays, and mcsctl fleet status shows it",
        first="",
        rest="",
    )
    return Exit.DONE


def _show_ranges(ranges: Sequence[HostRange], screen: Screen) -> None:
    from mcsd.cli.tables import Column, show_table

    columns = (Column("HOST"), Column("RANGE"), Column("PAIRS", right=True))
    show_table(screen, columns, [(one.host, str(one), f"{one.pairs:,}") for one in ranges])


def show_fleet(answer: Object, screen: Screen) -> None:
    """Print how this host stands: what its range is, what it shares with others, what to do."""
    screen.line(f"{printable(answer['name'])}: pairs from {answer['range']}, {_ownership(answer)}")
    for storage in answer["storages"]:
        source = f"{printable(storage['file_system'])} of {printable(storage['source'])}"
        screen.line(f"  {printable(storage['path'])}  {source}")
        screen.paragraph(", ".join(storage["containers"]), first="    used by ", rest="    ")
    if not answer["storages"]:
        screen.line("  no volume is on labelled storage that other hosts can mount")
    if answer.get("store"):
        _show_store(answer["store"], screen)
    for check in answer["checks"]:
        screen.paragraph(check["text"], first="warn: ", rest="  ")
        screen.paragraph(check["hint"], first="  next: ", rest="        ")


def _show_store(store: Object, screen: Screen) -> None:
    grants = "grants from" if store["grants"] else "grants nothing from"
    screen.line(f"  {grants} blocks {store['blocks'] or '-'}; the store answered {_ago(store, screen)}")
    if store["contested"]:
        screen.line(f"  another host claims as well: {store['contested']}")
    from mcsd.cli.tables import Column, show_table

    columns = (
        Column("HOST"),
        Column("BLOCKS", right=True),
        Column("DIRECTORIES", right=True),
        Column("OPERATIONS", right=True),
        Column("GENERATION", right=True),
        Column("DOUBT", long=True),
    )
    rows = [
        (
            one["name"],
            number(one["blocks"]),
            number(one["directories"]),
            number(one["operations"]),
            number(one["generation"]),
            one["doubt"] or "-",
        )
        for one in store["members"]
    ]
    if rows:
        show_table(screen, columns, rows)
    _show_directories(store["directories"], screen)


def _show_directories(directories: Sequence[Object], screen: Screen) -> None:
    from mcsd.cli.tables import Column, show_table

    columns = (
        Column("DIRECTORY", long=True),
        Column("STORAGE"),
        Column("LEVEL"),
        Column("CONTAINER"),
        Column(""),
    )
    rows = [
        (
            one["path"],
            one["storage"] or one["file_system"],
            one["level"],
            one["holder"],
            "another host has it as well" if one["disputed"] else "",
        )
        for one in directories
    ]
    if rows:
        show_table(screen, columns, rows)


def _ago(store: Object, screen: Screen) -> str:
    return f"{since(store['answered'], screen.now)} ago" if store["answered"] else "never"


def _ownership(answer: Object) -> str:
    if answer.get("store"):
        return f"of a store in common with {len(answer['store']['members'])} hosts"
    if answer["own"] is None:
        return "without a plan for several hosts"
    if answer["own"]:
        return f"its own among {len(answer['hosts'])} hosts"
    return "which the plan does not have for this host"
