"""Whole daemons on ten hosts that mount one storage: who has which directory, whatever happens.

Each host is an mcsd and an mcsd-fleet as processes in a network namespace; the storage is a directory that
all of them name as shared. Containers are commands of `mcsctl run`, which begin when their directory is
labelled. Labels are real; without SELinux in the kernel nothing is confined by them.

`MCSD_FLEET_HISTORIES` asks for more histories than one, and `MCSD_FLEET_SEED` for others.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from mcsd.cli.client import Client
from mcsd.cli.errors import CtlError
from mcsd.core.labels import Level
from mcsd.core.volumes import overlap
from tests.fakes.docker_process import docker_process
from tests.host.fleet_stage import ANSWER, GROUPS, ROOT, Fleet, Host
from tests.host.mcsd_process import label_of, labels_below
from tests.host.test_fleet import HISTORIES, SEED

pytestmark = pytest.mark.host

STEPS = 120
DIRECTORIES = ("a", "a/b", "c", "d")
"""On the storage; one is in another."""
COMMAND = "sleep"


@dataclass
class Running:
    """A command of `mcsctl run` with a directory; it waits, runs, or was refused."""

    process: subprocess.Popen[bytes]
    directory: str

    @property
    def is_live(self) -> bool:
        """Whether mcsctl has become the command."""
        if self.process.poll() is not None:
            return False
        return Path(f"/proc/{self.process.pid}/comm").read_text().strip() == COMMAND

    @property
    def level(self) -> str:
        """The level that the command was given."""
        told = Path(f"/proc/{self.process.pid}/environ").read_bytes().split(b"\0")
        return next(one for one in told if one.startswith(b"MCSD_LEVEL=")).decode().partition("=")[2]

    def end(self) -> None:
        self.process.kill()
        self.process.wait()


@dataclass
class DaemonHost(Host):
    """A host with mcsd and mcsd-fleet; what is on disk is in its folder, and on the storage."""

    runs: list[Running] = field(default_factory=list)
    service: subprocess.Popen[bytes] | None = None

    @property
    def storage(self) -> Path:
        return self.folder.parent / "storage"

    @property
    def socket(self) -> str:
        return str(self.folder / "mcsd.sock")

    def start(self) -> None:
        self.folder.mkdir(exist_ok=True)
        (self.folder / "mcsd.toml").write_text(
            f'[docker]\nurl = "unix://{self.folder.parent}/docker.sock"\n[selinux]\nbackend = "xattr"\n'
            '[volumes]\nlinger = "100ms"\n'
            f'[[volumes.rule]]\npath = "{self.storage}"\nmode = "private"\n'
            f'[fleet]\nstore = "unix://{self.folder}/store.sock"\nname = "{self.name}"\nreserve = 600\n'
            f'beat = "1s"\n[[fleet.storage]]\npath = "{self.storage}"\nname = "all"\n'
        )
        (self.folder / "fleet.toml").write_text(f"endpoints = {json.dumps(self.endpoints)}\n")
        service = ("mcsd.fleet.main", "--config", "fleet.toml", "--socket", "store.sock")
        daemon = ("mcsd", "--config", "mcsd.toml", "--state", "state", "--socket", "mcsd.sock")
        self.service = self._begin("service.log", *service)
        self.process = self._begin("log", *daemon)

    def _begin(self, log: str, module: str, *arguments: str) -> subprocess.Popen[bytes]:
        paths = [str(self.folder / one) if not one.startswith("-") else one for one in arguments]
        namespace = self.network.namespace(self.number)
        command = ["ip", "netns", "exec", namespace, sys.executable, "-m", module, *paths]
        with (self.folder / log).open("ab") as file:
            return subprocess.Popen(command, stdout=file, stderr=file, cwd=ROOT)

    def kill(self) -> None:
        for process in (self.process, self.service):
            if process is not None:
                process.kill()
                process.wait()
        self.process, self.service, self.is_stopped = None, None, False

    def stop(self, *, stopped: bool) -> None:
        assert self.service is not None
        self.service.send_signal(signal.SIGSTOP if stopped else signal.SIGCONT)
        super().stop(stopped=stopped)

    def ask(self, **command: str) -> dict[str, Any]:
        """Ask the daemon; what it refuses, or does not hear because it begins, is an error's text."""
        client = Client(self.socket)
        try:
            match command["do"]:
                case "reserve":
                    body = {key: value for key, value in command.items() if key != "do"}
                    return {"level": client.post("/v1/reservations", body)["level"]}
                case "release":
                    client.delete(f"/v1/reservations/{command['name']}")
                    return {}
            return self._status(client.get("/v1/fleet"))
        except CtlError as exc:
            return {"error": str(exc), "trouble": str(exc), "blocks": [], "directories": None}

    @staticmethod
    def _status(report: dict[str, Any]) -> dict[str, Any]:
        store = report["store"]
        directories = [one["path"] for one in store["directories"]]
        return {"trouble": store["trouble"], "blocks": store["blocks"], "directories": directories}

    def run(self, directory: str) -> Running:
        """Ask for a command with a directory of the storage."""
        mcsctl = [sys.executable, "-m", "mcsd.cli.main", "--socket", self.socket, "run"]
        command = [*mcsctl, "--volume", str(self.storage / directory), "--", COMMAND, "100000"]
        none = subprocess.DEVNULL  # with anything else mcsctl stays beside its command
        process = subprocess.Popen(command, cwd=ROOT, stdin=none, stdout=none, stderr=none)
        self.runs.append(Running(process, directory))
        return self.runs[-1]

    def end_all(self) -> None:
        for one in self.runs:
            one.end()
        self.runs.clear()


