"""`make demo WEB=1`: the page in Cockpit on recorded states, until it is interrupted.

Cockpit listens on loopback alone and asks nobody to log in: whoever is on this machine may look.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import sys
import tempfile
from pathlib import Path

from tests.web.console import running_console
from tests.web.recording import serve


async def show(top: Path, port: int) -> None:
    """Serve recorded states, and a Cockpit that shows them."""
    (top / "run").mkdir()
    ready = asyncio.Event()
    serving = asyncio.create_task(serve(top / "run/mcsd.sock", ready))
    await ready.wait()
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)
    with running_console(top, top / "run", port=port) as console:
        print(f"recorded states of a host, nothing of this machine: {console.url}", flush=True)
        await ended.wait()
    serving.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await serving


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="make demo WEB=1", description=__doc__)
    parser.add_argument("--port", type=int, default=9090, help="on loopback")
    with tempfile.TemporaryDirectory(prefix="mcsd-demo-") as place:
        asyncio.run(show(Path(place), parser.parse_args().port))
    sys.exit(0)
