"""The daemon with a thousand containers: how soon it is up, what a storm of events costs, what it weighs.

    python -m tests.bench.daemon [--json] [--quick]

mcsd runs as a process with its real ledger, on real attributes and a real volume for each container; Docker
is a stand-in in another process. Measured, each from the start of the process:

- first: a thousand containers that nobody knew, each granted, and its volume labelled;
- again: the same thousand after a restart, known and unchanged: every container inspected, every root read;
- storms: ten thousand events at full speed, ten for each container. Before it every container has ended, or
  started, without a word; one whose events were all missed would be seen by its state.

Quiet is when mcsd, asked over its socket, gives every container the right state; so the times include an
answer about a thousand containers. To reach: again in 3 s, 1,000 events a second, 120 MB resident. A ratio
that was reached once and is lost by more than a quarter ends the run with status 1.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mcsd.cli.client import Client
from mcsd.cli.errors import CtlError, Exit
from tests.bench.kept import lost
from tests.fakes.docker_documents import Document, bind
from tests.fakes.docker_process import docker_process
from tests.fakes.docker_socket import DockerStandIn

ROOT = Path(__file__).parents[2]
ROUNDS = 5
"""Pairs of events that a container has in a storm."""
FILES = 3
"""In each volume."""
PATIENCE = 180.0
STILL = 0.3
"""Seconds without a question of mcsd's that count as quiet."""
INSPECT = "/containers/ID/json"
NOBODY = 2**22 + 1
"""The first pid that no process has."""
REACHED = {"processor time of a start, a thousand known / none": 6.5}
"""On two idle processors; 4.8 on one, because threads do not contend for the interpreter there."""
START_TARGET, EVENTS_TARGET, RESIDENT_TARGET = 3.0, 1000.0, 120e6


@dataclasses.dataclass(frozen=True)
class Binds:
    """One directory of its own for each container; sent to the stand-in's process."""

    place: str

    def __call__(self, number: int) -> Sequence[Document]:
        """The mounts of container `number`."""
        return (bind(f"{self.place}/v{number}", "/data"),)


@dataclasses.dataclass(frozen=True)
class State:
    """An edit of a container's answer; sent to the stand-in's process."""

    running: bool
    pid: int

    def __call__(self, document: Document) -> None:
        """Have the container run, or not."""
        status = "running" if self.running else "exited"
        document["State"] |= {"Status": status, "Running": self.running, "Pid": self.pid}


def environment(place: Path) -> dict[str, str]:
    """This process's, with what the unit sets besides."""
    unit = (ROOT / "systemd" / "mcsd.service").read_text()
    lines = [
        line.removeprefix("Environment=") for line in unit.splitlines() if line.startswith("Environment=")
    ]
    pairs = [pair.split("=", 1) for line in lines for pair in line.split()]
    # Where the working tree is what runs, its path must be found. A package has its modules compiled: here
    # the first daemon of all does that, below `place`.
    ours = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    told = {key: value for key, value in pairs if not key.startswith("PYTHON")}
    return {**ours, **told, "PYTHONPYCACHEPREFIX": str(place / "compiled")}


