"""What the gate costs a container's start: with and without it, in turn.

    python -m tests.bench.gate [--json] [--quick]

A real dockerd on this machine starts `/bin/true` through runc, through the gate, and through the gate's
program in Python alone, in turn; each passes every call on, and tells a real mcsd of the end. Without SELinux
in the kernel there is no level to choose, so what a start asks for besides is measured by itself, also in
turn:

- asking: `create` of a real container with Docker's labels in its bundle, answered by mcsd, which writes
  its ledger to disk, against one without labels, which is passed on; no volume, because labelling is measured
  elsewhere;
- mounting again: an overlay of ten layers and a tmpfs, as `take_on` does it, against a Python that does not.

Twenty starts at once are measured the same way, by the slowest of them; for mounting again, which needs a
processor all the time, each processor's share of the twenty is added. A lone start with a volume that carries
its label already is measured by itself, from the question to mcsd's answer.

To reach: all of it together makes a start 1.12 times as long, the slowest of twenty 1.3 times; 4 ms from
question to answer. Milliseconds, medians. A ratio that was reached once and is lost by more than a quarter
ends the run with status 1.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from mcsd.runtime.oci.asking import ask
from tests.bench.kept import lost
from tests.host.dockerd import IMAGE, Dockerd, running_dockerd
from tests.host.mcsd_process import McsdProcess, label_of
from tests.installed_gate import build_front, install

TARGETS = {
    "with the gate / without": (1.12, ""),
    "20 at once, with / without": (1.3, ""),
    "lone start, from question to answer": (4.0, " ms"),
}
REACHED = {
    "with the gate / without": 1.11,
    "with Python alone / without": 1.16,
    "20 at once, with / without": 1.12,
}
"""Ratios, on two idle processors."""
AT_ONCE = 20
STILL = 0.1
"""Seconds after an end in which mcsd has looked at the container again."""
LAYERS = 10
MOUNTING = """
import sys
sys.path.append(sys.argv[1])
from oci import mounts
for path in sys.argv[2:]:
    place = mounts.mounts_at(path)[path]
    (mounts._carry_tmpfs if place.kind == "tmpfs" else mounts._carry_overlay)(place, "")
