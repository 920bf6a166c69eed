"""`packaging/install`: packages are installed one way, on each family that `make rpm` is for."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

INSTALL = Path(__file__).parents[2] / "packaging" / "install"
# As they begin on the distributions themselves.
RELEASES = {
    "debian": "ID=debian\nVERSION_ID=13\n",
    "ubuntu": "ID=ubuntu\nID_LIKE=debian\n",
    "fedora": 'ID=fedora\nVERSION_ID=44\nPLATFORM_ID="platform:f44"\n',
    "rhel": 'ID="rhel"\nID_LIKE="fedora"\nVERSION_ID="10.1"\n',
    "alma": 'ID="almalinux"\nID_LIKE="rhel centos fedora"\n',
    "tumbleweed": 'ID="opensuse-tumbleweed"\nID_LIKE="opensuse suse"\n',
    "sles": 'ID="sles"\nID_LIKE="suse"\n',
}


class Host:
    """A host with an os-release and packagers that write down what they are asked."""

    def __init__(self, place: Path, release: str | None, tools: tuple[str, ...]) -> None:
        self.place = place
        (place / "bin").mkdir()
        for tool in tools:
            self.tool(tool, f'echo "{tool} $*" >>"{place}/asked"')
        for tool in ("bash", "flock", "cat"):
            (place / "bin" / tool).symlink_to(f"/usr/bin/{tool}")
        if release is not None:
            (place / "os-release").write_text(release)

    def tool(self, name: str, script: str) -> None:
        path = self.place / "bin" / name
        path.write_text(f"#!/bin/bash\n{script}\n")
        path.chmod(0o755)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {
            "PATH": str(self.place / "bin"),
            "OS_RELEASE": str(self.place / "os-release"),
            "LOCK": str(self.place / "lock"),
        }
        return subprocess.run(
            [INSTALL, *arguments], env=environment, capture_output=True, text=True, check=False
        )

    @property
    def asked(self) -> list[str]:
        path = self.place / "asked"
        return path.read_text().splitlines() if path.exists() else []


@pytest.mark.parametrize(
    ("release", "family"),
    [
        ("debian", "debian"),
        ("ubuntu", "debian"),
        ("fedora", "fedora"),
        ("rhel", "fedora"),
        ("alma", "fedora"),
        ("tumbleweed", "suse"),
        ("sles", "suse"),
    ],
)
def test_the_family_is_what_the_host_says_that_it_is(tmp_path: Path, release: str, family: str) -> None:
    """Not what is there: Fedora packs apt-get, and Debian dnf and zypper."""
    host = Host(tmp_path, RELEASES[release], ("apt-get", "dnf", "zypper"))
    assert host.run("--family").stdout.split() == [family]


@pytest.mark.parametrize(("tool", "family"), [("apt-get", "debian"), ("dnf", "fedora"), ("zypper", "suse")])
def test_a_host_that_nobody_knows_is_told_by_its_packager(tmp_path: Path, tool: str, family: str) -> None:
    assert Host(tmp_path, "ID=nobody\n", (tool,)).run("--family").stdout.split() == [family]


def test_a_host_without_any_is_told_what_it_has_to_install_itself(tmp_path: Path) -> None:
    done = Host(tmp_path, None, ()).run("gcc", "make")
    assert done.returncode == 1
    assert "neither apt-get, dnf nor zypper" in done.stderr and "gcc make" in done.stderr


def test_only_what_is_missing_is_installed(tmp_path: Path) -> None:
    host = Host(tmp_path, RELEASES["fedora"], ("dnf",))
    host.tool("rpm", '[ "$3" = gcc ]')
    assert host.run("gcc", "python3-pydantic >= 2.9").returncode == 0
    assert host.asked == ["dnf install -y -q --setopt=install_weak_deps=False python3-pydantic >= 2.9"]
    assert host.run("gcc").returncode == 0
    assert len(host.asked) == 1


def test_zypper_is_asked_for_a_version_in_one_word(tmp_path: Path) -> None:
    host = Host(tmp_path, RELEASES["tumbleweed"], ("zypper",))
    host.tool("rpm", "exit 1")
    assert host.run("python3-pydantic >= 2.9").returncode == 0
    assert host.asked == ["zypper --non-interactive --quiet install --no-recommends python3-pydantic>=2.9"]


def test_what_cannot_be_installed_fails(tmp_path: Path) -> None:
    host = Host(tmp_path, RELEASES["fedora"], ())
    host.tool("rpm", "exit 1")
    host.tool("dnf", 'echo "no match for argument: $*" >&2; exit 1')
    done = host.run("no-such-package")
    assert done.returncode != 0 and "no match" in done.stderr


def test_it_can_be_run() -> None:
    assert os.access(INSTALL, os.X_OK)
