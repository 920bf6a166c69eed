"""`mcsctl gate --engine podman`: the gate in Podman's configuration.

Podman reads containers.conf(5) and its drop-ins at every call, so there is nothing to reload but its service.
The names of its runtimes stay, only their programs change: containers that exist start through the gate from
then on, and through the runtime itself again when the drop-in is removed.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mcsd.cli.client import Client, Object
from mcsd.cli.daemon_json import put, read, remove
from mcsd.cli.errors import CtlError, Exit
from mcsd.cli.gate import have_read, show_running
from mcsd.cli.text import Screen
from mcsd.core.daemon_json import difference
from mcsd.core.notices import printable

DROP_IN = "/etc/containers/containers.conf.d/90-mcsd.conf"
PROGRAMS = {
    "crun": ("/usr/bin/crun", "/usr/libexec/mcsd/mcsd-gate-crun"),
    "runc": ("/usr/bin/runc", "/usr/libexec/mcsd/mcsd-gate-runc"),
}
"""Podman's name of a runtime → its program, and the gate in front of it."""
RELOAD_TIME = 20.0
"""Seconds within which mcsd sees what Podman's service has read."""
_HEAD = "# Made by mcsctl gate enable; mcsctl gate disable --engine {name} removes it.\n[engine.runtimes]\n"


@dataclass(frozen=True, slots=True)
class PodmanPaths:
    """Paths on the host; tests use others."""

    file: str = DROP_IN
    programs: Mapping[str, tuple[str, str]] = field(default_factory=lambda: PROGRAMS)
    reload: tuple[str, ...] = ("systemctl", "try-restart", "podman.service")


class PodmanGate:
    """Enables, disables and shows the gate of one engine; raises `CtlError`."""

    def __init__(self, name: str, place: PodmanPaths, client: Client, screen: Screen, notes: Screen) -> None:
        self._name = name
        self._place = place
        self._client = client
        self._screen = screen
        self._notes = notes

    def run(self, verb: str, *, dry_run: bool, reload: bool, as_json: bool) -> Exit:
        """Run `mcsctl gate VERB --engine NAME`."""
        if verb == "status":
            return self._status(as_json=as_json)
        if verb == "enable":
            self._engine()  # without mcsd's knowledge of it, every start would be refused
        before = read(self._place.file)
        after = self._text() if verb == "enable" else ""
        for line in difference(before, after, self._place.file):
            self._screen.line(printable(line))
        if before == after:
            self._notes.line(f"nothing to change in {self._place.file}: the gate is {verb}d there")
        if dry_run:
            return Exit.DONE
        if before != after:
            self._write(before, after)
        if reload:
            self._have_reloaded(enabled=verb == "enable")
        elif before != after:
            self._notes.line(f"Podman's service must be restarted: {' '.join(self._place.reload)}")
        return Exit.DONE

    def _write(self, before: str, after: str) -> None:
        if after:
            put(self._place.file, before, after, self._notes)
        else:
            remove(self._place.file)

    def _text(self) -> str:
        lines = [
            f'{name} = ["{gate}"]\n'
            for name, (program, gate) in self._place.programs.items()
            if os.access(program, os.X_OK) and os.access(gate, os.X_OK)
        ]
        if not lines:
            wanted = " nor ".join(program for program, _ in self._place.programs.values())
            raise CtlError(
                f"there is neither {wanted}, or no gate in front of it",
                hint="install crun, or the package mcsd again",
            )
        return _HEAD.format(name=self._name) + "".join(lines)

    def _engine(self) -> Object:
        items: list[Object] = self._client.get("/v1/engines")["items"]
        engines = {str(one["name"]): one for one in items}
        if self._name not in engines:
            raise CtlError(
                f"mcsd has no engine {self._name!r}; it has {', '.join(engines)}",
                hint='write [[engine]] kind = "podman" into /etc/mcsd/mcsd.toml, and restart mcsd',
                status=Exit.NOT_FOUND,
            )
        return engines[self._name]

    def _have_reloaded(self, *, enabled: bool) -> None:
        have_read(self._place.reload, "Podman's service could not be restarted", "the service")
        until = time.monotonic() + RELOAD_TIME
        while self._engine().get("gate") is not enabled:
            if time.monotonic() > until:
                raise CtlError(
                    f"mcsd does not see that the gate is {'on' if enabled else 'off'} at {self._name}",
                    hint="mcsctl status; podman info --format '{{.Host.OCIRuntime.Path}}' says what it calls",
                )
            time.sleep(0.2)
        self._notes.line("Podman's service has read it")

    def _status(self, *, as_json: bool) -> Exit:
        engine = self._engine()
        running = [
            one
            for one in self._client.every("/v1/containers")["items"]
            if one.get("engine") == self._name and one["running"]
        ]
        answer: dict[str, Any] = {
            "file": self._place.file,
            "configured": bool(read(self._place.file)),
            "in_use": engine.get("gate"),
            "default_runtime": engine.get("default_runtime"),
            "containers": [
                {"id": one["id"], "name": one["name"], "origin": one["origin"]} for one in running
            ],
            "error": engine.get("error", ""),
        }
        if as_json:
            self._screen.line(json.dumps(answer, indent=2))
            return Exit.DONE
        state = {True: "on", False: "off", None: "not known"}
        self._screen.line(f"configured  {state[answer['configured']]} in {answer['file']}")
        runtime = printable(str(answer["default_runtime"]))
        self._screen.line(
            f"{self._name:<11} {state[answer['in_use']]}: new containers get the runtime {runtime}"
        )
        if answer["error"]:
            self._screen.line(self._screen.paint(f"            {printable(answer['error'])}", "warning"))
        for title, origin in (("through it", "assigned"), ("without", "adopted")):
            show_running(self._screen, title, [one["name"] for one in running if one["origin"] == origin])
        return Exit.DONE
