"""The systemd units: what they promise, read back from the files, and what systemd itself says of them."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from mcsd.adapters.systemd.service import SOCKET_NAMES
from mcsd.blocking.calls import WALKS_AT_ONCE
from mcsd.cli.client import DEFAULT_SOCKET
from mcsd.core.protected import PLACES
from mcsd.relabel.passing import Effort

UNITS = Path(__file__).parents[2] / "systemd"
MOST_EXPOSED = {
    "mcsd.service": 2.5,
    "mcsd-booleans.service": 1.5,
    "mcsd-scan.service": 1.2,
    "mcsd-fleet.service": 1.8,
}


def settings(unit: str) -> dict[str, list[str]]:
    """Read `Section.Key` → values, in order."""
    found: dict[str, list[str]] = {}
    section = ""
    for line in (UNITS / unit).read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif line and not line.startswith("#"):
            key, _, value = line.partition("=")
            found.setdefault(f"{section}.{key}", []).append(value)
    return found


SERVICE = settings("mcsd.service")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("Type", "notify"),
        ("ExecStart", "/usr/sbin/mcsd"),
        ("Restart", "on-failure"),
        ("RestartPreventExitStatus", "78"),
        ("StateDirectory", "mcsd"),
        ("StateDirectoryMode", "0700"),
        ("RuntimeDirectory", "mcsd"),
        ("RuntimeDirectoryPreserve", "yes"),
        ("NoNewPrivileges", "yes"),
        ("MemoryDenyWriteExecute", "yes"),
        ("RestrictAddressFamilies", "AF_UNIX AF_NETLINK"),
        ("CapabilityBoundingSet", "CAP_DAC_READ_SEARCH CAP_FOWNER"),
        ("Sockets", "mcsd.socket mcsd-gate.socket"),
    ],
)
def test_the_service_says(key: str, value: str) -> None:
    assert SERVICE[f"Service.{key}"] == [value]


def test_a_stuck_loop_trips_the_watchdog() -> None:
    assert SERVICE["Service.WatchdogSec"] and SERVICE["Service.NotifyAccess"] == ["main"]


def test_docker_never_waits_for_mcsd() -> None:
    """Neither order nor dependency: what has none cannot be held up."""
    relations = ("After", "Before", "Wants", "Requires", "Requisite", "BindsTo", "PartOf", "Conflicts")
    for unit in ("mcsd.service", "mcsd.socket", "mcsd-gate.socket"):
        named = [
            word
            for key in relations
            for value in settings(unit).get(f"Unit.{key}", [])
            for word in value.split()
        ]
        assert not [word for word in named if word.startswith(("docker", "containerd", "podman"))]


HANGING = 2000
"""Calls that may hang beside, one for each volume."""


def test_there_are_tasks_enough_for_as_many_walks_as_there_may_be() -> None:
    """A host may start all its containers at once; a thread that cannot be made would fail one of them."""
    workers = Effort.of_this_host().workers
    assert int(SERVICE["Service.TasksMax"][0]) >= WALKS_AT_ONCE * (1 + max(4, workers)) + HANGING


def test_volumes_stay_within_reach() -> None:
    """Promise 8: a volume in a home or in /tmp is the one that the host sees, and can be written."""
    assert SERVICE["Service.ProtectSystem"] == ["full"]
    for key in (
        "ProtectHome",
        "PrivateTmp",
        "PrivateUsers",
        "PrivateNetwork",
        "RootDirectory",
        "InaccessiblePaths",
    ):
        assert f"Service.{key}" not in SERVICE


def test_only_what_can_never_be_a_volume_is_read_only() -> None:
    system = next(set(rule.paths) for rule in PLACES if rule.name == "system")
    listed = [path.removeprefix("-") for value in SERVICE["Service.ReadOnlyPaths"] for path in value.split()]
    assert set(listed) <= system


def comments(unit: str = "mcsd.service") -> str:
    text = (UNITS / unit).read_text(encoding="utf-8")
    return "\n".join(line for line in text.splitlines() if line.startswith("#"))


@pytest.mark.parametrize(
    "key",
    [
        *("User", "ProtectSystem", "ProtectHome", "PrivateTmp", "ProtectProc", "ProcSubset", "PrivateUsers"),
        *("PrivateNetwork", "RootDirectory", "DeviceAllow", "AmbientCapabilities", "SecureBits"),
        *("NoExecPaths", "RestrictFileSystems", "SocketBindDeny"),
    ],
)
def test_every_missing_protection_has_its_reason(key: str) -> None:
    assert f"{key}=" in comments()
    assert f"Service.{key}" not in SERVICE or key == "ProtectSystem"


def test_each_capability_says_what_fails_without_it() -> None:
    for capability in SERVICE["Service.CapabilityBoundingSet"][0].split():
        assert re.search(rf"^# {capability} .*\(2\).*: E[A-Z]+", comments(), re.MULTILINE)


def test_it_is_started_again_for_as_long_as_it_takes() -> None:
    """A service that systemd has given up takes its sockets with it, and Docker starts nothing any more."""
    assert SERVICE["Unit.StartLimitIntervalSec"] == ["0"] and SERVICE["Service.Restart"] == ["on-failure"]


@pytest.mark.parametrize(
    ("unit", "name", "path", "mode", "group"),
    [
        ("mcsd.socket", "api", DEFAULT_SOCKET, "0660", "mcsd"),
        ("mcsd-gate.socket", "gate", "/run/mcsd/gate.sock", "0600", "root"),
    ],
)
def test_the_sockets_belong_to_root_and_their_group(
    unit: str, name: str, path: str, mode: str, group: str
) -> None:
    """Promise 10: who may ask is decided before anybody can."""
    found = settings(unit)
    assert found["Socket.ListenStream"] == [path]
    assert found["Socket.FileDescriptorName"] == [name]
    assert found["Socket.SocketMode"] == [mode]
    assert found["Socket.SocketUser"] == ["root"] and found["Socket.SocketGroup"] == [group]
    assert found["Socket.Service"] == ["mcsd.service"]
    assert found["Socket.RemoveOnStop"] == ["yes"]


def test_the_daemon_knows_every_descriptor_by_name() -> None:
    sockets = [settings(unit.name) for unit in UNITS.glob("*.socket")]
    ours = [one for one in sockets if one["Socket.Service"] == ["mcsd.service"]]
    names = {one["Socket.FileDescriptorName"][0] for one in ours}
    assert names == SOCKET_NAMES


@pytest.fixture
def analyzer(tmp_path: Path) -> Path:
    """Copies of the units whose program exists here."""
    if shutil.which("systemd-analyze") is None:
        pytest.fail("systemd-analyze is missing: it comes with systemd")
    for unit in (*UNITS.glob("*.service"), *UNITS.glob("*.socket"), *UNITS.glob("*.timer")):
        text = unit.read_text(encoding="utf-8").replace("ExecStart=/usr/sbin/mcsd", "ExecStart=/bin/true")
        text = text.replace("ExecStart=/usr/bin/mcsctl", "ExecStart=/bin/true")
        text = text.replace("ExecStart=/usr/libexec/mcsd/mcsd-fleet", "ExecStart=/bin/true")
        (tmp_path / unit.name).write_text(text, encoding="utf-8")
    return tmp_path


def analyze(*arguments: str, directory: Path) -> str:
    done = subprocess.run(
        ["systemd-analyze", *arguments],
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.stdout + done.stderr


def test_systemd_finds_nothing_to_complain_about(analyzer: Path) -> None:
    units = sorted(str(path) for path in analyzer.iterdir())
    said = analyze("verify", "--man=no", *units, directory=analyzer)
    ours = [line for line in said.splitlines() if "mcsd" in line]
    assert ours == []


def exposure(unit: str, directory: Path) -> str:
    return analyze("security", "--offline=true", "--no-pager", str(directory / unit), directory=directory)


@pytest.mark.parametrize(("unit", "most"), MOST_EXPOSED.items())
def test_the_services_are_hardly_exposed(unit: str, most: float, analyzer: Path) -> None:
    said = exposure(unit, analyzer)
    verdict = next(line for line in said.splitlines() if "Overall exposure level" in line)
    assert float(verdict.split(":")[1].split()[0]) <= most, said


@pytest.mark.parametrize("unit", MOST_EXPOSED)
def test_each_point_that_is_left_has_its_reason(unit: str, analyzer: Path) -> None:
    """What systemd itself finds exposed is named in a comment of the unit, by directive or by its part."""
    left = [line.split()[1] for line in exposure(unit, analyzer).splitlines() if line.startswith("✗")]
    assert left
    for directive in left:
        key, _, part = directive.partition("=")
        words = re.findall(r"@\w+|AF_\w+|FOWNER", part) or [f"{key}="]
        assert any(word in comments(unit) for word in words), directive


def test_walks_may_be_in_c() -> None:
    """`RestrictSUIDSGID=` takes openat2(2) away, without which a walk is in Python."""
    assert "Service.RestrictSUIDSGID" not in settings("mcsd.service")


def test_the_store_s_program_is_no_part_of_the_daemon() -> None:
    """It needs what mcsd.service must not have, runs once, and leaves a host without SELinux alone."""
    unit = settings("mcsd-booleans.service")
    assert unit["Service.Type"] == ["oneshot"]
    assert unit["Service.ExecStart"] == ["/usr/bin/python3 -m mcsd.adapters.selinux.semanage"]
    assert unit["Unit.ConditionSecurity"] == ["selinux"]
    assert unit["Install.WantedBy"] == ["mcsd.service"]
    assert unit["Service.Environment"] == SERVICE["Service.Environment"][:1]  # the rest is about its threads


def test_who_speaks_to_the_network_has_no_privilege_and_mcsd_alone_asks_it() -> None:
    unit, socket = settings("mcsd-fleet.service"), settings("mcsd-fleet.socket")
    assert unit["Service.User"] == ["mcsd-fleet"] and unit["Service.CapabilityBoundingSet"] == [""]
    assert unit["Service.ProtectSystem"] == ["strict"] and "Service.ReadWritePaths" not in unit
    assert socket["Socket.SocketMode"] == ["0600"] and socket["Socket.SocketUser"] == ["root"]
    assert "AF_INET" not in SERVICE["Service.RestrictAddressFamilies"][0]
