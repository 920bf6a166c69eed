"""The working tree as the guest gets it: what git knows or would, in its present state."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.vm.cache import HarnessError
from tests.vm.jobs import Put

ROOT = Path(__file__).resolve().parents[2]
TREE = "/usr/src/mcsd"
"""Where it lies in the guest."""
_NEVER = {
    ".git",
    ".venv",
    "build",
    "dist",
    "__pycache__",
    ".mypy_cache",
    ".ruff_cache",
    ".pytest_cache",
    ".hypothesis",
}


def files() -> list[str]:
    """Names of the tree's files; of a tree that is no repository, all but what is made from others."""
    if (ROOT / ".git").exists():
        listed = subprocess.run(
            ["git", "-c", "safe.directory=*", "-C", str(ROOT), "ls-files", "-coz", "--exclude-standard"],
            capture_output=True, check=True,
        )  # fmt: skip
        names = listed.stdout.decode().split("\0")
    else:
        below = ((path, path.relative_to(ROOT)) for path in ROOT.rglob("*"))
        names = [
            str(name)
            for path, name in below
            if path.is_file() and not _NEVER & set(name.parts) and path.suffix != ".so"
        ]
    return sorted({name for name in names if name and (ROOT / name).is_file()})


def tree_put() -> Put:
    return Put(ROOT, TREE, files())


def matching(patterns: Sequence[str]) -> list[Path]:
    """Return the files that a level is built from; raise `HarnessError` for a pattern without any.

    A pattern that matches nothing would leave a level as it is when its files change.
    """
    names = files()
    for pattern in patterns:
        if not any(Path(name).match(pattern) or name.startswith(f"{pattern}/") for name in names):
            raise HarnessError(f"nothing in the tree is called {pattern!r}: see {Path(__file__).parent}")
    return [
        ROOT / name
        for name in names
        if any(Path(name).match(pattern) or name.startswith(f"{pattern}/") for pattern in patterns)
    ]
