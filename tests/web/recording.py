"""Recorded states of a host, and a socket that answers with them: the page on a machine without SELinux.

What was recorded is what a real mcsd answered in the guest, where SELinux enforces
(`tests/vm/record_states.sh`). The status calls its backend *recorded*, so that nobody takes the page for this
machine's; times are moved, so that the recording ends now; and what would change anything is refused.

    python -m tests.web.recording LOG    writes `recorded.json.gz` from what the guest printed
"""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import re
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aiohttp import web

FILE = Path(__file__).parent / "recorded.json.gz"
REFUSED = "these are recorded states: nothing is changed"

_LINE = re.compile(r"^# recorded (/v1/\w+) ([A-Za-z0-9+/=]+)$", re.MULTILINE)
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|\+00:00)")


def read_log(text: str) -> dict[str, Any]:
    """Find the answers in what the guest printed; raise `ValueError` where there are none."""
    found = {path: json.loads(gzip.decompress(base64.b64decode(told))) for path, told in _LINE.findall(text)}
    if not found:
        raise ValueError("nothing was recorded in this log")
    return found


def load() -> dict[str, Any]:
    """Read the answers that are kept, by path."""
    answers: dict[str, Any] = json.loads(gzip.decompress(FILE.read_bytes()))
    return answers


def moved(value: Any, seconds: float) -> Any:
    """Move all times in an answer: strings that are one, and seconds since the epoch of scans."""
    match value:
        case str() if _MOMENT.fullmatch(value):
            there = datetime.fromisoformat(value).timestamp() + seconds
            return datetime.fromtimestamp(there, UTC).isoformat()
        case list():
            return [moved(one, seconds) for one in value]
        case dict():
            return {key: moved(one, seconds) for key, one in value.items()}
        case float() if value > 1e9:
            return value + seconds
        case _:
            return value


class Recording:
    """Answers requests with recorded states, as if they had just been so."""

    def __init__(self, answers: Mapping[str, Any], now: float) -> None:
        there = datetime.fromisoformat(answers["/v1/status"]["now"]).timestamp()
        self._answers = moved(dict(answers), now - there)
        self._answers["/v1/status"]["selinux"]["backend"] = "recorded"

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        if request.method != "GET":
            return _problem(403, REFUSED)
        if request.path == "/v1/events" and "follow" in request.query:
            return await self._follow(request)
        name = request.path.removeprefix("/v1/containers/")
        if name != request.path:
            items = self._answers["/v1/containers"]["items"]
            one = next((it for it in items if name in {it["name"], it["id"]}), None)
            return web.json_response(one) if one else _problem(404, f"there is no container {name!r}")
        found = self._answers.get(request.path)
        if request.path == "/v1/events" and (name := request.query.get("container", "")):
            items = [it for it in found["items"] if name in {it["fields"].get("name"), it["container"]}]
            found = {**found, "items": items}
        return web.json_response(found) if found else _problem(404, f"there is nothing at {request.path!r}")

    async def _follow(self, request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        await response.prepare(request)
        for event in self._answers["/v1/events"]["items"]:
            await response.write(json.dumps(event).encode() + b"\n")
        while True:  # nothing happens any more; the connection ends with its reader, or with this
            await asyncio.sleep(3600)


def _problem(status: int, detail: str) -> web.Response:
    told = {"type": "urn:mcsd:problem:recorded", "title": "recorded", "status": status, "detail": detail}
    told |= {"hint": "", "code": "recorded"}
    return web.json_response(told, status=status, content_type="application/problem+json")


async def serve(path: Path, ready: asyncio.Event | None = None) -> None:
    """Serve the recording on a Unix socket until cancelled."""
    runner = web.ServerRunner(web.Server(Recording(load(), time.time()).answer))
    await runner.setup()
    try:
        await web.UnixSite(runner, path, shutdown_timeout=0.1).start()
        if ready is not None:
            ready.set()
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()


if __name__ == "__main__":
    told = json.dumps(read_log(Path(sys.argv[1]).read_text(encoding="utf-8")), sort_keys=True).encode()
    FILE.write_bytes(gzip.compress(told, mtime=0))
