"""A fleet on one machine: hosts as processes in network namespaces, three members of etcd, an observer."""

from __future__ import annotations

import json
import os
import random
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mcsd.cli.main import main as mcsctl
from mcsd.core.fleet.administration import missing
from mcsd.core.fleet.blocks import HIGHEST
from mcsd.core.fleet.holding import block_in
from mcsd.core.fleet.protocol import View
from mcsd.core.labels import Level
from mcsd.fleet.etcd import EtcdAccess, EtcdStore
from tests.etcd import Etcd, wait_for
from tests.host.fleet_network import NET, Network
from tests.host.fleet_proxy import FaultyProxy

HOSTS = 10
GROUPS = ("web", "db")
ROOT = Path(__file__).parents[2]
ANSWER = 60.0
"""Seconds that a host may take to answer."""


@dataclass
class Host:
    """A host's process, with mcsd's parts in it, and what it holds as far as the observer has heard."""

    number: int
    folder: Path
    network: Network
    endpoints: tuple[str, ...]
    live: dict[str, Level] = field(default_factory=dict)
    groups: dict[str, str] = field(default_factory=dict)
    """The groups of those that are members."""
    process: subprocess.Popen[bytes] | None = None
    is_stopped: bool = False
    is_out: bool = False
    life: int = 0

    @property
    def name(self) -> str:
        return f"host-{self.number}"

    def start(self) -> None:
        self.folder.mkdir(exist_ok=True)
        command = [
            *("ip", "netns", "exec", self.network.namespace(self.number)),
            *(sys.executable, "-m", "tests.host.fleet_host", self.name, str(self.folder)),
            *(f"machine-{self.number}-{self.life}", *self.endpoints),
        ]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, cwd=ROOT
            )

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            assert self.process.stdin is not None and self.process.stdout is not None
            self.process.stdin.close()
            self.process.stdout.close()
        self.process, self.is_stopped = None, False

    def stop(self, *, stopped: bool) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP if stopped else signal.SIGCONT)
        self.is_stopped = stopped

    def pull(self, *, out: bool) -> None:
        self.network.pull(self.number, out=out)
        self.is_out = out

    def ask(self, **command: str) -> dict[str, Any]:
        """Ask the process, and return what it says."""
        assert self.process is not None
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps(command).encode() + b"\n")
        self.process.stdin.flush()
        ready, _, _ = select.select([self.process.stdout], [], [], ANSWER)
        line = self.process.stdout.readline() if ready else b""
        log = (self.folder / "log").read_text(errors="replace")[-3000:]
        assert line, f"{self.name} says nothing to {command}: {log}"
        answer: dict[str, Any] = json.loads(line)
        return answer


