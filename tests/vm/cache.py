"""What is built once and used by many runs: entries under one directory, each named by what went into it.

An entry is a directory `KIND-KEY` that appears by one rename when it is complete, and never changes after
that. One process builds while the others wait on its lock. Entries that nothing has used for a while are
removed when a new one of their kind is built, unless a running guest holds them.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

KEPT = 6
"""Entries of each kind that stay when a new one is built."""
GRACE = 600.0
"""Seconds for which an entry stays in any case: another one may be about to be built on it."""


class HarnessError(Exception):
    """The harness itself failed, not what was to be run; the text says what to do."""


def say(text: str) -> None:
    """Progress, for a person who waits."""
    print(f"tests/vm: {text}", file=sys.stderr, flush=True)


def home() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    path = Path(base) / "mcsd-vm"
    path.mkdir(parents=True, exist_ok=True)
    return path


def key_of(*parts: bytes | str | Path) -> str:
    """A name for exactly these contents: of a path its name, mode and bytes, of a directory its files."""
    digest = hashlib.sha256()
    for part in parts:
        for name, data in _contents(part):
            digest.update(f"{name} {len(data)}\n".encode() + data)
    return digest.hexdigest()[:16]


def _contents(part: bytes | str | Path) -> Iterator[tuple[str, bytes]]:
    match part:
        case str():
            yield "text", part.encode()
        case bytes():
            yield "bytes", part
        case Path() if part.is_dir():
            for path in sorted(path for path in part.rglob("*") if path.is_file()):
                yield f"{path.relative_to(part)} {path.stat().st_mode & 0o111:o}", path.read_bytes()
        case Path():
            yield f"{part.name} {part.stat().st_mode & 0o111:o}", part.read_bytes()


def identity(path: Path) -> str:
    """Of one building of an entry: the same inputs built again are other bytes to stand on."""
    return (path / "identity").read_text()


def entry(kind: str, key: str, build: Callable[[Path], None]) -> Path:
    """The entry's directory, built now if it is not there: `build` fills an empty directory."""
    final = home() / f"{kind}-{key}"
    if not final.exists():
        with _locked(home() / f"{final.name}.lock"):
            if not final.exists():
                _build(kind, final, build)
    os.utime(final)
    return final


def _build(kind: str, final: Path, build: Callable[[Path], None]) -> None:
    _forget(kind)
    unfinished = final.with_name(f"{final.name}.new")
    shutil.rmtree(unfinished, ignore_errors=True)  # what a killed build of the same thing left
    unfinished.mkdir(mode=0o700)
    begun = time.monotonic()
    try:
        build(unfinished)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    (unfinished / "identity").write_text(secrets.token_hex(16))
    unfinished.rename(final)
    say(f"… kept as {final.name} after {time.monotonic() - begun:.0f} s")


def _forget(kind: str) -> None:
    """Make room: remove what was used longest ago, and what a killed build left."""
    found = [path for path in home().glob(f"{kind}-*") if path.is_dir()]
    whole = sorted((path for path in found if path.suffix != ".new"), key=lambda path: path.stat().st_mtime)
    for path in [path for path in found if path.suffix == ".new"] + whole[: 1 - KEPT]:
        with using(path, exclusive=True) as free:
            if free and time.time() - path.stat().st_mtime > GRACE:
                shutil.rmtree(path, ignore_errors=True)


@contextmanager
def using(path: Path, *, exclusive: bool = False) -> Iterator[bool]:
    """Hold an entry so that it is not removed; or, exclusively, learn whether nobody does."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB if exclusive else fcntl.LOCK_SH)
        yield True
    except BlockingIOError:
        yield False
    finally:
        os.close(descriptor)


@dataclass(frozen=True, slots=True)
class Processor:
    """One of this machine's processors, a guest's alone until every copy of the file is closed."""

    number: int
    held: IO[str]


def take_processor() -> Processor | None:
    """Take a processor that no guest has; None where each has one."""
    for number in sorted(os.sched_getaffinity(0)):
        held = (home() / f"processor-{number}").open("w")
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            held.close()
        else:
            return Processor(number, held)
    return None


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"another process builds the same ({path.stem}); waiting for it…")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
