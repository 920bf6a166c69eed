"""The guest for tests: a script runs in a copy of its own, and tells its story in TAP."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.vm import tap

RUN = Path(__file__).parent / "run"
Runner = Callable[..., tap.Story]


@pytest.fixture
def guest() -> Runner:
    """`guest(script, *options)`: runs it, and gives its story; a guest that broke fails the test at once."""

    def run(script: Path, *options: str, timeout: float = 1800, may_fail: bool = False) -> tap.Story:
        command: Sequence[str] = [str(RUN), str(script), "--timeout", f"{timeout:g}", *options]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
        print(done.stdout)
        print(done.stderr)
        story = tap.read(done.stdout)
        if done.returncode in (124, 125, 126) or (done.returncode != 0 and not story.complaints()):
            pytest.fail(
                f"{script.name} left with status {done.returncode}: {done.stderr.strip()}", pytrace=False
            )
        if not may_fail and (wrong := story.complaints()):
            pytest.fail("\n\n".join(wrong), pytrace=False)
        return story

    return run
