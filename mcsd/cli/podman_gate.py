"""`mcsctl gate --engine podman`: the gate in Podman's configuration.

Podman reads containers.conf(5) and its drop-ins at every call, so there is nothing to reload but its service.
The names of its runtimes stay, only their programs change: containers that exist start through the gate from
then on, and through the runtime itself again when the drop-in is removed.

Where a runtime cannot be changed, a hook of the stage "precreate" (oci-hooks(5)) prepares the volumes at
Podman's own level. One drop-in has the one or the other, never both.
"""

from __future__ import annotations

import json
import os
import time
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mcsd.cli.client import Client, Object
from mcsd.cli.daemon_json import put, read, remove
from mcsd.cli.errors import CtlError, Exit
from mcsd.cli.gate import have_read, show_running
from mcsd.cli.text import Screen
from mcsd.core.containers import CONTAINERD
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
_HEAD = "# Made by mcsctl gate enable; mcsctl gate disable --engine {name} removes it.\n"
_HOOKS = "/usr/share/containers/oci/hooks.d"
"""Where Podman looks for hooks if nobody has told it otherwise (containers.conf(5), `hooks_dir`)."""
_WHEN = {"when": {"always": True}, "stages": ["precreate"]}


@dataclass(frozen=True, slots=True)
class PodmanPaths:
    """Paths on the host; tests use others."""

    file: str = DROP_IN
    programs: Mapping[str, tuple[str, str]] = field(default_factory=lambda: PROGRAMS)
    reload: tuple[str, ...] = ("systemctl", "try-restart", "podman.service")
    hook: str = "/usr/libexec/mcsd/mcsd-gate-precreate"
    hooks: str = "/etc/containers/oci/hooks.d/90-mcsd.json"
    """What Podman is told of the hook."""
    settings: tuple[str, ...] = (
        "/usr/share/containers/containers.conf",
        "/etc/containers/containers.conf",
        "/etc/containers/containers.conf.d",
    )
    """Podman's configuration, in the order in which it is read: files, and a directory of drop-ins."""


class PodmanGate:
    """Enables, disables and shows the gate of one engine; raises `CtlError`."""

    def __init__(self, name: str, place: PodmanPaths, client: Client, screen: Screen, notes: Screen) -> None:
        self._name = name
        self._place = place
        self._client = client
        self._screen = screen
        self._notes = notes

    def run(self, verb: str, *, hook: bool, dry_run: bool, reload: bool, as_json: bool) -> Exit:
        """Run `mcsctl gate VERB --engine NAME`, with a `hook` in place of the runtimes' programs."""
        if verb == "status":
            return self._status(as_json=as_json)
        if verb == "enable":
            self._engine()  # without mcsd's knowledge of it, every start would be refused
        # What the hook is told comes first: a drop-in that names its directory finds it there.
        after = {
            self._place.hooks: self._hook() if hook and verb == "enable" else "",
            self._place.file: "" if verb == "disable" else self._with_hook() if hook else self._text(),
        }
        before = {path: read(path) for path in after}
        for path, text in after.items():
            for line in difference(before[path], text, path):
                self._screen.line(printable(line))
        if before == after:
            self._notes.line(f"nothing to change in {self._place.file}: the gate is {verb}d there")
        if dry_run:
            return Exit.DONE
        for path in (path for path in after if before[path] != after[path]):
            self._write(path, before[path], after[path])
        if reload:
            self._have_reloaded(enabled=verb == "enable" and not hook)
        elif before != after:
            self._notes.line(f"Podman's service must be restarted: {' '.join(self._place.reload)}")
        return Exit.DONE

    def _write(self, path: str, before: str, after: str) -> None:
        if after:
            put(path, before, after, self._notes)
        else:
            remove(path)

    def _hook(self) -> str:
        program = self._place.hook
        if not os.access(program, os.X_OK):
            raise CtlError(f"there is no hook at {program}", hint="install the package mcsd again")
        return json.dumps({"version": "1.0.0", "hook": {"path": program}, **_WHEN}, indent=1) + "\n"

    def _with_hook(self) -> str:
        """Return the drop-in that has Podman look for hooks where ours is, beside all other places."""
        places = [*self._hook_directories(), os.path.dirname(self._place.hooks)]
        listed = json.dumps(list(dict.fromkeys(places)))
        return f"{_HEAD.format(name=self._name)}[engine]\nhooks_dir = {listed}\n"

    def _hook_directories(self) -> list[str]:
        """Return the directories that Podman's configuration names, or its own; ours is not asked."""
        found: list[str] = []
        for place in self._place.settings:
            drop_ins = sorted(Path(place).glob("*.conf")) if Path(place).is_dir() else [Path(place)]
            for path in (path for path in drop_ins if str(path) != self._place.file):
                try:
                    named = tomllib.loads(read(path)).get("engine", {}).get("hooks_dir", [])
                except (tomllib.TOMLDecodeError, AttributeError) as exc:
                    raise CtlError(f"{str(path)!r} is not valid: {exc}", hint="mend it first") from exc
                found += [one for one in named if isinstance(one, str)]
        return found or [_HOOKS]

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
        return _HEAD.format(name=self._name) + "[engine.runtimes]\n" + "".join(lines)

    def _engine(self) -> Object:
        items: list[Object] = self._client.get("/v1/engines")["items"]
        engines = {str(one["name"]): one for one in items}
        if self._name not in engines:
            raise CtlError(
                f"mcsd has no engine {self._name!r}; it has {', '.join(engines)}",
                hint='write [[engine]] kind = "podman" into /etc/mcsd/mcsd.toml, and restart mcsd',
                status=Exit.NOT_FOUND,
            )
        if engines[self._name].get("kind") == CONTAINERD:
            raise CtlError(
                "containerd calls the runtime that its client names: there is nothing to switch on",
                hint="ctr run --runc-binary, or nerdctl run --runtime, with /usr/libexec/mcsd/mcsd-gate-runc",
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
            "hook": bool(read(self._place.hooks)),
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
        how = ", as a hook: containers keep Podman's own levels" if answer["hook"] else ""
        self._screen.line(f"configured  {state[answer['configured']]} in {answer['file']}{how}")
        runtime = printable(str(answer["default_runtime"]))
        self._screen.line(
            f"{self._name:<11} {state[answer['in_use']]}: new containers get the runtime {runtime}"
        )
        if answer["error"]:
            self._screen.line(self._screen.paint(f"            {printable(answer['error'])}", "warning"))
        for title, origin in (("through it", "assigned"), ("without", "adopted")):
            show_running(self._screen, title, [one["name"] for one in running if one["origin"] == origin])
        return Exit.DONE
