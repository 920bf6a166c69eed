"""Debian's Chromium without a head, driven by its own driver; what a page does wrong is collected."""

from __future__ import annotations

import base64
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service

PATIENCE = 20.0
"""Seconds that something may take before a test gives it up."""
CHROMIUM, DRIVER = "/usr/bin/chromium", "/usr/bin/chromedriver"

_FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *(
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--disable-dev-shm-usage",
    ),
    *("--force-prefers-reduced-motion", "--lang=en", "--hide-scrollbars", "--disable-crash-reporter"),
)


class Browser:
    """A page in a browser, and what a person would do with it."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver

    def open(self, url: str) -> None:
        """Go there as somebody new: sessions are told apart by a cookie, and a cookie knows no ports."""
        self.cdp("Network.clearBrowserCookies")
        self.driver.get(url)

    def run(self, script: str, *arguments: Any) -> Any:
        """Run a script's body in the page and give what it returns, a promise's value included."""
        return self.driver.execute_script(script, *arguments)

    def cdp(self, command: str, **parameters: Any) -> Any:
        """Ask the browser itself."""
        return self.driver.execute_cdp_cmd(command, parameters)

    def wait(self, question: Callable[[], Any], what: str) -> Any:
        """Ask until the answer is true; fail, naming `what` and showing the page's text."""
        deadline = time.monotonic() + PATIENCE
        while not (answer := question()):
            if time.monotonic() > deadline:
                raise AssertionError(
                    f"{what} did not happen; the page says:\n{self.text()[:3000]}\n{self.errors()}"
                )
            time.sleep(0.05)
        return answer

    def text(self) -> str:
        """All that is shown."""
        return str(self.run("return document.body?.innerText ?? ''"))

    def wait_for(self, text: str) -> None:
        """Wait until the page shows a text."""
        self.wait(lambda: text in self.text(), f"{text!r} on the page")

    def go(self, hash_: str) -> None:
        """Go to a place of the page, as a link does."""
        self.run("location.hash = arguments[0]", hash_)

    def click(self, name: str, *, within: str = "body") -> None:
        """Press the button or link of that name, when it is there and can be pressed."""
        script = """
            const found = [...document.querySelectorAll(arguments[1] + " :is(a, button)")].filter(one =>
                (one.getAttribute("aria-label") ?? one.innerText).trim() === arguments[0] && !one.disabled);
            found[0]?.click();
            return found.length > 0;
        """
        self.wait(lambda: self.run(script, name, within), f"a button {name!r} in {within}")

    def type(self, label: str, text: str) -> None:
        """Write into the field of that name."""
        script = """
            const field = [...document.querySelectorAll("input, select")].find(one =>
                arguments[0] ===
                    (one.getAttribute("aria-label") ?? one.closest("label")?.innerText.split("\\n")[0]));
            if (!field) return false;
            field.focus();
            field.value = arguments[1];
            const kind = field.localName === "select" ? "change" : "input";
            field.dispatchEvent(new Event(kind, { bubbles: true }));
            return true;
        """
        self.wait(lambda: self.run(script, label, text), f"a field {label!r}")

    def errors(self) -> list[str]:
        """What the browser has complained of since it was last asked."""
        log = self.driver.get_log("browser")  # type: ignore[no-untyped-call]
        return [entry["message"] for entry in log if entry["level"] == "SEVERE"]

    def size(self, width: int, height: int = 900) -> None:
        """Give the window's inside a size in CSS pixels."""
        self.cdp(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )

    def theme(self, name: str) -> None:
        """Choose light or dark as Cockpit's shell does."""
        script = """
            localStorage.setItem("shell:style", arguments[0]);
            dispatchEvent(new CustomEvent("cockpit-style", { detail: { style: arguments[0] } }));
        """
        self.run(script, name)

    def shoot(self, path: Path) -> None:
        """Take a picture of the whole page."""
        whole = self.cdp("Page.captureScreenshot", captureBeyondViewport=True, format="png")
        path.write_bytes(base64.b64decode(whole["data"]))


@contextmanager
def running_browser() -> Iterator[Browser]:
    """Run a browser with a profile of its own, of which nothing is left."""
    for program in (CHROMIUM, DRIVER):
        assert Path(program).exists(), "missing for tests/web: apt-get install chromium chromium-driver"
    profile = tempfile.mkdtemp(prefix="mcsd-chromium-")
    options = Options()
    options.binary_location = CHROMIUM
    for flag in (*_FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    try:
        yield Browser(driver)
    finally:
        driver.quit()
        shutil.rmtree(profile, ignore_errors=True)
