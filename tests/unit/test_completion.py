"""Completion in bash, zsh and fish: made from the parser, and tried in the shells that are there."""

from __future__ import annotations

import os
import shlex
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mcsd.cli.arguments import CONTAINER_STATES, make_parser, subcommands
from tests.fakes.service import FakeService, troubled_scene
from tests.fakes.serving import serving
from tests.fakes.settled import settled

PACKAGING = Path(__file__).resolve().parents[2] / "packaging"
FILES = {"bash": "mcsctl.bash", "zsh": "_mcsctl", "fish": "mcsctl.fish"}
COMMANDS = subcommands(make_parser())


def file_of(shell: str) -> Path:
    return PACKAGING / "completion" / FILES[shell]


def has(shell: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(shell) is None, reason=f"there is no {shell}")


@pytest.mark.parametrize("shell", FILES)
def test_the_files_are_what_the_parser_says(shell: str) -> None:
    made = subprocess.run(
        [sys.executable, str(PACKAGING / "generate-completion"), shell], capture_output=True, text=True
    )
    assert made.stdout == file_of(shell).read_text(encoding="utf-8"), f"packaging/generate-completion {shell}"


@pytest.mark.parametrize("shell", [pytest.param(shell, marks=has(shell)) for shell in FILES])
def test_the_shell_can_read_it(shell: str) -> None:
    done = subprocess.run([shell, "-n", str(file_of(shell))], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[dict[str, str]]:
    """A PATH with an mcsctl that asks a real socket."""
    program = tmp_path / "mcsctl"
    with settled(), serving(FakeService(troubled_scene()), tmp_path / "s") as served:
        call = f'exec {shlex.quote(sys.executable)} -m mcsd.cli.main --socket {shlex.quote(served.path)} "$@"'
        program.write_text(f"#!/bin/sh\n{call}\n")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        yield {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "HOME": str(tmp_path)}


def in_bash(line: str, environment: dict[str, str]) -> set[str]:
    words = [*line.split(" ")]
    script = f"""
        source {shlex.quote(str(file_of("bash")))}
        COMP_WORDS=({" ".join(shlex.quote(word) for word in words)})
        COMP_CWORD={len(words) - 1}
        _mcsctl
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(
        ["bash", "--norc", "-c", script], capture_output=True, text=True, env=environment, check=True
    )
    return set(done.stdout.split("\n")) - {""}


def in_fish(line: str, environment: dict[str, str]) -> set[str]:
    script = f"source {shlex.quote(str(file_of('fish')))}; complete -C {shlex.quote(line)}"
    done = subprocess.run(
        ["fish", "--no-config", "-c", script], capture_output=True, text=True, env=environment, check=True
    )
    return {entry.partition("\t")[0] for entry in done.stdout.splitlines()}


SHELLS = [
    pytest.param(in_bash, marks=has("bash"), id="bash"),
    pytest.param(in_fish, marks=has("fish"), id="fish"),
]


@pytest.mark.parametrize("complete", SHELLS)
def test_commands_options_and_values_are_offered(complete: object, environment: dict[str, str]) -> None:
    assert callable(complete)
    assert complete("mcsctl ", environment) >= set(COMMANDS)
    assert complete("mcsctl ver", environment) == {"verify"}
    for command, parser in COMMANDS.items():
        wanted = {flag for action in parser._actions for flag in action.option_strings if flag[:2] == "--"}
        assert complete(f"mcsctl {command} --", environment) >= wanted, command
    assert complete("mcsctl containers --state ", environment) == set(CONTAINER_STATES)
    assert complete("mcsctl booleans some o", environment) == {"on", "off"}


@pytest.mark.parametrize("complete", SHELLS)
def test_containers_and_volumes_are_asked_for(complete: object, environment: dict[str, str]) -> None:
    assert callable(complete)
    assert complete("mcsctl show we", environment) == {"web", "web-clone"}
    assert complete("mcsctl volumes --container d", environment) == {"db"}
    assert complete("mcsctl restore /srv/f", environment) == {
        "/srv/finance/reports/archive/2026/quarterly/generated/output"
    }
    assert {"web", "/srv/web"} <= complete("mcsctl verify ", environment)


@pytest.mark.parametrize("complete", SHELLS)
def test_nothing_is_offered_where_no_daemon_answers(complete: object, tmp_path: Path) -> None:
    assert callable(complete)
    program = tmp_path / "mcsctl"
    program.write_text("#!/bin/sh\necho 'mcsctl: no mcsd answers' >&2; exit 3\n")
    program.chmod(0o755)
    alone = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "HOME": str(tmp_path)}
    assert complete("mcsctl show ", alone) == set()


@has("zsh")
def test_zsh_loads_it(tmp_path: Path) -> None:
    script = f"""
        fpath=({shlex.quote(str(PACKAGING / "completion"))} $fpath)
        autoload -Uz compinit && compinit -u -d {shlex.quote(str(tmp_path / "dump"))}
        print -r -- $_comps[mcsctl]
        autoload +X _mcsctl && print -r -- loaded
    """
    done = subprocess.run(["zsh", "-f", "-c", script], capture_output=True, text=True)
    assert (done.stdout.split(), done.stderr) == (["_mcsctl", "loaded"], "")