class Daemon:
    """mcsd as a process below `place`."""

    def __init__(self, place: Path, url: str) -> None:
        self.began = time.perf_counter()
        self._socket = place / "s"
        config = place / "mcsd.toml"
        config.write_text(
            f'[docker]\nurl = "{url}"\n[selinux]\nbackend = "xattr"\n'
            f'[[volumes.rule]]\npath = "{place}"\nmode = "private"\n'
        )
        where = ["--config", str(config), "--state", str(place / "state"), "--socket", str(self._socket)]
        self._log = place / "log"
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "mcsd", *where],
                cwd=ROOT,
                stdout=log,
                stderr=log,
                env=environment(place),
            )

    def seconds(self) -> float:
        """Since it was started."""
        return time.perf_counter() - self.began

    def listens(self) -> float:
        """Wait until it answers; give the seconds since its start."""
        self.until(lambda: self._socket.exists() and self.ask("/healthz"), "an answer")
        return self.seconds()

    def ask(self, target: str) -> Any:
        """Return its answer, None where nobody answers."""
        try:
            return Client(str(self._socket)).get(target)
        except CtlError as exc:
            if exc.status is Exit.NO_DAEMON:
                return None
            raise

    def until(self, question: Callable[[], object], what: str, *, every: float = 0.02) -> None:
        """Ask until the answer is true."""
        give_up = time.monotonic() + PATIENCE
        while not question():
            if self._process.poll() is not None or time.monotonic() > give_up:
                raise RuntimeError(f"waited for {what} in vain; the end of mcsd's log: {self.log()[-2000:]}")
            time.sleep(every)

    def log(self) -> str:
        """What it wrote to standard error."""
        return self._log.read_text()

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()
        self._process.wait()

    def memory(self) -> dict[str, int]:
        """Bytes resident: now and at most; private is what it does not share with other processes."""
        status = _kilobytes(f"/proc/{self._process.pid}/status")
        rollup = _kilobytes(f"/proc/{self._process.pid}/smaps_rollup")
        private = rollup["Private_Clean"] + rollup["Private_Dirty"]
        return {"resident": status["VmRSS"], "at_most": status["VmHWM"], "private": private}

    def processor(self) -> float:
        """Seconds of processor time used so far."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def end(self) -> None:
        """Stop it; fail where it did not end well."""
        self._process.send_signal(signal.SIGTERM)
        if status := self._process.wait(60):
            raise RuntimeError(f"mcsd ended with status {status}: {self.log()[-2000:]}")


def _kilobytes(path: str) -> dict[str, int]:
    rows = (line.split() for line in Path(path).read_text().splitlines())
    return {row[0].rstrip(":"): int(row[1]) * 1024 for row in rows if row[-1:] == ["kB"]}


@contextmanager
def running(place: Path, url: str) -> Iterator[Daemon]:
    """A daemon while the block runs."""
    daemon = Daemon(place, url)
    try:
        yield daemon
    except BaseException:
        daemon.kill()
        raise
    daemon.end()


Row = dict[str, float | int]


def rounded(row: Row) -> Row:
    """To what can be compared."""
    return {key: round(value, 2) if isinstance(value, float) else value for key, value in row.items()}


def start(daemon: Daemon, docker: DockerStandIn, count: int) -> Row:
    """Wait until everybody has been looked at."""
    listens = daemon.listens()
    daemon.until(lambda: docker.asked(INSPECT) >= count, "a look at each container")
    daemon.until(lambda: daemon.ask("/v1/status")["synced"], "the first look's end", every=0.1)
    return rounded(
        {"listens": listens, "synced": daemon.seconds(), "processor": daemon.processor(), **daemon.memory()}
    )


def storm(daemon: Daemon, docker: DockerStandIn, idents: Sequence[str], *, running: bool) -> Row:
    """Change every container without a word, then send the storm, and wait until mcsd knows."""
    wanted = {}
    for number, ident in enumerate(idents):
        wanted[ident] = NOBODY + number if running else None
        docker.change(ident, State(running, NOBODY + number if running else 0))
    before, used, looked = daemon.memory(), daemon.processor(), docker.asked(INSPECT)
    began = time.perf_counter()
    sent = docker.storm(list(idents) * ROUNDS)
    emitted = time.perf_counter() - began
    _wait_until_quiet(docker)
    after = daemon.memory()["resident"]
    daemon.until(lambda: _missed(daemon, wanted) == 0, "the right state of each container", every=0.5)
    seconds = time.perf_counter() - began
    return rounded(
        {
            "events": sent,
            "emitted": emitted,
            "quiet": seconds,
            "events_per_second": sent / seconds,
            "looks": docker.asked(INSPECT) - looked,
            "missed": _missed(daemon, wanted),
            "processor": daemon.processor() - used,
            "resident_before": before["resident"],
            "resident_after": after,
            "resident_with_answers": daemon.memory()["resident"],
        }
    )


def _wait_until_quiet(docker: DockerStandIn) -> None:
    """Until mcsd asks nothing for a while: asking it meanwhile would be part of what is measured."""
    last, since = -1, time.monotonic()
    while time.monotonic() - since < STILL:
        if (now := docker.asked(INSPECT)) != last:
            last, since = now, time.monotonic()
        time.sleep(0.02)


def _missed(daemon: Daemon, wanted: Mapping[str, int | None]) -> int:
    """How many containers mcsd does not have as they are."""
    page = daemon.ask("/v1/containers")  # a thousand fit on one page
    seen = {item["id"]: item["pid"] for item in page["items"] if item["settled"]}
    return sum(1 for ident, pid in wanted.items() if seen.get(ident, -1) != pid)


def measure(count: int) -> dict[str, Row]:
    """Run it all with so many containers."""
    place = Path(tempfile.mkdtemp(prefix="mcsd-bench-", dir="/var/tmp"))
    try:
        for number in range(count):
            (place / f"v{number}").mkdir()
            for file in range(FILES):
                (place / f"v{number}" / f"f{file}").touch()
        with docker_process(place / "docker.sock", root=str(place / "docker")) as docker:
            return _measure(place, docker, count)
    finally:
        shutil.rmtree(place)


def _measure(place: Path, docker: DockerStandIn, count: int) -> dict[str, Row]:
    url = f"unix://{place}/docker.sock"
    found = {}
    for _ in range(2):  # the first compiles every module
        with running(place, url) as daemon:
            found["empty"] = start(daemon, docker, 0)
    # Processes that run on: a container whose process is gone is looked at again, as one that ends.
    idents = docker.populate(count, mounts_of=Binds(str(place)), pid=os.getpid())
    with running(place, url) as daemon:
        found["first"] = start(daemon, docker, count)
    looked = docker.asked(INSPECT)
    with running(place, url) as daemon:
        found["again"] = start(daemon, docker, looked + count)
        found["storm of ends"] = storm(daemon, docker, idents, running=False)
        found["storm of starts"] = storm(daemon, docker, idents, running=True)
    return found


def reached(found: Mapping[str, Row]) -> dict[str, bool]:
    """Compare with what is to be reached."""
    storms = [row for row in found.values() if "events" in row]
    return {
        "again in 3 s": found["again"]["synced"] <= START_TARGET,
        "1,000 events a second": all(row["events_per_second"] >= EVENTS_TARGET for row in storms),
        "none missed": not any(row["missed"] for row in storms),
        "120 MB": max(row["resident"] for row in found.values() if "resident" in row) <= RESIDENT_TARGET
        and all(row["resident_with_answers"] <= RESIDENT_TARGET for row in storms),
    }


def ratios(found: Mapping[str, Row]) -> dict[str, float]:
    """Compare with a start without containers, in the same run."""
    known, none = found["again"]["processor"], found["empty"]["processor"]
    return {"processor time of a start, a thousand known / none": known / none}


def main() -> int:
    """Print what was measured; 1 where a ratio was lost."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.daemon", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--quick", action="store_true", help="a hundred containers, a thousand events")
    asked = parser.parse_args()
    count = 100 if asked.quick else 1000
    found = measure(count)
    failures = [] if asked.quick else lost(ratios(found), REACHED)
    if asked.json:
        report = {"containers": count, **found, "ratios": ratios(found), "reached": reached(found)}
        print(json.dumps({**report, "lost": failures}))
        return 1 if failures else 0
    print(f"{count} containers")
    for name, row in found.items():
        print(f"{name:16}", *(f"{key}={value:,}" for key, value in row.items()))
    for name, good in reached(found).items():
        print(f"{'reached' if good else 'not reached':12} {name}")
    for name, ratio in ratios(found).items():
        print(f"{ratio:11.2f}  {name}")
    for failure in failures:
        print(failure)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
