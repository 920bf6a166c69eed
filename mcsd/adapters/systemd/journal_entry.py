"""Journal entries as text: the fields of a notice, and its line if there is no journald.

Untrusted text (names, paths, reasons) is escaped, so that no value can forge a line or a field.
Only a traceback keeps its line breaks, as an indented block of escaped lines.
"""

from __future__ import annotations

from collections.abc import Mapping

from mcsd.core.notices import Kind, Notice, printable

Fields = Mapping[str, str]
"""One entry, in journald's own field names (systemd.journal-fields(7))."""

IDENTIFIER = "mcsd"

_NAMES = {"name": "MCSD_CONTAINER_NAME", "container": "MCSD_CONTAINER_ID"}
_BLOCKS = {"traceback"}
_WORDS = ("emergency", "alert", "critical", "error", "warning", "notice", "info", "debug")


def _block(text: object) -> str:
    return "\n".join(printable(line) for line in str(text).splitlines())


def _base(kind: Kind) -> dict[str, str]:
    return {
        "MESSAGE_ID": kind.value.message_id,
        "PRIORITY": str(kind.value.priority),
        "SYSLOG_IDENTIFIER": IDENTIFIER,
        "MCSD_KIND": kind.name.lower().replace("_", "-"),
    }


def entry_of(notice: Notice) -> Fields:
    """Return a notice's entry."""
    entry = {"MESSAGE": notice.sentence} | _base(notice.kind)
    for key, value in notice.fields.items():
        entry[_NAMES.get(key, f"MCSD_{key.upper()}")] = _block(value) if key in _BLOCKS else printable(value)
    if notice.container:
        entry["MCSD_CONTAINER_ID"] = printable(notice.container)
    return entry


def summary_of(kind: Kind, count: int) -> Fields:
    """Return the entry about suppressed messages of a kind."""
    base = _base(kind)
    what = f"{count} more like this ({base['MCSD_KIND']}) were held back, because they came too fast"
    return {"MESSAGE": what} | base | {"MCSD_HELD_BACK": str(count)}


def loss(count: int) -> Fields:
    """Return the entry about lost messages."""
    return {
        "MESSAGE": f"{count} messages were lost, because the journal did not take them",
        "PRIORITY": "4",
        "SYSLOG_IDENTIFIER": IDENTIFIER,
        "MCSD_LOST": str(count),
    }


def line_of(entry: Fields) -> str:
    """Return an entry as text for a terminal or a file, with a line break."""
    text = f"{IDENTIFIER}: {_WORDS[int(entry['PRIORITY'])]}: {entry['MESSAGE']}\n"
    block = entry.get("MCSD_TRACEBACK", "")
    return text + "".join(f"    {line}\n" for line in block.splitlines())
