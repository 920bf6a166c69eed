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

To reach: all of it together makes a start 1.12 times as long. Milliseconds, medians.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.host.dockerd import IMAGE, Dockerd, running_dockerd
from tests.host.mcsd_process import McsdProcess
from tests.installed_gate import build_front, install

TARGET = 1.12
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
def running_mcsd(dockerd: Dockerd, place: Path) -> Iterator[None]:
    """Have an mcsd that hears of starts and ends, at its socket in `place`."""
    mcsd = McsdProcess(place, dockerd.url, extra='[gate]\nlevel = "docker"\n')
    mcsd.start()
    try:
        yield
    finally:
        mcsd.end()


def asking(dockerd: Dockerd, program: Path, root: Path, rounds: int) -> dict[str, float]:
    """Have a start prepared by mcsd, for a container that it has not seen to run."""
    idents = [dockerd.create("--runtime=mcsd", name=f"asked-{number}") for number in range(rounds)]
    bundle = root / "bundle"
    bundle.mkdir()
    common = [str(program), "--mcsd-runtime=/bin/true"]

    def create(label: str) -> float:
        config = {"process": {"selinuxLabel": label}, "linux": {"mountLabel": label}, "root": {"path": "r"}}
        (bundle / "config.json").write_text(json.dumps(config))
        return seconds([*common, "create", "--bundle", str(bundle), idents[-1]])

    def ask() -> float:
        taken = create(f"system_u:system_r:container_t:s0:c{len(idents)},c1000")  # Docker gives each its own
        idents.pop()
        return taken

    return in_turn(rounds, passed=lambda: create(""), asked=ask)


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
    with running_dockerd(root) as dockerd, running_mcsd(dockerd, place):
        whole = starts(dockerd, rounds)
        asked = asking(dockerd, forms["mcsd"], root, rounds)
        one = one_call(forms, rounds)
    adds = whole["gate"] - whole["runc"]
    asks, mounts_again = asked["asked"] - asked["passed"], mounts["again"] - mounts["nothing"]
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


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quick", action="store_true", help="5 rounds instead of 50")
    arguments = parser.parse_args()
    if os.geteuid():
        parser.error("it starts a dockerd and must run as root")
    found = measure(5 if arguments.quick else 50)
    if arguments.json:
        print(json.dumps(found))
        return
    for name, value in found.items():
        print(f"{name:32} {value:8.2f}" if "/" in name else f"{name:32} {value:8.1f} ms")
    verdict = "reached" if found["with the gate / without"] <= TARGET else "missed"
    print(f"{'target':32} {TARGET:8.2f}: {verdict}")


if __name__ == "__main__":
    main()
