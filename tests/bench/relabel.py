"""How fast volumes are relabelled, beside the tools people use: `python -m tests.bench.relabel`.

All tools and the engine run in turn, several rounds in one run, over the same trees; medians are printed.
Every measured run starts from the same labels, with caches warm and nothing left to write back. The engine
runs as in the daemon, in this process, with originals recorded and every guard on, but at the tools' own
priority; the tools pay for starting a process, some milliseconds. `cpu` is processor time, which a busy
machine disturbs less. Needs root and a file system that keeps labels.

A ratio that was reached once and is lost by more than a quarter ends the run with status 1.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

from mcsd.core.protected import ProtectionRules
from mcsd.core.volumes import VolumeId
from mcsd.relabel import Engine, Progress, Walk
from mcsd.relabel.native import is_usable
from mcsd.relabel.passing import Effort
from tests.bench import kept
from tests.bench.peers import Peer, peers

HOME = "system_u:object_r:var_t:s0"
TARGET = "system_u:object_r:container_file_t:s0:c1,c2"
ID = VolumeId("0123456789abcdef")
GOALS = {
    "change": ((1.2, "opencontainers Chcon"),),
    "check": ((0.15, "chcon -R"),),
    "restore": ((0.5, "chcon -R"),),
}
REACHED = {
    ("here", "100-file directories"): {"change": 1.72, "check": 0.35, "restore": 0.82},
    ("here", "one large directory"): {"change": 1.84, "check": 0.35, "restore": 0.85},
    ("xfs", "100-file directories"): {"change": 1.47, "check": 0.17, "restore": 0.80},
    ("xfs", "one large directory"): {"change": 1.36, "check": 0.12, "restore": 0.78},
    ("btrfs", "100-file directories"): {"change": 1.18, "check": 0.16, "restore": 0.85},
    ("btrfs", "one large directory"): {"change": 1.65, "check": 0.16, "restore": 0.91},
}
"""Ratios to the tools in GOALS by file system and shape: the worse of two quiet machines with ext4, one with
XFS and btrfs."""
REACHED_LONG = {"an inode of five million / of a hundred thousand": 1.12}
"""Of time, by `--five-million`."""
FILE_SYSTEMS = {"ext4": ("mkfs.ext4", "-q"), "xfs": ("mkfs.xfs", "-q"), "btrfs": ("mkfs.btrfs", "-q")}
PER_INODE_GOAL = 1.2
"""Time for an inode of five million against one of a hundred thousand."""
LOOK_GOAL = 0.005
"""Seconds."""
MEMORY_GOAL = 40
"""MiB at 1,000,000 inodes."""
BEHIND_GOAL = 0.1
"""Seconds for 20 files while a large volume is walked."""
LARGE = 5000
"""Inodes after which a walk has given way to everything else."""


@dataclass(frozen=True, slots=True)
class Shape:
    """A tree: so many directories with so many files each."""

    name: str
    directories: int
    files: int

    @property
    def inodes(self) -> int:
        """All of them, with the root."""
        return 1 + self.directories * (1 + self.files)


SHAPES = (Shape("100-file directories", 1000, 100), Shape("one large directory", 1, 200_000))
QUICK = (Shape("100-file directories", 100, 100), Shape("one large directory", 1, 10_000))
MILLION = Shape("a million", 10_000, 100)
FIVE_MILLION = Shape("five million", 50_000, 100)


def build(shape: Shape, root: Path) -> None:
    """Make a tree, with labels as they come with the host."""
    root.mkdir()
    for number in range(shape.directories):
        place = root / f"d{number}"
        place.mkdir()
        at = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
        for one in range(shape.files):
            os.close(os.open(f"f{one}", os.O_CREAT | os.O_WRONLY, dir_fd=at))
        os.close(at)


def reset(root: Path) -> None:
    """Put every label back to what it was at first, and wait until all of it is on disk."""
    subprocess.run(["chcon", "-R", HOME, root], check=True)
    os.sync()
    time.sleep(0.1)  # what changed this very moment takes the engine longer, and no volume did


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds by the clock, and of processors."""

    seconds: float
    cpu: float


def cost_of(work: Callable[[], object]) -> Cost:
    """Run something and say what it took, in this process and in its children."""
    began, before = time.perf_counter(), os.times()
    work()
    after = os.times()
    return Cost(time.perf_counter() - began, sum(after[:4]) - sum(before[:4]))


