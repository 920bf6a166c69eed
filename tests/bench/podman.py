"""What the gate costs a start by Podman, beside Podman's own relabelling of the volume.

    python -m tests.bench.podman [--json] [--quick]

In a guest, because Podman relabels nothing where the kernel has no SELinux: a container is started without a
volume, with `:Z` on a volume of 100,000 inodes, and through the gate with that volume. What a start takes
longer than without a volume is the cost of the one and of the other, each measured twice:

- again: a later start of one container. Podman 5 walks no volume whose root has the label already, nor does
  mcsd.
- anew: the start of a new container, as a quadlet makes one each time. Podman walks the volume; so does mcsd,
  which also keeps originals.

To reach: the gate's cost again is 0.05 of what `:Z` costs when it walks. Medians. A ratio that was reached
once and is lost by more than a quarter ends the run with status 1. It takes idle processors: beside other
work the gate, whose start of Python has to wait, costs several times as much.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import subprocess
import sys
from pathlib import Path

from tests.bench.kept import lost

TREE = Path(__file__).parents[2]
RATIO = "the gate's cost again / of a walk by :Z"
TARGET = 0.05
REACHED = {RATIO: TARGET}
LINE = re.compile(r"^measured ([\w-]+) (\d+) us$", re.MULTILINE)


def measure(inodes: int, rounds: int) -> dict[str, float]:
    """Return medians in milliseconds, and the ratio."""
    command = [f"{TREE}/tests/vm/run", f"{TREE}/tests/bench/podman.sh", "--timeout", "1800", "--"]
    done = subprocess.run([*command, str(inodes), str(rounds)], stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(f"the guest ended with status {done.returncode}:\n{done.stdout}")
    times: dict[str, list[float]] = {}
    for name, time in LINE.findall(done.stdout):
        times.setdefault(name, []).append(int(time) / 1000)
    found = {name: statistics.median(every) for name, every in times.items() if name != "first"}
    plain = found["plain-again"]
    found[RATIO] = (found["gate-again"] - plain) / (found["relabel-anew"] - plain)
    return found


def main() -> int:
    """Measure and print; 1 where a ratio was lost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quick", action="store_true", help="1,000 inodes, 3 rounds instead of 5")
    arguments = parser.parse_args()
    found = measure(1_000, 3) if arguments.quick else measure(100_000, 5)
    failures = [] if arguments.quick else lost(found, REACHED)
    if arguments.json:
        print(json.dumps({**found, "lost": failures}))
        return 1 if failures else 0
    for name, value in found.items():
        print(f"{name:42} {value:8.3f}" if "/" in name else f"{name:42} {value:8.1f} ms")
    print(f"{'reached' if found[RATIO] <= TARGET else 'missed':8} {RATIO}: {TARGET}")
    for failure in failures:
        print(failure)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
