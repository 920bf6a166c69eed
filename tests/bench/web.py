"""What the page in Cockpit costs with 300 containers: first paint, long tasks, memory.

The page is opened without Cockpit's shell, on the socket of a stand-in daemon; the first paint is the first
one that shows what mcsd answered, and what is much is drawn over several frames from then on. Then events
come for ten seconds, ten each second, and the map and the list are filtered. Needs what tests/web needs:
`make web-deps`.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from mcsd.core.snapshot import Event
from tests.fakes.serving import Served, serving
from tests.web.browser import Browser, running_browser
from tests.web.console import running_console
from tests.web.scene import troubled_service

_WATCH = """
    window.longTasks = [];
    new PerformanceObserver(list => window.longTasks.push(...list.getEntries().map(one => one.duration)))
        .observe({ type: "longtask", buffered: true });
    const painted = (key, most) => new MutationObserver((_changes, observer) => {
        if (document.querySelectorAll(".cell, tbody tr").length > most) {
            observer.disconnect();
            requestAnimationFrame(() => setTimeout(() => { window[key] = performance.now(); }));
        }
    }).observe(document, { subtree: true, childList: true });
    painted("shown", 0);
    painted("whole", location.hash === "#/map" ? 300 : 60);
"""


def storm(served: Served, seconds: float) -> None:
    """Have events happen, ten each second."""
    for number in range(int(seconds * 10)):
        event = Event(10_000 + number, served.service.scene.now, "granted", f"event {number}", 6)
        served.on_loop(lambda event=event: served.service.tell(event))  # type: ignore[misc]
        time.sleep(0.1)


def measure(browser: Browser, served: Served, url: str, place: str) -> dict[str, float]:
    """Open one page and use it."""
    browser.open("about:blank")
    browser.open(f"{url}{place}")
    browser.wait(lambda: browser.run("return window.whole"), "the last paint")
    storm(served, 10)
    browser.type("Filter the map" if "map" in place else "Filter containers", "app-1")
    time.sleep(1)
    browser.cdp("HeapProfiler.collectGarbage")
    heap = browser.cdp("Runtime.getHeapUsage")
    tasks = browser.run("return window.longTasks") or [0]
    return {
        "first paint, ms": browser.run("return window.shown"),
        "all drawn, ms": browser.run("return window.whole"),
        "longest task, ms": max(tasks),
        "tasks over 100 ms": sum(task > 100 for task in tasks),
        "memory, MB": (heap["usedSize"] + heap.get("embedderHeapUsedSize", 0)) / 1e6,
    }


def main() -> None:
    """Print medians of some rounds for the list and the map."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory(prefix="mcsd-web-") as place:
        top = Path(place)
        (top / "run").mkdir()
        with (
            serving(troubled_service(more=300), top / "run/mcsd.sock") as served,
            running_console(top, top / "run") as console,
            running_browser() as browser,
        ):
            browser.size(1440)
            browser.cdp("Page.addScriptToEvaluateOnNewDocument", source=_WATCH)
            for name, hash_ in (("list", "#/"), ("map", "#/map")):
                found = [measure(browser, served, console.url, hash_) for _ in range(rounds)]
                for key in found[0]:
                    print(f"{name}: {key}: {statistics.median(one[key] for one in found):.1f}")


if __name__ == "__main__":
    main()
