"""Two hosts with a kernel each that enforces, and one labelled storage: a fleet as it is meant.

Two guests run at the same time, with a cable between them: one serves NFS that keeps labels, and etcd, the
other mounts it. Each has a Docker and an mcsd of its own. It is `make test-long`'s.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.vm.conftest import Runner
from tests.vm.test_scripts import LONG, OWN

SCRIPTS = Path(__file__).parent / "pair"


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


@pytest.fixture
def cards() -> Iterator[tuple[str, str]]:
    """Two cards that a cable joins, by their names on this machine."""
    assert os.geteuid() == 0, "network devices are root's"
    number = os.getpid() % 100_000
    bridge, first, second = (f"mp{number}{letter}" for letter in "xab")
    with ExitStack() as stack:
        ip("link", "add", bridge, "type", "bridge")
        stack.callback(ip, "link", "del", bridge)
        ip("link", "set", bridge, "up")
        for name in (first, second):
            ip("tuntap", "add", "dev", name, "mode", "tap")
            stack.callback(ip, "link", "del", name)
            ip("link", "set", name, "master", bridge, "up")
        yield first, second


@pytest.mark.vm
@pytest.mark.skipif(not LONG, reason="two guests at once: make test-long")
@pytest.mark.parametrize("policy", [OWN, "fedora-like"])
def test_two_hosts_share_a_storage_and_keep_apart_on_it(
    guest: Runner, cards: tuple[str, str], policy: str
) -> None:
    """Promises 1, 2, 8 and 9, between hosts."""
    options = () if policy == OWN else ("--policy", policy)
    with ThreadPoolExecutor(2) as threads:
        works = [
            threads.submit(
                guest,
                SCRIPTS / script,
                *options,
                "--boot",
                f"vec0:transport=tap,ifname={card},depth=64,vec=0",
            )
            for script, card in zip(("server.sh", "client.sh"), cards, strict=True)
        ]
        for work in works:
            work.result()
