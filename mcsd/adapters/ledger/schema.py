"""The ledger's tables as a list of migrations, and how they are applied.

`MIGRATIONS[n]` takes a database from version n to n + 1; `PRAGMA user_version` holds the version. Each
runs in its own transaction together with the new version number, so a crash leaves one version or the
next. A released migration is never edited: a change is a new one at the end, and `tests/fakes/ledgers` gets
a dump of what the previous version wrote.

Two conventions. Columns of type ANY hold text that is not mcsd's own: TEXT where it is valid Unicode and
BLOB where it has lone surrogates (a file name that is not UTF-8), so that no path is refused or altered.
Device and inode numbers are unsigned 64-bit in the kernel and two's complement here. Foreign keys are
deferred: they are checked at the end of a transaction, whatever the order of its changes.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

APPLICATION_ID = 0x6D637364
"""`mcsd` in ASCII: identifies the database as mcsd's (https://www.sqlite.org/pragma.html)."""

HISTORY_LIMIT = 10_000
"""Freed grants that are kept for administrators; the oldest are deleted first."""

_VERSION_1 = (
    """
    CREATE TABLE counters (
        name TEXT PRIMARY KEY,
        value INTEGER NOT NULL CHECK (value > 0)
    ) STRICT, WITHOUT ROWID
    """,
    "INSERT INTO counters VALUES ('next_grant', 1)",
    """
    CREATE TABLE grants (
        id INTEGER PRIMARY KEY CHECK (id > 0),
        container ANY NOT NULL,
        name ANY NOT NULL,
        level TEXT NOT NULL,
        origin TEXT NOT NULL,
        state TEXT NOT NULL CHECK (state <> 'free'),
        since REAL NOT NULL,
        shares_with ANY NOT NULL,
        group_name ANY NOT NULL,
        reservation ANY NOT NULL
    ) STRICT
    """,
    """
    CREATE TABLE history (
        sequence INTEGER PRIMARY KEY,
        id INTEGER NOT NULL,
        container ANY NOT NULL,
        name ANY NOT NULL,
        level TEXT NOT NULL,
        origin TEXT NOT NULL,
        since REAL NOT NULL,
        shares_with ANY NOT NULL,
        group_name ANY NOT NULL,
        reservation ANY NOT NULL
    ) STRICT
    """,
    """
    CREATE TABLE volumes (
        id TEXT PRIMARY KEY,
        path ANY NOT NULL,
        device INTEGER NOT NULL,
        inode INTEGER NOT NULL,
        target TEXT NOT NULL,
        phase TEXT NOT NULL,
        since REAL NOT NULL,
        inodes INTEGER NOT NULL,
        skipped TEXT NOT NULL,
        detail ANY NOT NULL
    ) STRICT, WITHOUT ROWID
    """,
    """
    CREATE TABLE claims (
        grant_id INTEGER NOT NULL REFERENCES grants (id) DEFERRABLE INITIALLY DEFERRED,
        destination ANY NOT NULL,
        source ANY NOT NULL,
        mode TEXT NOT NULL,
        state TEXT NOT NULL,
        volume TEXT REFERENCES volumes (id) DEFERRABLE INITIALLY DEFERRED,
        writable INTEGER NOT NULL CHECK (writable IN (0, 1)),
        reason ANY NOT NULL,
        hint ANY NOT NULL,
        PRIMARY KEY (grant_id, destination)
    ) STRICT, WITHOUT ROWID
    """,
    "CREATE INDEX claims_by_volume ON claims (volume) WHERE volume IS NOT NULL",
    """
    CREATE TABLE groups (
        name ANY PRIMARY KEY NOT NULL,
        low INTEGER NOT NULL,
        high INTEGER NOT NULL,
        since REAL NOT NULL
    ) STRICT, WITHOUT ROWID
    """,
)

