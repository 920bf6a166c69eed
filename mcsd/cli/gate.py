"""`mcsctl gate`: enabling and disabling the gate in Docker's daemon.json, and its status.

The file is read, changed and shown before anything is written. Docker applies it on a reload, which does not
affect running containers.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mcsd.cli.client import Client, Object
from mcsd.cli.daemon_json import accepted_by_dockerd, put, read
from mcsd.cli.errors import CtlError, Exit
from mcsd.cli.text import Screen
from mcsd.core.daemon_json import (
    DAEMON_JSON,
    NAME,
    GateSetting,
    difference,
    disabled,
    dumps,
    enabled,
    gate_setting,
    parse,
)
from mcsd.core.notices import printable
from mcsd.errors import ConfigurationError

GATE = "/usr/libexec/mcsd/mcsd-gate"
DOCKER_SOCKET = "/run/docker.sock"
RELOAD_TIME = 15.0
"""Seconds within which Docker reports that it has reloaded its file."""
_RELOAD = ("systemctl", "reload", "docker.service")


@dataclass(frozen=True, slots=True)
class GatePaths:
    """Paths on the host; tests use others."""

    file: str = DAEMON_JSON
    gate: str = GATE
    socket: str = DOCKER_SOCKET
    reload: tuple[str, ...] = _RELOAD


@dataclass(frozen=True, slots=True)
class GateOptions:
    """What was asked for."""

    verb: str
    dry_run: bool = False
    reload: bool = False


def gate(wish: GateOptions, place: GatePaths, screen: Screen, notes: Screen, *, as_json: bool) -> Exit:
    """Run `mcsctl gate`; raise `CtlError`."""
    if wish.verb == "status":
        return _status(place, screen, as_json=as_json)
    text = read(place.file)
    settings = _parsed(text, place.file)
    changed = _changed(wish, settings, place)
    after = dumps(changed, text)
    same = changed == settings
    if same:
        notes.line(f"nothing to change in {place.file}: the gate is {wish.verb}d there")
    for line in [] if same else difference(text, after, place.file):
        screen.line(printable(line))
    if wish.dry_run:
        return Exit.DONE
    if not same:
        put(place.file, text, after, notes, validate=accepted_by_dockerd)
    if wish.reload:
        _have_reloaded(wish, place, notes)
    elif not same:
        notes.line(f"Docker must reload: {' '.join(place.reload)}; running containers are left alone by that")
    if wish.verb == "enable":
        notes.line("a container that was made before keeps its runtime: recreate it to have it pass through")
    return Exit.DONE


def _parsed(text: str, path: str) -> dict[str, Any]:
    try:
        return parse(text, path)
    except ConfigurationError as exc:
        raise CtlError(exc.what, hint=exc.hint) from exc


def _changed(wish: GateOptions, settings: dict[str, Any], place: GatePaths) -> dict[str, Any]:
    if wish.verb == "enable" and not os.access(place.gate, os.X_OK):
        raise CtlError(
            f"there is no program at {place.gate!r}: Docker could start nothing through it",
            hint="install the package mcsd again",
        )
    try:
        if wish.verb == "enable":
            return enabled(settings, place.gate, shutil.which)
        return disabled(settings, place.gate, shutil.which, in_use=_is_in_use(settings))
    except ConfigurationError as exc:
        raise CtlError(exc.what, hint=exc.hint, status=Exit.REFUSED) from exc


def _is_in_use(settings: Object) -> bool:
    """Tell whether a container was created with the gate's name; True if that is unknown."""
    data = Path(str(settings.get("data-root") or "/var/lib/docker"))
    try:
        for path in (data / "containers").glob("*/hostconfig.json"):
            with suppress(FileNotFoundError):  # removed while we look
                if json.loads(path.read_bytes()).get("Runtime") == NAME:
                    return True
        return not os.access(data / "containers", os.R_OK | os.X_OK) and data.exists()
    except (OSError, ValueError, AttributeError):
        return True


# --- Docker --------------------------------------------------------------------------------------------


def _ask(place: GatePaths, path: str) -> Any:
    try:
        return Client(place.socket, who="Docker").get(path)
    except CtlError as exc:
        raise CtlError(exc.what, hint="systemctl status docker", status=exc.status) from exc