"""
"""Without a label, because this kernel takes none."""


def seconds(command: list[str]) -> float:
    """Run something, and give how long it took."""
    begun = time.perf_counter()
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begun


def in_turn(rounds: int, **works: Callable[[], float]) -> dict[str, float]:
    """Do each work once a round, each round in another order, and give medians in milliseconds.

    What one work leaves behind for others to clean up falls to all of them alike.
    """
    times: dict[str, list[float]] = {name: [] for name in works}
    dice = random.Random(1)
    for _ in range(rounds):
        for name in dice.sample(list(works), len(works)):
            times[name].append(works[name]())
    return {name: statistics.median(found) * 1000 for name, found in times.items()}


def starts(dockerd: Dockerd, rounds: int) -> dict[str, float]:
    """Run `/bin/true` without the gate, with it, and with its Python alone."""

    def start(runtime: str) -> float:
        begun = time.perf_counter()
        dockerd.run("run", "--rm", "--network=none", f"--runtime={runtime}", IMAGE, "/bin/true")
        return time.perf_counter() - begun

    return in_turn(
        rounds, runc=lambda: start("runc"), gate=lambda: start("mcsd"), python=lambda: start("python")
    )


@contextmanager
def running_mcsd(dockerd: Dockerd, place: Path) -> Iterator[McsdProcess]:
    """Have an mcsd that hears of starts and ends, at its socket in `place`."""
    mcsd = McsdProcess(place, dockerd.url, extra='[gate]\nlevel = "docker"\n')
    mcsd.start()
    try:
        yield mcsd
    finally:
        mcsd.end()


def slowest(works: Sequence[Callable[[], object]]) -> float:
    """Do all at once, and give how long the slowest took."""
    begun = time.perf_counter()
    with ThreadPoolExecutor(len(works)) as threads:
        for future in [threads.submit(work) for work in works]:
            future.result()
    return time.perf_counter() - begun


def starts_at_once(dockerd: Dockerd, rounds: int) -> dict[str, float]:
    """Run `/bin/true` in so many containers at once, without the gate and with it."""

    def start(runtime: str) -> None:
        dockerd.run("run", "--rm", "--network=none", f"--runtime={runtime}", IMAGE, "/bin/true")

    return in_turn(
        rounds,
        runc=lambda: slowest([lambda: start("runc")] * AT_ONCE),
        gate=lambda: slowest([lambda: start("mcsd")] * AT_ONCE),
    )


class Asking:
    """Calls of `create` for containers that mcsd has not seen to run."""

    def __init__(self, dockerd: Dockerd, program: Path, root: Path, count: int) -> None:
        self._program = program
        self._bundles = root / "bundles"
        self._bundles.mkdir(exist_ok=True)
        self._made = itertools.count(len(list(self._bundles.iterdir())))
        self._idents = [
            dockerd.create("--runtime=mcsd", name=f"asked-{next(self._made)}") for _ in range(count)
        ]

    def call(self, *, is_asked: bool) -> Callable[[], float]:
        """Prepare a call: a start that mcsd prepares, or one that is passed on."""
        number = next(self._made)
        # Docker gives each a level of its own.
        label = f"system_u:system_r:container_t:s0:c{number},c1000" if is_asked else ""
        bundle = self._bundles / str(number)
        bundle.mkdir()
        config = {"process": {"selinuxLabel": label}, "linux": {"mountLabel": label}, "root": {"path": "r"}}
        (bundle / "config.json").write_text(json.dumps(config))
        ident = self._idents.pop() if is_asked else "passed"
        command = [str(self._program), "--mcsd-runtime=/bin/true", "create", "--bundle", str(bundle), ident]
        return lambda: seconds(command)


def asking(dockerd: Dockerd, program: Path, root: Path, rounds: int) -> dict[str, float]:
    """Have a start prepared by mcsd, for a container that it has not seen to run."""
    calls = Asking(dockerd, program, root, rounds)
    return in_turn(
        rounds,
        passed=lambda: calls.call(is_asked=False)(),
        asked=lambda: calls.call(is_asked=True)(),
    )


def asking_at_once(dockerd: Dockerd, program: Path, root: Path, rounds: int) -> dict[str, float]:
    """Have so many starts prepared at once."""
    calls = Asking(dockerd, program, root, rounds * AT_ONCE)
    return in_turn(
        rounds,
        passed=lambda: slowest([calls.call(is_asked=False) for _ in range(AT_ONCE)]),
        asked=lambda: slowest([calls.call(is_asked=True) for _ in range(AT_ONCE)]),
    )


def answering(dockerd: Dockerd, mcsd: McsdProcess, socket: Path, rounds: int) -> dict[str, float]:
    """Ask about a container whose volume carries its label already, and tell of its end.

    Starting Python is measured in turn: a measure of this machine, to compare with.
    """
    volume = mcsd.tree("known")
    ident = dockerd.create("--runtime=mcsd", f"--volume={volume}:/data", name="known")
    label = "system_u:system_r:container_t:s0:c1021,c1022"
    question = {"operation": "create", "container": ident, "process_label": label, "mount_label": label}

    def start() -> float:
        begun = time.perf_counter()
        answer = ask(str(socket), {**question, "obstacle": ""}, 60.0)
        taken = time.perf_counter() - begun
        assert answer["admitted"], answer
        assert (label_of(volume) or "").endswith("s0:c1021,c1022"), "its volume is labelled"
        ask(str(socket), {"operation": "delete", "container": ident}, 60.0)
        time.sleep(STILL)
        return taken

    start()  # from now on the volume is known
    return in_turn(rounds, answer=start, python=lambda: seconds(["/usr/bin/python3", "-BIS", "-c", ""]))


@contextmanager
def mounted(root: Path) -> Iterator[list[str]]:
    """Mount an overlay and a tmpfs as Docker does; gives their paths."""
    own = root / "overlay2" / ("a" * 64)
    for name in ("diff", "work", "merged"):
        (own / name).mkdir(parents=True)
    layers = [root / "overlay2" / "l" / str(number) for number in range(LAYERS)]
    for layer in layers:
        layer.mkdir(parents=True)
    shm = root / "shm"
    shm.mkdir()
    lower = ":".join(map(str, layers))
    options = f"lowerdir={lower},upperdir={own}/diff,workdir={own}/work,index=off"
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, f"{own}/merged"], check=True)
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "-o", "size=64m", str(shm)], check=True)
    try:
        yield [f"{own}/merged", str(shm)]
    finally:
        subprocess.run(["umount", f"{own}/merged", str(shm)], check=True)


def mounting(root: Path, rounds: int) -> dict[str, float]:
    """Mount a container's file systems again."""
    python = ["/usr/bin/python3", "-BIS", "-c"]
    with mounted(root) as paths:
        return in_turn(
            rounds,
            nothing=lambda: seconds([*python, "import os, sys"]),
            again=lambda: seconds([*python, MOUNTING, str(root), *paths]),
        )


