"""The gate's front under the address and undefined-behaviour sanitizers: its own tests once more.

MCSD_LONG says how many random calls there are; `make test-long` has many.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.installed_gate import build_front

pytestmark = pytest.mark.host

HERE = Path(__file__).parents[2]


def test_whatever_it_is_called_with_is_clean(tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "MCSD_SANITIZE": "address",
        "ASAN_OPTIONS": f"log_path={tmp_path / 'report'}:exitcode=77",
        "UBSAN_OPTIONS": f"log_path={tmp_path / 'report'}:print_stacktrace=1:exitcode=77",
    }
    suite = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/unit/runtime/test_front.py"]
    suite += ["tests/unit/runtime/test_main.py"]
    done = subprocess.run(
        [sys.executable, *suite], cwd=HERE, env=environment, capture_output=True, text=True, check=False
    )
    reports = [path.read_text() for path in tmp_path.glob("report*")]
    assert not reports, reports[0][:6000]
    assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]
    assert " passed" in done.stdout


def test_the_program_that_was_tested_has_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a build that leaves them out is no pass."""
    monkeypatch.setenv("MCSD_SANITIZE", "address")
    front = build_front(tmp_path / "mcsd-gate").read_bytes()
    assert b"__asan_init" in front and b"__ubsan_handle" in front
