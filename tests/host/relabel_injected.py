"""Errors at every call of a walk: `python -m tests.host.relabel_injected [--every N]`.

A walk is done once to count its calls of each kind, and then again and again with one of them failing, with
each error it can fail with. Whatever happens, an inode carries what it carried or the target; what is called
complete is; and afterwards the volume can be given back whole (promises 4, 6, 8, 9). With the C loop the
calls are those of the extension, built with `relabel_inject.h`; with the plain one of `mcsd.relabel.kernel`.
"""

from __future__ import annotations

import argparse
import ctypes
import errno
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from unittest.mock import patch

from mcsd.errors import McsdError
from mcsd.relabel import Walk, kernel
from mcsd.relabel.passing import Effort
from tests.host.relabel_trees import TARGET, Stage, grow, label_of, labels, mounted, odd, put_label

LIES = {errno.ENOENT, errno.ESTALE, errno.EXDEV, errno.ENODATA}
"""What these say of an inode (it is gone, something is mounted there) is believed."""
_COMMON = [errno.EIO, errno.ENOMEM, errno.EACCES]
_LOOKING = [*_COMMON, errno.ENOENT, errno.ESTALE]
_OPENING = [*_LOOKING, errno.ELOOP, errno.ENOTDIR, errno.EMFILE, errno.ENFILE, errno.ENXIO]
_READING = [*_LOOKING, errno.ERANGE, errno.ENOTSUP, errno.EPERM, errno.E2BIG]
_WRITING = [
    *_LOOKING,
    errno.EINVAL,
    errno.EROFS,
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EPERM,
    errno.ENOTSUP,
    errno.ELOOP,
]

KINDS: dict[str, list[int]] = {  # in the order of relabel_inject.h
    "statx": _LOOKING,
    "open": [errno.EMFILE, errno.ENOENT, errno.ENOMEM],
    "openat": _OPENING,
    "openat2": [*_OPENING, errno.EXDEV, errno.EAGAIN, errno.EPERM, errno.ENOSYS],
    "getdents": _LOOKING,
    "getxattr": _READING,
    "lgetxattr": _READING,
    "setxattr": _WRITING,
    "removexattr": _WRITING,
    "readlinkat": [*_COMMON, errno.ENOENT, errno.ENAMETOOLONG],
    "fchdir": _COMMON,
    "chdir": _COMMON,
    "fcntl": [errno.EMFILE, errno.EINVAL],
    "unshare": [errno.EPERM, errno.ENOMEM],
    "close_range": [errno.ENOMEM, errno.ENOSYS],
    "poll": [errno.ENOMEM],
    "thread": [errno.EAGAIN],
    "allocation": [errno.ENOMEM],
    "other": [errno.EPERM, errno.ENOSYS],
}
PYTHON_KINDS: dict[str, tuple[object, list[int]]] = {
    "stat_at": (kernel, _LOOKING),
    "stat_of": (kernel, _LOOKING),
    "look_at": (kernel, [*_OPENING, errno.EXDEV, errno.EAGAIN]),
    "listing_of": (kernel, _OPENING),
    "label_of": (kernel, _READING),
    "set_label": (kernel, _WRITING),
    "path_of": (kernel, [*_COMMON, errno.ENOENT, errno.ENAMETOOLONG]),
    "scandir": (os, _LOOKING),
}
"""Of the plain loop; `kernel` is what its modules call by name."""
STORE_KINDS: dict[str, tuple[object, list[int]]] = {
    "pwrite": (os, [errno.ENOSPC, errno.EIO, errno.EDQUOT]),
    "fdatasync": (os, [errno.EIO, errno.ENOSPC]),
    "fsync": (os, [errno.EIO]),
    "ftruncate": (os, [errno.EIO]),
}
"""Of the store of originals, whichever loop walks."""


