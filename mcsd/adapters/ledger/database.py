"""The ledger: what mcsd must never forget, in one SQLite database.

- One owner: a second `SqliteLedger` on the same path raises `LedgerLockedError` at once. Administrators may
  read with `sqlite3` at any time; one who keeps a write transaction open makes `apply` fail after a while.
- `apply` is one transaction in WAL mode with `synchronous=FULL`: one `fsync` of the log. When it returns,
  the changes survive `kill -9` and loss of power; when it raises, nothing has happened.
- Opening checks first, without writing, and reads everything. A newer mcsd's database is left as it is, byte
  for byte. Anything but a valid database with valid rows raises `LedgerDamagedError`, and `set_aside` moves
  it out of the way; a damaged ledger is never taken for an empty one.
- If the database's files are removed or replaced while mcsd runs, `apply` fails, because its changes would be
  lost with the process.
"""

from __future__ import annotations

import os
import sqlite3
from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import assert_never

from mcsd.adapters.ledger import files as files
from mcsd.adapters.ledger import rows as rows
from mcsd.adapters.ledger.files import set_aside
from mcsd.adapters.ledger.opening import connect, damaged, explaining, inspect
from mcsd.adapters.ledger.schema import HISTORY_LIMIT, MIGRATIONS, Migration
from mcsd.core.changes import (
    Change,
    DropClaim,
    DropGroup,
    DropRun,
    DropVolume,
    LedgerContents,
    PutClaim,
    PutFleet,
    PutGrant,
    PutGroup,
    PutRun,
    PutTurn,
    PutVolume,
)
from mcsd.core.fleet.values import FleetRecord
from mcsd.core.grants import Grant, GrantState
from mcsd.core.pairs import EVERY_PAIR
from mcsd.errors import LabelSyntaxError, LedgerError

__all__ = ["SqliteLedger", "set_aside"]


def _upsert(table: str, columns: Sequence[str], keys: int = 1) -> str:
    """Return an upsert statement, which does not affect rows that refer to this one."""
    places = ", ".join("?" * len(columns))
    updates = ", ".join(f"{column} = excluded.{column}" for column in columns[keys:])
    return (
        f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({places}) "  # noqa: S608  (constants)
        f"ON CONFLICT ({', '.join(columns[:keys])}) DO UPDATE SET {updates}"
    )


def _select(table: str, columns: Sequence[str], keys: int = 1) -> str:
    return f"SELECT {', '.join(columns)} FROM {table} ORDER BY {', '.join(columns[:keys])}"  # noqa: S608


_PUT_GRANT = _upsert("grants", rows.GRANT_COLUMNS)
_PUT_VOLUME = _upsert("volumes", rows.VOLUME_COLUMNS)
_PUT_CLAIM = _upsert("claims", rows.CLAIM_COLUMNS, keys=2)
_PUT_GROUP = _upsert("groups", rows.GROUP_COLUMNS)
_PUT_RUN = _upsert("runs", rows.RUN_COLUMNS)
_ARCHIVE = (
    f"INSERT INTO history ({', '.join(rows.HISTORY_COLUMNS)}) "  # noqa: S608  (constants)
    f"VALUES ({', '.join('?' * len(rows.HISTORY_COLUMNS))})"
)
_COUNT_GRANT = "UPDATE counters SET value = ?1 WHERE name = 'next_grant' AND value < ?1"


