"""The policy module as it is built: against each policy's headers, and against headers that lack something.

What the reference policy and Fedora's call by different names is in `selinux-policy/mcsd.te`. Fedora's
headers are not here: those of this machine get its names put in, which is what the source asks about.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.unit.test_policy_interfaces import BOTH, FEDORA, needs

POLICY = Path(__file__).parents[2] / "selinux-policy"
HEADERS = Path("/usr/share/selinux/devel")
TOOLS = ("make", "m4", "checkmodule", "semodule_package")
MISSING = [name for name in TOOLS if shutil.which(name) is None]
if not (HEADERS / "Makefile").exists():
    MISSING.append(str(HEADERS))

pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"there is no {' '.join(MISSING)}")

CONTAINER_SELINUX = """
interface(`container_stream_connect',`
    gen_require(`
        type container_runtime_t, container_var_run_t;
    ')
    stream_connect_pattern($1, container_var_run_t, container_var_run_t, container_runtime_t)
')
"""
# What of Fedora's has another meaning than silence for these tests.
GIVES = {
    "systemd_unit_file": "gen_require(`attribute systemd_unit_file_type;')\n"
    "typeattribute $1 systemd_unit_file_type;",
    "files_pid_file": "files_type($1)",
}


class Tree:
    """The module's source and headers of its own, to build in."""

    def __init__(self, at: Path) -> None:
        self.headers, self.source = at / "devel", at / "policy"
        shutil.copytree(HEADERS, self.headers, symlinks=True)
        shutil.copytree(POLICY, self.source, ignore=shutil.ignore_patterns("tmp", "*.pp"))

    @property
    def module(self) -> Path:
        return self.source / "mcsd.pp"

    def lacks(self, *interfaces: str) -> None:
        """Rename interfaces in the headers, and in the headers' own calls of them."""
        names = "|".join(interfaces)
        for path in self.headers.rglob("*.if"):
            text = path.read_text(encoding="utf-8")
            fresh = re.sub(rf"\b({names})\b", r"\1_of_another_time", text)
            if fresh != text:
                path.write_text(fresh, encoding="utf-8")

    def speaks_fedora(self) -> None:
        """Take the reference policy's own names away, and put Fedora's in their place."""
        self.lacks(*{reference for reference, _ in needs()})
        self.lacks("container_stream_connect_system_engine")
        ours = "".join(
            f"interface(`{name}',`\n{GIVES.get(name, '')}\n')\n"
            for name in sorted(FEDORA - {"container_stream_connect"})
        )
        extra = self.headers / "include/services/of_fedora.if"
        extra.write_text(ours + CONTAINER_SELINUX, encoding="utf-8")
        extra.with_suffix(".xml").write_text("", encoding="utf-8")

    def make(self, *variables: str) -> subprocess.CompletedProcess[str]:
        headers = (f"DEVEL={self.headers}", f"HEADERDIR={self.headers}/include")
        return subprocess.run(
            ["make", "-C", str(self.source), "SELINUXTYPE=default", *headers, *variables],
            capture_output=True, text=True, check=False,
        )  # fmt: skip

    def check(self, *options: str) -> subprocess.CompletedProcess[str]:
        """Ask the built module for its rules."""
        command = [str(self.source / "check-module"), str(self.module), *options]
        return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


def test_it_is_built_with_its_rules_for_the_engine(tree: Tree) -> None:
    built = tree.make()
    assert built.returncode == 0, built.stderr
    checked = tree.check()
    assert checked.returncode == 0, checked.stderr
    assert "for container_engine_domain" in checked.stdout


def test_so_it_is_with_fedora_s_names(tree: Tree) -> None:
    tree.speaks_fedora()
    built = tree.make()
    assert built.returncode == 0, built.stderr
    checked = tree.check()
    assert checked.returncode == 0, checked.stderr
    assert "for container_runtime_domain" in checked.stdout


def test_without_the_containers_headers_it_is_not_built(tree: Tree) -> None:
    """Fault of old: no rule for any engine, and not a word about it."""
    (tree.headers / "include/services/container.if").unlink()
    built = tree.make()
    assert built.returncode != 0 and not tree.module.exists()
    for word in ("container_stream_connect", "container-selinux", "CONTAINERS=no"):
        assert word in built.stderr


@pytest.mark.parametrize("need", sorted(needs()), ids="-".join)
def test_whatever_neither_policy_s_name_is_there_for_is_named(tree: Tree, need: tuple[str, str]) -> None:
    reference, fedora = need
    if fedora == "systemd_unit_file" and reference != "init_unit_file":  # nothing of its own on Fedora's
        tree.lacks(reference)
    else:
        tree.speaks_fedora()
        tree.lacks(fedora)
    built = tree.make()
    assert built.returncode != 0 and not tree.module.exists()
    assert fedora in built.stderr and "selinux-policy-dev on Debian" in built.stderr


def test_what_both_have_is_named_by_the_compiler(tree: Tree) -> None:
    assert "init_domain" in BOTH
    tree.lacks("init_domain")
    built = tree.make()
    assert built.returncode != 0 and "init_domain" in built.stderr


def test_a_host_without_containers_is_an_explicit_choice(tree: Tree) -> None:
    (tree.headers / "include/services/container.if").unlink()
    built = tree.make("CONTAINERS=no")
    assert built.returncode == 0, built.stderr
    assert tree.check("--without-containers").returncode == 0
    refused = tree.check()
    assert refused.returncode == 1 and "rules for an engine" in refused.stderr


def test_headers_that_are_not_there_are_named(tree: Tree) -> None:
    shutil.rmtree(tree.headers)
    built = tree.make()
    assert built.returncode != 0 and "selinux-policy-devel" in built.stderr