class Injector(Protocol):
    """Lets calls fail."""

    kinds: dict[str, list[int]]

    def injected(self, kind: str, first: int, count: int, code: int) -> Any:
        """Let calls fail within a block: `count` calls of a kind from the nth on; kind "": none."""
        ...

    def calls(self, kind: str) -> int:
        """Return how many calls of a kind there were in the last block."""
        ...


class InExtension:
    """In the extension, by `relabel_inject.h`."""

    kinds = KINDS

    def __init__(self) -> None:
        from mcsd.relabel.native import _walk

        self._library = ctypes.CDLL(_walk.__file__)
        if not hasattr(self._library, "inject_set"):
            raise SystemExit("the extension was built without MCSD_INJECT")
        self._set = self._library.inject_set
        self._set.argtypes = [ctypes.c_int, ctypes.c_long, ctypes.c_long, ctypes.c_int, ctypes.c_long]
        self._set.restype = None
        self._library.inject_called.restype = ctypes.c_long

    @contextmanager
    def injected(self, kind: str, first: int, count: int, code: int) -> Iterator[None]:
        """See `Injector`."""
        number = list(KINDS).index(kind) if kind else -1
        self._set(number, first, count, code, 2_000_000_000)
        try:
            yield
        finally:
            self._library_off()

    def mount(self, *paths: bytes | None) -> None:
        """Mount over a name while its label is read: the name, what, and where; None: no more."""
        self._mount = [
            None if path is None else ctypes.c_char_p(path) for path in paths
        ]  # kept: C has pointers
        self._library.inject_mount(*self._mount)

    def _library_off(self) -> None:
        self._last = {kind: self._library.inject_called(number) for number, kind in enumerate(KINDS)}
        self._set(-1, 0, 0, 0, 2_000_000_000)

    def calls(self, kind: str) -> int:
        """See `Injector`."""
        return int(self._last[kind])


class InPython:
    """In Python modules, by replacing what they call."""

    def __init__(self, kinds: dict[str, tuple[object, list[int]]]) -> None:
        self.kinds = {kind: codes for kind, (_, codes) in kinds.items()}
        self._where = {kind: where for kind, (where, _) in kinds.items()}
        self._calls: dict[str, int] = {}

    @contextmanager
    def injected(self, kind: str, first: int, count: int, code: int) -> Iterator[None]:
        """See `Injector`."""
        self._calls = dict.fromkeys(self.kinds, 0)
        with ExitStack() as stack:
            for name, where in self._where.items():
                fails = range(first, first + count) if name == kind else range(0)
                stack.enter_context(
                    patch.object(where, name, self._wrapped(name, getattr(where, name), fails, code))
                )
            stamp = kernel.stamp
            stack.enter_context(patch.object(kernel, "stamp", lambda: stamp() + 2_000_000_000))
            yield

    def _wrapped(self, name: str, real: Callable[..., Any], fails: range, code: int) -> Callable[..., Any]:
        def call(*arguments: Any, **more: Any) -> Any:
            number = self._calls[name]
            self._calls[name] += 1
            if number in fails:
                raise OSError(code, os.strerror(code))
            return real(*arguments, **more)

        return call

    def calls(self, kind: str) -> int:
        """See `Injector`."""
        return self._calls[kind]


@dataclass
class Round:
    """One walk with one failure."""

    work: str
    kind: str
    first: int
    count: int
    code: int

    def __str__(self) -> str:
        return f"{self.work}: {self.kind} #{self.first} x{self.count} {errno.errorcode[self.code]}"