class SqliteLedger:
    """`mcsd.ports.Ledger` in the file at `path`, owned from construction to `close`.

    The directory of `path` is created if it is missing. `is_new` says that there was no ledger before.
    """

    def __init__(self, path: str | os.PathLike[str], *, migrations: Sequence[Migration] = MIGRATIONS) -> None:
        self.path = Path(path).absolute()
        files.prepare_directory(self.path)
        self._owner = files.Ownership(self.path)
        self._database: sqlite3.Connection | None = None
        try:
            self.is_new = not files.is_present(self.path)
            if self.is_new:
                with explaining(self.path, "create it"):
                    files.create(self.path, migrations)
            files.restrict(self.path)
            inspect(self.path, len(migrations))
            self._database = connect(self.path, migrations)
            self._identities = self._look()
            self.load()  # invalid rows are damage too, which must be detected here
        except BaseException:
            self.close()
            raise

    def load(self) -> LedgerContents:
        """Read everything that is live; see `mcsd.ports.Ledger`."""
        with self._transaction("read it") as database:
            (next_grant,) = database.execute(
                "SELECT value FROM counters WHERE name = 'next_grant'"
            ).fetchone() or (None,)
            stored = (
                database.execute(_select("grants", rows.GRANT_COLUMNS)).fetchall(),
                database.execute(_select("volumes", rows.VOLUME_COLUMNS)).fetchall(),
                database.execute(_select("claims", rows.CLAIM_COLUMNS, keys=2)).fetchall(),
                database.execute(_select("groups", rows.GROUP_COLUMNS)).fetchall(),
                database.execute(_select("runs", rows.RUN_COLUMNS)).fetchall(),
            )
            fleet = database.execute("SELECT record FROM fleet").fetchone()
            turns = array("I", (rank for (rank,) in database.execute("SELECT pair FROM turns ORDER BY turn")))
        try:
            if max(turns, default=0) >= EVERY_PAIR.total:
                raise ValueError(f"there is no pair of rank {max(turns)}")
            remembered = FleetRecord.parse(fleet[0]) if fleet else None
            return replace(_contents(*stored, next_grant), turns=turns, fleet=remembered)
        except (ValueError, TypeError, LabelSyntaxError) as exc:
            raise damaged(self.path, f"a row makes no sense: {exc}") from exc

    def apply(self, changes: Sequence[Change]) -> None:
        """Make all the changes durable, or none; see `mcsd.ports.Ledger`."""
        if not changes:
            return
        with self._transaction("write it", writes=True) as database:
            for change in changes:
                _apply(database, change)

    def close(self) -> None:
        """Close the database and release the lock; idempotent."""
        database, self._database = self._database, None
        try:
            if database is not None:
                with explaining(self.path, "close it"):
                    database.close()
        finally:
            self._owner.release()

    @contextmanager
    def _transaction(self, operation: str, *, writes: bool = False) -> Iterator[sqlite3.Connection]:
        if self._database is None:
            raise LedgerError(f"ledger {str(self.path)!r}: cannot {operation}: it is closed")
        if not self._identities or self._look() != self._identities:
            raise LedgerError(
                f"ledger {str(self.path)!r}: its files were removed or replaced while mcsd holds it",
                hint="stop mcsd before touching them; put them back or restart mcsd",
            )
        with explaining(self.path, operation):
            try:
                self._database.execute("BEGIN IMMEDIATE" if writes else "BEGIN")
                yield self._database
                self._database.execute("COMMIT")
            finally:
                if self._database.in_transaction:  # SQLite may have rolled back by itself
                    self._database.execute("ROLLBACK")

    def _look(self) -> tuple[tuple[int, int], ...]:
        try:
            found = [files.beside(self.path, suffix).stat() for suffix in ("", files.WAL)]
        except OSError:  # gone or inaccessible: as good as replaced
            return ()
        return tuple((one.st_dev, one.st_ino) for one in found)


def _contents(
    grants: list[rows.Row],
    volumes: list[rows.Row],
    claims: list[rows.Row],
    groups: list[rows.Row],
    runs: list[rows.Row],
    next_grant: object,
) -> LedgerContents:
    if not isinstance(next_grant, int):
        raise TypeError("the counter of grants is missing")
    return LedgerContents(
        grants=tuple(map(rows.read_grant, grants)),
        volumes=tuple(map(rows.read_volume, volumes)),
        claims=tuple(map(rows.read_claim, claims)),
        groups=tuple(map(rows.read_group, groups)),
        runs=tuple(map(rows.read_run, runs)),
        next_grant=next_grant,
    )


def _apply(database: sqlite3.Connection, change: Change) -> None:
    match change:
        case PutGrant(grant):
            _put_grant(database, grant)
        case PutVolume(volume):
            database.execute(_PUT_VOLUME, rows.volume_row(volume))
        case DropVolume(volume_id):
            database.execute("DELETE FROM volumes WHERE id = ?", (volume_id,))
        case PutClaim(claim):
            database.execute(_PUT_CLAIM, rows.claim_row(claim))
        case DropClaim(grant_id, destination):
            key = grant_id, rows.stored_text(destination)
            database.execute("DELETE FROM claims WHERE grant_id = ? AND destination = ?", key)
        case PutGroup(group):
            database.execute(_PUT_GROUP, rows.group_row(group))
        case DropGroup(name):
            database.execute("DELETE FROM groups WHERE name = ?", (rows.stored_text(name),))
        case PutRun(run):
            database.execute(_PUT_RUN, rows.run_row(run))
        case DropRun(run_id):
            database.execute("DELETE FROM runs WHERE id = ?", (run_id,))
        case PutFleet(record):
            database.execute("INSERT OR REPLACE INTO fleet VALUES (1, ?)", (record.text(),))
        case PutTurn(pair):
            database.execute("INSERT OR REPLACE INTO turns (pair) VALUES (?)", (EVERY_PAIR.rank_of(pair),))
        case _:
            assert_never(change)


def _put_grant(database: sqlite3.Connection, grant: Grant) -> None:
    database.execute(_COUNT_GRANT, (grant.id + 1,))
    if grant.state is not GrantState.FREE:
        database.execute(_PUT_GRANT, rows.grant_row(grant))
        return
    database.execute("DELETE FROM grants WHERE id = ?", (grant.id,))
    newest = database.execute(_ARCHIVE, rows.history_row(grant)).lastrowid or 0
    database.execute("DELETE FROM history WHERE sequence <= ?", (newest - HISTORY_LIMIT,))
