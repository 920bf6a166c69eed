"""Race rounds against the engine: `python -m tests.host.relabel_races --rounds N [--python]`.

An attacker in C (`relabel_attacker.c`) changes a volume as fast as it can while the engine labels it and
gives it back, over and over. After each walk nothing outside the volume carries anything but what it carried.
When the attacker has ended the volume can be labelled completely, then given back whole (promises 5 and 6).

Everything is on an ext4 in memory: inode numbers are given out again at once there, no disk is waited for.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from mcsd.errors import McsdError
from mcsd.relabel.passing import Effort
from tests.host.relabel_trees import HOME, TARGET, Stage, labels, mounted, odd, put_label

KINDS = ("swap", "link", "mount", "rename", "exchange", "truncate", "unlink", "overlay")
SOURCE = Path(__file__).with_name("relabel_attacker.c")


def built_attacker(directory: Path) -> Path:
    """Compile the attacker; raises `CalledProcessError`."""
    program = directory / "attacker"
    subprocess.run(["gcc", "-O1", "-Wall", "-o", program, SOURCE], check=True)
    return program


@contextmanager
def memory_disk(base: Path) -> Iterator[Path]:
    """An ext4 on a loop device over memory."""
    with ExitStack() as stack:
        stack.enter_context(mounted(base, "-t", "tmpfs", "-o", "size=256m", "none"))
        image, point = base / "image", base / "disk"
        with image.open("wb") as file:
            file.truncate(96 << 20)
        subprocess.run(["mkfs.ext4", "-q", "-I", "256", image], check=True)
        point.mkdir()
        stack.enter_context(mounted(point, "-o", "loop", str(image)))
        yield point


class Scene:
    """One kind of attack on one volume."""

    def __init__(self, kind: str, base: Path, *, native: bool) -> None:
        self.kind, self.base = kind, base
        effort = Effort(workers=2, batch=16, most=64, quick=20, nice=0, io_priority=-1)
        self.stage = Stage(base, native, effort=effort)
        self.outside = base / "outside"
        self._grow(self.stage.root)
        self._grow(self.outside)
        self._stack = ExitStack()
        if kind == "exchange":
            (self.stage.root / "to-outside").symlink_to("../outside")
            (self.stage.root / "to-victim").symlink_to("../outside/f1")
        if kind == "overlay":
            self._overlay()
        self.before = labels(self.stage.root)
        self.victims = self._seen_outside()

    def _grow(self, root: Path) -> None:
        root.mkdir()
        put_label(root, HOME + "\0")
        for place in (
            root,
            *(root / f"d{one}" for one in range(10)),
            *(root / f"d{one}/sub" for one in range(9)),
        ):
            place.mkdir(exist_ok=True)
            for one in range(5):
                (place / f"f{one}").touch()
                put_label(place / f"f{one}", [None, HOME + "\0", odd("odd")][one % 3])

    def _overlay(self) -> None:
        lower, work, merged = (self.base / name for name in ("lower", "work", "merged"))
        for one in (lower, work, merged):
            one.mkdir()
        for number in range(8):
            (lower / f"low{number}").touch()
            put_label(lower / f"low{number}", odd("secret"))
        options = f"lowerdir={lower},upperdir={self.stage.root},workdir={work}"
        self._stack.enter_context(mounted(merged, "-t", "overlay", "-o", options, "none"))

    def _seen_outside(self) -> dict[bytes, bytes | None]:
        lower = self.base / "lower"
        new = os.fsencode(self.outside / "new")
        found = labels(self.outside) | (labels(lower) if lower.exists() else {})
        return {path: label for path, label in found.items() if path != new}

    def walk(self) -> None:
        """Label the volume and give it back; either may fail, nothing outside may change."""
        for work in (self.stage.relabel, self.stage.restore):
            try:
                work()
            except McsdError:
                continue
            finally:
                assert self._seen_outside() == self.victims, (
                    f"{self.kind}: {work.__name__} labelled what is outside"
                )

    def end(self) -> None:
        """With nobody in the way: complete, and then whole."""
        assert self.stage.relabel().complete
        found = labels(self.stage.root)
        left = {path for path, label in found.items() if (label or b"").rstrip(b"\0") != TARGET.encode()}
        assert all(
            path.lstat().st_mode & 0o170000 == 0o020000 for path in map(Path, map(os.fsdecode, left))
        ), left
        assert self.stage.restore().complete
        after = labels(self.stage.root)
        for path, label in self.before.items():
            assert after.get(path, label) == label, path
        assert not [path for path, label in after.items() if (label or b"").rstrip(b"\0") == TARGET.encode()]
        assert self._seen_outside() == self.victims
        self._stack.close()


@dataclass(frozen=True, slots=True)
class Result:
    """What was done: rounds of the attacker, and walks that were under way meanwhile."""

    rounds: int
    walks: int
    seconds: float


def race(kind: str, base: Path, attacker: Path, *, native: bool, rounds: int, walks: int) -> Result:
    """Attack in one way until there were so many rounds and so many walks."""
    began = time.monotonic()
    scene = Scene(kind, base, native=native)
    counter = base / "counter"
    counter.write_bytes(bytes(8))
    done = count = 0
    process = subprocess.Popen([attacker, kind, base, counter])
    try:
        while count < rounds or done < walks:
            scene.walk()
            done += 2
            count = int.from_bytes(counter.read_bytes(), sys.byteorder)
            assert process.poll() is None, f"{kind}: the attacker ended with {process.returncode}"
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    scene.end()
    return Result(count, done, time.monotonic() - began)


def main(argv: list[str] | None = None) -> None:
    """Race, and print what was done."""
    parser = argparse.ArgumentParser(prog="python -m tests.host.relabel_races", description=__doc__)
    parser.add_argument("--rounds", type=int, default=1_000_000, help="of all kinds together")
    parser.add_argument("--walks", type=int, default=20, help="of each kind, at least")
    parser.add_argument("--python", action="store_true", help="the plain loop")
    parser.add_argument("--kind", choices=KINDS, action="append", default=[])
    options = parser.parse_args(argv)
    kinds = options.kind or KINDS
    base = Path(tempfile.mkdtemp(prefix="mcsd-races-"))
    rounds = walks = 0
    try:
        with memory_disk(base) as disk:
            attacker = built_attacker(base)
            for kind in kinds:
                (disk / kind).mkdir()
                done = race(
                    kind,
                    disk / kind,
                    attacker,
                    native=not options.python,
                    rounds=options.rounds // len(kinds),
                    walks=options.walks,
                )
                rounds, walks = rounds + done.rounds, walks + done.walks
                print(
                    f"{kind}: {done.rounds:,} rounds, {done.walks:,} walks, {done.seconds:.0f} s", flush=True
                )
    finally:
        shutil.rmtree(base, ignore_errors=True)
    loop = "python" if options.python else "extension"
    print(f"{loop}: {rounds:,} rounds in {walks:,} walks, nothing outside was labelled")


if __name__ == "__main__":
    main(sys.argv[1:])