class DaemonFleet(Fleet):
    """See the module."""

    def __init__(self, folder: Path, seed: int) -> None:
        super().__init__(folder, seed, DaemonHost)
        self.begun = 0
        self._known: set[int] = set()

    @property
    def daemons(self) -> list[DaemonHost]:
        return [host for host in self.hosts if isinstance(host, DaemonHost)]

    def open(self, stack: ExitStack) -> None:
        for name in DIRECTORIES:
            (self.folder / "storage" / name).mkdir(parents=True)
            (self.folder / "storage" / name / "file").write_text("text")
        stack.enter_context(docker_process(self.folder / "docker.sock", selinux=False))
        super().open(stack)
        for host in self.daemons:
            stack.callback(host.end_all)

    def check(self) -> None:
        """No directory is two hosts', and each carries its command's level."""
        super().check()
        live = [(host.name, one) for host in self.daemons for one in host.runs if one.is_live]
        for name, one in live:
            if one.process.pid not in self._known:
                self._known.add(one.process.pid)
                self.begun += 1
            for other, theirs in live:
                is_apart = other == name or not overlap(f"/{one.directory}", f"/{theirs.directory}")
                assert is_apart, "\n".join([*self.trace, f"{name}, {other}: {one.directory}"])
            label = label_of(self.folder / "storage" / one.directory) or ""
            assert label.endswith(f":{one.level}"), "\n".join([*self.trace, f"{name}: {label}, {one.level}"])

    # --- what happens ------------------------------------------------------------------------------

    def run(self, host: Host) -> None:
        assert isinstance(host, DaemonHost)
        if host.process is not None and not host.is_stopped:
            host.run(self.random.choice(DIRECTORIES))

    def end(self, host: Host) -> None:
        """End a command, of whatever host has one."""
        del host
        begun = [(one, run) for one in self.daemons for run in one.runs if run.is_live]
        if begun:
            one, run = self.random.choice(begun)
            one.runs.remove(run)
            run.end()


@pytest.fixture
def fleet() -> Iterator[DaemonFleet]:
    assert os.geteuid() == 0, "network namespaces are root's"
    folder = Path(tempfile.mkdtemp(prefix="mcsd-fleet-", dir="/var/tmp"))  # where labels can be written
    try:
        with ExitStack() as stack:
            made = DaemonFleet(folder, SEED)
            made.open(stack)
            yield made
    finally:
        shutil.rmtree(folder)


