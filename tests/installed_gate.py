"""The gate's program as packages install it, in both its forms: with the front in C, and Python alone."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from mcsd.runtime.oci.calls import SOCKET

TREE = Path(__file__).parents[1]
RUNTIME = TREE / "mcsd" / "runtime"


def has_compiler() -> bool:
    """Tell whether the front can be built here."""
    return shutil.which("cc") is not None


def build_front(output: Path, *, runtimes: Sequence[str] = ()) -> Path:
    """Build the front as packages do, and give its path; `runtimes` are others than the usual ones.

    MCSD_SANITIZE in the environment builds it under sanitizers.
    """
    environment = dict(os.environ)
    if runtimes:
        header = output.with_suffix(".h")
        names = ", ".join(f'"{path}"' for path in runtimes)
        header.write_text(f"#define MCSD_RUNTIMES {names}\n")
        environment["MCSD_INJECT"] = str(header)
    command = [sys.executable, "-W", "ignore", "setup.py", "-q", "build_front", f"--output={output}"]
    done = subprocess.run(command, cwd=TREE, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "warning:" not in done.stderr, done.stderr
    return output


WITHOUT = """
import builtins

def _import(name, namespace=None, *rest, there=builtins.__import__):
    if name in {"_json", "_signal", "_socket"} and (namespace or {}).get("__file__", "").startswith(ROOT):
        raise ImportError(name)
    return there(name, namespace, *rest)

builtins.__import__ = _import
"""
"""Hides from the program, and from nobody else, what an interpreter need not have."""


def install(
    root: Path, front: Path | None, *, socket: Path | None = None, documented_only: bool = False
) -> Path:
    """Lay the program down in `root`, behind a front where one is given; give the path that Docker calls.

    `socket` is where it asks mcsd without being told; None for where packages have it. `documented_only`
    leaves it those modules of the standard library alone that are documented.
    """
    root.mkdir(exist_ok=True)
    program = root / "mcsd-gate"
    if front is not None:
        shutil.copy(front, program)
    python = program if front is None else root / "mcsd-gate.py"
    shutil.copy(RUNTIME / "main.py", python)
    if documented_only:
        text, there = python.read_text(), "from __future__ import annotations\n"
        assert there in text
        python.write_text(text.replace(there, f"{there}ROOT = {str(root)!r}\n{WITHOUT}", 1))
    for path in (program, python):
        path.chmod(0o755)
    for name in ("mcsd-gate-crun", "mcsd-gate-runc", "mcsd-gate-precreate"):
        shutil.copy(RUNTIME / name, root)
    shutil.copytree(RUNTIME / "oci", root / "oci", ignore=shutil.ignore_patterns("__pycache__"))
    if socket is not None:
        calls = root / "oci" / "calls.py"
        text, there = calls.read_text(), f'SOCKET = "{SOCKET}"'
        assert there in text
        calls.write_text(text.replace(there, f'SOCKET = "{socket}"'))
    compiling = ["/usr/bin/python3", "-m", "compileall", "-q", "--invalidation-mode", "checked-hash"]
    subprocess.run([*compiling, str(root / "oci")], check=True)
    return program
