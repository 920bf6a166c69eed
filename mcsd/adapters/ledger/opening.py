"""Opening the ledger's database: check it before writing, and translate SQLite's errors.

A database is checked through a read-only connection, which changes neither the database nor its log: a newer,
damaged or foreign one stays as it was, byte for byte.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from mcsd.adapters.ledger.files import JOURNAL, beside
from mcsd.adapters.ledger.schema import APPLICATION_ID, Migration, migrate, version_of
from mcsd.errors import LedgerDamagedError, LedgerError, LedgerNewerError

BUSY_TIMEOUT = 5.0
"""Seconds to wait for another transaction, such as an administrator's."""

_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR, sqlite3.SQLITE_SCHEMA}
"""SQLITE_ERROR is "no such table" and the like: our statements are correct, so the schema is not."""

_HINTS = {
    sqlite3.SQLITE_FULL: "free space on its file system; mcsd goes on by itself",
    sqlite3.SQLITE_READONLY: "its file system must be writable",
    sqlite3.SQLITE_IOERR: "look for disk errors and a full or read-only file system",
    sqlite3.SQLITE_CANTOPEN: "look at the permissions and the free space of its directory",
    sqlite3.SQLITE_BUSY: "another program, sqlite3 perhaps, holds a transaction on it: end that",
    sqlite3.SQLITE_LOCKED: "another program, sqlite3 perhaps, holds a transaction on it: end that",
}
_BUG = "nothing was changed; this is a bug in mcsd"
_REBUILD = "mcsd moves it aside and builds a new one from what it finds; or put a backup back"


def _explain(path: Path, operation: str, error: sqlite3.Error) -> LedgerError:
    # An OperationalError without a code is Python's own: stored text that is not UTF-8.
    undecodable = isinstance(error, sqlite3.OperationalError) and not hasattr(error, "sqlite_errorcode")
    kind = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_MISUSE) & 0xFF
    if undecodable or kind in _DAMAGED:
        return damaged(path, str(error))
    return LedgerError(f"ledger {str(path)!r}: cannot {operation}: {error}", hint=_HINTS.get(kind, _BUG))


def damaged(path: Path, why: str) -> LedgerDamagedError:
    """Return the error for a database that is not as mcsd left it."""
    return LedgerDamagedError(f"ledger {str(path)!r} is damaged: {why}", hint=_REBUILD)


@contextmanager
def explaining(path: Path, operation: str) -> Iterator[None]:
    """Turn SQLite's exceptions into a `LedgerError` that names file and operation."""
    try:
        yield
    except sqlite3.Error as exc:
        raise _explain(path, operation, exc) from exc
    except UnicodeDecodeError as exc:  # a message from SQLite that quotes a damaged schema
        raise damaged(path, "its text is not UTF-8") from exc


def inspect(path: Path, newest: int) -> None:
    """Check a database without changing it or its log: a read-only connection writes to neither.

    Only a database that a crash left while switching to WAL mode is rolled back first, to be readable at all.
    """
    mode = "rw" if beside(path, JOURNAL).exists() else "ro"
    with explaining(path, "read it"):
        database = sqlite3.connect(f"file:{quote(str(path))}?mode={mode}", uri=True, timeout=BUSY_TIMEOUT)
        try:
            version = version_of(database)
            (application,) = database.execute("PRAGMA application_id").fetchone()
            if application != APPLICATION_ID or version < 1:
                raise damaged(path, "it is not a ledger of mcsd's")
            if version > newest:
                raise LedgerNewerError(
                    f"ledger {str(path)!r} is of version {version}; this mcsd knows versions up to {newest}",
                    hint="install the mcsd that wrote it; nothing was changed",
                )
            _check(path, database)
        finally:
            database.close()


def _check(path: Path, database: sqlite3.Connection) -> None:
    complaints = [text for (text,) in database.execute("PRAGMA quick_check(3)") if text != "ok"]
    complaints += [
        f"a row of {table} refers to a row of {parent} that is not there"
        for table, _, parent, _ in database.execute("PRAGMA foreign_key_check")
    ]
    if complaints:
        raise damaged(path, "; ".join(complaints[:3]))


def connect(path: Path, migrations: Sequence[Migration]) -> sqlite3.Connection:
    """Connect for writing, and bring the tables up to date; nobody else may hold the ledger."""
    with explaining(path, "open it"):
        # `Ledger` is called from one thread, but not from the one that opened it.
        database = sqlite3.connect(path, timeout=BUSY_TIMEOUT, isolation_level=None, check_same_thread=False)
        try:
            (mode,) = database.execute("PRAGMA journal_mode = WAL").fetchone()
            if mode != "wal":
                raise LedgerError(
                    f"ledger {str(path)!r}: its file system cannot hold a write-ahead log",
                    hint="put it on a local file system",
                )
            database.execute("PRAGMA synchronous = FULL")
            database.execute("PRAGMA trusted_schema = OFF")
            migrate(database, migrations)
            # A reader of the file alone, such as a package before it is installed, finds the version there.
            database.execute("PRAGMA wal_checkpoint(PASSIVE)")
            database.execute("PRAGMA foreign_keys = ON")
            database.execute("SELECT count(*) FROM counters").fetchone()  # the log exists from here on
        except BaseException:
            database.close()
            raise
        return database
