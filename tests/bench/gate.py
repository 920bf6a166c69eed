"""What the gate costs a container's start: with and without it, in turn.

    python -m tests.bench.gate [--json] [--quick]

A real dockerd on this machine starts `/bin/true` through runc and through the gate alternately. Without
SELinux in the kernel there is no label to choose, so this is the cost of passing every call on, a Python
start for each. Asking mcsd, once a start, comes on top of it and is not measured here.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from tests.host.dockerd import IMAGE, Dockerd, running_dockerd

GATE = Path(__file__).parents[2] / "mcsd" / "gate.py"


def prepare(root: Path) -> None:
    """Write a configuration in which the gate is a runtime."""
    program = root / "mcsd-gate"
    shutil.copy(GATE, program)
    program.chmod(0o755)
    (root / "daemon.json").write_text(json.dumps({"runtimes": {"mcsd": {"path": str(program)}}}))


def start(dockerd: Dockerd, runtime: str) -> float:
    """Run `/bin/true` once, and give the seconds."""
    begun = time.perf_counter()
    dockerd.run("run", "--rm", "--network=none", f"--runtime={runtime}", IMAGE, "/bin/true")
    return time.perf_counter() - begun


def passed_call(gate: Path) -> float:
    """Pass one call on to a runtime that does nothing, and give the seconds."""
    begun = time.perf_counter()
    subprocess.run([str(gate), "--mcsd-runtime=/bin/true", "start", "x"], check=True)
    return time.perf_counter() - begun


def measure(rounds: int) -> dict[str, float]:
    """Give medians in milliseconds."""
    root = Path(tempfile.mkdtemp(prefix="mcsd-bench-"))
    prepare(root)
    times: dict[str, list[float]] = {"runc": [], "mcsd": []}
    with running_dockerd(root) as dockerd:
        for _ in range(rounds):
            for runtime, found in times.items():
                found.append(start(dockerd, runtime))
        calls = [passed_call(root / "mcsd-gate") for _ in range(rounds)]
    medians = {name: statistics.median(found) * 1000 for name, found in times.items()}
    return {
        "start without the gate, ms": medians["runc"],
        "start with the gate, ms": medians["mcsd"],
        "what it adds, ms": medians["mcsd"] - medians["runc"],
        "one call passed on, ms": statistics.median(calls) * 1000,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quick", action="store_true", help="5 rounds instead of 20")
    arguments = parser.parse_args()
    found = measure(5 if arguments.quick else 20)
    if arguments.json:
        print(json.dumps(found))
        return
    for name, value in found.items():
        print(f"{name:32} {value:8.1f}")


if __name__ == "__main__":
    main()
