"""On CI a missing tool is a failure: what would be skipped for want of one fails."""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest

_WANTING = ("there is no ", "is not installed", "is not built", "could not import")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.skipped and os.environ.get("CI") and any(text in str(report.longrepr) for text in _WANTING):
        report.outcome = "failed"
        report.longrepr = f"skipped on CI, where everything must be there: {report.longrepr}"
    return report
