"""The page in Cockpit, in a browser, on the socket of a daemon that has every kind of trouble."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mcsd.core.snapshot import Event
from mcsd.errors import ConflictError
from tests.fakes.service import FakeService
from tests.fakes.serving import Served, serving
from tests.web.browser import Browser
from tests.web.console import Console, running_console
from tests.web.scene import HOSTILE, HOSTILE_PATH, troubled_service

pytestmark = pytest.mark.host

AXE = Path(__file__).parent / "node_modules/axe-core/axe.min.js"
PAGES = {
    "#/": "things are not well",
    "#/map": "Held by no level",
    "#/container/web": "Level and process",
    "#/denials": "web-clone",
    "#/audit": "a privileged container",
    "#/events": "volume-refused",
}
"""Where each page is, and what it shows when it is there."""

LOCKED = "Needs administrative access: turn it on at the top of the page"
OTHERS = 1
"""Who follows the events beside the page: the socket's own counting for the metrics."""

BUTTONS = {
    "#/": {
        "Show them",
        "Verify",
        "Verify and repair",
        "Scan",
        "Restore labels of /mnt/usb",
        "Restore labels of /srv/old",
    },
    "#/map": set(),
    "#/container/web": {"Verify", "Verify and repair"},
    "#/denials": {"Have denials followed"},
    "#/audit": {"Audit now"},
    "#/events": {"Pause"},
}
"""Each button that does something, by page; chips and copying come on top. A new one needs a test below."""


@pytest.fixture(scope="module")
def served(top: Path) -> Iterator[Served]:
    with serving(troubled_service(), top / "run/mcsd.sock") as running:
        yield running


@pytest.fixture(scope="module")
def console(top: Path, served: Served) -> Iterator[Console]:
    with running_console(top, top / "run") as running:
        yield running


@pytest.fixture
def page(browser: Browser, console: Console, served: Served) -> Iterator[Browser]:
    """The overview, wide and light; whatever the browser complains of fails the test."""
    served.service.done.clear()
    browser.size(1440)
    browser.open(console.url)
    browser.theme("light")
    browser.wait_for(PAGES["#/"])
    browser.errors()
    yield browser
    assert browser.run("return window.hacked") is None
    assert browser.errors() == []
    browser.open("about:blank")
    served.wait(lambda: served.service.readers == OTHERS)


def visit(page: Browser, place: str) -> None:
    page.go(place)
    page.wait_for(PAGES[place])


def shown_within(page: Browser, selector: str) -> str:
    return str(page.run("return document.querySelector(arguments[0])?.innerText ?? ''", selector))


# --- every page ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", PAGES)
def test_each_page_is_for_everyone_in_both_colours(page: Browser, place: str) -> None:
    """axe finds nothing, on a wide and on a narrow screen, and nothing leads beyond its edge."""
    visit(page, place)
    page.run(AXE.read_text())
    for width, theme in ((1440, "light"), (360, "dark")):
        page.size(width)
        page.theme(theme)
        assert violations(page) == []
        assert page.run("return document.documentElement.scrollWidth") <= width


def violations(page: Browser) -> list[str]:
    script = """
        const where = it => `${it.html} ${it.any.map(one => one.message)}`;
        return axe.run(document, { resultTypes: ["violations"] }).then(found => found.violations.map(one =>
            `${one.id}: ${one.help}: ${one.nodes.slice(0, 3).map(where).join(" | ")}`));
    """
    return list(page.run(script))


@pytest.mark.parametrize("width", [360, 800, 2560])
def test_no_page_is_wider_than_its_window(page: Browser, width: int) -> None:
    page.size(width)
    for place in PAGES:
        visit(page, place)
        assert page.run("return document.documentElement.scrollWidth") <= width, place


def test_names_are_text_wherever_they_are(page: Browser) -> None:
    """Neither a container's name nor a path becomes markup, and both can be read as they are."""
    page.wait_for(HOSTILE)
    for place in ("#/map", "#/denials", "#/events"):
        visit(page, place)
        assert page.run("return document.querySelectorAll('#app img, #app script').length") == 0
    page.go("#/")
    page.click(HOSTILE, within="#app .table")
    page.wait_for("Level and process")
    page.wait_for(HOSTILE_PATH)
    assert page.run("return document.querySelector('h1').innerText") == HOSTILE
    assert page.run("return document.querySelectorAll('#app img, #app script').length") == 0


def test_what_is_made_up_to_be_printed_is_shown_with_its_tricks(page: Browser) -> None:
    page.go("#/container/evil")
    page.wait_for("\\x1b[31mred\\x0amcsd: all is well\\u202e")


