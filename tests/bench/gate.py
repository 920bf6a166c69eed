"""What the gate costs a container's start: with and without it, in turn.

    python -m tests.bench.gate [--json] [--quick]

A real dockerd on this machine starts `/bin/true` through runc and through the gate alternately, which passes
every call on: a Python start for each. Without SELinux in the kernel there is no level to choose, so what a
start asks for besides is measured by itself, also in turn:

- asking: `create` of a real container with Docker's labels in its bundle, answered by a real mcsd that writes
  its ledger to disk, against a call that is passed on; no volume, because labelling is measured elsewhere;
- mounting again: an overlay of ten layers and a tmpfs, as `take_on` does it, against a Python that does not.

To reach: 60 ms in all. Milliseconds, medians.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.host.dockerd import IMAGE, Dockerd, running_dockerd
from tests.host.mcsd_process import McsdProcess

PACKAGE = Path(__file__).parents[2] / "mcsd"
TARGET = 60.0
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


def install(root: Path) -> Path:
    """Install the gate as packages do, its parts compiled; give the program's path."""
    program = root / "mcsd-gate"
    shutil.copy(PACKAGE / "gate.py", program)
    program.chmod(0o755)
    shutil.copytree(PACKAGE / "oci", root / "oci", ignore=shutil.ignore_patterns("__pycache__"))
    subprocess.run(["/usr/bin/python3", "-m", "compileall", "-q", str(root / "oci")], check=True)
    return program


def seconds(command: list[str]) -> float:
    """Run something, and give how long it took."""
    begun = time.perf_counter()
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begun


def in_turn(rounds: int, **works: Callable[[], float]) -> dict[str, float]:
    """Do each work once a round, and give medians in milliseconds."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            times[name].append(work())
    return {name: statistics.median(found) * 1000 for name, found in times.items()}


def starts(dockerd: Dockerd, rounds: int) -> dict[str, float]:
    """Run `/bin/true` without and with the gate."""

    def start(runtime: str) -> float:
        begun = time.perf_counter()
        dockerd.run("run", "--rm", "--network=none", f"--runtime={runtime}", IMAGE, "/bin/true")
        return time.perf_counter() - begun

    return in_turn(rounds, runc=lambda: start("runc"), gate=lambda: start("mcsd"))


def asking(dockerd: Dockerd, program: Path, root: Path, rounds: int) -> dict[str, float]:
    """Have a start prepared by mcsd, for a container that it has not seen to run."""
    place = root / "mcsd"
    place.mkdir()
    mcsd = McsdProcess(place, dockerd.url, extra='[gate]\nlevel = "docker"\n')
    mcsd.start()
    try:
        idents = [dockerd.create(name=f"asked-{number}") for number in range(rounds)]
        bundle = root / "bundle"
        bundle.mkdir()
        common = [str(program), "--mcsd-runtime=/bin/true", f"--mcsd-socket={place / 'gate.sock'}"]

        def ask() -> float:
            label = f"system_u:system_r:container_t:s0:c{len(idents)},c1000"  # Docker gives each its own
            config = {
                "process": {"selinuxLabel": label},
                "linux": {"mountLabel": label},
                "root": {"path": "r"},
            }
            (bundle / "config.json").write_text(json.dumps(config))
            return seconds([*common, "create", "--bundle", str(bundle), idents.pop()])

        return in_turn(rounds, passed=lambda: seconds([*common, "start", "x"]), asked=ask)
    finally:
        mcsd.end()


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


def measure(rounds: int) -> dict[str, float]:
    """Give medians in milliseconds, and what they come to."""
    root = Path(tempfile.mkdtemp(prefix="mcsd-bench-"))
    program = install(root)
    (root / "daemon.json").write_text(json.dumps({"runtimes": {"mcsd": {"path": str(program)}}}))
    mounts = mounting(root, rounds)
    with running_dockerd(root) as dockerd:
        whole = starts(dockerd, rounds)
        asked = asking(dockerd, program, root, rounds)
        bare = in_turn(rounds, runc=lambda: seconds(["/bin/true", "start", "x"]))["runc"]
    adds = whole["gate"] - whole["runc"]
    asks, mounts_again = asked["asked"] - asked["passed"], mounts["again"] - mounts["nothing"]
    return {
        "start without the gate": whole["runc"],
        "start with every call passed on": whole["gate"],
        "passing calls on adds": adds,
        "asking mcsd adds": asks,
        "mounting again adds": mounts_again,
        "the gate adds, in all": adds + asks + mounts_again,
        "with the gate / without": (whole["gate"] + asks + mounts_again) / whole["runc"],
        "one call passed on adds": asked["passed"] - bare,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quick", action="store_true", help="5 rounds instead of 20")
    arguments = parser.parse_args()
    if os.geteuid():
        parser.error("it starts a dockerd and must run as root")
    found = measure(5 if arguments.quick else 20)
    if arguments.json:
        print(json.dumps(found))
        return
    for name, value in found.items():
        print(f"{name:32} {value:8.2f}" if "/" in name else f"{name:32} {value:8.1f} ms")
    verdict = "reached" if found["the gate adds, in all"] <= TARGET else "missed"
    print(f"{'target, in all':32} {TARGET:8.1f} ms: {verdict}")


if __name__ == "__main__":
    main()
