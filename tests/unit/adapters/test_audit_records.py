"""Records of true shape, invented: what auparse makes of them, and what denials come of it."""

from __future__ import annotations

import builtins
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from mcsd.adapters.audit import records
from mcsd.adapters.audit.records import Records
from mcsd.core.denials.values import Denial, DenialKind, Storms
from mcsd.errors import HostError

pytest.importorskip("auparse", reason="there is no auparse")
LOGS = Path(__file__).parents[2] / "data/audit"
FILE = "system_u:object_r:container_file_t:s0:c7,c31"


def read(name: str) -> tuple[Denial, ...]:
    return fed((LOGS / name).read_text(encoding="utf-8").splitlines())


def fed(lines: Iterable[str]) -> tuple[Denial, ...]:
    reader = Records()
    return (*reader.feed(lines), *reader.flush())


@pytest.mark.parametrize("name", ["raw.log", "enriched.log"])
def test_an_event_with_all_its_records(name: str) -> None:
    (denial,) = read(name)
    assert (denial.kind, denial.command, denial.call) == (DenialKind.AVC, "cat", "openat")
    assert (denial.target, denial.tclass, denial.permissions) == (FILE, "file", ("read",))
    assert (denial.path, denial.name, denial.inode) == ("/data/secret", "secret", 7001)
    assert (denial.device, denial.mode, denial.owner) == ("dm-0", 0o100644, 0)
    assert denial.time == pytest.approx(1799999500.123)


def test_most_of_a_log_is_not_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that containers start on writes thousands of events, of which none is a denial."""
    lines = (LOGS / "raw.log").read_text(encoding="utf-8").splitlines()
    others = [
        line.replace(":501)", f":{serial})").replace("success=no exit=-13", "success=yes exit=3")
        for serial in range(600, 700)
        for line in lines
        if ":501)" in line and not line.startswith("type=AVC")
    ]
    assert any("success=yes" in line for line in others)
    parsed: list[Any] = []
    parse = records._records

    def counted(parser: Any) -> Any:
        parsed.append(parser)
        return parse(parser)

    monkeypatch.setattr(records, "_records", counted)
    (denial,) = fed([*others[:200], *lines, *others[200:]])
    assert denial.path == "/data/secret"
    assert len(parsed) == 1


@pytest.mark.parametrize("name", sorted(path.name for path in LOGS.glob("*.log")))
def test_what_is_left_out_holds_no_denial(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    told = read(name)
    monkeypatch.setattr(records._Events, "concerns", lambda *_: True)
    assert read(name) == told


def test_records_of_two_events_between_each_other() -> None:
    first, second = read("interleaved.log")
    assert (first.serial, first.path, first.command) == (510, "/data/secret", "cat")
    assert (second.serial, second.path, second.command) == (511, "/srv/log/new", "sh")
    assert second.mode == 0o040755


def test_names_in_hexadecimal_are_read() -> None:
    (denial,) = read("hex.log")
    assert denial.command == "my cat"
    assert denial.path == '/data/a b"\nc'


def test_a_name_that_is_not_utf_8_is_its_bytes() -> None:
    (denial,) = fed([avc(1).replace('name="secret"', "name=61FF62")])
    assert denial.name == "a\udcffb"


def test_an_avc_by_itself_has_no_path_and_says_so() -> None:
    file, sock = read("no-path.log")
    assert (file.path, file.name, file.inode, file.mode) == ("", "secret", 7001, None)
    assert file.permissions == ("getattr", "open")
    assert (sock.tclass, sock.path, sock.inode) == ("unix_stream_socket", "/run/db.sock", None)


def test_what_was_not_selinux() -> None:
    killed, logged, mode, capability = read("not-selinux.log")
    assert (killed.kind, killed.call, killed.signal) == (DenialKind.SECCOMP, "mkdir", 31)
    assert (logged.kind, logged.call, logged.signal) == (DenialKind.SECCOMP, "keyctl", 0)
    assert (mode.kind, mode.errno, mode.uid, mode.mode, mode.owner) == (
        DenialKind.CALL,
        "EACCES",
        1000,
        0o100600,
        0,
    )
    assert (capability.kind, capability.errno, capability.call) == (DenialKind.CALL, "EPERM", "chown")


def test_what_was_granted_and_what_is_damaged_is_no_denial() -> None:
    (denial,) = read("others.log")
    assert denial.source == "system_u:system_r:httpd_t:s0"


def avc(number: int, *, name: str = "secret", pid: int = 0) -> str:
    return (
        f"type=AVC msg=audit({1795510000 + number // 1000}.{number % 1000:03d}:{number}): avc:  "
        f"denied  {{ read }} "
        f'for  pid={pid or 100000 + number} comm="cat" name="{name}" dev="dm-0" ino=7001 '
        f"scontext=system_u:system_r:container_t:s0:c1,c2 tcontext={FILE} tclass=file permissive=0"
    )


def syscall(number: int) -> str:
    return (
        f"type=SYSCALL msg=audit({1795510000 + number // 1000}.{number % 1000:03d}:{number}): arch=c000003e "
        "syscall=257 success=no exit=-13 a0=0 a1=0 a2=0 a3=0 items=0 ppid=1 pid=1 auid=0 uid=0 gid=0 "
        "euid=0 suid=0 "
        'fsuid=0 egid=0 sgid=0 fsgid=0 tty=(none) ses=1 comm="cat" exe="/cat" subj=x key=(null)'
    )


def test_a_storm_is_counted_to_the_last_one() -> None:
    storms = Storms()
    records = Records()
    for start in range(0, 20_000, 1000):
        lines = [line for n in range(start, start + 1000) for line in (avc(n), syscall(n))]
        for denial in (*records.feed(lines), *records.age()):
            storms.add(denial)
    for denial in records.flush():
        storms.add(denial)
    (storm,) = storms.all()
    assert storm.count == 20_000
    assert storm.first.kind is DenialKind.AVC


def test_a_storm_hides_nobody_else() -> None:
    lines = [avc(n) for n in range(500)] + [avc(900, name="other")] + [avc(n) for n in range(1000, 1500)]
    found = fed(lines)
    assert sum(one.times for one in found if one.name == "secret") == 1000
    assert [one.serial for one in found if one.name == "other"] == [900]


def test_two_denials_of_one_event_are_two() -> None:
    second = avc(1).replace("{ read }", "{ open }")
    assert len(fed([avc(1), second, syscall(1)])) == 2


def test_without_the_bindings_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    imported = builtins.__import__

    def missing(name: str, *rest: Any, **more: Any) -> Any:
        if name == "auparse":
            raise ImportError("No module named 'auparse'")
        return imported(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(HostError) as caught:
        Records()
    assert "python3-audit" in caught.value.hint
