"""The packages as this machine builds them: the same bytes each time, and nothing for rpmlint to say.

What becomes of them on a host is told in the guest, by `tests/vm/scripts/package.sh` and others.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mcsd import __version__

ROOT = Path(__file__).parents[2]
PACKAGING = ROOT / "packaging"
TOOLS = ("rpmbuild", "rpmlint", "checkmodule", "semodule_package", "cpio")
MISSING = [name for name in TOOLS if shutil.which(name, path="/usr/sbin:/usr/bin:/sbin:/bin") is None]

pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"there is no {' '.join(MISSING)}")


def run(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Path]]:
    """Two directories, each with all packages of a build of its own."""
    both = tmp_path_factory.mktemp("first"), tmp_path_factory.mktemp("second")
    for directory in both:
        run(
            PACKAGING / "rpm",
            "--output",
            directory,
            "--without",
            "check",
            "--define",
            f"check_python {sys.executable}",
        )
    yield both
    for directory in both:
        shutil.rmtree(directory)


def packages(directory: Path) -> dict[str, Path]:
    return {path.name: path for path in sorted(directory.glob("*.rpm"))}


def payload(package: Path) -> bytes:
    return subprocess.run(["rpm2cpio", package], capture_output=True, check=True).stdout


def test_the_same_tree_gives_the_same_payload(built: tuple[Path, Path]) -> None:
    first, second = map(packages, built)
    assert len(first) == 5 and set(first) == set(second)
    for name in first:
        assert payload(first[name]) == payload(second[name]), name


def test_rpmlint_has_nothing_to_say(built: tuple[Path, Path]) -> None:
    said = run(
        "rpmlint",
        "-c",
        PACKAGING / "mcsd.rpmlintrc.toml",
        PACKAGING / "mcsd.spec",
        *packages(built[0]).values(),
    )
    assert "5 packages and 1 specfiles checked; 0 errors, 0 warnings" in said, said


@pytest.mark.parametrize(
    ("distribution", "names"),
    [
        ("fedora 44", {"python3-libselinux", "python3-prometheus_client >= 0.19"}),
        ("rhel 10", {"python3-libselinux", "python3-prometheus_client >= 0.19"}),
        ("suse_version 1600", {"python3-selinux", "python3-prometheus-client >= 0.19", "python-rpm-macros"}),
    ],
)
def test_what_a_build_requires_is_called_as_the_distribution_calls_it(
    distribution: str, names: set[str]
) -> None:
    """`make rpm` installs it by these names, and mock would."""
    asked = run("rpmspec", "-q", "--buildrequires", "--define", distribution, PACKAGING / "mcsd.spec")
    assert names | {"container-selinux", "selinux-policy-devel", "make", "gcc"} <= set(asked.splitlines())


def test_a_host_without_containers_needs_no_engine_s_policy_to_build() -> None:
    spec = ("--define", "fedora 44", "--without", "containers", PACKAGING / "mcsd.spec")
    asked = run("rpmspec", "-q", "--buildrequires", *spec).splitlines()
    assert "container-selinux" not in asked and "selinux-policy-devel" in asked


def test_the_source_package_builds_with_nothing_of_ours_around_it(
    built: tuple[Path, Path], tmp_path: Path
) -> None:
    """As on a build host: no working tree, no environment, no macros but the distribution's."""
    (source,) = built[0].glob("*.src.rpm")
    done = subprocess.run(
        ["rpmbuild", "--rebuild", "--without", "check", source],
        cwd=tmp_path, env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(tmp_path)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    made = {path.name for path in tmp_path.glob("rpmbuild/RPMS/*/*.rpm")}
    assert made == {path.name for path in built[0].glob("*.rpm")} - {source.name}


def test_what_design_names_is_packed(built: tuple[Path, Path]) -> None:
    """Programs, units, configuration, manual, completion, catalog, licence: names that others rely on."""
    (main,) = (path for name, path in packages(built[0]).items() if name.endswith("x86_64.rpm"))
    listed = set(run("rpm", "-qpl", main).splitlines())
    wanted = {
        "/usr/sbin/mcsd", "/usr/bin/mcsctl", "/etc/mcsd/mcsd.toml",
        "/usr/libexec/mcsd/mcsd-gate", "/usr/libexec/mcsd/mcsd-gate.py", "/usr/libexec/mcsd/oci/calls.py",
        "/usr/lib/systemd/system/mcsd.service", "/usr/lib/systemd/system/mcsd.socket",
        "/usr/lib/sysusers.d/mcsd.conf", "/usr/lib/tmpfiles.d/mcsd.conf",
        "/usr/share/bash-completion/completions/mcsctl", "/usr/lib/systemd/catalog/mcsd.catalog",
    }  # fmt: skip
    assert wanted <= listed
    names = {Path(path).name for path in listed}
    assert {"mcsctl.1.gz", "mcsd.8.gz", "mcsd.toml.5.gz", "LICENSE"} <= names
    flagged = run("rpm", "-qp", "--qf", "[%{FILENAMES} %{FILEFLAGS:fflags}\n]", main)
    flags = dict(line.rsplit(" ", 1) for line in flagged.splitlines())
    assert set(flags["/etc/mcsd/mcsd.toml"]) == set("cn")
    assert "g" in flags["/var/lib/mcsd"]


def test_it_is_installed_where_there_is_no_policy(built: tuple[Path, Path]) -> None:
    """A host without SELinux needs no module; one with a policy gets the module of the very same build."""
    (main,) = (path for name, path in packages(built[0]).items() if name.endswith("x86_64.rpm"))
    required = run("rpm", "-qp", "--requires", main)
    assert f"(mcsd-selinux = {__version__}-1 if selinux-policy-base)" in required
    assert not [line for line in required.splitlines() if line.startswith(("selinux-policy", "mcsd-selinux"))]


@pytest.mark.parametrize(("name", "version"), [("fedora", 42), ("rhel", 10)])
def test_the_spec_is_one_for_other_distributions_too(name: str, version: int) -> None:
    """There everything is required by the names it has there, and nothing is left to chance or unexpanded."""
    text = run("rpmspec", "-P", "--define", f"{name} {version}", PACKAGING / "mcsd.spec")
    for wanted in ("selinux-policy-devel", "systemd-rpm-macros", "python3-devel", "python3-pytest"):
        assert f"BuildRequires:  {wanted}\n" in text
    assert "Requires:       selinux-policy-targeted\n" in text
    assert "%{" not in text


def test_every_scriptlet_is_a_shell_script(built: tuple[Path, Path]) -> None:
    for package in packages(built[0]).values():
        if ".src." in package.name:
            continue
        for part in ("PREIN", "POSTIN", "PREUN", "POSTUN", "POSTTRANS"):
            text = run("rpm", "-qp", "--qf", f"%{{{part}}}", package)
            if text != "(none)":
                subprocess.run(["sh", "-n"], input=text, text=True, check=True)


def test_who_speaks_to_the_network_is_a_package_of_its_own(built: tuple[Path, Path]) -> None:
    (fleet,) = (path for name, path in packages(built[0]).items() if name.startswith("mcsd-fleet"))
    listed = set(run("rpm", "-qpl", fleet).splitlines())
    assert {
        "/usr/libexec/mcsd/mcsd-fleet",
        "/usr/lib/systemd/system/mcsd-fleet.service",
        "/usr/lib/systemd/system/mcsd-fleet.socket",
        "/usr/lib/sysusers.d/mcsd-fleet.conf",
    } <= listed
    assert [one for one in listed if one.endswith("/fleet.toml")], "the example of a configuration"
    (main,) = (path for name, path in packages(built[0]).items() if name.endswith("x86_64.rpm"))
    assert not [one for one in run("rpm", "-qpl", main).splitlines() if one.endswith("mcsd-fleet")]
