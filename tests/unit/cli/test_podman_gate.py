"""`mcsctl gate --engine`: Podman's drop-in is made and removed, and only where mcsd knows the engine."""

from __future__ import annotations

import io
import json
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from mcsd.cli.client import Client
from mcsd.cli.errors import CtlError, Exit
from mcsd.cli.podman_gate import PodmanGate, PodmanPaths
from mcsd.cli.text import Screen
from mcsd.core.containers import EngineInfo
from mcsd.core.snapshot import Snapshot
from tests.fakes.service import FakeService, quiet_scene
from tests.fakes.serving import Served, serving

PLAIN = EngineInfo(True, "5.4.2", "1.41", "/s", "crun", (("crun", "/usr/bin/crun"),))
GATED = replace(PLAIN, runtimes=(("crun", "/usr/libexec/mcsd/mcsd-gate-crun"),))


@dataclass
class Host:
    """A host with Podman, crun and the gate in front of it."""

    place: PodmanPaths
    served: Served

    def knows(self, info: EngineInfo | None) -> None:
        """Have mcsd know the engine, as it has described itself; None: it is not configured."""

        def change(snapshot: Snapshot) -> Snapshot:
            if info is None:
                return snapshot
            host = snapshot.host.with_engine("podman", info)
            return replace(snapshot, host=host, engines=("docker", "podman"))

        self.served.service.change = change

    def run(self, verb: str, **more: Any) -> str:
        out = io.StringIO()
        screen = Screen(out, 100, False, 0.0)
        options = {"hook": False, "dry_run": False, "reload": False, "as_json": False, **more}
        gate = PodmanGate("podman", self.place, Client(str(self.served.path)), screen, screen)
        assert gate.run(verb, **options) is Exit.DONE
        return out.getvalue()

    @property
    def runtimes(self) -> dict[str, list[str]]:
        """The runtimes in the drop-in."""
        found: dict[str, list[str]] = tomllib.loads(Path(self.place.file).read_text())["engine"]["runtimes"]
        return found


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    programs = {}
    for name in ("crun", "runc"):
        for path in (tmp_path / name, tmp_path / f"gate-{name}"):
            path.write_text("#!/bin/sh\n")
            path.chmod(0o755)
        programs[name] = str(tmp_path / name), str(tmp_path / f"gate-{name}")
    hook = tmp_path / "hook"
    hook.write_text("#!/bin/sh\n")
    hook.chmod(0o755)
    place = PodmanPaths(
        str(tmp_path / "conf.d" / "90-mcsd.conf"),
        programs,
        ("true",),
        str(hook),
        str(tmp_path / "hooks.d" / "90-mcsd.json"),
        (str(tmp_path / "containers.conf"), str(tmp_path / "conf.d")),
    )
    with serving(FakeService(quiet_scene()), tmp_path / "s") as served:
        found = Host(place, served)
        found.knows(PLAIN)
        yield found


def test_enabling_puts_the_gate_in_front_of_the_runtimes_that_are_there(host: Host, tmp_path: Path) -> None:
    (tmp_path / "runc").unlink()
    said = host.run("enable")
    assert host.runtimes == {"crun": [str(tmp_path / "gate-crun")]}
    assert "+crun = " in said and "must be restarted" in said


def test_disabling_leaves_nothing(host: Host) -> None:
    """Promise 10: containers name the same runtimes as before, so that each of them still starts."""
    host.run("enable")
    host.run("disable")
    assert not Path(host.place.file).exists()
    assert "nothing to change" in host.run("disable")


def written(host: Host) -> tuple[int, ...]:
    """Which file it is, and when it was written: not when it was read, which a second run does."""
    found = Path(host.place.file).stat()
    return found.st_ino, found.st_size, found.st_mode, found.st_mtime_ns, found.st_ctime_ns


def test_a_second_time_changes_nothing(host: Host) -> None:
    host.run("enable")
    before = written(host)
    assert "nothing to change" in host.run("enable")
    assert written(host) == before