ACTIONS = {
    "run": 50,
    "end": 20,
    "reserve": 12,
    "release": 4,
    "kill": 4,
    "pause": 4,
    "cut": 4,
    "copy": 2,
    "put_back": 1,
    "faults": 2,
    "member": 1,
}


def is_well(said: dict[str, Any]) -> bool:
    return said["trouble"] is None and bool(said["blocks"])


def play(fleet: DaemonFleet) -> None:
    """One history, and then what became of it."""
    for name in fleet.random.choices(list(ACTIONS), list(ACTIONS.values()), k=STEPS):
        host = fleet.random.choice(fleet.hosts)
        fleet.trace.append(f"{name} {host.name}")
        getattr(fleet, name)(host)
        fleet.check()
        time.sleep(fleet.random.uniform(0, 0.4))
    fleet.calm()
    fleet.until("sure", lambda said: said["trouble"] in {None, "behind"}, *fleet.hosts)
    for host in fleet.daemons:
        if fleet.status(host)["trouble"] == "behind":
            bury(fleet, host)
    fleet.until("well", is_well, *fleet.hosts)
    fleet.check()


def bury(fleet: DaemonFleet, host: DaemonHost) -> None:
    """Evict a host whose ledger was put back, take its labels off, and install another in its place."""
    host.kill()
    for one in host.runs:
        one.end()
        for path in [fleet.folder / "storage" / one.directory, *(host.storage / one.directory).rglob("*")]:
            if label_of(path) is not None and nobody_else_has(fleet, host, path):
                os.removexattr(path, "security.selinux")
    host.runs.clear()
    shutil.rmtree(host.folder)
    host.live.clear()
    host.groups.clear()
    fleet.copies.pop(host.name, None)
    assert fleet.administer("evict", host.name, "--gone") == 0
    assert fleet.administer("admit", host.name) == 0
    host.start()


def nobody_else_has(fleet: DaemonFleet, host: DaemonHost, path: Path) -> bool:
    below = str(PurePosixPath("/") / path.relative_to(fleet.folder / "storage"))
    theirs = [one for other in fleet.daemons if other is not host for one in other.runs if one.is_live]
    return not any(overlap(below, f"/{one.directory}") for one in theirs)


def test_a_directory_of_shared_storage_is_one_host_s(fleet: DaemonFleet) -> None:
    """Promises 1, 2 and 6 across hosts."""
    before = labels_below(fleet.folder / "storage")
    fleet.until("well", is_well, *fleet.hosts)
    for _ in range(HISTORIES):
        play(fleet)
    for host in fleet.daemons:
        host.end_all()
    fleet.until("rid of its directories", lambda said: said["directories"] == [], *fleet.hosts)
    last = fleet.random.choice(fleet.daemons)
    runs = [last.run(name) for name in DIRECTORIES if name != "a/b"]
    end = time.monotonic() + ANSWER
    while not all(one.is_live for one in runs):
        assert time.monotonic() < end, (last.folder / "log").read_text()[-2000:]
        time.sleep(0.05)
    fleet.check()
    last.end_all()
    fleet.until("rid of its directories", lambda said: said["directories"] == [], last)
    assert labels_below(fleet.folder / "storage") == before
    assert fleet.begun > 4, "a history in which nobody has a directory shows nothing"
    print(f"{HISTORIES} histories of {STEPS} steps, {fleet.begun} commands, {fleet.granted} levels reserved")


def test_the_second_host_is_told_who_has_it_and_members_of_a_group_share(fleet: DaemonFleet) -> None:
    one, other, *_ = fleet.daemons
    fleet.until("well", is_well, one, other)
    first = one.run("c")
    end = time.monotonic() + ANSWER
    while not first.is_live:
        assert time.monotonic() < end, (one.folder / "log").read_text()
        time.sleep(0.05)
    second = other.run("c")
    assert second.process.wait(ANSWER) != 0
    said = (other.folder / "log").read_text()
    assert f"on host {one.name} has '{one.storage}/c' of this storage at {first.level}" in said, said
    for host in (one, other):
        level = host.ask(do="reserve", name="member", group=GROUPS[0])["level"]
        host.live["member"], host.groups["member"] = Level.parse(level), GROUPS[0]
    fleet.check()
