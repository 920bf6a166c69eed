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


@dataclass(frozen=True)
class Tls:
    """How etcd and its clients know each other: files."""

    ca: Path
    certificate: Path
    """Etcd's own, and whoever waits for it."""
    key: Path

    def words(self) -> tuple[str, ...]:
        """Return etcd's options."""
        own = ("--cert-file", str(self.certificate), "--key-file", str(self.key))
        return (*own, "--client-cert-auth", "--trusted-ca-file", str(self.ca))


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


def wait_for(endpoints: Sequence[str], tls: Tls | None = None) -> None:
    """Wait until an endpoint answers a read that asks the whole cluster."""
    end = time.monotonic() + START
    while True:
        for endpoint in endpoints:
            try:
                with requests.Session() as session:
                    session.trust_env = False
                    if tls is not None:
                        session.verify, session.cert = str(tls.ca), (str(tls.certificate), str(tls.key))
                    body = {"key": "AA=="}
                    if session.post(endpoint + "/v3/kv/range", json=body, timeout=5).ok:
                        return
            except requests.RequestException:
                continue
        assert time.monotonic() < end, f"no etcd answers at {', '.join(endpoints)}"
        time.sleep(0.05)


@contextmanager
def one_etcd(
    folder: Path, *, extra: tuple[str, ...] = (), tls: Tls | None = None, is_waited_for: bool = True
) -> Iterator[Etcd]:
    """Run a cluster of one, and wait until it answers."""
    client, peer = f"127.0.0.1:{free_port()}", f"http://127.0.0.1:{free_port()}"
    if tls is not None:
        etcd = Etcd("one", folder, f"https://{client}", peer, extra=(*tls.words(), *extra))
    else:
        etcd = Etcd("one", folder, f"http://{client}", peer, extra=extra)
    etcd.start()
    try:
        if is_waited_for:
            wait_for([etcd.client], tls)
        yield etcd
    finally:
        etcd.stop()
