"""`mcsctl gate`: what it does to daemon.json and what it leaves alone, and what it tells."""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcsd.cli import gate as ctl_gate
from mcsd.cli.errors import CtlError, Exit
from mcsd.cli.gate import GateOptions, GatePaths, gate
from mcsd.cli.text import Screen
from mcsd.core.daemon_json import NAME, disabled, dumps, enabled, gate_setting, parse
from mcsd.errors import ConfigurationError

GATE = "/usr/libexec/mcsd/mcsd-gate"
PROGRAMS = {"crun": "/usr/bin/crun", "/usr/bin/crun": "/usr/bin/crun", "/opt/runsc": "/opt/runsc"}
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
RUNTIMES = st.dictionaries(
    st.sampled_from(["crun", "runsc"]),
    st.fixed_dictionaries(
        {"path": st.sampled_from(sorted(PROGRAMS))}, optional={"runtimeArgs": st.lists(st.text(), max_size=2)}
    ),
)


@st.composite
def daemon_jsons(draw: st.DrawFn) -> dict[str, Any]:
    """Whatever a daemon.json without the gate may hold."""
    found = draw(st.dictionaries(st.text(), VALUES, max_size=4))
    found.pop("runtimes", None)
    found.pop("default-runtime", None)
    runtimes = draw(RUNTIMES)
    if runtimes:
        found["runtimes"] = runtimes
    if draw(st.booleans()):
        found["default-runtime"] = draw(st.sampled_from(["runc", *sorted(runtimes)]))
    return found


@given(daemon_jsons())
def test_off_undoes_on_and_nothing_else_is_touched(before: dict[str, Any]) -> None:
    """Promise 10. Only the default's name is said where it was not before: a reload needs to read it."""
    on = enabled(before, GATE, PROGRAMS.get)
    assert gate_setting(on).is_on(GATE)
    assert enabled(on, GATE, PROGRAMS.get) == on
    others = {key: value for key, value in on.items() if key not in {"runtimes", "default-runtime"}}
    assert others == {key: before[key] for key in others}
    off = disabled(on, GATE, PROGRAMS.get, in_use=False)
    chosen = before.get("default-runtime", "runc")
    runtimes = before.get("runtimes", {})
    twins = {name for name in runtimes if _starts(runtimes, name) == _starts(runtimes, chosen)} | {chosen}
    assert off.pop("default-runtime") in twins
    assert off == {key: value for key, value in before.items() if key != "default-runtime"}
    assert [key for key in off if key in before] == [key for key in before if key in off], "in order"


def _starts(runtimes: dict[str, Any], name: str) -> object:
    entry = runtimes.get(name, {})
    return PROGRAMS.get(entry.get("path", "")), tuple(entry.get("runtimeArgs", ()))


@given(daemon_jsons())
def test_containers_made_with_the_gate_start_without_it(before: dict[str, Any]) -> None:
    """Docker keeps a container's runtime by name: the name stays while one has it, the gate does not."""
    off = disabled(enabled(before, GATE, PROGRAMS.get), GATE, PROGRAMS.get, in_use=True)
    assert off["default-runtime"] != NAME
    assert off["runtimes"][NAME]["path"] in {"runc", *PROGRAMS}
    assert disabled(off, GATE, PROGRAMS.get, in_use=True) == off
    assert NAME not in disabled(off, GATE, PROGRAMS.get, in_use=False).get("runtimes", {})


@given(daemon_jsons())
def test_what_is_written_reads_back(before: dict[str, Any]) -> None:
    assert parse(dumps(before, ""), "x") == before


def test_the_former_default_is_told_to_the_gate() -> None:
    before = {"default-runtime": "c", "runtimes": {"c": {"path": "crun", "runtimeArgs": ["--debug"]}}}
    on = enabled(before, GATE, PROGRAMS.get)
    assert on["runtimes"][NAME]["runtimeArgs"] == ["--mcsd-runtime=/usr/bin/crun", "--debug"]
    assert disabled(on, GATE, PROGRAMS.get, in_use=False) == before