class Bench:
    """One shape, measured in rounds."""

    def __init__(
        self, shape: Shape, work: Path, tools: Sequence[Peer], *, native: bool, workers: int
    ) -> None:
        self._shape, self._root, self._store = shape, work / "tree", work / "store"
        self._tools = [tool for tool in tools if not tool.missing]
        self._native = native
        effort = Effort.of_this_host(nice=0, io_priority=-1)
        self._effort = replace(effort, workers=workers) if workers else effort
        self.costs: dict[str, list[Cost]] = {}

    def run(self, rounds: int) -> None:
        """Measure everything, in turn."""
        build(self._shape, self._root)
        try:
            for _ in range(rounds):
                for tool in self._tools:
                    reset(self._root)
                    self._note(tool.name, cost_of(lambda tool=tool: tool.run(self._root, TARGET)))  # type: ignore[misc]
                self._engine_round()
        finally:
            shutil.rmtree(self._root)

    def _note(self, name: str, cost: Cost) -> None:
        self.costs.setdefault(name, []).append(cost)

    def _engine_round(self) -> None:
        reset(self._root)
        engine = Engine(
            store=self._store,
            rules=ProtectionRules.of(),
            default_label=lambda path, mode: None,
            native=self._native,
            effort=self._effort,
        )
        identity = engine.examine(str(self._root)).identity
        path = str(self._root)
        works: dict[str, Callable[[], Walk]] = {
            "change": lambda: engine.relabel(ID, path, identity, TARGET),
            "check": lambda: engine.relabel(ID, path, identity, TARGET),
            "restore": lambda: engine.restore(ID, path, identity, TARGET, was_complete=True),
        }
        for name, work in works.items():
            os.sync()
            time.sleep(0.1)
            walks: list[Walk] = []
            self._note(name, cost_of(lambda work=work, walks=walks: walks.append(work())))  # type: ignore[misc]
            if name == "check":
                self._note("look", cost_of(lambda: engine.examine(path)))
            expected = self._shape.inodes if name in {"change", "restore"} else 0
            assert (walks[0].complete, walks[0].changed) == (True, expected), walks[0]
        engine.forget(ID)

    def medians(self) -> dict[str, Cost]:
        """Return the costs by name."""
        return {
            name: Cost(
                statistics.median(one.seconds for one in costs), statistics.median(one.cpu for one in costs)
            )
            for name, costs in self.costs.items()
        }


def behind(shape: Shape, work: Path, *, native: bool) -> Cost:
    """Return what a volume of 20 files takes while a large one is walked, each as the daemon does it."""
    large, small = work / "tree", work / "small"
    build(shape, large)
    build(Shape("20 files", 1, 18), small)
    engine = Engine(
        store=work / "behind-store",
        rules=ProtectionRules.of(),
        default_label=lambda path, mode: None,
        native=native,
    )
    under_way, enough = threading.Event(), threading.Event()

    def report(progress: Progress) -> None:
        if progress.seen > LARGE:
            under_way.set()

    def walk() -> None:
        identity = engine.examine(str(large)).identity
        engine.relabel(ID, str(large), identity, TARGET, progress=report, cancelled=enough)

    thread = threading.Thread(target=walk)
    try:
        identity = engine.examine(str(small)).identity
        thread.start()
        assert under_way.wait(60)
        return cost_of(lambda: engine.relabel(VolumeId("small"), str(small), identity, TARGET))
    finally:
        enough.set()
        thread.join()
        shutil.rmtree(large)
        shutil.rmtree(small)


MEMORY_PROBE = """
import resource, sys
from pathlib import Path
from mcsd.core.protected import ProtectionRules
from mcsd.relabel import Engine
from tests.bench.relabel import ID, TARGET
path, store = sys.argv[1:]
def peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
engine = Engine(store=Path(store), rules=ProtectionRules.of(), default_label=lambda path, mode: None)
identity = engine.examine(path).identity
before = peak()
first = engine.relabel(ID, path, identity, TARGET)
assert first.complete
assert engine.relabel(ID, path, identity, TARGET).complete
assert engine.restore(ID, path, identity, TARGET, was_complete=True).complete
print(peak() - before, (Path(store) / (ID + ".originals")).stat().st_size, first.seconds)
"""


