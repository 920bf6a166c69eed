"""The ledger and `kill -9`: whole transactions or nothing, at every statement (promises 3 and 9)."""

from __future__ import annotations

import os
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from mcsd.adapters.ledger import SqliteLedger
from mcsd.core.changes import Contents
from tests.fakes.ledger import Tables
from tests.fakes.ledger_disk import memory_directory
from tests.fakes.ledger_records import STORY
from tests.fakes.settled import settled


def chapters() -> list[Contents]:
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


@pytest.fixture
def memory() -> Iterator[Path]:
    """A directory where syncing costs nothing: what a killed process has written is there all the same."""
    with memory_directory() as directory:
        yield directory


@pytest.fixture(autouse=True)
def _settled() -> Iterator[None]:
    with settled():
        yield


def test_killed_before_any_statement_it_holds_whole_transactions(memory: Path) -> None:
    """What was acknowledged is there, at most the one under way besides, and the story can go on."""
    expected = chapters()
    seen = set()
    for chosen in range(1, 1000):
        path = memory / str(chosen) / "ledger.db"
        acknowledged, is_finished = tell_until_killed(path, chosen)
        with closing(SqliteLedger(path)) as ledger:
            found = ledger.load()
        held = expected.index(found)
        assert held == acknowledged
        seen.add(held)
        tell_story(path, lambda: None, start=held)
        with closing(SqliteLedger(path)) as ledger:
            assert ledger.load() == expected[-1]
        if is_finished:
            break
    assert is_finished
    assert seen == set(range(len(expected)))


def test_damage_of_a_crash_is_never_a_fresh_start(memory: Path) -> None:
    """Killed while it is made, a ledger is not there at all."""
    path = memory / "state" / "ledger.db"
    for chosen in range(1, 6):
        acknowledged, _ = tell_until_killed(path, chosen)
        assert acknowledged == 0
        assert not path.exists()