@pytest.mark.parametrize(
    "settings",
    [
        {"default-runtime": "io.containerd.kata.v2"},
        {"default-runtime": "kata", "runtimes": {"kata": {"runtimeType": "io.containerd.kata.v2"}}},
        {"default-runtime": "gone", "runtimes": {"gone": {"path": "/opt/gone"}}},
    ],
)
def test_a_default_that_is_no_program_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="the default runtime") as caught:
        enabled(settings, GATE, PROGRAMS.get)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{\n  "a": 1,\n  b\n}', "line 3"),
        ("[]", "not a JSON object"),
        ('{"a": {"b": 1, "b": 2}}', "'b' twice"),
        ('{"runtimes": []}', "'runtimes'"),
        ('{"runtimes": {"x": 1}}', "'runtimes'"),
    ],
)
def test_a_file_that_would_lose_something_is_refused(text: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        parse(text, "daemon.json")


# --- the file ------------------------------------------------------------------------------------------

TEXT = '{\n    "log-driver": "journald",\n    "selinux-enabled": true\n}\n'


class Docker:
    """Answers `/info` and about containers on a socket, and takes its file over when it is told to."""

    def __init__(self, place: GatePaths) -> None:
        self.place = place
        self.containers: dict[str, str] = {}
        self.info: dict[str, Any] = {}
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(place.socket)
        self._server.listen()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._server.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            with connection, connection.makefile("rwb") as stream:
                path = stream.readline().split()[1].decode()
                while stream.readline().strip():
                    pass
                body = json.dumps(self._answer(path)).encode()
                stream.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))

    def _answer(self, path: str) -> object:
        if path == "/info":
            settings = json.loads(Path(self.place.file + ".read").read_text())
            runtimes = {"runc": {"path": "runc"}, **settings.get("runtimes", {})}
            return {"DefaultRuntime": settings.get("default-runtime", "runc"), "Runtimes": runtimes}
        if path == "/containers/json":
            return [{"Id": name * 64, "Names": [f"/{name}"]} for name in self.containers]
        return {"HostConfig": {"Runtime": self.containers[path.split("/")[2][0]]}}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> GatePaths:
    program = tmp_path / "mcsd-gate"
    program.write_text("")
    program.chmod(0o755)
    file = tmp_path / "daemon.json"
    settings = {**json.loads(TEXT), "data-root": str(tmp_path / "data")}
    file.write_text(json.dumps(settings, indent=4) + "\n")
    file.chmod(0o640)
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)  # no dockerd of this machine
    reload = ("cp", str(file), f"{file}.read")
    return GatePaths(str(file), str(program), str(tmp_path / "socket"), reload)


@contextmanager
def docker(place: GatePaths) -> Iterator[Docker]:
    Path(place.file + ".read").write_bytes(Path(place.file).read_bytes())
    served = Docker(place)
    try:
        yield served
    finally:
        served.close()


def run(
    place: GatePaths, verb: str, *, dry_run: bool = False, reload: bool = False, as_json: bool = False
) -> str:
    out = io.StringIO()
    screen = Screen(out, 100, False, 0.0)
    wish = GateOptions(verb, dry_run=dry_run, reload=reload)
    assert gate(wish, place, screen, screen, as_json=as_json) is Exit.DONE
    return out.getvalue()


def backups(place: GatePaths) -> list[Path]:
    return sorted(Path(place.file).parent.glob("daemon.json.mcsd-backup-*"))


def test_the_change_is_shown_and_kept_beside(place: GatePaths) -> None:
    before = Path(place.file).read_text()
    shown = run(place, "enable")
    assert '+    "default-runtime": "mcsd"' in shown.splitlines()
    assert "must reload: cp " in shown
    assert json.loads(Path(place.file).read_text())["log-driver"] == "journald"
    (backup,) = backups(place)
    assert backup.read_text() == before
    assert {one.stat().st_mode & 0o777 for one in (backup, Path(place.file))} == {0o640}
    assert not list(Path(place.file).parent.glob("*draft*"))


def test_a_dry_run_writes_nothing(place: GatePaths) -> None:
    before = os.stat(place.file).st_ino, Path(place.file).read_text()
    assert "default-runtime" in run(place, "enable", dry_run=True)
    assert (os.stat(place.file).st_ino, Path(place.file).read_text()) == before
    assert backups(place) == []


def test_a_second_time_changes_nothing(place: GatePaths) -> None:
    run(place, "enable")
    assert "nothing to change" in run(place, "enable")
    assert len(backups(place)) == 1


def test_a_file_that_is_not_there_is_made(place: GatePaths) -> None:
    os.unlink(place.file)
    run(place, "enable")
    assert json.loads(Path(place.file).read_text())["default-runtime"] == NAME
    assert backups(place) == []


