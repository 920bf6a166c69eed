"""An etcd with TLS, users and roles, set up by mcsd-fleet(8): the commands there are typed."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mcsd.fleet.etcd import EtcdStore
from mcsd.fleet.settings import load
from tests.etcd import Etcd, Tls, one_etcd
from tests.host.certificates import BOTH, Authority

MANUAL = (Path(__file__).parents[2] / "packaging/man/mcsd-fleet.8.rst").read_text()
COMMANDS = re.findall(r"^    \| (etcdctl .*)$", MANUAL, re.MULTILINE)
ENABLED = COMMANDS.index("etcdctl auth enable") + 1
ALPHA = COMMANDS.index("etcdctl role add mcsd-alpha")
"""From here on it is a host's user, the manual's `alpha`; what is between is the fleet's administrator."""
HOSTS = ("alpha", "beta", "gamma")
ROOT = "root"


def password_of(user: str) -> str:
    """Return what is typed where a user's password is asked for."""
    return f"the password of {user}"


@dataclass(frozen=True)
class Site:
    """An etcd in which each of `HOSTS` has a user, and the fleet's administrator `admin`."""

    folder: Path
    authority: Authority
    etcd: Etcd
    certificate: Path
    """A client's, with its key: etcd does not tell users by it."""
    key: Path

    def set_up(self) -> None:
        """Type what the manual says."""
        for command in COMMANDS[:ENABLED]:
            self.type(command)
        for command in COMMANDS[ENABLED:ALPHA]:
            self.type(command, ROOT)
        for host in HOSTS:
            self.add_host(host)

    def add_host(self, host: str) -> None:
        """Type what the manual says for `alpha`."""
        for command in COMMANDS[ALPHA:]:
            self.type(command.replace("alpha", host), ROOT)

    def type(self, command: str, user: str = "") -> str:
        """Type a command at a terminal, where etcdctl asks for passwords; return all that it prints."""
        environment = {
            "PATH": os.environ["PATH"],
            "ETCDCTL_API": "3",
            "ETCDCTL_ENDPOINTS": self.etcd.client,
            "ETCDCTL_CACERT": str(self.authority.certificate),
            "ETCDCTL_CERT": str(self.certificate),
            "ETCDCTL_KEY": str(self.key),
            **({"ETCDCTL_USER": f"{user}:{password_of(user)}"} if user else {}),
        }
        words = command.split()
        status, said = _at_terminal(words, environment, f"{password_of(words[-1])}\n".encode())
        if status != 0:
            raise RefusedCommandError(f"{command}: {said}")
        return said

    def config(self, user: str, /, **changes: object) -> Path:
        """Write a fleet.toml with a password file beside it; a change to None leaves a key out."""
        secret = self.folder / f"{user}.password"
        secret.write_text(f"{password_of(user)}\n")
        keys: dict[str, object] = {
            "endpoints": [self.etcd.client],
            "ca": str(self.authority.certificate),
            "certificate": str(self.certificate),
            "key": str(self.key),
            "user": user,
            "password_file": str(secret),
        }
        kept = {key: value for key, value in {**keys, **changes}.items() if value is not None}
        path = self.folder / f"{user}.toml"
        path.write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in kept.items()))
        return path

    @contextmanager
    def store(self, user: str, /, **changes: object) -> Iterator[EtcdStore]:
        """Ask etcd as a user, as mcsd-fleet would with this configuration."""
        store = EtcdStore(load(self.config(user, **changes)).access())
        try:
            yield store
        finally:
            store.close()


class RefusedCommandError(Exception):
    """What a command has printed that failed."""


@contextmanager
def site(folder: Path, *extra: str, usage: str = BOTH, is_waited_for: bool = True) -> Iterator[Site]:
    """Run an etcd without any user; `extra` are options of it, and `usage` is what its certificate is for."""
    authority = Authority.create(folder, "fleet-ca")
    certificate, key = authority.sign("client", "clientAuth")
    tls = Tls(authority.certificate, *authority.sign("etcd", usage, "127.0.0.1"))
    with one_etcd(folder / "etcd", extra=extra, tls=tls, is_waited_for=is_waited_for) as etcd:
        yield Site(folder, authority, etcd, certificate, key)


def _at_terminal(words: Sequence[str], environment: Mapping[str, str], secret: bytes) -> tuple[int, str]:
    """Run a command at a terminal of its own, and type the secret wherever a password is asked for."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        words, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, start_new_session=True
    )
    os.close(theirs)
    said, answered = b"", 0
    try:
        while part := _read(ours):
            said += part
            if len(re.findall(rb"[Pp]assword[^\r\n]*: ", said)) > answered:
                answered += 1
                os.write(ours, secret)
    finally:
        os.close(ours)
    return process.wait(), said.decode()


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 4096)
    except OSError:  # EIO: nobody is there any more
        return b""
