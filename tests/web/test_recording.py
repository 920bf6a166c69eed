"""Recorded states are answers as the API gives them now, and a page with them says that they are no more."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from mcsd.api.routes import ROUTES
from tests.web.browser import Browser
from tests.web.console import ROOT
from tests.web.recording import load, moved, read_log

ANSWERS = {route.path: route.answer for route in ROUTES if route.method == "GET"}


@pytest.mark.parametrize("path", sorted(load()))
def test_what_was_recorded_is_what_the_api_answers(path: str) -> None:
    """Where the API has gone on since, it is recorded again: tests/vm/record_states.sh."""
    model = ANSWERS[path]
    assert model is not None
    answer = load()[path]
    read = model.model_validate(answer).model_dump(mode="json")
    assert read.keys() == answer.keys()
    for items in (name for name in ("items", "findings") if name in answer):
        assert [one.keys() for one in read[items]] == [one.keys() for one in answer[items]]


def test_times_are_moved_and_nothing_else() -> None:
    told = {
        "a": "2026-11-29T13:00:00Z",
        "b": ["2026-11-29T13:00:00.500Z", "s0:c1,c2"],
        "c": 1_790_000_000.0,
        "d": 7,
    }
    assert moved(told, 60) == {
        "a": "2026-11-29T13:01:00+00:00",
        "b": ["2026-11-29T13:01:00.500000+00:00", "s0:c1,c2"],
        "c": 1_790_000_060.0,
        "d": 7,
    }


def test_a_log_without_answers_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing was recorded"):
        read_log("ok 1 - systemd starts mcsd\n")


@pytest.fixture
def address() -> Iterator[str]:
    """Where `make demo WEB=1` says that it is."""
    command = [sys.executable, "-u", "-m", "tests.web.demo", "--port=0"]
    demo = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, env=dict(os.environ))
    assert demo.stdout is not None
    try:
        with demo.stdout as said:
            yield said.readline().split()[-1]
        demo.send_signal(signal.SIGINT)
        assert demo.wait(30) == 0
    finally:
        demo.kill()
        demo.wait()


def test_the_demo_shows_every_page_marked_as_such_and_changes_nothing(address: str, browser: Browser) -> None:
    browser.size(1440)
    browser.open(address)
    browser.wait_for("Recorded states")
    shown = {"#/": "legacy-agent", "#/map": "Held by no level", "#/audit": "a privileged container"}
    shown |= {"#/events": "volume-labelled", "#/container/web": "Level and process", "#/denials": "denial"}
    for place, text in shown.items():
        browser.go(place)
        browser.wait_for(text)
        assert "Nothing shown here is so on this machine" in browser.text()
    browser.go("#/")
    browser.click("Scan")
    browser.wait_for("these are recorded states: nothing is changed")
    browser.open("about:blank")
