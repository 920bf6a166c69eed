"""The examples for other programs: their syntax, what they call, that they are packaged and in the manual."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from mcsd.cli.arguments import parse

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "packaging/examples").iterdir())
UNITS = [path for path in EXAMPLES if path.suffix == ".service"]
SCRIPTS = [path for path in EXAMPLES if path.suffix != ".service"]


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_a_script_can_be_parsed_and_executed(path: Path) -> None:
    assert path.read_text().startswith("#!/bin/sh\n") and path.stat().st_mode & 0o111
    for shell in filter(shutil.which, ("sh", "dash", "bash")):
        done = subprocess.run([shell, "-n", path], capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")
    if shutil.which("shellcheck"):
        done = subprocess.run(["shellcheck", path], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_a_unit_is_one_that_systemd_takes(path: Path, tmp_path: Path) -> None:
    if not shutil.which("systemd-analyze"):
        pytest.skip("there is no systemd-analyze")
    unit = tmp_path / path.name
    unit.write_text(path.read_text().replace("/usr/bin/mcsctl", "/bin/sh"))
    (tmp_path / "mcsd.socket").write_text("[Socket]\nListenStream=/run/x\nService=nspawn-web.service\n")
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", unit],
        capture_output=True,
        text=True,
        env={"SYSTEMD_UNIT_PATH": f"{tmp_path}:"},
    )
    complaints = [line for line in done.stderr.splitlines() if path.name in line]
    assert complaints == []


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_what_it_asks_of_mcsctl_is_understood(path: Path) -> None:
    text = path.read_text().replace("\\\n", " ").replace("$$", "42")
    calls = re.findall(r"(?:ExecStart=/usr/bin/|\$\(|: )mcsctl ([^)\n]+)", text)
    assert calls
    for call in calls:
        words = [re.sub(r"\$\w+", "x", word) for word in shlex.split(call.rstrip("."))]
        assert parse(words).command in {"run", "reserve", "release"}


def test_the_package_has_them_and_the_manual_names_each() -> None:
    spec = (ROOT / "packaging/mcsd.spec").read_text()
    assert re.search(r"^%doc CHANGELOG\.md packaging/examples$", spec, re.M)
    recipes = (ROOT / "packaging/man/mcsd-recipes.7.rst").read_text()
    for path in EXAMPLES:
        assert f"*{path.name}*" in recipes