# --- every button --------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", PAGES)
def test_each_button_is_tested(page: Browser, place: str) -> None:
    visit(page, place)
    script = """
        return [...document.querySelectorAll("main button.button:not(.plain)")].map(one =>
            (one.getAttribute("aria-label") ?? one.innerText).trim());
    """
    assert set(page.run(script)) == BUTTONS[place]


def done(page: Browser, served: Served, what: str) -> None:
    page.wait(lambda: what in served.service.done, what)


@pytest.mark.parametrize(("place", "target"), [("#/", "None"), ("#/container/web", "9e3779b97f4a7c15" * 4)])
def test_verifying_and_repairing(page: Browser, served: Served, place: str, target: str) -> None:
    visit(page, place)
    page.click("Verify")
    done(page, served, f"verify {target} False")
    page.wait_for("Something does not agree")
    page.wait_for("/srv/web: 2 differ")
    page.click("Verify and repair", within="main")
    page.click("Cancel", within="dialog")
    page.click("Verify and repair", within="main")
    page.click("Verify and repair", within="dialog")
    done(page, served, f"verify {target} True")
    page.wait_for("2 volumes: everything agrees")


def test_restoring_a_volume(page: Browser, served: Served) -> None:
    page.click("Restore labels of /srv/old")
    page.wait_for("gets the labels back that it had before")
    page.click("Restore labels", within="dialog")
    done(page, served, "restore /srv/old")
    page.wait_for("/srv/old: 12 restored, 1 left alone")


def test_scanning(page: Browser, served: Served) -> None:
    page.click("Scan")
    done(page, served, "scan  False")
    page.wait_for("The scan has begun")


def test_holding_a_boolean(page: Browser, served: Served) -> None:
    page.type("Hold container_use_nfs", "on")
    done(page, served, "boolean container_use_nfs on")
    page.wait_for("container_use_nfs is on now")
    page.click("Close")
    page.wait(lambda: "is on now" not in page.text(), "the word's end")


def test_what_mcsd_refuses_is_told_with_its_hint(page: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_self: FakeService, _top: str, *, gently: bool) -> None:
        raise ConflictError("a scan runs already", hint="mcsctl scan --status")

    monkeypatch.setattr(FakeService, "scan", refuse)
    page.click("Scan")
    page.wait_for("It was not done")
    page.wait_for("a scan runs already")
    page.wait_for("mcsctl scan --status")


def test_showing_those_that_are_not_isolated(page: Browser) -> None:
    page.click("Show them")
    page.wait(
        lambda: "app-003" not in shown_within(page, "#card-containers ~ *, section.card table"), "the filter"
    )
    page.click("Show all")
    page.wait_for("app-003")
    page.type("Filter containers", "APP-00")
    page.wait(
        lambda: "legacy-agent" not in shown_within(page, "section[aria-labelledby=card-containers]"),
        "the filter",
    )


def test_an_audit_and_following_denials_are_units_that_are_started(page: Browser, top: Path) -> None:
    visit(page, "#/audit")
    page.click("Audit now")
    page.wait_for("The host was audited")
    visit(page, "#/denials")
    page.click("Have denials followed")
    page.wait_for("Denials are followed from now on")
    said = (top / "systemctl").read_text().splitlines()
    assert said[-2:] == ["start mcsd-audit.service", "enable --now mcsd-denials.service"]
    (top / "refuse").touch()
    page.click("Have denials followed")
    page.wait_for("It was not done")
    (top / "refuse").unlink()


def test_severities_are_chosen(page: Browser) -> None:
    visit(page, "#/audit")
    page.run("[...document.querySelectorAll('.chip')].find(one => one.innerText.startsWith('low')).click()")
    page.wait(lambda: "a privileged container" not in page.text(), "the choice")
    assert "it is our own" in page.text(), "what is accepted is apart"


def test_events_are_live_and_can_be_held_and_chosen(page: Browser, served: Served) -> None:
    visit(page, "#/events")
    happens(served, "a first thing")
    page.wait_for("a first thing")
    page.click("Pause")
    happens(served, "a second thing")
    page.click("Go on")
    page.wait_for("a second thing")
    page.type("Importance", "3")
    page.wait(lambda: "a second thing" not in page.text(), "the choice")
    assert "is not separate from web" in page.text()
    assert page.run("return location.hash") == "#/events?priority=3"


def happens(served: Served, message: str) -> None:
    def work() -> None:
        number = 1000 + len(served.service.recent_events())
        served.service.tell(Event(number, served.service.scene.now, "granted", message, 6))

    served.on_loop(work)


# --- the map -------------------------------------------------------------------------------------------


