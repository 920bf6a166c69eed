"""`mcsctl run`: executes a command at a level of its own, with its volumes labelled.

The run is given to this process, which executes the command in its own place: so the command's exit status,
its signals and its terminal are its own, and whatever ends it ends the run.
"""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from mcsd.cli.client import Client, Object, segment
from mcsd.cli.errors import CtlError, Exit
from mcsd.cli.relay import Relay
from mcsd.cli.text import Screen
from mcsd.core.notices import printable

LEVEL = "MCSD_LEVEL"
"""The variable in the command's environment that has its level, for programs that label by themselves."""

_FOR_EXEC = Path("/proc/thread-self/attr/exec")
"""proc_pid_attr(5): what setexeccon(3) writes."""
_IGNORED_BY_PYTHON = (signal.SIGPIPE, signal.SIGXFSZ)


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What was asked for; `volumes` are absolute paths, each with its mode or ""."""

    command: Sequence[str]
    name: str = ""
    group: str | None = None
    domain: str | None = None
    volumes: Sequence[tuple[str, str]] = ()

    @property
    def body(self) -> Mapping[str, object]:
        """The request."""
        return {
            "name": self.name or None,
            "group": self.group,
            "type": self.domain,
            "command": printable(" ".join(self.command))[:4096],
            "volumes": [{"path": path, "mode": mode or None} for path, mode in self.volumes],
        }


@dataclass(frozen=True, slots=True)
class Execution:
    """How a process becomes the command's, as far as tests do it otherwise."""

    set_context: Callable[[str], object] = lambda context: _FOR_EXEC.write_text(context, encoding="utf-8")
    execute: Callable[[str, list[str]], NoReturn] = os.execvp


def run(
    options: RunOptions, client: Client, socket: str, notes: Screen, how: Execution = Execution()
) -> NoReturn:
    """Become the command; raises `CtlError` if that is not possible.

    Once the context is set, no other program may be executed. So the second request does not ask systemd, if
    no answer comes, why there is none.
    """
    _become(options, client, socket, notes, how, None)


def run_relayed(
    options: RunOptions,
    client: Client,
    socket: str,
    notes: Screen,
    streams: Sequence[int],
    complain: Callable[[CtlError], int],
) -> int:
    """Have a child become the command, with these standard streams copied; return its exit status.

    `complain` prints the child's error, and returns the status for it.
    """
    try:
        relay = Relay(streams)
    except OSError as exc:
        reason = (exc.strerror or str(exc)).lower()
        raise CtlError(
            f"a command's input and output need FIFOs in /run: {reason}", hint="do it as root"
        ) from exc

    def become() -> int:
        try:
            _become(options, client, socket, notes, Execution(), relay)
        except CtlError as error:
            return complain(error)

    return relay.run(become)


def _become(
    options: RunOptions, client: Client, socket: str, notes: Screen, how: Execution, relay: Relay | None
) -> NoReturn:
    made = client.post("/v1/runs", options.body)
    if made["context"] is not None:
        _set_context(made["context"], how)
    ready = Client(socket, failure=lambda: None).post(f"/v1/runs/{segment(made['id'])}/start")
    _warn(ready, notes)
    os.environ[LEVEL] = made["level"]
    if relay is not None:
        _take_over(relay, made["file_context"])
    _execute(options.command, how)


def _take_over(relay: Relay, context: str | None) -> None:
    try:
        if context is not None:
            relay.label(context)
        relay.take_over()
    except OSError as exc:
        raise CtlError(
            f"the command's input and output cannot be labelled {context}: {(exc.strerror or '').lower()}",
            hint="see ausearch -m avc,selinux_err -ts recent",
        ) from exc


def _set_context(context: str, how: Execution) -> None:
    try:
        how.set_context(context)
    except OSError as exc:
        reason = (exc.strerror or str(exc)).lower()
        raise CtlError(
            f"this process may execute nothing as {context}: {reason}",
            hint="see ausearch -m avc,selinux_err -ts recent; its domain needs the permission setexec",
        ) from exc


def _execute(command: Sequence[str], how: Execution) -> NoReturn:
    for number in _IGNORED_BY_PYTHON:
        signal.signal(number, signal.SIG_DFL)
    try:
        how.execute(command[0], list(command))
    except OSError as exc:
        raise _not_executed(command[0], exc) from exc


def _not_executed(program: str, exc: OSError) -> CtlError:
    """Return the error, with the status that shells have for it."""
    if exc.errno == errno.ENOENT:
        return CtlError(
            f"there is no program {program!r}", hint="see the PATH of the caller", status=Exit.NO_PROGRAM
        )
    return CtlError(
        f"{program!r} cannot be executed at its level: {(exc.strerror or '').lower()}",
        hint="see ausearch -m avc -ts recent for what the policy denied; --type names another domain",
        status=Exit.NOT_EXECUTED,
    )


def _warn(ready: Object, notes: Screen) -> None:
    """Print what is not as it should be, before the command has the terminal."""
    for reason in ready.get("reasons", ()):
        _say(notes, "not isolated", reason["text"], reason["hint"])
    for claim in ready.get("claims", ()):
        if claim["state"] == "unmanaged" and claim["reason"]:
            _say(notes, "left alone", f"{claim['source']}: {claim['reason']}", claim["hint"])
    notes.out.flush()


def _say(notes: Screen, about: str, text: str, hint: str) -> None:
    notes.line(f"mcsctl: {about}: {printable(text)}")
    if hint:
        notes.line(f"hint: {printable(hint)}")
