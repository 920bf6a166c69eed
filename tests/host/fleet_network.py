"""Network namespaces for a fleet's hosts, joined by a bridge; a cable can be pulled."""

from __future__ import annotations

import itertools
import os
import subprocess

NET = f"198.18.{os.getpid() % 250}"
"""For measurements (RFC 2544): no real network has it. Tests that run at the same time have one each."""
_numbers = itertools.count(1)


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


class Network:
    """A bridge with addresses for stores, and a namespace for each host."""

    def __init__(self) -> None:
        self.id = f"{os.getpid() % 100_000}x{next(_numbers)}"
        self.bridge = f"mf{self.id}"[:15]
        self._hosts: list[int] = []

    def open(self, addresses: int) -> None:
        """Create the bridge; `.1` and the following addresses are on it."""
        ip("link", "add", self.bridge, "type", "bridge")
        for number in range(1, addresses + 1):
            ip("addr", "add", f"{NET}.{number}/24", "dev", self.bridge)
        ip("link", "set", self.bridge, "up")

    def namespace(self, number: int) -> str:
        """Return the name of a host's namespace."""
        return f"mcsd-fleet-{self.id}-{number}"

    def _cable(self, number: int) -> str:
        return f"m{self.id}h{number}"[:15]

    def join(self, number: int) -> str:
        """Create a host's namespace, and return its name."""
        name = self.namespace(number)
        ip("netns", "add", name)
        self._hosts.append(number)
        ip("link", "add", self._cable(number), "type", "veth", "peer", "name", "eth0", "netns", name)
        ip("link", "set", self._cable(number), "master", self.bridge, "up")
        for words in (
            ("addr", "add", f"{NET}.{100 + number}/24", "dev", "eth0"),
            ("link", "set", "eth0", "up"),
            ("link", "set", "lo", "up"),
        ):
            ip("-n", name, *words)
        return name

    def pull(self, number: int, *, out: bool) -> None:
        """Pull a host's cable out, or put it in."""
        ip("link", "set", self._cable(number), "down" if out else "up")

    def close(self) -> None:
        """Remove everything."""
        for number in self._hosts:
            ip("netns", "del", self.namespace(number))
        ip("link", "del", self.bridge)
