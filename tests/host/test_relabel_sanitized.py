"""The C extension under the address and undefined-behaviour sanitizers: the engine's own tests once more."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.host

HERE = Path(__file__).parents[2]
SUITES = ["tests/host/test_relabel_engine.py", "tests/host/test_relabel_roundtrip.py"]
FUZZ = """
import random
from mcsd.relabel import _walk
dice = random.Random(3)
for _ in range(20000):
    index = _walk.Index()
    for _ in range(dice.randrange(4)):
        data = dice.randbytes(dice.randrange(24))
        try:
            index.add(data, dice.randrange(1 << 62), dice.choice([None, b"", b"label"]))
        except ValueError:
            continue
    index.find(dice.randrange(1 << 64))
    index.groups()
for wrong in [(), (1,), (b"", "x", None), (b"", 1, "text"), (b"", 1, bytes(5000))]:
    try:
        _walk.Index().add(*wrong)
    except (TypeError, ValueError):
        continue
    raise SystemExit(f"accepted: {wrong!r}")
"""


def library(name: str) -> str:
    """Ask the compiler where a sanitizer's library is."""
    found = subprocess.run(["gcc", f"-print-file-name={name}"], check=True, capture_output=True, text=True)
    return found.stdout.strip()


@pytest.fixture(scope="module")
def sanitized(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project with the extension built under the sanitizers."""
    copy = tmp_path_factory.mktemp("sanitized")
    for name in ("mcsd", "tests"):
        shutil.copytree(HERE / name, copy / name, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    for name in ("setup.py", "pyproject.toml"):
        shutil.copy(HERE / name, copy / name)
    subprocess.run(
        [sys.executable, "setup.py", "-q", "build_ext", "--inplace"],
        cwd=copy,
        env={**os.environ, "MCSD_SANITIZE": "1"},
        check=True,
        capture_output=True,
    )
    return copy


def run(sanitized: Path, *command: str) -> None:
    """Run Python there; a report of the sanitizers, or anything else that fails, fails the test."""
    environment = {
        **os.environ,
        "LD_PRELOAD": f"{library('libasan.so')} {library('libubsan.so')}",
        "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=0:exitcode=77",
        "UBSAN_OPTIONS": "print_stacktrace=1",
        "PYTHONMALLOC": "malloc",
    }
    done = subprocess.run(
        [sys.executable, *command],
        cwd=sanitized,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    said = done.stdout + done.stderr
    assert "Sanitizer" not in said, said[-6000:]
    assert "runtime error" not in said, said[-6000:]
    assert done.returncode == 0, said[-6000:]


def test_walks_are_clean(sanitized: Path) -> None:
    run(sanitized, "-c", "from mcsd.relabel import native; assert native.is_usable()")
    run(sanitized, "-m", "pytest", "-q", "-s", "-p", "no:cacheprovider", "-k", "native", *SUITES)


def test_whatever_an_index_is_given_is_clean(sanitized: Path) -> None:
    run(sanitized, "-c", FUZZ)
