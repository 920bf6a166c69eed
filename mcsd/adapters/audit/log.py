"""Sources of audit records: auditd's files, or the journal if auditd does not keep them.

Both give lines as auditd writes them, oldest first. The journal has the same text in parts, which are joined
again.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

from mcsd.errors import HostError

LOG = Path("/var/log/audit/audit.log")
_MOMENT = re.compile(r" msg=audit\((\d+\.\d+):")
AT_ONCE = 1000
"""Lines that are passed on together."""

_JOURNAL_HINT = "install the systemd bindings (python3-systemd), or auditd, which keeps a log of its own"


class LogFiles:
    """auditd's log and the rotated ones, `audit.log.1` the youngest of them. Raises `HostError`."""

    def __init__(self, path: Path = LOG) -> None:
        self._path = path

    def name(self) -> str:
        """Say where records come from."""
        return str(self._path)

    def since(self, moment: float) -> Iterator[list[str]]:
        """Return all lines since a moment, and maybe older ones."""
        for path in self._files():
            try:
                if path.stat().st_mtime >= moment:
                    with path.open(encoding="utf-8", errors="surrogateescape") as file:
                        yield from _in_parts(_since(file, moment))
            except FileNotFoundError:
                continue  # rotated meanwhile
            except OSError as exc:
                raise _unreadable(path, exc) from exc

    def follow(self, pause: float = 0.5) -> Generator[list[str], None, None]:
        """Return lines as they come, and empty lists while none do; continues in the new file after a
        rotation."""
        file = None
        try:
            while True:
                if file is None:
                    file = self._path.open(encoding="utf-8", errors="surrogateescape")
                    file.seek(0, os.SEEK_END)
                lines = _whole(file)
                yield lines
                if not lines:
                    if self._is_another(file):
                        file.close()
                        file = self._path.open(encoding="utf-8", errors="surrogateescape")
                    else:
                        time.sleep(pause)
        except OSError as exc:
            raise _unreadable(self._path, exc) from exc
        finally:
            if file is not None:
                file.close()

    def _files(self) -> list[Path]:
        found = []
        for path in self._path.parent.glob(f"{self._path.name}.*"):
            match = re.fullmatch(r"\d+", path.name.removeprefix(f"{self._path.name}."))
            found += [(int(match[0]), path)] if match else []
        return [path for _, path in sorted(found, reverse=True)] + [self._path]

    def _is_another(self, file: Any) -> bool:
        try:
            now = self._path.stat()
        except FileNotFoundError:
            return False
        held = os.fstat(file.fileno())
        return (now.st_dev, now.st_ino) != (held.st_dev, held.st_ino) or now.st_size < file.tell()


def _whole(file: Any) -> list[str]:
    """Return the complete lines that are there, `AT_ONCE` at most; a line that is being written waits."""
    lines: list[str] = []
    while len(lines) < AT_ONCE:
        place = file.tell()
        line = file.readline()
        if not line.endswith("\n"):
            file.seek(place)
            break
        lines.append(line)
    return lines


def _since(file: Iterator[str], moment: float) -> Iterator[str]:
    """Skip the lines before the first one that is not older than a moment.

    The kernel's order is not exactly that of time, so all lines after it are kept."""
    for line in file:
        said = _MOMENT.search(line)
        if said is None or float(said[1]) >= moment:
            yield line
            break
    yield from file


def _in_parts(file: Iterator[str]) -> Iterator[list[str]]:
    part: list[str] = []
    for line in file:
        part.append(line)
        if len(part) >= AT_ONCE:
            yield part
            part = []
    yield part


def _unreadable(path: Path, exc: OSError) -> HostError:
    hint = "do it as root" if isinstance(exc, PermissionError) else "is auditd running?"
    return HostError(f"{path} cannot be read: {exc.strerror}", hint=hint)


class JournalRecords:
    """Audit records that journald keeps (`Audit=` of journald.conf(5)). Raises `HostError`.

    `open_reader` opens a reader of the journal; tests pass their own.
    """

    def __init__(self, open_reader: Any = None) -> None:
        self._open = open_reader or _reader

    def name(self) -> str:
        """Say where records come from."""
        return "the journal"

    def since(self, moment: float) -> Iterator[list[str]]:
        """Return records since a moment."""
        reader = self._open()
        try:
            reader.seek_realtime(moment)
            yield from _in_parts(filter(None, map(line_of, reader)))
        finally:
            reader.close()

    def follow(self, pause: float = 0.5) -> Generator[list[str], None, None]:
        """Return records as they come, and empty lists while none do."""
        reader = self._open()
        try:
            reader.seek_tail()
            reader.get_previous()
            while True:
                lines: list[str] = []
                while len(lines) < AT_ONCE and (entry := reader.get_next()):
                    lines += [line] if (line := line_of(entry)) else []
                yield lines
                if not lines:
                    reader.wait(pause)
        finally:
            reader.close()


def _reader() -> Any:
    try:
        from systemd import journal
    except ImportError as exc:
        raise HostError(f"the journal cannot be read: {exc}", hint=_JOURNAL_HINT) from exc
    reader = journal.Reader()
    reader.add_match(_TRANSPORT="audit")
    return reader


def line_of(entry: Any) -> str:
    """Return a record as auditd writes it; "" for an entry that is not a record.

    journald puts the type's name before the text, and the event's number and time into fields.
    """
    name = str(entry.get("_AUDIT_TYPE_NAME") or "")
    message = str(entry.get("MESSAGE") or "")
    moment = entry.get("_SOURCE_REALTIME_TIMESTAMP") or entry.get("__REALTIME_TIMESTAMP")
    if not name or moment is None or entry.get("_AUDIT_ID") is None:
        return ""
    seconds = moment.timestamp() if hasattr(moment, "timestamp") else int(moment) / 1_000_000
    text = message.removeprefix(f"{name} ").replace("\n", " ")
    return f"type={name} msg=audit({seconds:.3f}:{int(entry['_AUDIT_ID'])}): {text}"


def open_log(path: Path = LOG) -> LogFiles | JournalRecords:
    """Return auditd's log if there is one, the journal otherwise."""
    return LogFiles(path) if path.exists() else JournalRecords()
