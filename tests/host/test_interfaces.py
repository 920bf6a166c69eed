"""Interfaces of a real network namespace, found without entering it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mcsd.adapters.proc.interfaces import KernelNetworks
from mcsd.core.interfaces import NetworkKind

pytestmark = pytest.mark.host

HOSTS_END = "mcsdtest0"


@contextmanager
def in_a_network_of_its_own() -> Iterator[int]:
    """A process in a new network namespace."""
    with subprocess.Popen(
        ["unshare", "-n", "sh", "-c", "echo; exec sleep 60"], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield process.pid
        finally:
            process.kill()


def ip(*words: str) -> str:
    return subprocess.run(["ip", *words], check=True, capture_output=True, text=True).stdout


@pytest.fixture
def connected() -> Iterator[int]:
    """A process whose network has one end of a pair."""
    with in_a_network_of_its_own() as pid:
        try:
            ip("link", "add", HOSTS_END, "type", "veth", "peer", "name", "eth0", "netns", str(pid))
        except subprocess.CalledProcessError as exc:
            pytest.skip(f"no pairs of interfaces here: {exc.stderr}")
        try:
            ip("link", "set", HOSTS_END, "up")
            subprocess.run(["nsenter", "-t", str(pid), "-n", "ip", "link", "set", "eth0", "up"], check=True)
            yield pid
        finally:
            ip("link", "del", HOSTS_END)


def test_a_host_s_end_is_found_with_its_index_address_and_peer(connected: int) -> None:
    network = KernelNetworks().network_of(connected, "bridge")
    (interface,) = network.interfaces
    assert (interface.name, interface.peer, network.error) == (HOSTS_END, "eth0", "")
    home = Path("/sys/class/net") / HOSTS_END
    assert interface.index == int((home / "ifindex").read_text())
    assert interface.mac == (home / "address").read_text().strip()
    assert interface.peer_index == int((home / "iflink").read_text())


def test_another_s_ends_are_not_taken_for_its_own(connected: int) -> None:
    with in_a_network_of_its_own() as other:
        assert KernelNetworks().network_of(other, "bridge").interfaces == ()


def test_none_host_and_shared_are_told_apart(connected: int) -> None:
    networks = KernelNetworks()
    assert networks.network_of(connected, "none").kind is NetworkKind.NONE
    assert networks.network_of(connected, "host").kind is NetworkKind.HOST
    shared = networks.network_of(connected, "container:" + "1" * 64)
    assert (shared.kind, shared.shared_with) == (NetworkKind.SHARED, "1" * 64)
    assert [one.name for one in shared.interfaces] == [HOSTS_END]


def test_a_process_that_has_ended_is_a_sentence() -> None:
    with in_a_network_of_its_own() as pid:
        pass
    assert "No such process" in KernelNetworks().network_of(pid, "bridge").error
