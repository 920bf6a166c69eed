"""The guest for tests: a script runs in a copy of its own, and tells its story in TAP."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.vm import tap

RUN = Path(__file__).parent / "run"
RAN_ON = "ran on"
Runner = Callable[..., tap.Story]


@pytest.fixture
def guest(request: pytest.FixtureRequest) -> Runner:
    """`guest(script, *options)`: runs it, and gives its story; a guest that broke fails the test at once."""

    def run(script: Path, *options: str, timeout: float = 1800, may_fail: bool = False) -> tap.Story:
        command: Sequence[str] = [str(RUN), str(script), "--timeout", f"{timeout:g}", *options]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
        print(done.stdout)
        print(done.stderr)
        story = tap.read(done.stdout)
        for where in re.findall(rf"^tests/vm: {RAN_ON} (.*)$", done.stderr, re.M):
            request.node.user_properties.append((RAN_ON, f"{len(story.claims):4} claims on {where}"))
        if done.returncode in (124, 125, 126) or (done.returncode != 0 and not story.complaints()):
            pytest.fail(
                f"{script.name} left with status {done.returncode}: {done.stderr.strip()}", pytrace=False
            )
        if not may_fail and (wrong := story.complaints()):
            pytest.fail("\n\n".join(wrong), pytrace=False)
        return story

    return run


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Tell what ran where: which kernel and policy were the witness of which claims."""
    ran = [
        (report.nodeid.partition("::")[2], where)
        for reports in terminalreporter.stats.values()
        for report in reports
        if isinstance(report, pytest.TestReport) and report.when == "call"
        for name, where in report.user_properties
        if name == RAN_ON
    ]
    if ran:
        terminalreporter.section("what ran where")
        for name, where in sorted(ran):
            terminalreporter.line(f"{name:54} {where}")