def _gated_runtimes(info: Object, place: GatePaths) -> set[str]:
    runtimes = info.get("Runtimes") or {}
    return {name for name, one in runtimes.items() if one and one.get("path") == place.gate}


def have_read(command: tuple[str, ...], failed: str, reader: str) -> None:
    """Run the command by which an engine reads its changed file; raise `CtlError` that begins with
    `failed`."""
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode:
        said = done.stderr.strip().splitlines()
        raise CtlError(
            f"{failed}: {said[-1] if said else done.returncode}",
            hint=f"the file is changed; {' '.join(command)} has {reader} read it",
        )


def _have_reloaded(wish: GateOptions, place: GatePaths, notes: Screen) -> None:
    """Have Docker reload, and wait until it reports that it has."""
    have_read(place.reload, "Docker could not be told to reload", "Docker")
    until = time.monotonic() + RELOAD_TIME
    while True:
        info = _ask(place, "/info")
        default = str(info.get("DefaultRuntime", ""))
        if (default in _gated_runtimes(info, place)) is (wish.verb == "enable"):
            notes.line(f"Docker has reloaded: new containers get the runtime {default}")
            return
        if time.monotonic() > until:
            raise CtlError(
                f"Docker was told to reload and still gives new containers the runtime {default!r}",
                hint="journalctl -u docker says why; --default-runtime on dockerd's command line may be it",
            )
        time.sleep(0.2)


def _status(place: GatePaths, screen: Screen, *, as_json: bool) -> Exit:
    setting = gate_setting(_parsed(read(place.file), place.file))
    answer: dict[str, Any] = {
        "file": place.file,
        "configured": setting.is_on(place.gate),
        "program": setting.program or None,
        "installed": os.access(place.gate, os.X_OK),
        "default_runtime": None,
        "in_use": None,
        "containers": [],
        "error": "",
    }
    try:
        info = _ask(place, "/info")
        answer["default_runtime"] = info.get("DefaultRuntime")
        gated = _gated_runtimes(info, place)
        answer["in_use"] = info.get("DefaultRuntime") in gated
        answer["containers"] = [_container(place, one, gated) for one in _ask(place, "/containers/json")]
    except CtlError as exc:
        answer["error"] = exc.what
    if as_json:
        screen.line(json.dumps(answer, indent=2))
    else:
        _show(screen, answer, setting)
    return Exit.DONE


def _container(place: GatePaths, listed: Object, gated: set[str]) -> dict[str, Any]:
    names = listed.get("Names") or [listed["Id"][:12]]
    item = {"id": listed["Id"], "name": str(names[0]).lstrip("/"), "runtime": None, "gated": None}
    try:
        inspected = _ask(place, f"/containers/{listed['Id']}/json")
    except CtlError as exc:
        if exc.status is Exit.NOT_FOUND:
            return item  # gone meanwhile
        raise
    runtime = inspected["HostConfig"].get("Runtime")
    return item | {"runtime": runtime, "gated": runtime in gated}


def _show(screen: Screen, answer: Object, setting: GateSetting) -> None:
    state = "on" if answer["configured"] else "off"
    more = "" if answer["configured"] else f": the default runtime there is {printable(setting.default)}"
    screen.line(f"configured  {state} in {answer['file']}{more}")
    if not answer["installed"]:
        screen.line(screen.paint("            the gate's program is not there: install mcsd again", "bad"))
    if answer["error"]:
        screen.line(screen.paint(f"Docker      {printable(answer['error'])}", "warning"))
        return
    state = "on" if answer["in_use"] else "off"
    screen.line(f"Docker      {state}: new containers get the runtime {printable(answer['default_runtime'])}")
    if answer["in_use"] is not answer["configured"]:
        hint = "            Docker has not read its file: systemctl reload docker"
        screen.line(screen.paint(hint, "warning"))
    for title, gated in (("through it", True), ("without", False)):
        show_running(screen, title, [one["name"] for one in answer["containers"] if one["gated"] is gated])


def show_running(screen: Screen, title: str, names: Iterable[str]) -> None:
    """Print how many containers run in a way, and which."""
    found = sorted(map(printable, names))
    screen.line(f"{title:<11} {len(found)} running{': ' + ', '.join(found) if found else ''}")
