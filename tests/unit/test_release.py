"""`packaging/release`: what stands in the way of a release is named, and nothing is tagged unasked."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mcsd import __version__

TREE = Path(__file__).resolve().parents[2]
FILES = (
    "pyproject.toml",
    "mcsd/__init__.py",
    "packaging/mcsd.spec",
    "packaging/release",
    "selinux-policy/mcsd.te",
    "CHANGELOG.md",
)
PACKAGES = (
    f"mcsd-{__version__}-1.src.rpm",
    f"mcsd-{__version__}-1.x86_64.rpm",
    f"mcsd-selinux-{__version__}-1.noarch.rpm",
)

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="there is no git")


def git(tree: Path, *arguments: str) -> str:
    who = ("-c", "user.name=somebody", "-c", "user.email=somebody@localhost", "-c", "commit.gpgsign=false")
    return subprocess.run(
        ["git", *who, "-C", tree, *arguments], capture_output=True, text=True, check=True
    ).stdout.strip()


def release(tree: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", str(TREE / "packaging/release"), "--tree", str(tree), *options]
    env = {
        "PATH": "/usr/bin:/bin",
        "GIT_COMMITTER_NAME": "somebody",
        "GIT_COMMITTER_EMAIL": "somebody@localhost",
    }
    return subprocess.run(command, capture_output=True, text=True, env=env)


def edit(tree: Path, name: str, old: str, new: str) -> None:
    text = (tree / name).read_text(encoding="utf-8")
    assert old in text
    (tree / name).write_text(text.replace(old, new, 1), encoding="utf-8")
    git(tree, "commit", "--quiet", "--all", "--message", "change")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A clean clone of what a release reads, with nothing unreleased."""
    for name in FILES:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(TREE / name, tmp_path / name)
    changelog = (TREE / "CHANGELOG.md").read_text(encoding="utf-8")
    head, _, rest = changelog.partition("## [Unreleased]\n")
    released = rest[rest.index("## [") :]
    (tmp_path / "CHANGELOG.md").write_text(f"{head}## [Unreleased]\n\n{released}", encoding="utf-8")
    (tmp_path / ".gitignore").write_text("/dist/\n")
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "--message", "first")
    return tmp_path


@pytest.fixture
def built(tree: Path) -> Path:
    (tree / "dist").mkdir()
    for name in (*PACKAGES, "mcsd-0.0.9-1.x86_64.rpm"):
        (tree / "dist" / name).write_bytes(name.encode())
    return tree


def test_this_tree_has_one_version_and_a_changelog_in_form() -> None:
    """Between releases there may be entries under Unreleased, and the tree need not be clean."""
    said = release(TREE, "--check").stderr
    assert "not the same everywhere" not in said, said
    assert "does not begin" not in said and "does not say" not in said, said


def test_a_clean_tree_is_ready(tree: Path) -> None:
    done = release(tree, "--check")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("pyproject.toml", f'version = "{__version__}"', 'version = "7.7.7"'),
        ("mcsd/__init__.py", f'"{__version__}"', '"7.7.7"'),
        ("packaging/mcsd.spec", f"Version:        {__version__}", "Version:        7.7.7"),
        ("packaging/mcsd.spec", f" - {__version__}-1", " - 7.7.7-1"),
        ("selinux-policy/mcsd.te", f"policy_module(mcsd, {__version__})", "policy_module(mcsd, 7.7.7)"),
        ("CHANGELOG.md", f"## [{__version__}]", "## [7.7.7]"),
    ],
)
def test_one_place_with_another_version_is_named(tree: Path, name: str, old: str, new: str) -> None:
    edit(tree, name, old, new)
    done = release(tree, "--check")
    assert done.returncode == 1
    assert "not the same everywhere" in done.stderr
    assert [line for line in done.stderr.splitlines() if line.startswith("  7.7.7") and name in line]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("## [Unreleased]\n", "## [Unreleased]\n\n- Something.\n", "has entries under"),
        ("## [Unreleased]\n", "", "does not begin with"),
        (f"## [{__version__}] - 20", f"## [{__version__}] - 19", "changelog does not say"),
    ],
)
def test_a_changelog_that_is_not_ready_is_told(tree: Path, old: str, new: str, said: str) -> None:
    edit(tree, "CHANGELOG.md", old, new)
    done = release(tree, "--check")
    assert done.returncode == 1 and said in done.stderr, done.stderr


@pytest.mark.parametrize("name", ["CHANGELOG.md", "new-file"])
def test_what_is_not_committed_is_no_release(tree: Path, name: str) -> None:
    with (tree / name).open("a") as file:
        file.write("\n")
    done = release(tree, "--check")
    assert done.returncode == 1 and "not committed" in done.stderr and name in done.stderr


def test_a_version_that_was_released_is_not_released_again(tree: Path) -> None:
    git(tree, "tag", __version__)
    assert release(tree, "--check").returncode == 0  # the same commit, built once more
    git(tree, "commit", "--quiet", "--allow-empty", "--message", "later")
    done = release(tree, "--check")
    assert done.returncode == 1 and "choose the next version" in done.stderr


def test_checksums_and_notes_lie_beside_the_packages(built: Path) -> None:
    done = release(built)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"git tag -a {__version__}" in done.stdout
    assert git(built, "tag") == ""
    lines = [f"{hashlib.sha256(name.encode()).hexdigest()}  {name}" for name in PACKAGES]
    assert (built / "dist/SHA256SUMS").read_text().splitlines() == lines
    subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=built / "dist", check=True)
    notes = (built / "dist/release-notes.md").read_text()
    assert notes.startswith(f"# mcsd {__version__}\n\n") and "\n## " not in notes and "### Added" in notes


def test_the_tag_is_set_when_it_is_asked_for(built: Path) -> None:
    done = release(built, "--tag")
    assert (done.returncode, done.stderr) == (0, "")
    assert git(built, "rev-list", "-n1", __version__) == git(built, "rev-parse", "HEAD")
    assert git(built, "cat-file", "-t", __version__) == "tag"


@pytest.mark.parametrize("missing", [PACKAGES[0], PACKAGES[2]])
def test_a_package_that_was_not_built_is_named(built: Path, missing: str) -> None:
    (built / "dist" / missing).unlink()
    done = release(built)
    assert done.returncode == 1 and missing.split("-1.")[0] in done.stderr
    assert not (built / "dist/SHA256SUMS").exists() and git(built, "tag") == ""