def memory(shape: Shape, work: Path) -> tuple[float, int, float]:
    """Return the MiB that walks add to a process, the originals' bytes, and the first walk's seconds."""
    root = work / "tree"
    build(shape, root)
    try:
        reset(root)
        command = [sys.executable, "-c", MEMORY_PROBE, str(root), str(work / "memory-store")]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    finally:
        shutil.rmtree(root)
    added, size, seconds = done.stdout.split()
    return int(added) / 1024, int(size), float(seconds)


@contextmanager
def file_system(kind: str, where: Path) -> Iterator[Path]:
    """Return a place on a file system of a kind for the time of the block: "here" is where one is already.

    Raises `LookupError` where this machine has none of the kind.
    """
    if kind == "here":
        yield where
        return
    if kind not in Path("/proc/filesystems").read_text(encoding="ascii").split():
        subprocess.run(["modprobe", "-q", kind], check=False)
    if kind not in Path("/proc/filesystems").read_text(encoding="ascii").split():
        raise LookupError("this kernel does not know it")
    if shutil.which(FILE_SYSTEMS[kind][0]) is None:
        raise LookupError(f"{FILE_SYSTEMS[kind][0]} is not installed")
    image, point = where / f"{kind}.image", where / kind
    with image.open("wb") as file:
        file.truncate(8 << 30)
    point.mkdir()
    try:
        subprocess.run([*FILE_SYSTEMS[kind], image], check=True, capture_output=True)
        subprocess.run(["mount", "-o", "loop", image, point], check=True)
        try:
            yield point
        finally:
            subprocess.run(["umount", point], check=True)
    finally:
        image.unlink()
        point.rmdir()


def ratios(medians: dict[str, Cost]) -> dict[str, float]:
    """Return each row's ratio to the first tool of its goals that was there."""
    found = {}
    for name, goals in GOALS.items():
        tool = next((tool for _, tool in goals if tool in medians), None)
        if tool is not None and name in medians:
            found[name] = medians[name].seconds / medians[tool].seconds
    return found


def lost(kind: str, shape: Shape, medians: dict[str, Cost]) -> list[str]:
    """Name the ratios that were reached and are not any more."""
    reached = REACHED.get((kind, shape.name), {})
    return [
        f"lost: {name} of {shape.name}: {ratio:.2f} × {GOALS[name][0][1]}, and was {reached[name]}"
        for name, ratio in ratios(medians).items()
        if name in reached and ratio > kept.LOST * reached[name]
    ]


def table(shape: Shape, medians: dict[str, Cost]) -> str:
    """Write one shape's medians, their ratios to the tools, and what was to be reached."""
    tools = [name for name in medians if name not in {*GOALS, "look"}]
    head = f"{shape.name}, {shape.inodes:,} inodes"
    columns = f"{'':24}{'seconds':>9}{'cpu':>9}" + "".join(f"{'/ ' + one:>24}" for one in tools)
    lines = [head, "-" * len(head), columns]
    for name, cost in medians.items():
        mine = "" if name in tools else "mcsd "
        ratios = "".join(f"{cost.seconds / medians[one].seconds:>24.2f}" for one in tools)
        lines.append(f"{mine + name:24}{cost.seconds:>9.3f}{cost.cpu:>9.2f}{ratios}{_verdict(name, medians)}")
    return "\n".join(lines)


def _verdict(name: str, medians: dict[str, Cost]) -> str:
    mine = medians[name].seconds
    if name == "look":
        return "" if mine <= LOOK_GOAL else f"  missed: {LOOK_GOAL * 1000:.0f} ms"
    missed = [
        f"{goal} × {tool}"
        for goal, tool in GOALS.get(name, ())
        if tool in medians and mine > goal * medians[tool].seconds
    ]
    return "  missed: " + ", ".join(missed) if missed else ""


def measured(
    kind: str, shape: Shape, where: Path, tools: Sequence[Peer], options: argparse.Namespace
) -> Bench:
    """Measure one shape on one kind of file system."""
    with file_system(kind, where) as place:
        bench = Bench(shape, place, tools, native=not options.python, workers=options.workers)
        bench.run(options.rounds or (2 if options.quick else 5))
        return bench


