"""The contract of `Selinux`, for the fake; the guest runs it for the kernel."""

from __future__ import annotations

import pytest

from tests.contracts.selinux import SelinuxContract, World
from tests.fakes.selinux import FakeSelinux


class FakeWorld:
    """A kernel in memory."""

    foreign = "unconfined_u:unconfined_r:unconfined_t:s0-s0:c0.c1023"

    def __init__(self) -> None:
        self._fake = FakeSelinux(unconstrained={"unconfined_t"}, defaults={"/etc/passwd": "u:r:var_t:s0"})
        self.selinux = self._fake
        self._last = 100

    def run(self, level: str) -> int:
        self._last += 1
        self._fake.processes[self._last] = f"system_u:system_r:container_t:{level}"
        return self._last

    def end(self, pid: int) -> None:
        del self._fake.processes[pid]

    def set_enforcing(self, *, enforcing: bool) -> None:
        self._fake.set_enforcing(enforcing=enforcing)

    def load_policy(self) -> None:
        self._fake.load_policy()

    def make_permissive(self, domain: str) -> None:
        self._fake.permissive.add(domain)


@pytest.fixture
def world() -> World:
    return FakeWorld()


class TestFakeSelinux(SelinuxContract):
    """The fake."""