class Cluster:
    """Three members of etcd, which can be stopped, killed, and restored from a backup."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.life = 0
        self.members: list[Etcd] = []
        self.backup: Path | None = None

    @property
    def endpoints(self) -> list[str]:
        return [f"http://{NET}.{number}:12379" for number in (1, 2, 3)]

    def _member(self, number: int) -> Etcd:
        peers = ",".join(f"m{one}=http://{NET}.{one}:12380" for one in (1, 2, 3))
        folder = self.folder / f"life-{self.life}" / f"m{number}"
        client, peer = f"http://{NET}.{number}:12379", f"http://{NET}.{number}:12380"
        return Etcd(f"m{number}", folder, client, peer, cluster=peers, token=f"fleet-{self.life}")

    def start(self) -> None:
        self.members = [self._member(number) for number in (1, 2, 3)]
        for member in self.members:
            member.start()
        wait_for(self.endpoints)

    def stop(self) -> None:
        for member in self.members:
            member.stop()

    def save(self) -> None:
        self.backup = self.folder / f"backup-{time.monotonic_ns()}"
        self._etcdctl("--endpoints", self.endpoints[0], "snapshot", "save", str(self.backup))

    def restore(self) -> None:
        """Stop all, and begin again from the backup with a token of its own, as the manual says."""
        self.stop()
        self.life += 1
        for number in (1, 2, 3):
            member = self._member(number)
            member.folder.mkdir(parents=True)
            self._etcdctl(
                *("snapshot", "restore", str(self.backup), "--data-dir", str(member.folder / "data")),
                *("--name", member.name, "--initial-cluster", member.cluster),
                *("--initial-cluster-token", member.token, "--initial-advertise-peer-urls", member.peer),
            )
        self.start()

    @staticmethod
    def _etcdctl(*words: str) -> None:
        environment = {"ETCDCTL_API": "3", "PATH": os.environ["PATH"]}
        subprocess.run(["etcdctl", *words], check=True, capture_output=True, env=environment)


class Fleet:
    """Everything, and the observer. `kind` is what hosts are."""

    def __init__(self, folder: Path, seed: int, kind: type[Host] = Host) -> None:
        self.kind = kind
        self.folder = folder
        self.random = random.Random(seed)
        self.network = Network()
        self.cluster = Cluster(folder / "etcd")
        self.proxies: list[FaultyProxy] = []
        self.hosts: list[Host] = []
        self.copies: dict[str, Path] = {}
        self.trace: list[str] = []
        self.granted = 0
        self._names = 0

    def open(self, stack: ExitStack) -> None:
        """Build it all; `stack` takes it down."""
        stack.callback(self.network.close)
        self.network.open(addresses=4)
        stack.callback(self.cluster.stop)
        self.cluster.start()
        for number, target in enumerate(self.cluster.endpoints):
            proxy = FaultyProxy(f"{NET}.4", 0, target, seed=number)
            stack.callback(proxy.close)
            self.proxies.append(proxy)
        config = self.folder / "fleet.toml"
        config.write_text(f"endpoints = {json.dumps(self.cluster.endpoints)}\n")
        for number in range(HOSTS):
            self.network.join(number)
            endpoints = tuple(proxy.url for proxy in self.proxies)
            host = self.kind(number, self.folder / f"host-{number}", self.network, endpoints)
            self.hosts.append(host)
            stack.callback(host.kill)
        self.administer("init", *(host.name for host in self.hosts))
        for host in self.hosts:
            host.start()

    def administer(self, *words: str) -> int:
        """Type a command of mcsctl's as an administrator, who reaches etcd itself."""
        return mcsctl(["fleet", *words, "--config", str(self.folder / "fleet.toml")])

    def missing(self) -> tuple[str, ...]:
        """Return which hosts have not written what they hold in a recovery."""
        store = EtcdStore(EtcdAccess(tuple(self.cluster.endpoints)))
        view = View.of(store.read())
        store.close()
        assert view is not None
        return missing(view)

    def check(self) -> None:
        """No block has live pairs of two hosts, and each group one pair on all of them."""
        holders: dict[int, str] = {}
        for host in self.hosts:
            for level in host.live.values():
                block = block_in(level)
                assert block is not None, f"{level} is in no block"
                other = holders.setdefault(block, host.name)
                assert other == host.name, "\n".join([*self.trace, f"{block}: {other} and {host.name}"])
        pairs: dict[str, set[tuple[int, ...]]] = {}
        for host in self.hosts:
            for name, group in host.groups.items():
                shared = tuple(one for one in host.live[name].numbers() if one > HIGHEST)
                pairs.setdefault(group, set()).add(shared)
        assert all(len(found) == 1 for found in pairs.values()), "\n".join([*self.trace, str(pairs)])
        assert len({pair for found in pairs.values() for pair in found}) == len(pairs), str(pairs)

    # --- what happens ------------------------------------------------------------------------------

    def reserve(self, host: Host) -> None:
        if host.process is None or host.is_stopped:
            return
        self._names += 1
        name = f"r{self._names}"
        group = {"group": self.random.choice(GROUPS)} if self.random.random() < 0.3 else {}
        answer = host.ask(do="reserve", name=name, **group)
        if "level" in answer:
            host.live[name] = Level.parse(answer["level"])
            host.groups |= dict.fromkeys([name] if group else [], group.get("group", ""))
            self.granted += 1
        self.check()

    def release(self, host: Host) -> None:
        if host.process is None or host.is_stopped or not host.live:
            return
        name = self.random.choice(sorted(host.live))
        if "error" not in host.ask(do="release", name=name):
            del host.live[name]
            host.groups.pop(name, None)

    def kill(self, host: Host) -> None:
        """Kill it at any moment, and start it again."""
        host.kill()
        host.start()

    def pause(self, host: Host) -> None:
        if host.process is not None:
            host.stop(stopped=not host.is_stopped)

    def cut(self, host: Host) -> None:
        host.pull(out=not host.is_out)

    def copy(self, host: Host) -> None:
        """Copy a ledger of a host that does not run just now."""
        host.kill()
        place = self.folder / f"copy-{host.number}"
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(host.folder, place, ignore=shutil.ignore_patterns("*.sock"))
        self.copies[host.name] = place
        host.start()

    def put_back(self, host: Host) -> None:
        """Put an older ledger back; what ran runs on."""
        place = self.copies.get(host.name)
        if place is not None:
            host.kill()
            shutil.rmtree(host.folder)
            shutil.copytree(place, host.folder)
            host.start()

    def faults(self, host: Host) -> None:
        """Have all answers go wrong now and then, or not any more."""
        del host
        for proxy in self.proxies:
            proxy.is_faulty = not proxy.is_faulty

    def member(self, host: Host) -> None:
        """Kill a member of etcd, and start it again."""
        del host
        member = self.random.choice(self.cluster.members)
        member.stop()
        member.start(is_new=False)

    def calm(self) -> None:
        """End all faults."""
        for proxy in self.proxies:
            proxy.is_faulty = False
        for host in self.hosts:
            if host.is_stopped:
                host.stop(stopped=False)
            if host.is_out:
                host.pull(out=False)
            if host.process is None:
                host.start()
        wait_for(self.cluster.endpoints)

    def status(self, host: Host) -> dict[str, Any]:
        return host.ask(do="status")

    def until(self, what: str, is_so: Callable[[dict[str, Any]], bool], *hosts: Host) -> None:
        """Wait until all these hosts say so."""
        end = time.monotonic() + 60
        for host in hosts:
            while not is_so(said := self.status(host)):
                assert time.monotonic() < end, f"{host.name} is not {what}: {said}"
                time.sleep(0.05)
