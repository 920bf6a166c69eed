"""mcsctl's lists: containers, volumes, pairs. The only module that imports rich, when one is shown."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table
from rich.text import Text

from mcsd.cli.client import Object
from mcsd.cli.text import Screen, names, number, since
from mcsd.core.containers import DOCKER, full_name
from mcsd.core.notices import printable

_STYLES = {
    "good": "green",
    "busy": "cyan",
    "warning": "yellow",
    "bad": "bold red",
    "faint": "dim",
    "strong": "bold",
}

_STATES = {
    "ready": "good",
    "active": "good",
    "pending": "busy",
    "restoring": "busy",
    "lingering": "busy",
    "partial": "bad",
    "refused": "bad",
    "failed": "bad",
    "stranded": "bad",
    "quarantined": "warning",
    "foreign": "warning",
    "unmanaged": "faint",
    "idle": "faint",
    "none": "faint",
}

Cell = str | tuple[str, str]
"""A text, or a text and its style."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column. A `long` one may wrap; all others do not."""

    title: str
    long: bool = False
    right: bool = False


def show_table(screen: Screen, columns: Sequence[Column], rows: Iterable[Sequence[Cell]]) -> None:
    """Print a table that fits the screen; nothing is cut off, long cells wrap."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns:
        table.add_column(
            column.title,
            overflow="fold",
            no_wrap=not column.long,
            justify="right" if column.right else "left",
        )
    for row in rows:
        table.add_row(*map(_cell, row))
    buffer = io.StringIO()
    console = Console(
        file=buffer,
        width=screen.columns,
        force_terminal=screen.is_coloured,
        color_system="standard" if screen.is_coloured else None,
        no_color=not screen.is_coloured,
        highlight=False,
        markup=False,
        emoji=False,
    )
    console.print(table)
    for line in buffer.getvalue().splitlines():
        screen.line(line.rstrip())


def _cell(cell: Cell) -> Text:
    if isinstance(cell, str):
        return Text(printable(cell))
    text, style = cell
    return Text(printable(text), style=_STYLES.get(style, ""))


def _state(value: object) -> Cell:
    return str(value), _STATES.get(str(value), "")


def _notes(screen: Screen, notes: Iterable[tuple[str, str, str]]) -> None:
    """Print below a table what is wrong with which entry, and what to do."""
    for title, reason, hint in notes:
        screen.line()
        screen.paragraph(reason, first=f"{printable(title)}: ", rest="    ")
        if hint:
            screen.paragraph(hint, first="    next: ", rest="          ")


# --- containers ----------------------------------------------------------------------------------------


def _isolated(screen: Screen, item: Object) -> Cell:
    if item.get("error"):
        return f"?: {item['error']}" if screen.is_wide else "?: failed", "bad"
    match item.get("isolated"):
        case True:
            weak = any(one.get("weakens") for one in item.get("weaknesses", ()))
            return ("yes, weakened by a mount", "warning") if weak and screen.is_wide else ("yes", "good")
        case False:
            reasons = item.get("reasons") or [{"code": "unknown", "text": "unknown"}]
            more = f" (+{len(reasons) - 1})" if len(reasons) > 1 else ""
            return f"no: {reasons[0]['text' if screen.is_wide else 'code']}{more}", "bad"
    return str(item["stage"]) if item.get("running") and item.get("stage") else "-", "faint"


def _volume_count(item: Object) -> Cell:
    counts = item.get("volumes") or {}
    ready, total = counts.get("ready", 0), counts.get("total", 0)
    if not total:
        return "-"
    return f"{ready}/{total}", "good" if ready == total else "warning"


def _name(item: Object) -> str:
    return full_name(str(item["name"]), item.get("engine", DOCKER))


def show_containers(screen: Screen, items: Sequence[Object]) -> None:
    """List containers, and what keeps some of them from being isolated."""
    columns = [
        Column("NAME", long=True),
        Column("STATE"),
        Column("LEVEL"),
        Column("ORIGIN"),
        Column("ISOLATED", long=True),
        Column("VOLUMES"),
    ]
    if screen.is_wide:
        columns[1:1] = [Column("ID"), Column("STATUS")]
    rows: list[list[Cell]] = []
    for item in items:
        row: list[Cell] = [
            _name(item),
            _state(item.get("state", "")),
            item.get("level") or "-",
            item.get("origin") or "-",
            _isolated(screen, item),
            _volume_count(item),
        ]
        if screen.is_wide:
            row[1:1] = [str(item["id"])[:12], str(item.get("status", ""))]
        rows.append(row)
    show_table(screen, columns, rows)
    wrong = [_name(item) for item in items if item.get("isolated") is False or item.get("error")]
    if wrong:
        screen.line()
        text = f"mcsctl show {wrong[0]} says what is missing and what to do"
        screen.paragraph(text, first=f"{len(wrong)} not well: ", rest="")


# --- volumes -------------------------------------------------------------------------------------------


def show_volumes(screen: Screen, items: Sequence[Object]) -> None:
    """List volumes, and what is wrong with some of them."""
    columns = [
        Column("PATH", long=True),
        Column("LEVEL"),
        Column("STATE"),
        Column("CONTAINERS", long=True),
        Column("MODE"),
        Column("INODES", right=True),
    ]
    if screen.is_wide:
        columns.append(Column("REASON", long=True))
    rows: list[list[Cell]] = []
    for item in items:
        holders = list(dict.fromkeys(claim["name"] for claim in item.get("claims", ())))
        row: list[Cell] = [
            item["path"],
            item.get("level") or "-",
            _state(item.get("state", "")),
            ", ".join(holders) or "-",
            item.get("mode") or "-",
            number(item.get("inodes")),
        ]
        if screen.is_wide:
            row.append(item.get("reason") or "-")
        rows.append(row)
    show_table(screen, columns, rows)
    _notes(
        screen,
        (
            (item["path"], item.get("reason") or item["state"], item.get("hint", ""))
            for item in items
            if item.get("hint") or (item.get("reason") and not screen.is_wide)
        ),
    )


# --- pairs ---------------------------------------------------------------------------------------------


def show_pairs(screen: Screen, page: Object) -> None:
    """List levels and who holds them."""
    columns = [
        Column("LEVEL"),
        Column("STATE"),
        Column("HELD BY", long=True),
        Column("ORIGIN"),
        Column("FOR", right=True),
        Column("VOLUMES", right=True),
    ]
    rows: list[list[Cell]] = []
    for item in page["items"]:
        holder = full_name(str(item.get("name") or "-"), item.get("engine") or DOCKER)
        if item.get("pid"):
            inside = ", ".join(filter(None, (item.get("holder"), str(holder))))
            holder = f"process {item['pid']} ({inside})"
        notes = [
            f"{key} {item[key]}" for key in ("reservation", "group") if item.get(key) not in (None, holder)
        ]
        if item.get("life"):
            notes.append(item["life"]["text"])
        rows.append(
            [
                item["level"],
                _state(item["state"]),
                f"{holder} ({names(notes)})" if notes else holder,
                item.get("origin") or "-",
                since(item.get("since"), screen.now),
                number(item.get("volumes")),
            ]
        )
    show_table(screen, columns, rows)
    _notes(
        screen,
        ((item["level"], item["reason"], "") for item in page["items"] if item.get("reason")),
    )
    summary = page.get("summary")
    if summary:
        screen.line()
        screen.line(f"{summary['free']:,} of {summary['total']:,} pairs are free")


# --- booleans ------------------------------------------------------------------------------------------


def _switch(value: object) -> str:
    return "-" if value is None else "on" if value else "off"


def _boolean_row(screen: Screen, item: Object) -> list[Cell]:
    name, asked = item.get("name"), str(item["asked"])
    wish = f"{item['wish']}, held {item['order']}" if item.get("order") else str(item["wish"])
    present = _switch(item.get("present"))
    if item.get("pending") is not None and item.get("pending") != item.get("present"):
        present += f" ({_switch(item['pending'])} pending)"
    holders = ", ".join(str(holder["name"]) for holder in item.get("holders", ()))
    row: list[Cell] = [
        asked if name in (asked, None) else f"{asked} (here {name})",
        wish,
        _switch(item.get("wanted")),
        (present, "good" if item.get("good", True) else "bad"),
        holders or "-",
    ]
    if screen.is_wide:
        changed = item.get("changed")
        row.append(f"{since(changed['time'], screen.now)} ago, {changed['cause']}" if changed else "-")
    return row


def show_booleans(screen: Screen, page: Object) -> None:
    """List booleans, what is wrong with some of them, and refused requests."""
    columns = [
        Column("BOOLEAN", long=True),
        Column("CONFIGURED", long=True),
        Column("WANTED"),
        Column("PRESENT"),
        Column("HELD BY", long=True),
    ]
    if screen.is_wide:
        columns.append(Column("CHANGED"))
    items = page["items"]
    if not items:
        screen.line("the configuration names no booleans")
    else:
        show_table(screen, columns, [_boolean_row(screen, item) for item in items])
    wrong = [item for item in items if not item.get("good", True)]
    _notes(
        screen,
        (
            (item["asked"], item.get("problem") or item.get("note") or "it is not as wanted", item["hint"])
            for item in wrong
        ),
    )
    refusals = page.get("refusals")
    refused = (one for item in items for one in item.get("refusals", ())) if refusals is None else refusals
    _notes(
        screen,
        ((f"{one['name']} asks for {one['asked']} in vain", one["text"], one["hint"]) for one in refused),
    )