class Trial:
    """One volume that is walked again and again."""

    def __init__(self, base: Path, injector: Injector, *, native: bool) -> None:
        effort = Effort(workers=2, batch=8, most=16, quick=20, nice=0, io_priority=-1)
        self.stage = Stage(base, native, effort=effort)
        self.injector = injector
        grow(self.stage.root, directories=3, files=4)
        for one in range(40):
            (self.stage.root / f"d1/more{one}").touch()
        os.link(self.stage.root / "d1/f1", self.stage.root / "d2/linked")
        self.outside = base / "outside"
        self.outside.touch()
        os.link(self.outside, self.stage.root / "d0/out")
        self.before = labels(self.stage.root)
        self.victim = label_of(self.outside)

    def walk(self, work: str) -> Walk:
        """Do what a round is about."""
        do: dict[str, Callable[[], Walk]] = {
            "relabel": self.stage.relabel,
            "restore": self.stage.restore,
            "verify": self.stage.verify,
        }
        return do[work]()

    def prepare(self, work: str) -> None:
        """Bring the volume to where a round begins."""
        self.stage.engine = self.stage.fresh()
        if work in {"restore", "verify"}:
            assert self.stage.relabel().complete

    def counts(self, work: str) -> dict[str, int]:
        """Count the calls of a walk in which nothing fails."""
        with self.injector.injected("", 0, 0, 0):
            self.prepare(work)
        with self.injector.injected("", 0, 0, 0):
            walk = self.walk(work)
        found = {kind: self.injector.calls(kind) for kind in self.injector.kinds}
        assert walk.complete, walk
        self.end()
        return found

    def run(self, one: Round) -> bool:
        """Do a round; say whether the failure was met at all (another worker may have been quicker)."""
        with self.injector.injected("", 0, 0, 0):
            self.prepare(one.work)
        walk = None
        with self.injector.injected(one.kind, one.first, one.count, one.code):
            try:
                walk = self.walk(one.work)
            except (McsdError, MemoryError):
                walk = None
        was_met = self.injector.calls(one.kind) > one.first
        found = labels(self.stage.root)
        for path, label in found.items():
            was = self.before[path]
            assert label == was or (label or b"").rstrip(b"\0") == TARGET.encode(), (
                str(one),
                path,
                label,
                was,
            )
        if walk is not None and walk.complete and one.code not in LIES:
            self.judge_complete(one, found)
        self.end()
        return was_met

    def judge_complete(self, one: Round, found: dict[bytes, bytes | None]) -> None:
        """Hold a walk to what it said."""
        if one.work == "restore":
            assert found == self.before, str(one)
            return
        wrong = {path for path, label in found.items() if (label or b"").rstrip(b"\0") != TARGET.encode()}
        assert {os.path.basename(path) for path in wrong} <= {b"out"}, (str(one), wrong)

    def end(self) -> None:
        """Restore the volume; whatever went wrong, nothing is lost and nothing outside was written to."""
        self.stage.engine = self.stage.fresh()
        with self.injector.injected("", 0, 0, 0):
            walk = self.stage.restore()
        assert walk.complete, walk
        assert labels(self.stage.root) == self.before
        assert label_of(self.outside) == self.victim
        self.stage.engine.forget(self.stage_id())

    def stage_id(self) -> Any:
        """Return the volume's id."""
        from tests.host.relabel_trees import ID

        return ID


def rounds(
    counts: dict[str, int], kinds: dict[str, list[int]], work: str, every: int, dice: random.Random
) -> Iterator[Round]:
    """Return every call with every error; with `every` above 1 a part of them, first and last now and
    then."""
    for kind, codes in kinds.items():
        total = counts[kind]
        for code in codes:
            start = dice.randrange(every)
            for first in range(total):
                if (
                    every == 1
                    or first % every == start
                    or (first in {0, total - 1} and dice.randrange(4) == 0)
                ):
                    yield Round(work, kind, first, dice.choice([1, 1, 2, 1 << 30]), code)


def attempt(base: Path, name: str, injector: Injector, *, native: bool, every: int, seed: int) -> int:
    """Go through all of them; give how many walks had a failure."""
    dice = random.Random(seed)
    trial = Trial(base / name, injector, native=native)
    met = 0
    for work in ("relabel", "restore", "verify"):
        counts = trial.counts(work)
        for one in rounds(counts, injector.kinds, work, every, dice):
            met += trial.run(one)
    return met


