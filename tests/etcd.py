"""A real etcd for tests: on loopback, in a folder of its own, ended by its process id."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import requests

START = 60.0
"""Seconds that etcd may take to answer; a machine may be slow."""


def free_port(address: str = "127.0.0.1") -> int:
    """Return a port that nobody has."""
    with socket.socket() as one:
        one.bind((address, 0))
        return int(one.getsockname()[1])


@dataclass
class Etcd:
    """One member of a cluster."""

    name: str
    folder: Path
    client: str
    """Where clients ask: http://ADDRESS:PORT."""
    peer: str
    extra: tuple[str, ...] = ()
    namespace: str = ""
    """The network namespace it runs in, "" for the tests' own."""
    process: subprocess.Popen[bytes] | None = None
    cluster: str = ""
    token: str = "fleet"

    def start(self, *, is_new: bool = True) -> None:
        """Start it on what is in its folder."""
        program = shutil.which("etcd")
        assert program is not None, "there is no etcd: make host-deps installs etcd-server"
        inside = ("ip", "netns", "exec", self.namespace) if self.namespace else ()
        command = [
            *(*inside, program, "--name", self.name, "--data-dir", str(self.folder / "data")),
            *("--listen-client-urls", self.client, "--advertise-client-urls", self.client),
            *("--listen-peer-urls", self.peer, "--initial-advertise-peer-urls", self.peer),
            *("--initial-cluster", self.cluster or f"{self.name}={self.peer}"),
            *("--initial-cluster-token", self.token),
            *("--initial-cluster-state", "new" if is_new else "existing"),
            *("--log-level", "error"),
            *self.extra,
        ]
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "log").open("ab") as log:
            environment = {"PATH": os.environ["PATH"]}  # etcd reads ETCD_ variables
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self.process is not None
        self.process.send_signal(number)

    def stop(self) -> None:
        """End it, whatever it does."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


def wait_for(endpoints: Sequence[str]) -> None:
    """Wait until an endpoint answers a read that asks the whole cluster."""
    end = time.monotonic() + START
    while True:
        for endpoint in endpoints:
            try:
                with requests.Session() as session:
                    session.trust_env = False
                    body = {"key": "AA=="}
                    if session.post(endpoint + "/v3/kv/range", json=body, timeout=5).ok:
                        return
            except requests.RequestException:
                continue
        assert time.monotonic() < end, f"no etcd answers at {', '.join(endpoints)}"
        time.sleep(0.05)


@contextmanager
def one_etcd(folder: Path, *, extra: tuple[str, ...] = ()) -> Iterator[Etcd]:
    """Run a cluster of one."""
    ports = free_port(), free_port()
    etcd = Etcd("one", folder, f"http://127.0.0.1:{ports[0]}", f"http://127.0.0.1:{ports[1]}", extra=extra)
    etcd.start()
    try:
        wait_for([etcd.client])
        yield etcd
    finally:
        etcd.stop()