_VERSION_2 = (
    # Pairs that were ever used, in the order of their last use: `pair` is the rank of {low < high} among all
    # pairs, high (high - 1) / 2 + low.
    """
    CREATE TABLE turns (
        turn INTEGER PRIMARY KEY,
        pair INTEGER NOT NULL UNIQUE CHECK (pair BETWEEN 0 AND 523775)
    ) STRICT
    """,
    # What is known about that already: the freed grants in the history, and the current ones.
    """
    INSERT OR REPLACE INTO turns (pair)
    SELECT high * (high - 1) / 2 + low FROM (
        SELECT at, CAST(substr(level, 5, instr(level, ',') - 5) AS INTEGER) AS low,
            CAST(substr(level, instr(level, ',') + 2) AS INTEGER) AS high
        FROM (
            SELECT sequence AS at, level FROM history
            UNION ALL SELECT id + (SELECT coalesce(max(sequence), 0) FROM history), level FROM grants
            UNION ALL SELECT 0, 's0:c' || low || ',c' || high FROM groups
        )
        WHERE level GLOB 's0:c*,c*' AND level NOT GLOB '*[.]*' AND level NOT GLOB '*,*,*'
    ) ORDER BY at
    """,
    # What the last complete walk left unlabelled by rule, as [reason, path below the root] in JSON.
    "ALTER TABLE volumes ADD COLUMN left_out TEXT NOT NULL DEFAULT '[]'",
)

_VERSION_3 = (
    # Whether a claim is shared because several containers claimed the volume as private. Before, only the
    # reason said so, and a failure overwrote that.
    "ALTER TABLE claims ADD COLUMN conceded INTEGER NOT NULL DEFAULT 0 CHECK (conceded IN (0, 1))",
    "UPDATE claims SET conceded = 1 WHERE mode = 'shared' AND reason <> ''",
)

_VERSION_4 = (
    # What a reservation lasts as long as, in JSON; "" for as long as nobody releases it.
    "ALTER TABLE grants ADD COLUMN life TEXT NOT NULL DEFAULT ''",
)

_VERSION_5 = (
    # What mcsctl run has started and not ended. `life` and `volumes` are JSON, `started` is null
    # before the start.
    """
    CREATE TABLE runs (
        id TEXT PRIMARY KEY,
        name ANY NOT NULL,
        life TEXT NOT NULL,
        context TEXT NOT NULL,
        created REAL NOT NULL,
        started REAL,
        group_name ANY NOT NULL,
        command ANY NOT NULL,
        volumes TEXT NOT NULL
    ) STRICT, WITHOUT ROWID
    """,
)

_VERSION_6 = (
    # The engine that has a grant's container, by its name in the configuration; "" while that is not known.
    "ALTER TABLE grants ADD COLUMN engine ANY NOT NULL DEFAULT ''",
    "UPDATE grants SET engine = 'run' WHERE container IN (SELECT id FROM runs)",
)

_VERSION_7 = (
    # What this host remembers of its fleet, in JSON: one row, none without a fleet.
    "CREATE TABLE fleet (id INTEGER PRIMARY KEY CHECK (id = 1), record TEXT NOT NULL) STRICT",
)

Migration = Sequence[str]

MIGRATIONS: tuple[Migration, ...] = (
    _VERSION_1,
    _VERSION_2,
    _VERSION_3,
    _VERSION_4,
    _VERSION_5,
    _VERSION_6,
    _VERSION_7,
)


def version_of(database: sqlite3.Connection) -> int:
    """Return the version of a database; 0 for one without tables."""
    (version,) = database.execute("PRAGMA user_version").fetchone()
    return int(version)


def migrate(database: sqlite3.Connection, migrations: Sequence[Migration] = MIGRATIONS) -> None:
    """Migrate a database to the last version; after `sqlite3.Error` it has the last one that was reached.

    The connection must be in autocommit mode (`isolation_level=None`), foreign keys enforced or not:
    a migration that rebuilds a table needs them off, and whatever it leaves is checked at opening.
    """
    for version in range(version_of(database), len(migrations)):
        database.execute("BEGIN IMMEDIATE")
        try:
            for statement in migrations[version]:
                database.execute(statement)
            database.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            database.execute(f"PRAGMA user_version = {version + 1}")
            database.execute("COMMIT")
        finally:
            if database.in_transaction:
                database.execute("ROLLBACK")
