"""A disk that loses power: what a process did to its files, and what may be left of it.

`record` runs a program and has everything written down that it does below a directory (`ledger_disk.c`). A
`Disk` takes these operations up to any moment, and then `lose_power` gives files as they may be found after:
what was synced is there, anything later may be or not, down to single sectors of a write. Changes of names
(new, renamed, removed) stay in their order, and those since the last sync of the directory may be lost from
the end; a journaling file system promises no more.
"""

from __future__ import annotations

import os
import random
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

SECTOR = 512
MEMORY = Path("/dev/shm")
SOURCE = Path(__file__).with_suffix(".c")


@contextmanager
def memory_directory() -> Iterator[Path]:
    """Return a directory where syncing costs nothing, for tests that open a ledger hundreds of times."""
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as name:
        yield Path(name)


@dataclass(frozen=True, slots=True)
class Operation:
    """One thing that was done: W write, T truncate, S sync, R rename, U unlink."""

    kind: str
    name: str
    offset: int
    data: bytes


def record(command: Sequence[str], root: Path, scratch: Path) -> list[Operation]:
    """Run a program, which must succeed, and return what it did to the files directly below `root`."""
    recorder, log = scratch / "recorder.so", scratch / "operations"
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-Wall", "-o", recorder, SOURCE, "-ldl"], check=True)
    environment = {"LD_PRELOAD": str(recorder), "DISK_ROOT": str(root), "DISK_LOG": str(log)}
    subprocess.run(command, check=True, env=os.environ | environment)
    return list(_parse(log.read_bytes(), root))


def _parse(log: bytes, root: Path) -> Iterator[Operation]:
    place = 0
    while place < len(log):
        end = log.index(b"\n", place)
        kind, offset, length, path = log[place:end].split(b" ", 3)
        place = end + 1 + int(length)
        data = log[end + 1 : place]
        yield Operation(kind.decode(), os.path.relpath(path.decode(), root), int(offset), data)


@dataclass(slots=True)
class _File:
    durable: bytearray = field(default_factory=bytearray)
    pending: list[Operation] = field(default_factory=list)


class Disk:
    """A directory of files, and what of it would survive."""

    def __init__(self) -> None:
        self._names: dict[str, _File] = {}
        self._named: list[dict[str, _File]] = [{}]

    def do(self, operation: Operation) -> None:
        """Take over one operation."""
        match operation.kind:
            case "W" | "T":
                if operation.name not in self._names:
                    self._rename_to(self._names | {operation.name: _File()})
                self._names[operation.name].pending.append(operation)
            case "S" if operation.name == ".":
                del self._named[:-1]
            case "S":
                if file := self._names.get(operation.name):
                    for change in file.pending:
                        _change(file.durable, change)
                    file.pending.clear()
            case "R":
                names = dict(self._names)
                names[os.path.basename(os.fsdecode(operation.data))] = names.pop(operation.name)
                self._rename_to(names)
            case "U":
                self._rename_to({name: one for name, one in self._names.items() if name != operation.name})

    def _rename_to(self, names: dict[str, _File]) -> None:
        self._names = names
        self._named.append(names)

    def lose_power(self, into: Path, choice: random.Random) -> None:
        """Write into a directory what may be found after losing power now."""
        into.mkdir(mode=0o700)
        share = choice.choice([0.0, 0.5, 0.9, 1.0])
        named = self._named[-1] if choice.random() < share else choice.choice(self._named)
        for name, file in named.items():
            content = bytearray(file.durable)
            for change in file.pending:
                for part in _sectors(change):
                    if choice.random() < share:
                        _change(content, part)
            (into / name).write_bytes(content)


def _sectors(change: Operation) -> Iterator[Operation]:
    if change.kind == "T":
        yield change
    for start in range(0, len(change.data), SECTOR):
        part = change.data[start : start + SECTOR]
        yield Operation(change.kind, change.name, change.offset + start, part)


def _change(content: bytearray, change: Operation) -> None:
    if change.kind == "T":
        del content[change.offset :]
        content.extend(bytes(change.offset - len(content)))
        return
    content.extend(bytes(max(0, change.offset - len(content))))
    content[change.offset : change.offset + len(change.data)] = change.data
