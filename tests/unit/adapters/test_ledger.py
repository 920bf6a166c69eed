"""The ledger on disk: who may open it, what is not a ledger, and what a failure leaves behind."""

from __future__ import annotations

import os
import re
import socket
import sqlite3
import subprocess
import sys
from array import array
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from mcsd.adapters.ledger import opening as ledger_opening
from mcsd.adapters.ledger.database import SqliteLedger, set_aside
from mcsd.adapters.ledger.schema import HISTORY_LIMIT, MIGRATIONS
from mcsd.core.changes import LedgerContents, PutGrant
from mcsd.core.grants import GrantState
from mcsd.core.labels import CategoryPair
from mcsd.core.pairs import EVERY_PAIR
from mcsd.errors import (
    LedgerDamagedError,
    LedgerError,
    LedgerLockedError,
    LedgerNewerError,
    Problem,
)
from tests.fakes.ledger import Tables
from tests.fakes.ledger_records import STORY, grant
from tests.fakes.settled import settled

VERSION_1 = Path(__file__).parents[2] / "fakes" / "ledgers" / "version-1.sql"

VERSION_3 = VERSION_1.with_name("version-3.sql")

NOON = 1795521600.0
"""2026-11-24 12:00:00 UTC."""


OWNER = """
import sys
from mcsd.adapters.ledger.database import SqliteLedger
ledger = SqliteLedger(sys.argv[1])
print("held", flush=True)
input()
"""


def rank(low: int, high: int) -> int:
    """The number by which the ledger knows a pair."""
    number = EVERY_PAIR.rank_of(CategoryPair(low, high))
    assert number is not None
    return number