def test_a_dry_run_writes_nothing(host: Host) -> None:
    assert "+crun = " in host.run("enable", dry_run=True)
    assert not Path(host.place.file).exists()


def test_an_engine_that_mcsd_does_not_watch_is_refused(host: Host) -> None:
    """Each of its starts would be."""
    host.knows(None)
    with pytest.raises(CtlError, match="mcsd has no engine 'podman'; it has docker") as refused:
        host.run("enable")
    assert "[[engine]] kind" in refused.value.hint and refused.value.status is Exit.NOT_FOUND
    assert not Path(host.place.file).exists()


def test_without_a_runtime_or_the_gate_nothing_is_written(host: Host) -> None:
    for program, _ in host.place.programs.values():
        Path(program).unlink()
    with pytest.raises(CtlError, match="neither"):
        host.run("enable")


def test_it_waits_until_mcsd_sees_what_the_service_has_read(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.knows(GATED)
    assert "has read it" in host.run("enable", reload=True)
    monkeypatch.setattr("mcsd.cli.podman_gate.RELOAD_TIME", 0.0)
    with pytest.raises(CtlError, match="does not see that the gate is off"):
        host.run("disable", reload=True)


def test_a_service_that_does_not_restart_is_told_with_its_reason(host: Host) -> None:
    host.place = replace(host.place, reload=("sh", "-c", "echo no such unit >&2; exit 1"))
    with pytest.raises(CtlError, match="no such unit"):
        host.run("enable", reload=True)


@pytest.mark.parametrize(("info", "state"), [(GATED, "on"), (PLAIN, "off")])
def test_status_says_what_is_so(host: Host, info: EngineInfo, state: str) -> None:
    host.knows(info)
    assert f"podman      {state}: new containers get the runtime crun" in host.run("status")
    told = json.loads(host.run("status", as_json=True))
    assert (told["in_use"], told["configured"]) == (state == "on", False)


def hook_directories(host: Host) -> list[str]:
    found: list[str] = tomllib.loads(Path(host.place.file).read_text())["engine"]["hooks_dir"]
    return found


def test_a_hook_takes_the_place_of_the_runtimes_and_back(host: Host) -> None:
    host.run("enable")
    host.run("enable", hook=True)
    told = json.loads(Path(host.place.hooks).read_text())
    assert told["hook"]["path"] == host.place.hook
    assert told["stages"] == ["precreate"] and told["when"] == {"always": True}
    assert "runtimes" not in tomllib.loads(Path(host.place.file).read_text())["engine"]
    assert "as a hook" in host.run("status")
    assert json.loads(host.run("status", as_json=True))["hook"]
    host.run("enable")
    assert host.runtimes and not Path(host.place.hooks).exists()
    host.run("enable", hook=True)
    host.run("disable")
    assert not Path(host.place.hooks).exists() and not Path(host.place.file).exists()


def test_hooks_of_others_are_still_found(host: Host, tmp_path: Path) -> None:
    """Promise 10. The drop-in's list takes the place of every other."""
    ours = str(tmp_path / "hooks.d")
    host.run("enable", hook=True)
    assert hook_directories(host) == ["/usr/share/containers/oci/hooks.d", ours]
    (tmp_path / "containers.conf").write_text('[engine]\nhooks_dir = ["/a", {append = true}]\n')
    (tmp_path / "conf.d" / "10-more.conf").write_text('[engine]\nhooks_dir = ["/b", "/a"]\n')
    host.run("enable", hook=True)
    assert hook_directories(host) == ["/a", "/b", ours]
    (tmp_path / "containers.conf").write_text("[engine")
    with pytest.raises(CtlError, match=r"containers\.conf' is not valid"):
        host.run("enable", hook=True)


def test_without_the_hook_s_program_nothing_is_written(host: Host) -> None:
    Path(host.place.hook).unlink()
    with pytest.raises(CtlError, match="there is no hook"):
        host.run("enable", hook=True)
    assert not Path(host.place.file).exists() and not Path(host.place.hooks).exists()
