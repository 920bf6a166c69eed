"""How long `GET /v1/status` takes while others hold a thousand connections: idle, and byte by byte.

    python -m tests.bench.socket_load [--json] [--requests N]

Server, crowd and reader are processes of their own, on a socket in a temporary directory. What a relabel
would feel is shown by `loop lag`: how late the server's event loop comes to a timer of 10 ms.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from mcsd.api.server import ApiServer, open_socket
from tests.fakes.service import FakeService, problem_events, troubled_scene

CROWD = 1000
REQUEST = b"GET /v1/status HTTP/1.1\r\nHost: mcsd\r\n\r\n"
TICK = 0.01
GOAL = 100.0
"""Milliseconds that a reader may have to wait."""


async def serve(path: str) -> None:
    """Be the daemon's socket until SIGTERM; then print the event loop's lags in seconds, one on a line."""
    scene = troubled_scene()
    server = ApiServer(FakeService(scene, events=problem_events(scene)))
    await server.start([open_socket(Path(path))])
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    lags = []
    print("ready", flush=True)
    while not stopped.is_set():
        before = time.perf_counter()
        await asyncio.sleep(TICK)
        lags.append(time.perf_counter() - before - TICK)
    await server.stop()
    print("\n".join(map(str, lags)))


def connect(path: str) -> socket.socket:
    """Open a connection."""
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(path)
    return sock


def crowd(path: str, *, drips: bool) -> None:
    """Hold connections, replacing those that are closed, for ever."""
    socks = [connect(path) for _ in range(CROWD)]
    print("ready", flush=True)
    while True:
        for number, sock in enumerate(socks):
            try:
                if drips:
                    sock.send(b"G")
                elif not sock.recv(1, socket.MSG_DONTWAIT | socket.MSG_PEEK):
                    raise ConnectionResetError
            except BlockingIOError:
                continue
            except OSError:
                sock.close()
                socks[number] = connect(path)
        time.sleep(0.05)


def ask(path: str) -> float:
    """Ask once; give the seconds it took."""
    before = time.perf_counter()
    with connect(path) as sock:
        sock.sendall(REQUEST)
        answer = b"".join(iter(lambda: sock.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 200 "), answer[:80]
    return time.perf_counter() - before


@contextlib.contextmanager
def helper(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run this module as another process, until the block ends."""
    command = [sys.executable, "-m", "tests.bench.socket_load", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        try:
            yield process
        finally:
            process.terminate()
            process.communicate()


def summary(seconds: list[float]) -> dict[str, float]:
    """Return the distribution of some times, in milliseconds."""
    ordered = sorted(seconds)
    points = {"median": 0.5, "99 %": 0.99, "most": 1.0}
    at = {name: ordered[min(len(ordered) - 1, int(len(ordered) * part))] for name, part in points.items()}
    return {name: round(value * 1e3, 2) for name, value in at.items()}


def show(found: dict[str, dict[str, float]], *, goal: float, as_json: bool) -> None:
    """Print distributions, and which medians miss the goal (milliseconds)."""
    if as_json:
        print(json.dumps({"milliseconds": found, "goal": goal}))
        return
    for what, row in found.items():
        mark = "" if row["median"] < goal else f"   missed: {goal:g} ms"
        print(f"{what:<36}", *(f"{name} {value:8.2f} ms" for name, value in row.items()), sep="   ", end=mark)
        print()


def measure(path: str, requests: int) -> dict[str, float]:
    """Ask many times, with a pause between."""
    took = []
    for _ in range(requests):
        took.append(ask(path))
        time.sleep(0.01)
    return summary(took)


def all_of(requests: int) -> dict[str, dict[str, float]]:
    """Measure with nobody else there, with an idle crowd, and with a dripping one."""
    found = {}
    with tempfile.TemporaryDirectory() as place:
        path = os.path.join(place, "s")
        for what, how in (("alone", ""), (f"{CROWD} idle", "idle"), (f"{CROWD} byte by byte", "drip")):
            with helper("serve", path) as server:
                with helper("crowd", path, how) if how else contextlib.nullcontext():
                    found[f"GET /v1/status, {what}"] = measure(path, requests)
                server.terminate()
                assert server.stdout is not None
                lags = [float(line) for line in server.stdout.read().split()]
                found[f"loop lag, {what}"] = summary(lags)
    return found


def main() -> None:
    """Print what was measured."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.socket_load", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--requests", type=int, default=300, metavar="N")
    asked = parser.parse_args()
    show(all_of(asked.requests), goal=GOAL, as_json=asked.json)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["serve", given]:
            asyncio.run(serve(given))
        case ["crowd", given, kind]:
            crowd(given, drips=kind == "drip")
        case _:
            main()
