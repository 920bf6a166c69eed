"""mcsctl's screens at 80 and at 200 columns, as files to be read. `MCSD_NEW_SCREENS=1` writes them anew."""

from __future__ import annotations

import io
import os
import re
import shlex
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from mcsd.cli import main as ctl
from mcsd.cli.arguments import parse
from mcsd.cli.errors import CtlError
from mcsd.core.grants import GrantState
from mcsd.core.volumes import ClaimState, VolumePhase
from tests.fakes.service import NOW, FakeService, busy, problem_events, quiet_scene, troubled_scene
from tests.fakes.serving import Served, serving
from tests.fakes.settled import settled

SCREENS = Path(__file__).parents[1] / "screens"
COMMANDS = (
    "status",
    "containers",
    "volumes",
    "pairs",
    "booleans",
    "events",
    "show web-clone",
    "show web",
    "show legacy-agent",
    "show evil",
    "fleet status",
    "fleet plan alpha beta gamma",
    "verify",
)


@pytest.fixture(autouse=True)
def _in_utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def troubled(tmp_path: Path) -> Iterator[Served]:
    scene = troubled_scene()
    service = FakeService(scene, events=problem_events(scene))
    service.change = busy
    with settled(), serving(service, tmp_path / "s") as running:
        yield running


@pytest.fixture
def quiet(tmp_path: Path) -> Iterator[Served]:
    with settled(), serving(FakeService(quiet_scene()), tmp_path / "s") as running:
        yield running


def printed(served: Served, command: str, columns: int) -> str:
    out, err = io.StringIO(), io.StringIO()
    arguments = parse(["--socket", served.path, *command.split()])
    ctl.run(arguments, out=out, err=err, environment={"COLUMNS": str(columns)}, now=NOW)
    return out.getvalue() + err.getvalue()


def compare(name: str, columns: int, text: str) -> None:
    file = SCREENS / f"{name.replace(' ', '-')}-{columns}.txt"
    if os.environ.get("MCSD_NEW_SCREENS"):
        SCREENS.mkdir(exist_ok=True)
        file.write_text(text, encoding="utf-8")
    assert text == file.read_text(encoding="utf-8")
    # A command to be typed stays whole, so that it can be copied.
    broken = [line for line in text.splitlines() if not line.startswith("  type ")]
    assert max(map(len, broken), default=0) <= columns


@pytest.mark.parametrize("columns", [80, 200])
@pytest.mark.parametrize("command", COMMANDS)
def test_a_bad_night(troubled: Served, command: str, columns: int) -> None:
    compare(f"troubled {command}", columns, printed(troubled, command, columns))


@pytest.mark.parametrize("columns", [80, 200])
@pytest.mark.parametrize("command", ["status", "containers", "volumes", "pairs", "booleans", "fleet status"])
def test_a_quiet_host(quiet: Served, command: str, columns: int) -> None:
    compare(f"quiet {command}", columns, printed(quiet, command, columns))


class Terminal(io.StringIO):
    """Where somebody looks."""

    def isatty(self) -> bool:
        return True


ANSWERS = (
    "wait web",
    "restore /srv/old",
    "reserve nightly --group finance",
    "reserve nightly --until 2h",
    "release backup",
    "verify --repair",
    "booleans docker_connect_any",
    "booleans docker_connect_any off",
    "containers --conflicts",
    "containers -q --isolated yes",
    "volumes --state stranded",
    "events --kind conflict --kind volume-refused",
)
"""What the commands say that change something, wait, or ask for a part."""

ERRORS = (
    "",
    "frobnicate",
    "show",
    "show nobody",
    "show ''",
    "containers --state gone",
    "containers --level 12,900",
    "volumes --container nobody",
    "pairs --level s0:c1024",
    "events --kind volume-refusal",
    "events -n -1",
    "wait evil",
    "wait nobody --timeout 0",
    "wait media --timeout soon",
    "verify nobody",
    "verify ''",
    "restore ''",
    "restore /srv/web",
    "reserve 'a name'",
    "release nobody",
    "booleans nope",
    "booleans nope on",
    "booleans docker_connect_any maybe",
    "gate perhaps",
    "fleet perhaps",
    "fleet plan",
    "fleet plan 'a host'",
    "fleet status alpha",
    "fleet admit",
    "fleet evict beta",
    "fleet recover --config /nowhere/fleet.toml",
    "--socket /nowhere/mcsd.sock status",
)
"""Every way to be told no. Each says what, and what to do."""


def typed(served: Served, lines: Sequence[str]) -> str:
    """Type lines at a terminal, and give all that it shows."""
    shown = Terminal()
    for line in lines:
        shown.write(f"$ mcsctl {line}\n".replace(" \n", "\n"))
        try:
            words = shlex.split(line)
            arguments = parse(words if "--socket" in words else ["--socket", served.path, *words])
            status = ctl.run(arguments, out=shown, err=shown, environment={"NO_COLOR": "1"}, now=NOW)
        except CtlError as error:
            status = ctl._complain(error, shown)
        shown.write(f"[exit status {int(status)}]\n\n" if status else "\n")
    text = shown.getvalue().replace(served.path, "/run/mcsd/mcsd.sock")
    return re.sub(r"\r[^\r\n]*\x1b\[K", "", text)


@pytest.mark.parametrize("columns", [80, 200])
@pytest.mark.parametrize(("name", "lines"), [("answers", ANSWERS), ("errors", ERRORS)])
def test_answers_and_errors_as_a_person_meets_them(
    troubled: Served, monkeypatch: pytest.MonkeyPatch, name: str, lines: Sequence[str], columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("LINES", "24")
    compare(name, columns, typed(troubled, lines))


def test_every_error_says_what_to_do(troubled: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    for line in ERRORS:
        text = typed(troubled, [line])
        assert "\nmcsctl: " in text and "\nhint: " in text, text
        assert re.search(r"^\[exit status [1-6]\]$", text, re.M), text


@pytest.mark.parametrize("columns", [80, 200])
def test_a_morning_with_a_large_volume(tmp_path: Path, columns: int) -> None:
    """Nothing is wrong, and not all is done: what to wait for, and how."""
    scene = quiet_scene()
    late = scene.container("late", "s0:c300,c301", state=GrantState.IDLE)
    scene.unsettled.add("late")
    volume = scene.volume("/srv/late", "s0:c300,c301", phase=VolumePhase.LABELLING, inodes=240_000)
    scene.claim(late, "/data", "/srv/late", volume, state=ClaimState.PENDING)
    with settled(), serving(FakeService(scene), tmp_path / "s") as served:
        served.service.change = busy
        for command in ("status", "show late"):
            compare(f"busy {command}", columns, printed(served, command, columns))


def test_nothing_breaks_on_the_narrowest_screen(troubled: Served) -> None:
    for command in COMMANDS:
        assert printed(troubled, command, 20)


def test_every_line_of_the_status_that_is_not_good_says_what_to_do(troubled: Served) -> None:
    """Promise 8."""
    lines = printed(troubled, "status", 400).splitlines()
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        if line[14:18].strip() in {"BAD", "warn", "..."} and not line.startswith(" " * 14):
            assert following.strip().startswith("next: "), line
