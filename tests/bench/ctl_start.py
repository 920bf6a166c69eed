"""How long mcsctl takes from its start to its end: what a person waits for each time.

    python -m tests.bench.ctl_start [--json] [--rounds N]

The daemon is a stand-in in another process, so that its own time is a few milliseconds at most. Each command
is a process of its own, started as the shell does.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time

from tests.bench.socket_load import helper, show, summary

GOAL = 150.0
"""Milliseconds within which a command is to be done."""
COMMANDS = (("status",), ("containers",), ("show", "web"), ("volumes",), ("--json", "pairs"), ("--help",))


def took(path: str, *arguments: str) -> float:
    """Run mcsctl once; give the seconds it took."""
    command = [sys.executable, "-m", "mcsd.cli.main", "--socket", path, *arguments]
    before = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - before


def measure(rounds: int) -> dict[str, dict[str, float]]:
    """Run each command so often."""
    found = {}
    with tempfile.TemporaryDirectory() as place:
        path = os.path.join(place, "s")
        with helper("serve", path):
            for arguments in COMMANDS:
                took(path, *arguments)  # its bytecode is there from here on
                times = [took(path, *arguments) for _ in range(rounds)]
                found[f"mcsctl {' '.join(arguments)}"] = summary(times)
    return found


def main() -> None:
    """Print what was measured."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.ctl_start", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--rounds", type=int, default=20, metavar="N")
    asked = parser.parse_args()
    show(measure(asked.rounds), goal=GOAL, as_json=asked.json)


if __name__ == "__main__":
    main()
