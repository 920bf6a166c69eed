"""The spec file: that it says the same as the code, the project's description and the units do."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from mcsd.adapters.docker.connection import OLDEST_SDK
from mcsd.adapters.ledger.schema import MIGRATIONS

ROOT = Path(__file__).parents[2]
# As Fedora reads it: of the names that differ between distributions the last ones.
_TEXT = (ROOT / "packaging" / "mcsd.spec").read_text(encoding="utf-8")
_NAMES = dict(re.findall(r"^%global (python3_lib\w+|python3_prometheus) +(\S+)$", _TEXT, re.MULTILINE))
SPEC = re.sub(r"%\{(python3_(?:lib\w+|prometheus))\}", lambda found: _NAMES[found[1]], _TEXT)
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
# How Fedora calls what the Python index calls otherwise.
FEDORA = {"selinux": "python3-libselinux", "systemd-python": "python3-systemd"}


def test_it_packs_this_version() -> None:
    assert re.findall(r"^Version: +(\S+)$", SPEC, re.MULTILINE) == [PROJECT["version"]]


def test_a_downgrade_is_refused_by_the_version_that_the_code_knows() -> None:
    assert re.findall(r"^%global ledger_version +(\d+)$", SPEC, re.MULTILINE) == [str(len(MIGRATIONS))]


def test_it_requires_what_the_project_requires() -> None:
    required = set(re.findall(r"^Requires: +(python3-\S+)", SPEC, re.MULTILINE))
    names = [re.split(r"[<>=~ ]", one)[0] for one in PROJECT["dependencies"]]
    assert required == {FEDORA.get(name, f"python3-{name}") for name in names}


@pytest.mark.parametrize("tag", ["Requires", "BuildRequires"])
def test_it_requires_no_older_ones_than_the_project(tag: str) -> None:
    """By Fedora's names, each that has a floor."""
    floors = dict(re.findall(rf"^{tag}: +(python3\S*) >= (\S+)$", SPEC, re.MULTILINE))
    wanted = {"python3": PROJECT["requires-python"].removeprefix(">=")} if tag == "Requires" else {}
    for one in PROJECT["dependencies"]:
        name, _, floor = one.partition(">=")
        if floor:
            wanted[FEDORA.get(name, f"python3-{name}")] = floor
    assert floors == wanted


def test_what_is_said_of_docker_s_sdk_is_what_the_project_requires() -> None:
    assert f"docker>={OLDEST_SDK}" in PROJECT["dependencies"]


def test_it_needs_the_policy_only_where_there_is_one() -> None:
    assert "(mcsd-selinux = %{version}-%{release} if selinux-policy-base)" in SPEC


def test_every_unit_is_packed_enabled_and_disabled() -> None:
    units = {path.name for path in (ROOT / "systemd").glob("mcsd*")}
    listed = re.findall(r"^%global (?:fleet_)?units (.*)$", SPEC, re.MULTILINE)
    assert {unit for line in listed for unit in line.split()} == units and len(listed) == 2
    assert {unit for unit in units if f"%{{_unitdir}}/{unit}\n" in SPEC} == units
    for macro in ("%systemd_post %{units}", "%systemd_preun %{units}"):
        assert macro in SPEC and macro.replace("units", "fleet_units") in SPEC


def test_the_ledger_is_nobody_s_to_remove() -> None:
    """Promise 6: without it, nothing could be put back. Rpm removes the ghosts of a package with it."""
    files = SPEC[SPEC.index("%files -f") : SPEC.index("%files selinux")]
    ghosts = [line for line in files.splitlines() if "mcsd" in line and line.startswith("%ghost")]
    assert ghosts and all("%dir" in line for line in ghosts)
    assert "ledger" not in "".join(line for line in files.splitlines() if not line.startswith("#"))


def test_the_scriptlets_of_the_policy_are_in_the_order_of_the_guidelines() -> None:
    order = [
        "%pre selinux\n%refuse_a_newer_ledger\n%selinux_relabel_pre",
        "%post selinux\n%selinux_modules_install -s %{selinuxtype} -p 200",
        "%selinux_modules_uninstall -s %{selinuxtype} -p 200",
        "%posttrans selinux\n%selinux_relabel_post",
    ]
    places = [SPEC.index(text) for text in order]
    assert places == sorted(places)


def test_every_filter_of_rpmlint_has_its_reason() -> None:
    text = (ROOT / "packaging" / "mcsd.rpmlintrc.toml").read_text(encoding="utf-8")
    assert tomllib.loads(text)["Filters"]
    lines = [line.strip() for line in text.splitlines() if line.startswith("    ")]
    assert all(before.startswith(("#", "'")) for before in lines)
    assert lines[0].startswith("#")
