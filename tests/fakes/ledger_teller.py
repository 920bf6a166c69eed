"""Tells the ledger's story in processes that are killed at a chosen statement: for `test_ledger_crash.py`.

A program of its own, because a process is forked for each kill, and the tests' own has threads (that of
pytest's `faulthandler_timeout`): of copying such a process Python warns. It reads lines `STATEMENT PATH`, and
answers each with how many transactions the killed process had back, and whether it came to the end (1 or 0).
"""

from __future__ import annotations

import os
import signal
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

from mcsd.adapters.ledger.database import SqliteLedger
from mcsd.core.changes import LedgerContents
from tests.fakes.ledger import Tables
from tests.fakes.ledger_records import STORY


def chapters() -> list[LedgerContents]:
    """What a ledger holds after none, one, two … transactions of the story."""
    tables = Tables()
    found = [tables.contents()]
    for changes in STORY:
        tables = tables.apply(changes)
        found.append(tables.contents())
    return found


def tell_story(path: Path, acknowledge: Any, start: int = 0) -> None:
    """Tell the story from a transaction on, with a restart in the middle."""
    for part in (STORY[start:6], STORY[max(start, 6) :]):
        with closing(SqliteLedger(path)) as ledger:
            for changes in part:
                ledger.apply(changes)
                acknowledge()


class Killer:
    """Counts the statements of every connection, and kills its process before the one that was chosen."""

    def __init__(self, chosen: int) -> None:
        self._left = chosen
        self._connect = sqlite3.connect

    def connect(self, *arguments: Any, **options: Any) -> sqlite3.Connection:
        database: sqlite3.Connection = self._connect(*arguments, **options)
        database.set_trace_callback(self._count)
        return database

    def _count(self, _: str) -> None:
        self._left -= 1
        if not self._left:
            os.kill(os.getpid(), signal.SIGKILL)


def tell_until_killed(path: Path, chosen: int) -> tuple[int, bool]:
    """Tell the story in a child; give how many transactions it had back, and whether it came to the end."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:  # pragma: no cover  (another process)
        try:
            sqlite3.connect = Killer(chosen).connect  # type: ignore[assignment]
            tell_story(path, lambda: os.write(writer, b"."))
            os._exit(0)
        except BaseException:  # noqa: BLE001  (whatever it is, it must not return into the test's copy)
            os._exit(70)
    os.close(writer)
    with os.fdopen(reader, "rb") as acknowledged:
        count = len(acknowledged.read())
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, "the child failed by itself"
    return count, not os.WIFSIGNALED(status)


def main() -> None:
    for line in sys.stdin:
        chosen, _, path = line.rstrip("\n").partition(" ")
        print(*map(int, tell_until_killed(Path(path), int(chosen))), flush=True)


if __name__ == "__main__":
    main()