def check_requests(base: Path) -> None:
    """End a walk while what a worker asks is being read: it waits until whoever reads it is done.

    One worker fails with a label while the other's request is taken, or else this is tried again.
    """
    injector = InExtension()
    root = base / "volume"
    grow(root, directories=8, files=12)
    for first in range(200):
        with injector.injected("setxattr", first % 40, 1 << 30, errno.EROFS):
            if _fails_while_taken(root):
                return
    raise AssertionError("no worker asked while the other failed")


def _fails_while_taken(root: Path) -> bool:
    from mcsd.relabel.native import _walk

    descriptor = os.open(root, os.O_PATH)
    loop = _walk.Walk(
        root=descriptor,
        index=_walk.Index(),
        mode=0,
        target=TARGET.encode() + b"\0",
        fallback=None,
        created=1,
        swept=False,
        workers=2,
        batch=4,
        most=4,
        nice=0,
        io_priority=-1,
    )
    try:
        loop.start()
        while (request := loop.wait(20)) is not None:
            kind, _ = request
            if kind == "record" and _has_failed(loop):
                time.sleep(0.2)
                left = len(os.listdir("/proc/self/task")) - 1
                assert left, "a worker did not wait for who reads its request"
                return True
            if kind != "nothing":
                loop.answer(0 if kind == "judge" else None)
        return False
    finally:
        loop.end()
        os.close(descriptor)


def _has_failed(loop: Any) -> bool:
    """Return the other worker, with a request of this one taken, the time to fail."""
    until = time.monotonic() + 0.01
    while time.monotonic() < until:
        if loop.state()[1] == errno.EROFS:
            return True
    return False


def check_mounts(base: Path) -> None:
    """Mount another file over a name while its label is read: what is recorded is the inode's own label."""
    injector = InExtension()
    stage = Stage(base, True, effort=Effort(workers=2, batch=8, most=16, quick=20, nice=0, io_priority=-1))
    grow(stage.root, directories=2, files=3)
    other, over = base / "other", stage.root / "d1/sub/only"
    over.touch()
    put_label(over, odd("mine"))
    other.touch()
    put_label(other, odd("secret"))
    before = labels(stage.root)
    injector.mount(b"only", os.fsencode(other), os.fsencode(over))
    try:
        with injector.injected("", 0, 0, 0):
            walk = stage.relabel()
    finally:
        injector.mount(None, None, None)
    assert walk.complete or walk.skipped, walk
    with injector.injected("", 0, 0, 0):
        assert stage.restore().complete
    assert labels(stage.root) == before
    assert label_of(other) == odd("secret")


def main(argv: list[str] | None = None) -> None:
    """Run, and print how many walks there were."""
    parser = argparse.ArgumentParser(prog="python -m tests.host.relabel_injected", description=__doc__)
    parser.add_argument("--every", type=int, default=1, help="take one call in so many")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    parser.add_argument("--only", choices=["extension", "python", "store"], action="append", default=[])
    options = parser.parse_args(argv)
    print(f"seed {options.seed}", flush=True)
    wanted = options.only or ["extension", "python", "store"]
    base = Path(tempfile.mkdtemp(prefix="mcsd-injected-"))
    trials: dict[str, tuple[Callable[[], Injector], bool]] = {
        "extension": (InExtension, True),
        "python": (lambda: InPython(PYTHON_KINDS), False),
        "store": (lambda: InPython(STORE_KINDS), True),
    }
    try:
        with mounted(base, "-t", "tmpfs", "none"):
            for name in wanted:
                make, native = trials[name]
                (base / name).mkdir()
                met = attempt(base, name, make(), native=native, every=options.every, seed=options.seed)
                if name == "extension":
                    (base / "mounts").mkdir()
                    check_mounts(base / "mounts")
                    (base / "requests").mkdir()
                    check_requests(base / "requests")
                print(f"{name}: {met} walks met an error, each had its one outcome", flush=True)
    finally:
        shutil.rmtree(base, ignore_errors=True)


if __name__ == "__main__":
    main(sys.argv[1:])
