"""`mcsctl wait`: until a container's volumes are ready.

An unknown container may just have been created: with `--timeout` it may take all that time to appear, without
it `APPEARANCE`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from mcsd.cli.client import Client, Object, segment
from mcsd.cli.errors import CtlError, Exit

APPEARANCE = 5.0
"""Seconds within which mcsd knows a new container."""
SHORTEST, LONGEST = 0.05, 1.0
"""Limits of the seconds between two queries."""

_BROKEN = {"refused", "failed", "partial"}


def _pauses() -> Iterator[float]:
    pause = SHORTEST
    while True:
        yield pause
        pause = min(LONGEST, pause * 1.5)


def verdict(item: Object) -> bool:
    """Tell whether a container is ready; raise `CtlError` if it will not be."""
    name = item["name"]
    if item.get("error"):
        raise CtlError(f"container {name!r} could not be handled: {item['error']}", hint=item.get("hint", ""))
    if not item.get("settled"):
        return False
    for claim in item.get("claims", ()):
        if claim["state"] in _BROKEN:
            raise CtlError(
                f"volume {claim['source']!r} of container {name!r} is {claim['state']}: {claim['reason']}",
                hint=claim.get("hint", ""),
                status=Exit.REFUSED if claim["state"] == "refused" else Exit.FAILED,
            )
    return all(claim["state"] in {"ready", "unmanaged"} for claim in item.get("claims", ()))


def _look(client: Client, container: str, *, timeout: float) -> Object | CtlError:
    try:
        found: Object = client.get(f"/v1/containers/{segment(container)}", timeout=timeout)
    except CtlError as exc:
        if exc.status is not Exit.NOT_FOUND:
            raise
        return exc
    return found


def wait_for(
    client: Client,
    container: str,
    *,
    timeout: float | None,
    still: Callable[[Object | None], None] = lambda item: None,
    now: Callable[[], float] = time.monotonic,
    pause: Callable[[float], None] = time.sleep,
) -> Object:
    """Wait, and return the container; `still` is called with it whenever it is not ready, and with None while
    it does not exist.

    Raises `CtlError`: not found, timed out, or why its volumes will not be ready.
    """
    start = now()
    end = start + timeout if timeout is not None else float("inf")
    appear = end if timeout is not None else start + APPEARANCE
    known = False
    for seconds in _pauses():
        found = _look(client, container, timeout=max(1.0, min(30.0, end - now())))
        if isinstance(found, CtlError):
            if known or now() >= appear:
                raise found
            still(None)
        elif verdict(found):
            return found
        else:
            known = True
            still(found)
        if now() >= end:
            raise CtlError(
                f"container {container!r} was not ready within {timeout:g} s",
                hint=f"mcsctl status shows what is in work; mcsctl show {container} what is missing",
                status=Exit.TIMED_OUT,
            )
        pause(max(0.0, min(seconds, (end if known else appear) - now())))
    raise AssertionError("pauses never end")
