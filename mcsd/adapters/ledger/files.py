"""The ledger's files: their lock, how a new ledger is created, and how a damaged one is moved aside.

The owner holds a `flock` on a file of its own (`ledger.db.lock`), not on the database: an administrator can
read the database with `sqlite3` while mcsd runs, and closing some other descriptor of the database cannot
take SQLite's own locks away (https://www.sqlite.org/howtocorrupt.html, section 2.2).

A new database is created under another name and renamed when it is complete and on disk. So an empty or
incomplete `ledger.db` is never a new ledger but a damaged one, and so is a write-ahead log without a
database.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import stat
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from mcsd.adapters.ledger.schema import MIGRATIONS, Migration, migrate
from mcsd.errors import LedgerDamagedError, LedgerError, LedgerLockedError

WAL, SHM = "-wal", "-shm"
"""SQLite's files beside a database in WAL mode: the write-ahead log, and the log's index."""
JOURNAL = "-journal"
"""SQLite's rollback journal, which exists while a database is switched to WAL mode."""

_PID_WIDTH = 10


def beside(path: Path, suffix: str) -> Path:
    """Return the name of a file that belongs to a database."""
    return path.with_name(path.name + suffix)


@contextmanager
def _reporting(path: Path, operation: str) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise LedgerError(
            f"ledger {str(path)!r}: cannot {operation}: {exc.strerror}",
            hint="its directory must belong to root and be on a local, writable file system with free space",
        ) from exc


def sync_directory(path: Path) -> None:
    """Sync a directory."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def prepare_directory(path: Path) -> None:
    """Create the ledger's directory, 0700, if it is missing; refuse one that others may write to."""
    directory = path.parent
    with _reporting(path, "make its directory"):
        if not directory.exists():
            directory.mkdir(0o700)
            sync_directory(directory.parent)
        mode = stat.S_IMODE(directory.stat().st_mode)
    if mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise LedgerError(
            f"ledger {str(path)!r}: others may write in its directory (mode {mode:04o})",
            hint=f"chmod 0700 {directory}",
        )


class Ownership:
    """The exclusive right to a ledger, held until `release`; raises `LedgerLockedError` at once."""

    def __init__(self, path: Path) -> None:
        with _reporting(path, "open its lock file"):
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
            self._descriptor = os.open(beside(path, ".lock"), flags, 0o600)
        try:
            self._take(path)
        except BaseException:
            self.release()
            raise

    def _take(self, path: Path) -> None:
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            raise LedgerLockedError(
                f"ledger {str(path)!r} is held by {_describe_holder(self._descriptor)}",
                hint="only one mcsd may run on a host; systemctl status mcsd shows it",
            ) from exc
        with _reporting(path, "write its lock file"):
            os.pwrite(self._descriptor, f"{os.getpid():>{_PID_WIDTH}}\n".encode(), 0)

    def release(self) -> None:
        """Release the lock; idempotent."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _describe_holder(descriptor: int) -> str:
    """Describe the process whose pid is in the lock file, as far as possible."""
    text = os.pread(descriptor, _PID_WIDTH, 0).strip()
    if not text.isdigit():
        return "another process"
    pid = int(text)
    try:
        name = Path(f"/proc/{pid}/comm").read_text(encoding="utf-8", errors="replace").strip()
    except OSError:  # it is in another PID namespace, or has just ended
        return f"process {pid}"
    return f"process {pid} ({name})"


def is_present(path: Path) -> bool:
    """Tell whether there is a database; raises `LedgerDamagedError` for an incomplete one."""
    with _reporting(path, "look at it"):
        try:
            mode = path.stat().st_mode
        except FileNotFoundError:
            if beside(path, WAL).exists():
                raise LedgerDamagedError(
                    f"ledger {str(path)!r} is missing, but its write-ahead log is there",
                    hint="mcsd moves the log aside and starts anew; or put the database back",
                ) from None
            return False
    if not stat.S_ISREG(mode):
        raise LedgerError(f"ledger {str(path)!r} is not a regular file", hint="remove what is there")
    return True


def restrict(path: Path) -> None:
    """Remove other users' access to the database."""
    with _reporting(path, "restrict who may read it"):
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            path.chmod(0o600)


def create(path: Path, migrations: Sequence[Migration] = MIGRATIONS) -> None:
    """Create a new, empty ledger, complete and durable or not at all; raises `sqlite3.Error` too."""
    draft = beside(path, ".new")
    with _reporting(path, "create it"):
        for suffix in ("", JOURNAL, WAL, SHM):
            beside(draft, suffix).unlink(missing_ok=True)
        os.close(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        # A rollback journal here: when COMMIT is done, everything is in the one file that is renamed. Into
        # WAL mode before that, because on the way a crash would leave a journal under the final name.
        database = sqlite3.connect(draft, isolation_level=None)
        try:
            database.execute("PRAGMA synchronous = FULL")
            migrate(database, migrations)
            database.execute("PRAGMA journal_mode = WAL")
        finally:
            database.close()
        draft.rename(path)
        sync_directory(path.parent)


def set_aside(path: str | os.PathLike[str], now: float) -> Path:
    """Move a damaged ledger out of the way, durably, and return its new name.

    `now` (seconds since the epoch) goes into the name. The write-ahead log is moved as well, to the name
    that SQLite's own `.recover` expects. Raises `LedgerLockedError` while somebody holds the lock.
    """
    old = Path(path).absolute()
    owner = Ownership(old)
    try:
        with _reporting(old, "move it aside"):
            new = _unused_name(old, now)
            # The database first: a crash in between leaves a log without its database, which is damage
            # again, and never an old database that has silently lost its log.
            for suffix in ("", JOURNAL, WAL, SHM):
                if os.path.lexists(beside(old, suffix)):
                    beside(old, suffix).rename(beside(new, suffix))
            sync_directory(old.parent)
    finally:
        owner.release()
    return new


def _unused_name(path: Path, now: float) -> Path:
    stem = beside(path, f".damaged-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime(now))}")
    name, number = stem, 1
    while any(os.path.lexists(beside(name, suffix)) for suffix in ("", JOURNAL, WAL, SHM)):
        number += 1
        name = beside(stem, f".{number}")
    return name
