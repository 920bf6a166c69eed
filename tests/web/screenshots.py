"""Pictures of each page in both colours, of a made-up host in trouble: `python -m tests.web.screenshots`.

They are shown in packaging/cockpit/README.md. Whoever changes the page makes them again and looks at each.
"""

from __future__ import annotations

import argparse
import base64
import tempfile
from pathlib import Path

from tests.fakes.serving import serving
from tests.web.browser import Browser, running_browser
from tests.web.console import running_console
from tests.web.scene import troubled_service

PAGES = {
    "overview": "#/",
    "map": "#/map",
    "container": "#/container/web",
    "denials": "#/denials",
    "audit": "#/audit",
    "events": "#/events",
}
PLACE = Path(__file__).parents[2] / "packaging" / "cockpit" / "screenshots"
WIDTH, QUALITY = 1280, 70


def take(browser: Browser, url: str, dark: bool) -> bytes:
    """Open one page and return its picture, as WebP."""
    colours = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
    browser.cdp("Emulation.setEmulatedMedia", features=colours)
    browser.open("about:blank")
    browser.open(url)
    browser.wait(lambda: browser.run("return document.querySelector('h1, h2')"), "a heading")
    browser.wait(lambda: not browser.run("return document.querySelector('[aria-busy=true]')"), "the content")
    browser.run("return new Promise(done => setTimeout(done, 1000))")
    taken = browser.cdp("Page.captureScreenshot", captureBeyondViewport=True, format="webp", quality=QUALITY)
    return base64.b64decode(taken["data"])


def main() -> None:
    """Take all pictures."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    with tempfile.TemporaryDirectory(prefix="mcsd-screenshots-") as place:
        top = Path(place)
        (top / "run").mkdir()
        with (
            serving(troubled_service(), top / "run/mcsd.sock"),
            running_console(top, top / "run") as console,
            running_browser() as browser,
        ):
            browser.size(WIDTH)
            for name, hash_ in PAGES.items():
                for colour in ("light", "dark"):
                    picture = take(browser, f"{console.url}{hash_}", colour == "dark")
                    (PLACE / f"{name}-{colour}.webp").write_bytes(picture)


if __name__ == "__main__":
    main()
