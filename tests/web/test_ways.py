"""The page's way to mcsd: when that restarts, and when it is somebody else who looks."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mcsd.core.snapshot import Event
from tests.fakes.serving import serving
from tests.web.browser import Browser
from tests.web.console import running_console
from tests.web.scene import quiet_service, troubled_service

pytestmark = pytest.mark.host

LOCKED = "Needs administrative access: turn it on at the top of the page"
OTHERS = 1
"""Who follows the events beside the page: the socket's own counting for the metrics."""


def test_mcsd_may_restart_meanwhile(browser: Browser, top: Path) -> None:
    """What was known stays, is said to be old, and is replaced when mcsd is back; its events count anew."""
    place = top / "again"
    (place / "run").mkdir(parents=True)
    with running_console(place, place / "run") as console:
        with serving(troubled_service(), place / "run/mcsd.sock"):
            browser.open(f"{console.url}#/events")
            browser.wait_for("volume-refused")
        browser.wait_for("mcsd does not answer")
        assert "volume-refused" in browser.text()
        service = quiet_service()
        service.scene.now += 100
        service.tell(Event(1, service.scene.now, "started", "mcsd has started anew", 6))
        with serving(service, place / "run/mcsd.sock") as served:
            browser.wait_for("mcsd has started anew")
            browser.wait(lambda: "does not answer" not in browser.text(), "the word's end")
            assert "volume-refused" not in browser.text()
            browser.go("#/")
            browser.wait_for("All is well")
            browser.open("about:blank")
            served.wait(lambda: served.service.readers == OTHERS)


@pytest.mark.parametrize(("group", "reads"), [(4242, True), (4243, False)])
def test_others_see_all_or_nothing_and_change_nothing(
    browser: Browser, top: Path, group: int, reads: bool
) -> None:
    """Members of the socket's group read; whoever is neither is told why there is nothing."""
    place = top / f"group-{group}"
    (place / "run").mkdir(parents=True)
    bridge = ("setpriv", "--reuid=65534", f"--regid={group}", "--clear-groups", "cockpit-bridge")
    service = troubled_service()
    with serving(service, place / "run/mcsd.sock", mode=0o660, gid=4242) as served:
        os.chmod(place / "run", 0o755)
        with running_console(place, place / "run", bridge=bridge) as console:
            browser.open(console.url)
            if reads:
                browser.wait_for("things are not well")
                script = """
                    const buttons = [...document.querySelectorAll("main button")];
                    const scan = buttons.find(one => one.innerText === "Scan");
                    return [scan?.disabled, scan?.title];
                """
                browser.wait(lambda: browser.run(script) == [True, LOCKED], "the lock")
            else:
                browser.wait_for("You may not read mcsd's socket")
            browser.open("about:blank")
            served.wait(lambda: served.service.readers == OTHERS)
    assert service.done == []