def test_a_link_stays_a_link(place: GatePaths, tmp_path: Path) -> None:
    real = tmp_path / "elsewhere.json"
    os.rename(place.file, real)
    os.symlink(real, place.file)
    run(place, "enable")
    assert os.path.islink(place.file) and json.loads(real.read_text())["default-runtime"] == NAME


def test_without_the_gates_program_nothing_is_switched_on(place: GatePaths) -> None:
    """Promise 9: Docker could start nothing any more."""
    with pytest.raises(CtlError, match="no program at"):
        run(replace(place, gate="/nonexistent/mcsd-gate"), "enable")
    assert backups(place) == []


def test_what_docker_would_not_take_is_not_written(
    place: GatePaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Promise 9."""
    program = tmp_path / "dockerd"
    said = "unable to configure the Docker daemon with file: no such key: log-diver"
    program.write_text(f"#!/bin/sh\necho {shlex.quote(said)} >&2; exit 1\n")
    program.chmod(0o755)
    monkeypatch.setattr("shutil.which", lambda *_, **__: str(program))
    before = Path(place.file).read_text()
    with pytest.raises(CtlError, match="log-diver"):
        run(place, "enable")
    assert Path(place.file).read_text() == before
    assert backups(place) == [] and not list(tmp_path.glob("*draft*"))
    program.write_text("#!/bin/sh\necho 'unknown flag: --validate' >&2; exit 125\n")
    run(place, "enable")  # a Docker from before 23.0 cannot be asked


def test_docker_is_told_and_believed_only_when_it_says_so(
    place: GatePaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Promise 8."""
    monkeypatch.setattr("mcsd.cli.gate.RELOAD_TIME", 0.0)
    with docker(place):
        with pytest.raises(CtlError, match="still gives new containers the runtime 'runc'"):
            run(replace(place, reload=("true",)), "enable", reload=True)
        assert "new containers get the runtime mcsd" in run(place, "enable", reload=True)
        assert "new containers get the runtime runc" in run(place, "disable", reload=True)
        with pytest.raises(CtlError, match="could not be told"):
            run(replace(place, reload=("false",)), "enable", reload=True)


def test_the_name_stays_while_a_container_has_it(place: GatePaths, tmp_path: Path) -> None:
    run(place, "enable")
    directory = tmp_path / "data/containers/abc"
    directory.mkdir(parents=True)
    (directory / "hostconfig.json").write_text('{"Runtime": "mcsd"}')
    run(place, "disable")
    settings = json.loads(Path(place.file).read_text())
    assert (settings["default-runtime"], settings["runtimes"]) == ("runc", {NAME: {"path": "runc"}})
    (directory / "hostconfig.json").write_text('{"Runtime": "runc"}')
    run(place, "disable")
    assert "runtimes" not in json.loads(Path(place.file).read_text())


def test_status_says_what_is_so_and_who_passes(place: GatePaths) -> None:
    """Promise 8: the file, Docker and the containers may each say something else."""
    with docker(place) as served:
        served.containers = {"a": "runc", "b": "mcsd"}
        assert "configured  off" in run(place, "status")
        run(place, "enable")
        assert "Docker has not read its file" in run(place, "status")
        run(place, "enable", reload=True)
        shown = run(place, "status")
        assert "configured  on" in shown and "through it  1 running: b" in shown and "1 running: a" in shown
        answer = json.loads(run(place, "status", as_json=True))
        assert (answer["configured"], answer["in_use"]) == (True, True)
        assert [one["gated"] for one in answer["containers"]] == [False, True]


def test_status_without_docker_says_so(place: GatePaths) -> None:
    assert "no Docker answers" in run(place, "status")


def test_a_file_that_cannot_be_read_is_named_with_its_line(place: GatePaths) -> None:
    Path(place.file).write_text('{\n  "a": 1,,\n}')
    with pytest.raises(CtlError, match=r"daemon\.json' is not JSON: line 2") as caught:
        run(place, "enable")
    assert caught.value.hint


def test_a_path_is_told_as_it_is(place: GatePaths, tmp_path: Path) -> None:
    """An error about Docker names Docker, and leaves alone what is called mcsd in the path."""
    socket = tmp_path / "mcsd" / "docker.sock"
    with pytest.raises(CtlError, match=re.escape(f"no Docker answers at {str(socket)!r}")):
        ctl_gate._ask(replace(place, socket=str(socket)), "/info")
