"""A container's processes by /proc: a made one, and this machine's own."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from mcsd.adapters.proc.kernel_facts import KernelFacts, command_line, listening
from mcsd.core.audit.capabilities import DEFAULT, named
from mcsd.core.audit.facts import Seccomp
from mcsd.errors import HostError
from tests.fakes import procfs

GROUP = "system.slice/docker-1.scope"


@pytest.fixture
def made(tmp_path: Path) -> procfs.Procfs:
    return procfs.Procfs(tmp_path)


def facts(made: procfs.Procfs) -> KernelFacts:
    return KernelFacts(made.proc, made.cgroups)


def test_dockers_default_mask_is_the_guides_list() -> None:
    assert named(procfs.DEFAULT) == DEFAULT


def test_what_a_container_is(made: procfs.Procfs) -> None:
    made.process(7, group=GROUP, shared=("user",), uid=1000, effective=0, no_new_privileges=1)
    made.limit(GROUP, "memory.max", "1024")
    made.limit(GROUP, "pids.max", "max")
    seen = facts(made).of(7)
    assert (seen.seccomp, seen.no_new_privileges) == (Seccomp.FILTER, True)
    assert (seen.bounding, seen.effective) == (DEFAULT, frozenset())
    assert (seen.root_inside, seen.root_outside, seen.shared) == (False, False, frozenset({"user"}))
    assert (seen.memory, seen.processes) == (1024, None)


def test_another_of_its_processes_counts_as_well(made: procfs.Procfs) -> None:
    made.process(7, group=GROUP, uid=1000, effective=0)
    made.process(8, group=f"{GROUP}/child", uid=0)
    seen = facts(made).of(7)
    assert seen.root_inside and seen.effective == DEFAULT


def test_one_that_has_ended_meanwhile_does_not(made: procfs.Procfs) -> None:
    made.process(7, group=GROUP, uid=1000, effective=0)
    made.join(GROUP, 9)
    assert not facts(made).of(7).root_inside


def test_root_in_a_user_namespace_is_somebody_else_outside(made: procfs.Procfs) -> None:
    made.process(7, group=GROUP, uid=100000, uid_map="0 100000 65536")
    seen = facts(made).of(7)
    assert seen.root_inside and not seen.root_outside


def test_the_lowest_limit_on_the_way_up_holds(made: procfs.Procfs) -> None:
    made.process(7, group=GROUP)
    made.limit(GROUP, "memory.max", "4096")
    made.limit("system.slice", "memory.max", "2048")
    assert facts(made).of(7).memory == 2048


def test_control_groups_of_version_1(made: procfs.Procfs) -> None:
    made.process(7)
    (made.proc / "7/cgroup").write_text("5:memory:/docker/x\n4:pids:/docker/x\n1:name=systemd:/docker/x\n")
    made.limit("memory/docker/x", "memory.limit_in_bytes", str(2**63 - 4096))
    made.limit("pids/docker/x", "pids.max", "20")
    seen = facts(made).of(7)
    assert (seen.memory, seen.processes) == (None, 20)


def test_namespaces_that_may_not_be_looked_at_are_not_called_its_own(
    made: procfs.Procfs, monkeypatch: pytest.MonkeyPatch
) -> None:
    made.process(7, group=GROUP)
    stat = os.stat

    def denied(path: object, *rest: object, **more: object) -> os.stat_result:
        if "/7/ns/" in str(path):
            raise PermissionError(13, "Permission denied")
        return stat(path, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "stat", denied)
    assert facts(made).of(7).shared is None


def test_one_that_is_gone_is_said_to_be(made: procfs.Procfs) -> None:
    with pytest.raises(HostError, match="process 70 cannot be looked at"):
        facts(made).of(70)


def test_what_makes_no_sense_is_said_to(made: procfs.Procfs) -> None:
    made.process(7)
    (made.proc / "7/status").write_text("Name:\tx\n")
    with pytest.raises(HostError, match="unexpected content"):
        facts(made).of(7)


def test_this_process_is_what_it_is() -> None:
    seen = KernelFacts().of(os.getpid())
    assert seen.root_outside is (0 in os.getresuid())


@pytest.mark.parametrize(
    ("family", "address", "shown"),
    [(socket.AF_INET, "127.0.0.1", "127.0.0.1:{}"), (socket.AF_INET6, "::1", "[::1]:{}")],
)
def test_where_this_process_listens(family: socket.AddressFamily, address: str, shown: str) -> None:
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        try:
            sock.bind((address, 0))
        except OSError:
            pytest.skip(f"this machine has no {address}")
        assert listening(Path("/proc"), os.getpid()) == ()
        sock.listen()
        assert listening(Path("/proc"), os.getpid()) == (shown.format(sock.getsockname()[1]),)


def test_a_command_line_is_read_to_its_words() -> None:
    assert command_line(Path("/proc"), os.getpid())[0]
    assert command_line(Path("/proc"), 2**22 + 1) == ()