def test_the_map_tells_what_reaches_what_in_words_too(page: Browser) -> None:
    visit(page, "#/map")
    told = page.run("return document.querySelector('#app').textContent")
    assert "by its level, after an escape: /srv/web" in told
    page.type("Filter the map", "shop")
    page.wait(lambda: "legacy-agent" not in page.text(), "the filter")
    assert "Together" in page.text() and "pay" in page.text()


def test_300_containers_are_on_the_map_and_in_the_list(
    browser: Browser, top: Path, console: Console, served: Served
) -> None:
    scene = served.service.scene
    try:
        served.on_loop(lambda: setattr(served.service, "scene", troubled_service(more=300).scene))
        browser.size(1440)
        browser.open(f"{console.url}#/map")
        browser.wait_for("app-299")
        browser.wait(lambda: browser.run("return document.querySelectorAll('.cell').length") > 300, "the map")
        browser.go("#/")
        browser.click("Show all 312")
        browser.wait(
            lambda: browser.run("return document.querySelectorAll('tbody tr').length") > 300, "the list"
        )
    finally:
        browser.open("about:blank")
        served.on_loop(lambda: setattr(served.service, "scene", scene))


def test_what_is_drawn_piece_by_piece_is_what_is_drawn_at_once(page: Browser) -> None:
    """From any list to any other: nothing is left out in the end, and no piece is larger than asked for."""
    told = page.run(
        """
        return import("./js/tree.js").then(({ h, patch }) => {
            const item = name => h("li", { key: name }, h("b", {}, name), " ", name);
            const first = [...Array(90).keys()];
            const lists = [[], first, first.slice(0, 50).reverse(), [3, 70, 5, 99, 98], []];
            const pieces = document.createElement("ul"), whole = document.createElement("ul");
            const wrong = [];
            for (const list of lists.map(one => one.map(number => item(`n${number}`)))) {
                patch(whole, list);
                for (let calls = 0, cut = true; cut; calls += 1) {
                    const before = pieces.childElementCount;
                    const budget = { left: 20, cut: false };
                    patch(pieces, list, budget);
                    cut = budget.cut;
                    if (calls > 40 || pieces.childElementCount - before > 5)
                        wrong.push(`call ${calls}: ${before} to ${pieces.childElementCount}`);
                    if (wrong.length)
                        break;
                }
                if (pieces.innerHTML !== whole.innerHTML)
                    wrong.push(pieces.innerHTML);
            }
            const mounted = node => node.childElementCount === 2 || wrong.push("a dialog in pieces");
            const buttons = ["yes", "no"].map(key => h("b", { key }, key));
            const dialog = h("dialog", { key: "d", mounted }, buttons);
            patch(pieces, [...first.map(number => item(`n${number}`)), dialog], { left: 3, cut: false });
            if (!pieces.querySelector("dialog"))
                wrong.push("no dialog");
            for (let calls = 0; calls < 9; calls += 1)
                patch(whole, [item("same"), item("same"), item("other")]);
            if (whole.childElementCount !== 3)
                wrong.push(`one key twice: ${whole.childElementCount}`);
            return wrong;
        })
        """
    )
    assert told == []


# --- the keyboard --------------------------------------------------------------------------------------


def test_everything_is_reached_by_the_keyboard(page: Browser) -> None:
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    def press(key: str) -> None:
        ActionChains(page.driver).send_keys(key).perform()

    def here() -> Any:
        return page.run("return document.activeElement?.innerText.trim()")

    press(Keys.TAB)
    assert here() == "Skip to the content"
    press(Keys.TAB)
    press(Keys.TAB)
    assert here() == "Map"
    press(Keys.ENTER)
    page.wait_for(PAGES["#/map"])
    visit(page, "#/")
    page.run(
        """[...document.querySelectorAll("main button")]
            .find(one => one.innerText === "Verify and repair").focus()"""
    )
    press(Keys.ENTER)
    page.wait_for("Every file is looked at")
    press(Keys.ESCAPE)
    page.wait(lambda: not page.run("return document.querySelector('dialog')"), "the question's end")


@pytest.mark.parametrize(
    ("backend", "word"), [("xattr", "There is no SELinux in the kernel"), ("recorded", "Recorded states")]
)
def test_what_holds_nothing_apart_is_never_taken_for_what_does(
    page: Browser, served: Served, backend: str, word: str
) -> None:
    scene = served.service.scene
    selinux = replace(scene.host.selinux, backend=backend)
    served.on_loop(
        lambda: setattr(served.service, "scene", replace(scene, host=replace(scene.host, selinux=selinux)))
    )
    try:
        page.driver.refresh()
        page.wait_for(word)
        assert "enforcing" not in shown_within(page, ".masthead")
    finally:
        served.on_loop(lambda: setattr(served.service, "scene", scene))