def one_call(forms: dict[str, Path], rounds: int) -> dict[str, float]:
    """Have each form of the program pass one call on."""

    def passed(*program: str) -> Callable[[], float]:
        return lambda: seconds([*program, "start", "x"])

    works = {name: passed(str(path), "--mcsd-runtime=/bin/true") for name, path in forms.items()}
    return in_turn(rounds * 3, runc=passed("/bin/true"), **works)


def measure(rounds: int) -> dict[str, float]:
    """Return medians in milliseconds, and what they come to."""
    root = Path(tempfile.mkdtemp(prefix="mcsd-bench-"))
    place = root / "mcsd"
    place.mkdir()
    forms = {
        "mcsd": install(root / "installed", build_front(root / "front"), socket=place / "gate.sock"),
        "python": install(root / "python", None, socket=place / "gate.sock"),
    }
    runtimes = {name: {"path": str(path)} for name, path in forms.items()}
    (root / "daemon.json").write_text(json.dumps({"runtimes": runtimes}))
    mounts = mounting(forms["mcsd"].parent, rounds)
    program = forms["mcsd"]
    with running_dockerd(root) as dockerd, running_mcsd(dockerd, place) as mcsd:
        whole = starts(dockerd, rounds)
        asked = asking(dockerd, program, root, rounds)
        one = one_call(forms, rounds)
        lone = answering(dockerd, mcsd, place / "gate.sock", rounds)
        rounds_at_once = max(2, rounds // 10)
        many = starts_at_once(dockerd, rounds_at_once)
        many_asked = asking_at_once(dockerd, program, root, rounds_at_once)
    mounts_again = mounts["again"] - mounts["nothing"]
    return {
        **_one_by_one(whole, asked, one, mounts_again),
        "lone start, from question to answer": lone["answer"],
        "answer / start of Python": lone["answer"] / lone["python"],
        **_at_once(many, many_asked, mounts_again),
    }


def _one_by_one(
    whole: dict[str, float], asked: dict[str, float], one: dict[str, float], mounts_again: float
) -> dict[str, float]:
    adds, asks = whole["gate"] - whole["runc"], asked["asked"] - asked["passed"]
    more = asks + mounts_again
    return {
        "start without the gate": whole["runc"],
        "start with every call passed on": whole["gate"],
        "the same, Python alone": whole["python"],
        "passing calls on adds": adds,
        "the same, Python alone, adds": whole["python"] - whole["runc"],
        "asking mcsd adds": asks,
        "mounting again adds": mounts_again,
        "the gate adds, in all": adds + more,
        "with the gate / without": (whole["gate"] + more) / whole["runc"],
        "with Python alone / without": (whole["python"] + more) / whole["runc"],
        "one call passed on adds": one["mcsd"] - one["runc"],
        "one call, Python alone, adds": one["python"] - one["runc"],
    }


def _at_once(many: dict[str, float], asked: dict[str, float], mounts_again: float) -> dict[str, float]:
    share = mounts_again * AT_ONCE / len(os.sched_getaffinity(0))
    asks = asked["asked"] - asked["passed"]
    return {
        f"{AT_ONCE} at once, slowest without the gate": many["runc"],
        f"{AT_ONCE} at once, slowest, passed on": many["gate"],
        f"{AT_ONCE} at once, asking mcsd adds": asks,
        f"{AT_ONCE} at once, mounting again adds": share,
        f"{AT_ONCE} at once, with / without": (many["gate"] + asks + share) / many["runc"],
    }


def main() -> int:
    """Measure and print; 1 where a ratio was lost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quick", action="store_true", help="5 rounds instead of 50")
    arguments = parser.parse_args()
    if os.geteuid():
        parser.error("it starts a dockerd and must run as root")
    found = measure(5 if arguments.quick else 50)
    failures = [] if arguments.quick else lost(found, REACHED)
    if arguments.json:
        print(json.dumps({**found, "lost": failures}))
        return 1 if failures else 0
    for name, value in found.items():
        print(f"{name:38} {value:8.2f}" if "/" in name else f"{name:38} {value:8.1f} ms")
    for name, (target, unit) in TARGETS.items():
        print(f"{'reached' if found[name] <= target else 'missed':8} {name}: {target}{unit}")
    for failure in failures:
        print(failure)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
