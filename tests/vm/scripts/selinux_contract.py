#!/usr/bin/python3
"""Holds the adapter of the kernel's SELinux to the contract of `Selinux`, where SELinux enforces.

Runs as root in the guest, from `policy.sh` or alone (`tests/vm/run tests/vm/scripts/selinux_contract.py`);
needs Docker with `selinux-enabled` and an image that has `sleep` (the first one there is). Speaks TAP; the
exit status tells whether all held.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, "/usr/src/mcsd")  # where the harness puts the project's tree

from mcsd.adapters.proc.processes import ProcProcesses
from mcsd.adapters.selinux.kernel import KernelSelinux
from mcsd.core.labels import Level
from tests.contracts.selinux import SelinuxContract


def said(*command: str) -> str:
    """Run a command that must succeed, and give what it printed."""
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


class KernelWorld:
    """The guest itself."""

    foreign = "system_u:system_r:init_t:s0"

    def __init__(self) -> None:
        self.selinux = KernelSelinux()
        self._image = said("docker", "images", "-q").splitlines()[0]
        self._containers: dict[int, str] = {}
        self._permissive: list[str] = []

    def run(self, level: str) -> int:
        options = ("-d", "--network", "none", "--security-opt", f"label=level:{level}")
        name = said("docker", "run", *options, self._image, "sleep", "1000")
        pid = int(said("docker", "inspect", "-f", "{{.State.Pid}}", name))
        self._containers[pid] = name
        process_levels = {one.pid: one for one in ProcProcesses().process_levels()}
        assert (process_levels[pid].level, process_levels[pid].container) == (Level.parse(level), name)
        return pid

    def end(self, pid: int) -> None:
        said("docker", "rm", "-f", self._containers.pop(pid))
        assert pid not in {one.pid for one in ProcProcesses().process_levels()}

    def set_enforcing(self, *, enforcing: bool) -> None:
        said("setenforce", str(int(enforcing)))

    def load_policy(self) -> None:
        said("load_policy")

    def make_permissive(self, domain: str) -> None:
        with tempfile.TemporaryDirectory() as directory:
            module = Path(directory) / "contract_permissive.cil"
            module.write_text(f"(typepermissive {domain})\n")
            said("semodule", "-i", str(module))
        self._permissive.append("contract_permissive")

    def leave(self) -> None:
        """Put the host back."""
        for pid in list(self._containers):
            self.end(pid)
        for module in self._permissive:
            said("semodule", "-r", module)
        self.set_enforcing(enforcing=True)
        self.selinux.close()


@contextmanager
def kernel_world() -> Iterator[KernelWorld]:
    """A world that is put back."""
    world = KernelWorld()
    try:
        yield world
    finally:
        world.leave()


def main() -> int:
    """Run every test of the contract."""
    names = [name for name in dir(SelinuxContract) if name.startswith("test_")]
    failed = 0
    for number, name in enumerate(names, 1):
        try:
            with kernel_world() as world:
                getattr(SelinuxContract(), name)(world)
        except Exception:  # noqa: BLE001  (a failed test, whatever it raised)
            failed += 1
            print("".join(f"# {line}\n" for line in traceback.format_exc().splitlines()), end="")
            print(f"not ok {number} - {name}", flush=True)
        else:
            print(f"ok {number} - {name}", flush=True)
    print(f"1..{len(names)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