@pytest.fixture(autouse=True)
def _settled() -> Iterator[None]:
    with settled():
        yield


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a ledger would be."""
    return tmp_path / "state" / "ledger.db"


@pytest.fixture
def told(path: Path) -> LedgerContents:
    """The contents of a ledger at `path` that has been told the first half of the story, and closed."""
    with closing(SqliteLedger(path)) as ledger:
        for changes in STORY[:5]:
            ledger.apply(changes)
        return ledger.load()


def loaded(path: Path) -> LedgerContents:
    with closing(SqliteLedger(path)) as ledger:
        return ledger.load()


def sql(path: Path, *statements: str) -> None:
    """Do something to a database that mcsd would not."""
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        for statement in statements:
            database.execute(statement)


def bytes_of(path: Path) -> dict[str, bytes]:
    """Read the database and its write-ahead log."""
    return {
        one.name: one.read_bytes()
        for one in (path, path.with_name(path.name + "-wal"))
        if one.exists() and one.stat().st_size
    }


class TestOwner:
    """One mcsd on a host."""

    def test_second_owner_is_told_who_the_first_is(self, path: Path) -> None:
        with closing(SqliteLedger(path)):
            with pytest.raises(LedgerLockedError, match=rf"held by process {os.getpid()} \(") as caught:
                SqliteLedger(path)
            assert caught.value.problem is Problem.LEDGER_LOCKED
            assert "only one mcsd" in caught.value.hint
        assert loaded(path) == LedgerContents()

    def test_another_process_s_ledger_is_locked_until_that_ends(self, path: Path) -> None:
        command = [sys.executable, "-c", OWNER, str(path)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
            assert child.stdout is not None
            child.stdout.readline()
            with pytest.raises(LedgerLockedError, match=str(child.pid)):
                SqliteLedger(path)
            child.kill()
        assert loaded(path) == LedgerContents()

    def test_administrators_may_read_while_mcsd_runs(self, path: Path) -> None:
        with closing(SqliteLedger(path)) as ledger, closing(sqlite3.connect(path)) as reader:
            ledger.apply([PutGrant(grant(1))])
            assert reader.execute("SELECT id, level FROM grants").fetchall() == [(1, "s0:c12,c900")]
            ledger.apply([PutGrant(grant(2))])

    def test_somebody_s_open_transaction_is_named_as_the_cause(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(ledger_opening, "BUSY_TIMEOUT", 0.01)
        with closing(SqliteLedger(path)) as ledger:
            with closing(sqlite3.connect(path, isolation_level=None)) as other:
                other.execute("BEGIN IMMEDIATE")
                with pytest.raises(LedgerError, match="cannot write it") as caught:
                    ledger.apply([PutGrant(grant(1))])
                assert "another program" in caught.value.hint
            ledger.apply([PutGrant(grant(1))])
            assert ledger.load().grants == (grant(1),)

    def test_lock_is_let_go_when_opening_fails(self, path: Path) -> None:
        path.parent.mkdir(mode=0o700)
        path.write_bytes(b"")
        with pytest.raises(LedgerDamagedError):
            SqliteLedger(path)
        set_aside(path, NOON)
        assert loaded(path) == LedgerContents()


class TestPlace:
    """Where the ledger is kept, and who may touch it."""

    def test_only_its_owner_may_read_it(self, path: Path, told: LedgerContents) -> None:
        assert path.parent.stat().st_mode & 0o777 == 0o700
        assert path.stat().st_mode & 0o777 == 0o600
        path.chmod(0o644)
        assert loaded(path) == told
        assert path.stat().st_mode & 0o777 == 0o600

    @pytest.mark.parametrize("mode", [0o777, 0o770, 0o1777])
    def test_directory_that_others_may_write_in_is_refused(self, path: Path, mode: int) -> None:
        path.parent.mkdir()
        path.parent.chmod(mode)
        with pytest.raises(LedgerError, match="others may write") as caught:
            SqliteLedger(path)
        assert f"chmod 0700 {path.parent}" in caught.value.hint
        assert os.listdir(path.parent) == []

    def test_directory_whose_parent_is_missing_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(LedgerError, match="cannot make its directory: No such file"):
            SqliteLedger(tmp_path / "no" / "state" / "ledger.db")

    @pytest.mark.parametrize(
        "put", [Path.mkdir, os.mkfifo, lambda path: _bind(path)], ids=["directory", "fifo", "socket"]
    )
    def test_what_is_not_a_file_is_refused(self, path: Path, put: Callable[[Path], None]) -> None:
        path.parent.mkdir(mode=0o700)
        put(path)
        with pytest.raises(LedgerError, match="not a regular file"):
            SqliteLedger(path)

    def test_link_in_place_of_the_lock_is_not_followed(self, path: Path, tmp_path: Path) -> None:
        path.parent.mkdir(mode=0o700)
        (path.parent / "ledger.db.lock").symlink_to(tmp_path / "victim")
        with pytest.raises(LedgerError, match="cannot open its lock file"):
            SqliteLedger(path)
        assert not (tmp_path / "victim").exists()

    @pytest.mark.parametrize("suffix", ["", "-wal"])
    @pytest.mark.parametrize("is_replaced", [False, True], ids=["removed", "replaced"])
    def test_ledger_that_is_taken_away_is_not_written(
        self, path: Path, suffix: str, is_replaced: bool
    ) -> None:
        """Promise 3: what would be gone with the process is not written down."""
        victim = path.with_name(path.name + suffix)
        with closing(SqliteLedger(path)) as ledger:
            ledger.apply([PutGrant(grant(1))])
            victim.unlink()
            if is_replaced:
                victim.write_bytes(b"")
            with pytest.raises(LedgerError, match="removed or replaced"):
                ledger.apply([PutGrant(grant(2))])


def _bind(path: Path) -> None:
    with closing(socket.socket(socket.AF_UNIX)) as listener:
        listener.bind(str(path))


class TestVersions:
    """Ledgers of other versions."""

    def test_newer_ledger_is_left_as_it_is(self, path: Path, told: LedgerContents) -> None:
        sql(path, "PRAGMA user_version = 99")
        before = bytes_of(path)
        with pytest.raises(LedgerNewerError, match="version 99") as caught:
            SqliteLedger(path)
        assert "install the mcsd that wrote it" in caught.value.hint
        assert bytes_of(path) == before
        sql(path, f"PRAGMA user_version = {len(MIGRATIONS)}")
        assert loaded(path) == told

    def test_newer_ledger_with_a_log_is_left_as_it_is(
        self, path: Path, told: LedgerContents, tmp_path: Path
    ) -> None:
        with closing(sqlite3.connect(path, isolation_level=None)) as database:
            database.execute("PRAGMA user_version = 99")
            for one in path.parent.iterdir():  # as a crash leaves it: the version is in the log only
                (tmp_path / one.name).write_bytes(one.read_bytes())
        crashed = tmp_path / path.name
        before = bytes_of(crashed)
        assert len(before) == 2
        with pytest.raises(LedgerNewerError):
            SqliteLedger(crashed)
        assert bytes_of(crashed) == before

    def test_older_ledger_is_brought_up_to_date(self, path: Path, told: LedgerContents) -> None:
        added = (*MIGRATIONS, ("CREATE TABLE more (x INTEGER) STRICT", "INSERT INTO more VALUES (7)"))
        with closing(SqliteLedger(path, migrations=added)) as ledger:
            assert ledger.load() == told
        with closing(SqliteLedger(path, migrations=added)) as ledger:
            assert ledger.load() == told
        with pytest.raises(LedgerNewerError):
            SqliteLedger(path)
        with closing(sqlite3.connect(path)) as database:
            assert database.execute("SELECT x FROM more").fetchall() == [(7,)]

    def test_version_is_in_the_file_itself_while_mcsd_holds_it(
        self, path: Path, told: LedgerContents
    ) -> None:
        """A package looks there before a downgrade, with tools that know nothing of SQLite's log."""
        added = (*MIGRATIONS, ("CREATE TABLE more (x INTEGER) STRICT",))
        with closing(SqliteLedger(path, migrations=added)):
            assert int.from_bytes(path.read_bytes()[60:64]) == len(added)

    def test_migration_that_fails_leaves_the_version_before(self, path: Path, told: LedgerContents) -> None:
        broken = (*MIGRATIONS, ("CREATE TABLE more (x INTEGER) STRICT", "INSERT INTO nowhere VALUES (1)"))
        with pytest.raises(LedgerError):
            SqliteLedger(path, migrations=broken)
        assert loaded(path) == told

    def test_ledger_that_version_1_wrote_is_read(self, path: Path) -> None:
        """A released migration is never edited; the dump beside is what version 1 wrote."""
        path.parent.mkdir(mode=0o700)
        with closing(sqlite3.connect(path)) as database:
            database.executescript(VERSION_1.read_text(encoding="utf-8"))
        tables = Tables()
        for changes in STORY[:5]:
            tables = tables.apply(changes)
        known = [rank(5, 6), rank(12, 900)]  # the group's and the grant's; a member's level is no pair
        assert loaded(path) == replace(tables.contents(), turns=array("I", known))

    def test_ledger_that_version_3_wrote_is_read(self, path: Path) -> None:
        """Its reservations last until they are released."""
        path.parent.mkdir(mode=0o700)
        with closing(sqlite3.connect(path)) as database:
            database.executescript(VERSION_3.read_text(encoding="utf-8"))
        tables = Tables()
        for changes in STORY[:5]:
            tables = tables.apply(changes)
        found = loaded(path)
        assert found == tables.contents()
        assert [(grant.life, grant.engine) for grant in found.grants] == [(None, ""), (None, "")]

    @pytest.mark.parametrize(
        "life",
        ["{}", "7", '{"kind": "process", "pid": "1", "start": 1, "boot": ""}', '{"kind": "moon"}', "{"],
    )
    def test_life_that_makes_no_sense_is_damage(self, path: Path, told: LedgerContents, life: str) -> None:
        """Taken for none, a level would never be given back; taken for over, it would be too early."""
        sql(path, f"UPDATE grants SET life = '{life}'")
        with pytest.raises(LedgerDamagedError):
            SqliteLedger(path)

    def test_what_version_1_shared_on_a_conflict_stays_so(self, path: Path) -> None:
        path.parent.mkdir(mode=0o700)
        with closing(sqlite3.connect(path)) as database:
            database.executescript(VERSION_1.read_text(encoding="utf-8"))
            database.execute(
                "UPDATE claims SET mode = 'shared', reason = 'shared because' WHERE grant_id = 1"
            )
            database.execute("UPDATE claims SET mode = 'shared' WHERE grant_id = 2")
            database.commit()
        with closing(SqliteLedger(path)) as ledger:
            assert [claim.conceded for claim in ledger.load().claims] == [True, False]

    def test_pairs_that_version_1_had_given_come_last(self, path: Path) -> None:
        """In the order in which they were freed, as far as the history goes; those that hold at the end."""
        path.parent.mkdir(mode=0o700)
        with closing(sqlite3.connect(path)) as database:
            database.executescript(VERSION_1.read_text(encoding="utf-8"))
            for number, level in enumerate(
                ["s0:c7,c8", "s0:c1,c2", "s0:c1.c3", "s0", "s0:c9", "s0:c7,c8", "s0:c3,c1000"]
            ):
                row = (number + 10, b"x", "n", level, "adopted", 1.0, "", "", "")
                database.execute("INSERT INTO history VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
            database.commit()
        assert loaded(path).turns.tolist() == [
            rank(5, 6),
            rank(1, 2),
            rank(7, 8),
            rank(3, 1000),
            rank(12, 900),
        ]


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[4096:4160] = bytes(value ^ 0xFF for value in content[4096:4160])
    path.write_bytes(content)


def statements(*texts: str) -> Callable[[Path], None]:
    return lambda path: sql(path, "PRAGMA foreign_keys = OFF", "PRAGMA ignore_check_constraints = ON", *texts)


DAMAGE: dict[str, Callable[[Path], object]] = {
    "empty": lambda path: path.write_bytes(b""),
    "not a database": lambda path: path.write_bytes(os.urandom(8192)),
    "truncated": lambda path: os.truncate(path, 10_000),
    "truncated to its first page": lambda path: os.truncate(path, 4096),
    "overwritten": flip,
    "somebody else's": statements("PRAGMA application_id = 1"),
    "without a version": statements("PRAGMA user_version = 0"),
    "without a table": statements("DROP TABLE claims"),
    "without its counter": statements("DELETE FROM counters"),
    "claim of no grant": statements("DELETE FROM grants WHERE id = 1"),
    "unknown state": statements("UPDATE grants SET state = 'bliss'"),
    "unknown phase": statements("UPDATE volumes SET phase = 'bliss'"),
    "level that is none": statements("UPDATE grants SET level = 's0:c5,c5000'"),
    "target that is none": statements("UPDATE volumes SET target = 'system_u:object_r:var_t'"),
    "counts that are none": statements("""UPDATE volumes SET skipped = '["x"]'"""),
    "left out for no reason": statements("UPDATE volumes SET left_out = '7'"),
    "pair that is none": statements("INSERT INTO turns VALUES (1, 600000)"),
    "text that is not UTF-8": statements("UPDATE volumes SET target = CAST(X'ff' AS TEXT)"),
    "number as text": statements("UPDATE grants SET name = 7"),
}


class TestDamage:
    """What is not a sound ledger is never taken for an empty one, and never thrown away (promise 9)."""

    @pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
    def test_damage_is_found_at_opening_and_changes_nothing(
        self, path: Path, told: LedgerContents, damage: Callable[[Path], object]
    ) -> None:
        damage(path)
        before = path.read_bytes()
        with pytest.raises(LedgerDamagedError, match=re.escape(str(path))) as caught:
            SqliteLedger(path)
        assert caught.value.problem is Problem.LEDGER_DAMAGED
        assert "moves it aside" in caught.value.hint
        assert path.read_bytes() == before

    def test_log_without_its_database_is_damage(self, path: Path, told: LedgerContents) -> None:
        path.rename(path.with_name("ledger.db-wal"))
        with pytest.raises(LedgerDamagedError, match="its write-ahead log is there"):
            SqliteLedger(path)

    def test_damaged_ledger_is_set_aside_whole_under_a_dated_name(
        self, path: Path, told: LedgerContents
    ) -> None:
        damaged = b"damaged" * 100
        path.write_bytes(damaged)
        with pytest.raises(LedgerDamagedError):
            SqliteLedger(path)
        path.with_name("ledger.db-wal").write_bytes(b"log")
        moved = set_aside(path, NOON)
        assert moved.name == "ledger.db.damaged-20261124T120000Z"
        assert moved.read_bytes() == damaged
        assert moved.with_name(moved.name + "-wal").read_bytes() == b"log"
        with closing(SqliteLedger(path)) as ledger:
            assert ledger.is_new
            assert ledger.load() == LedgerContents()

    def test_nothing_set_aside_is_ever_overwritten(self, path: Path) -> None:
        path.parent.mkdir(mode=0o700)
        kept = []
        for content in (b"one", b"two", b"three"):
            path.write_bytes(content)
            kept.append(set_aside(path, NOON))
        assert [one.read_bytes() for one in kept] == [b"one", b"two", b"three"]

    def test_ledger_in_use_is_not_set_aside(self, path: Path) -> None:
        with closing(SqliteLedger(path)) as ledger:
            with pytest.raises(LedgerLockedError):
                set_aside(path, NOON)
            ledger.apply([PutGrant(grant(1))])

    def test_damage_to_the_schema_s_text_is_damage(self, path: Path, told: LedgerContents) -> None:
        content = path.read_bytes()
        path.write_bytes(content.replace(b"CREATE TABLE claims", b"CREATE TABLE \xe9laims"))
        with pytest.raises(LedgerDamagedError):
            SqliteLedger(path)

    def test_any_damaged_byte_is_a_ledger_or_a_clear_error(self, path: Path, told: LedgerContents) -> None:
        """No other exception, and no crash: a sweep over the whole file."""
        content = path.read_bytes()
        outcomes = set()
        for place in range(0, len(content), 499):
            path.write_bytes(content[:place] + bytes([content[place] ^ 0xA5]) + content[place + 1 :])
            try:
                loaded(path)
                outcomes.add("read")
            except LedgerError as exc:
                outcomes.add(exc.problem)
        assert Problem.LEDGER_DAMAGED in outcomes
        assert outcomes <= {"read", Problem.LEDGER_DAMAGED, Problem.LEDGER_NEWER, Problem.LEDGER}


class TestBeginning:
    """A new ledger is complete, or is not there."""

    def test_is_new_only_once(self, path: Path) -> None:
        with closing(SqliteLedger(path)) as ledger:
            assert ledger.is_new
        with closing(SqliteLedger(path)) as ledger:
            assert not ledger.is_new

    def test_draft_that_a_crash_left_is_no_ledger(self, path: Path) -> None:
        path.parent.mkdir(mode=0o700)
        for name in ("ledger.db.new", "ledger.db.new-journal", "ledger.db.new-wal"):
            (path.parent / name).write_bytes(b"half")
        assert loaded(path) == LedgerContents()
        assert sorted(os.listdir(path.parent)) == ["ledger.db", "ledger.db.lock"]


def test_archive_is_bounded(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert HISTORY_LIMIT >= 1000
    monkeypatch.setattr("mcsd.adapters.ledger.database.HISTORY_LIMIT", 3)
    with closing(SqliteLedger(path)) as ledger:
        for number in range(1, 8):
            ledger.apply([PutGrant(grant(number))])
            ledger.apply([PutGrant(grant(number, state=GrantState.FREE))])
        assert ledger.load() == LedgerContents(next_grant=8)
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("SELECT id FROM history ORDER BY sequence").fetchall() == [(5,), (6,), (7,)]


class TestFull:
    """A full disk is a clear error, and nothing is lost (promise 9)."""

    def test_apply_that_does_not_fit_happens_not_at_all(self, path: Path) -> None:
        ledger = SqliteLedger(path)
        with closing(ledger):
            _limit_pages(ledger)
            applied, refused = _fill(ledger)
            assert "free space" in refused.hint
            assert len(ledger.load().grants) == applied
            _limit_pages(ledger, 1 << 30)
            ledger.apply([PutGrant(grant(9999))])
            assert len(ledger.load().grants) == applied + 1
        assert len(loaded(path).grants) == applied + 1


def _limit_pages(ledger: SqliteLedger, count: int = 12) -> None:
    assert ledger._database is not None
    ledger._database.execute(f"PRAGMA max_page_count = {count}")


def _fill(ledger: SqliteLedger) -> tuple[int, LedgerError]:
    for number in range(1, 10_000):
        try:
            ledger.apply([PutGrant(grant(number, name="x" * 500))])
        except LedgerError as exc:
            return number - 1, exc
    raise AssertionError("it never got full")
