"""The ledger and a disk that loses power (promises 3 and 9)."""

from __future__ import annotations

import random
import shutil
import sqlite3
import sys
from array import array
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from mcsd.adapters.ledger.database import SqliteLedger
from tests.fakes.ledger_disk import Disk, Operation, memory_directory, record
from tests.fakes.ledger_teller import chapters, tell_story

CONVERTER = """
import shutil, sqlite3, sys
from pathlib import Path
from mcsd.adapters.ledger.database import SqliteLedger
path = Path(sys.argv[1])
path.parent.mkdir(mode=0o700)
shutil.copyfile(sys.argv[2], path)
SqliteLedger(path).close()
"""
STORY_TELLER = """
import os, sys
from pathlib import Path
from tests.fakes.ledger_teller import tell_story
path = Path(sys.argv[1])
path.parent.mkdir(mode=0o700)
marks = os.open(path.parent / "acknowledged", os.O_WRONLY | os.O_CREAT)
tell_story(path, lambda: os.write(marks, b"."))
"""
VERSION_1 = Path(__file__).parents[2] / "fakes" / "ledgers" / "version-1.sql"
LOSSES = 8
"""Times the power is lost after each operation, each time with other remains."""


@pytest.fixture
def memory() -> Iterator[Path]:
    """A directory for what is left on the disk, time and again."""
    with memory_directory() as directory:
        yield directory


@pytest.fixture(scope="module")
def operations(tmp_path_factory: pytest.TempPathFactory) -> list[Operation]:
    """Everything that telling the story did to the disk; `acknowledged` tells what came back when."""
    scratch = tmp_path_factory.mktemp("disk")
    root = scratch / "state"
    return record([sys.executable, "-c", STORY_TELLER, str(root / "ledger.db")], root, scratch)


def test_every_transaction_is_synced_before_it_is_acknowledged(operations: list[Operation]) -> None:
    unsynced: set[str] = set()
    for operation in operations:
        match operation.kind, operation.name:
            case "W", "acknowledged":
                assert unsynced <= {"ledger.db.lock"}
            case "W" | "T", name:
                unsynced.add(name)
            case "S", name:
                unsynced.discard(name)


def test_after_losing_power_at_any_moment_it_holds_what_was_acknowledged(
    operations: list[Operation], memory: Path
) -> None:
    """And at most the transaction under way besides; it is never damaged, and the story goes on."""
    choice = random.Random(20261124)
    expected = chapters()
    disk = Disk()
    acknowledged = 0
    moments = 0
    for operation in operations:
        if operation.name == "acknowledged":
            acknowledged += 1
            continue
        disk.do(operation)
        for attempt in range(LOSSES):
            root = memory / "state"
            disk.lose_power(root, choice)
            with closing(SqliteLedger(root / "ledger.db")) as ledger:
                held = expected.index(ledger.load())
            assert acknowledged <= held <= acknowledged + 1
            if not attempt:
                tell_story(root / "ledger.db", lambda: None, start=held)
            shutil.rmtree(root)
        moments += 1
    assert acknowledged == len(expected) - 1
    assert moments > 50


def test_backup_in_another_mode_survives_a_loss_while_it_is_taken_over(memory: Path) -> None:
    """A ledger that was put back from a dump has a rollback journal at first."""
    scratch = memory / "scratch"
    scratch.mkdir()
    backup = scratch / "backup.db"
    with closing(sqlite3.connect(backup)) as database:
        database.executescript(VERSION_1.read_text(encoding="utf-8"))
    root = scratch / "state"
    operations = record(
        [sys.executable, "-c", CONVERTER, str(root / "ledger.db"), str(backup)], root, scratch
    )
    disk = Disk()
    disk.do(Operation("W", "ledger.db", 0, backup.read_bytes()))
    disk.do(Operation("S", "ledger.db", 0, b""))
    disk.do(Operation("S", ".", 0, b""))
    choice = random.Random(20261124)
    seen = set()
    for operation in operations:
        disk.do(operation)
        seen.add(operation.name)
        for _ in range(LOSSES):
            disk.lose_power(memory / "state", choice)
            with closing(SqliteLedger(memory / "state" / "ledger.db")) as ledger:
                assert replace(ledger.load(), turns=array("I")) == chapters()[5]
            shutil.rmtree(memory / "state")
    assert "ledger.db-journal" in seen