def in_time(where: Path) -> tuple[dict[str, float], str]:
    """Measure five million inodes against a hundred thousand: memory, and time for an inode."""
    few, many = SHAPES[0], FIVE_MILLION
    _, _, short = memory(few, where)
    added, size, long = memory(many, where)
    ratio = (long / many.inodes) / (short / few.inodes)
    missed = [
        *([f"{MEMORY_GOAL} MiB"] if added > MEMORY_GOAL else []),
        *([f"{PER_INODE_GOAL} ×"] if ratio > PER_INODE_GOAL else []),
    ]
    said = (
        f"{many.inodes:,} inodes: {added:.1f} MiB added, originals {size:,} B; {long:.1f} s, for an inode "
        f"{ratio:.2f} × what {few.inodes:,} take{'  missed: ' + ', '.join(missed) if missed else ''}"
    )
    return {"MiB": added, "originals bytes": size, "seconds": long, "per inode": ratio}, said


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.relabel", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON alone")
    parser.add_argument("--quick", action="store_true", help="small trees, two rounds, no status 1")
    parser.add_argument(
        "--million", action="store_true", help="a tree of 1,000,000 inodes as well, for memory"
    )
    parser.add_argument(
        "--five-million", action="store_true", help="5,000,000 inodes, for memory and time; takes 8 GiB"
    )
    parser.add_argument("--python", action="store_true", help="measure the plain loop")
    parser.add_argument("--rounds", type=int, default=0)
    parser.add_argument("--workers", type=int, default=0, help="of a walk, other than one for each processor")
    parser.add_argument("--where", default="/var/tmp", help="a directory on the file system to measure")
    parser.add_argument(
        "--file-system",
        choices=["here", *FILE_SYSTEMS],
        action="append",
        default=[],
        help="what to measure on: as it is `where`, or one made in a file there",
    )
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; 1 where a ratio was lost."""
    options = _options(argv)
    native = not options.python
    shapes = [*(QUICK if options.quick else SHAPES), *([MILLION] if options.million else [])]
    report: dict[str, object] = {"native": is_usable() and native}
    failures: list[str] = []
    say: Callable[[str], None] = (lambda line: None) if options.json else partial(print, flush=True)
    with tempfile.TemporaryDirectory(prefix="mcsd-bench-", dir=options.where) as name:
        where = Path(name)
        tools = peers(where)
        report["missing"] = {tool.name: tool.missing for tool in tools if tool.missing}
        trees: dict[str, object] = {}
        for kind in options.file_system or ["here"]:
            for shape in shapes:
                try:
                    bench = measured(kind, shape, where, tools, options)
                except LookupError as exc:
                    say(f"missing: {kind}: {exc}")
                    break
                medians = bench.medians()
                trees[f"{shape.name} on {kind}"] = {
                    "inodes": shape.inodes,
                    "medians": {row: asdict(cost) for row, cost in medians.items()},
                    "ratios": ratios(medians),
                }
                failures += [] if options.quick or options.python else lost(kind, shape, medians)
                say(f"on {kind}: {table(shape, medians)}\n")
        report["trees"] = trees
        largest = shapes[-1]
        added, size, _ = memory(largest, where)
        waits = sorted(behind(largest, where, native=native).seconds for _ in range(5))
        report["behind"] = {"inodes": largest.inodes, "median": waits[2], "worst": waits[-1]}
        report["memory"] = {"inodes": largest.inodes, "MiB": added, "originals bytes": size}
        say(f"memory added by walks over {largest.inodes:,} inodes: {added:.1f} MiB; originals: {size:,} B")
        late = "" if waits[-1] <= BEHIND_GOAL else f"  missed: {BEHIND_GOAL * 1000:.0f} ms"
        say(
            f"20 files while {largest.inodes:,} inodes are walked: {waits[2] * 1000:.0f} ms, "
            f"at worst {waits[-1] * 1000:.0f} ms{late}"
        )
        if options.five_million:
            long, said = in_time(where)
            report["five million"] = long
            failures += kept.lost(dict.fromkeys(REACHED_LONG, long["per inode"]), REACHED_LONG)
            say(said)
    for tool in (tool for tool in tools if tool.missing):
        say(f"missing: {tool.name}: {tool.missing}")
    report["lost"] = failures
    for failure in failures:
        say(failure)
    if options.json:
        print(json.dumps(report, indent=2))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
