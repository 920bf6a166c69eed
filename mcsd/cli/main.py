"""mcsctl: what is isolated, what is not, why, and what to do.

Reads the socket and prints. Its exit status is part of the interface (`mcsd.cli.errors.Exit`); errors are two
lines on standard error, `mcsctl: what` and `hint: what to do`. It starts in well under 150 ms: nothing that
only the daemon needs is imported here, and rich only for tables.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from mcsd.cli.arguments import Arguments, parse
from mcsd.cli.client import Client, Object, Parameters, segment
from mcsd.cli.errors import CtlError, Exit
from mcsd.cli.screens import (
    progress_line,
    show_container,
    show_event,
    show_status,
    show_verification,
    way_out,
)
from mcsd.cli.text import Screen
from mcsd.cli.wait import wait_for
from mcsd.core.notices import printable

EVENTS_SHOWN = 50
"""Default number of listed events."""
LOOK_AGAIN = 0.5
"""Seconds between two queries for the progress of a scan."""


@dataclass(frozen=True, slots=True)
class Session:
    """One run: the arguments, the client, and where to print."""

    arguments: Arguments
    client: Client
    screen: Screen
    notes: Screen
    """Standard error, for everything but the answer."""

    def give(self, answer: object) -> bool:
        """Print an answer as JSON if that was asked for."""
        if self.arguments.json:
            self.screen.line(json.dumps(answer, indent=2))
        return self.arguments.json


def _status(session: Session) -> Exit:
    answer = session.client.get("/v1/status")
    if not session.give(answer):
        show_status(session.screen, answer)
    return Exit.DONE


def _listed(session: Session, path: str, key: str, show: Callable[[Screen, Object], None]) -> Exit:
    _tell_where(session)
    page = session.client.every(path, _filters(session.arguments))
    if session.arguments.quiet:
        for item in page["items"]:
            session.screen.line(printable(item[key]))
    elif not session.give(page):
        show(session.screen, page)
    return Exit.DONE


def _tell_where(session: Session) -> None:
    """Print where a path leads, if that is another place."""
    named = session.arguments.path
    if named and (real := os.path.realpath(named)) != _host_path(named):
        session.notes.line(f"{printable(named)} leads to {printable(real)}")


def _filters(arguments: Arguments) -> Parameters:
    found: list[tuple[str, str]] = [("state", state) for state in arguments.state]
    found += [("isolated", word) for word in arguments.isolated]
    for key in ("level", "path", "container"):
        value = getattr(arguments, key)
        if value is not None:
            found.append((key, os.path.realpath(value) if key == "path" else value))
    return found + [(key, "1") for key in ("conflicts", "weakened", "failed") if getattr(arguments, key)]


def _containers(session: Session) -> Exit:
    def show(screen: Screen, page: Object) -> None:
        from mcsd.cli.tables import show_containers

        show_containers(screen, page["items"])

    return _listed(session, "/v1/containers", "name", show)


def _volumes(session: Session) -> Exit:
    def show(screen: Screen, page: Object) -> None:
        from mcsd.cli.tables import show_volumes

        show_volumes(screen, page["items"])

    return _listed(session, "/v1/volumes", "path", show)


def _pairs(session: Session) -> Exit:
    def show(screen: Screen, page: Object) -> None:
        from mcsd.cli.tables import show_pairs

        show_pairs(screen, page)

    return _listed(session, "/v1/pairs", "level", show)


def _booleans(session: Session) -> Exit:
    arguments = session.arguments
    if arguments.state_wanted:
        answer = session.client.post(
            f"/v1/booleans/{segment(arguments.name)}", {"state": arguments.state_wanted}
        )
        page: Object = {"items": [answer]}
    else:
        page = session.client.every("/v1/booleans")
        answer = page
    if arguments.name and not arguments.state_wanted:
        chosen = [item for item in page["items"] if arguments.name in {item["asked"], item["name"]}]
        if not chosen:
            raise CtlError(
                f"the configuration does not name the boolean {arguments.name!r}",
                hint="mcsctl booleans lists those it names",
                status=Exit.NOT_FOUND,
            )
        page = answer = {"items": chosen}
    if not session.give(answer):
        from mcsd.cli.tables import show_booleans

        show_booleans(session.screen, page)
    return Exit.DONE


def _show(session: Session) -> Exit:
    answer = session.client.get(f"/v1/containers/{segment(session.arguments.name)}")
    if not session.give(answer):
        show_container(session.screen, answer)
    return Exit.DONE


def _event(session: Session, event: Object) -> None:
    if session.arguments.json:
        session.screen.line(json.dumps(event))
    else:
        show_event(session.screen, event)
    session.screen.out.flush()


def _events(session: Session) -> Exit:
    arguments = session.arguments
    wanted: list[tuple[str, str]] = [("kind", kind) for kind in arguments.kind]
    wanted += [("container", arguments.container)] if arguments.container else []
    wanted += [("priority", str(arguments.priority))]
    newest = "0"
    lines = EVENTS_SHOWN if arguments.lines is None else arguments.lines
    if lines:
        for event in session.client.get("/v1/events", [*wanted, ("limit", str(lines))])["items"]:
            _event(session, event)
            newest = str(event["sequence"])
    if not arguments.follow:
        return Exit.DONE
    wanted += [("follow", "1"), *([("after", newest)] if lines else [])]
    for event in session.client.lines("/v1/events", wanted):
        _event(session, event)
    raise CtlError("mcsd has ended the stream", hint="systemctl status mcsd", status=Exit.NO_DAEMON)


def _wait(session: Session) -> Exit:
    arguments = session.arguments

    def still(item: Object | None) -> None:
        if item is None:
            session.notes.progress(f"waiting for {arguments.name}: there is no such container yet")
        else:
            session.notes.progress(f"waiting for {item['name']}: {_work_for(session, item)}")

    try:
        answer = wait_for(session.client, arguments.name, timeout=arguments.timeout, still=still)
    finally:
        session.notes.progress("")
    if not session.give(answer):
        counts = answer["volumes"]
        level = answer.get("level") or "no level"
        session.screen.line(
            f"{printable(answer['name'])} is ready: {level}, {counts['ready']}/{counts['total']} volumes"
            + (f", {counts['partly']} only partly" if counts.get("partly") else "")
        )
    for claim in answer.get("claims", ()):
        for one in claim.get("left_out") or ():
            session.notes.paragraph(f"{one['path']}: {one['text']}", first="left out: ", rest="  ")
            session.notes.paragraph(one["hint"], first="  next: ", rest="        ")
    return Exit.DONE


def _work_for(session: Session, item: Object) -> str:
    if not session.notes.out.isatty():
        return ""
    sources = {claim["source"] for claim in item.get("claims", ())}
    status = session.client.get("/v1/status")
    for walk in status.get("work", ()):
        if walk["path"] in sources:
            return f"{walk['path']} {progress_line(walk, time.time())}"
    return "in work"


def _host_path(text: str) -> str:
    """Make a path absolute without resolving links: the daemon knows volumes by the paths they were given."""
    return os.path.abspath(text)  # noqa: PTH100  (resolve() would follow links)


def _verify(session: Session) -> Exit:
    name = session.arguments.name
    body = {
        "target": _host_path(name) if name[:1] in {"/", "."} else name or None,
        "repair": session.arguments.repair,
    }
    answer = session.client.post("/v1/verify", body)
    if not session.give(answer):
        show_verification(session.screen, answer)
    if answer["good"]:
        return Exit.DONE
    hint = way_out(answer, repaired=session.arguments.repair)
    raise CtlError("disk, processes and ledger do not agree", hint=hint)


def _restore(session: Session) -> Exit:
    answer = session.client.post("/v1/restore", {"path": _host_path(session.arguments.name)})
    if not session.give(answer):
        session.screen.line(
            f"{printable(answer['path'])}: {answer['changed']:,} labels put back, "
            f"{answer['skipped']:,} left alone, in {answer['seconds']:.1f} s"
        )
    if answer["complete"]:
        return Exit.DONE
    raise CtlError(
        f"not all of {answer['path']!r} could be put back",
        hint="journalctl -u mcsd -p warning says what was in the way",
    )


def _scan(session: Session) -> Exit:
    arguments = session.arguments
    if not arguments.status:
        path = _host_path(arguments.name) if arguments.name else None
        answer = session.client.post("/v1/scan", {"path": path, "gently": arguments.background})
        if arguments.background:
            if not session.give(answer):
                session.screen.line("a scan has begun; mcsctl scan --status shows how far it is")
            return Exit.DONE
    answer = session.client.get("/v1/strays")
    while not arguments.status and answer["scan"] and answer["scan"]["finished"] is None:
        time.sleep(LOOK_AGAIN)
        answer = session.client.get("/v1/strays")
    if not session.give(answer):
        _show_strays(session, answer)
    return Exit.FAILED if answer["items"] else Exit.DONE


def _show_strays(session: Session, answer: Object) -> None:
    """Print the strays of each level and what to do, and then the state of the last scan."""
    for stray in answer["items"]:
        session.screen.line(
            f"{stray['level']}  on {stray['count']:,} outside every volume, as {stray['label']}"
        )
        for path in stray["paths"]:
            session.screen.line(f"  {printable(path)}")
        session.screen.paragraph(printable(stray["remedy"]), first="  next: ", rest="        ")
    if answer.get("lost"):
        session.screen.paragraph(printable(answer["lost"]), first="lost: ", rest="      ")
    scan = answer["scan"]
    if scan is None:
        session.screen.line("nothing has been scanned yet")
    elif scan["finished"] is None:
        session.screen.line(f"a scan is at {printable(scan['at'] or '/')}: {scan['seen']:,} looked at")
    else:
        where = printable(scan["path"] or "all local file systems")
        unseen = f", {scan['unseen']:,} could not be" if scan["unseen"] else ""
        session.screen.line(
            f"{where}: {scan['seen']:,} looked at{unseen}, {len(answer['items'])} levels on strays"
        )


def _reserve(session: Session) -> Exit:
    arguments = session.arguments
    lives = {"pid": arguments.pid, "unit": arguments.unit, "until": arguments.until}
    body: dict[str, object] = {"name": arguments.name, "group": arguments.group}
    body |= {key: value for key, value in lives.items() if value is not None}
    answer = session.client.post("/v1/reservations", body)
    if not session.give(answer):
        session.screen.line(answer["level"])
        if session.screen.out.isatty():
            option = f"--security-opt label=level:{answer['level']}"
            session.notes.line(f"for a container: docker run {option} ...")
    return Exit.DONE


def _run(session: Session) -> int:
    from mcsd.cli.relay import streams_to_relay
    from mcsd.cli.run import RunOptions, run, run_relayed

    arguments = session.arguments
    options = RunOptions(
        arguments.command_line,
        name=arguments.name,
        group=arguments.group,
        domain=arguments.type,
        volumes=[(_host_path(path), mode) for path, mode in arguments.volume],
    )
    streams = streams_to_relay()
    if not streams:
        run(options, session.client, arguments.socket, session.notes)

    def complain(error: CtlError) -> int:
        return _complain(error, session.notes.out)

    return run_relayed(options, session.client, arguments.socket, session.notes, streams, complain)


def _release(session: Session) -> Exit:
    session.client.delete(f"/v1/reservations/{segment(session.arguments.name)}")
    return Exit.DONE


def _gate(session: Session) -> Exit:
    from mcsd.cli.gate import GateOptions, GatePaths, gate
    from mcsd.core.daemon_json import DAEMON_JSON

    arguments = session.arguments
    if arguments.engine != "docker":
        return _podman_gate(session)
    if arguments.hook:
        raise CtlError(
            "Docker has no hooks", hint="leave --hook out, or name --engine podman", status=Exit.USAGE
        )
    wish = GateOptions(arguments.name, dry_run=arguments.dry_run, reload=arguments.reload)
    place = GatePaths(file=arguments.file or DAEMON_JSON)
    return gate(wish, place, session.screen, session.notes, as_json=arguments.json)


def _fleet(session: Session) -> Exit:
    from mcsd.cli.fleet import FleetWish, show_fleet, show_plan

    arguments = session.arguments
    if arguments.name == "plan":
        return show_plan(arguments.hosts, session.screen, session.notes, as_json=arguments.json)
    if arguments.name != "status":
        from mcsd.cli.fleet_store import change_fleet

        wish = FleetWish(arguments.name, arguments.hosts, gone=arguments.gone)
        return change_fleet(wish, arguments.config, session.screen, session.notes, as_json=arguments.json)
    if arguments.hosts:
        raise CtlError(
            "fleet status takes no host", hint="it is about the host it runs on", status=Exit.USAGE
        )
    answer = session.client.get("/v1/fleet")
    if not session.give(answer):
        show_fleet(answer, session.screen)
    return Exit.DONE


def _podman_gate(session: Session) -> Exit:
    from mcsd.cli.podman_gate import DROP_IN, PodmanGate, PodmanPaths

    arguments = session.arguments
    place = PodmanPaths(file=arguments.file or DROP_IN)
    gate = PodmanGate(arguments.engine, place, session.client, session.screen, session.notes)
    return gate.run(
        arguments.name,
        hook=arguments.hook,
        dry_run=arguments.dry_run,
        reload=arguments.reload,
        as_json=arguments.json,
    )


def _why(session: Session) -> Exit:
    from mcsd.cli.why import SHOWN, WhyOptions, WhyPaths, moment_of, why

    arguments = session.arguments
    wish = WhyOptions(
        name=arguments.name,
        since=moment_of(arguments.since, session.screen.now),
        follow=arguments.follow,
        lines=SHOWN if arguments.lines is None else arguments.lines,
        json=arguments.json,
        tell=arguments.tell,
    )
    place = WhyPaths(log=Path(arguments.log)) if arguments.log else WhyPaths()
    return why(wish, place, session.client, session.screen)


def _audit(session: Session) -> Exit:
    from mcsd.cli.audit import AuditOptions, AuditPaths, audit

    arguments = session.arguments
    wish = AuditOptions(
        container=arguments.name,
        stopped=arguments.all,
        ignore=arguments.ignore,
        severity=arguments.severity,
        inodes=arguments.inodes,
        known=arguments.known,
        tell=arguments.tell,
        sarif=arguments.sarif,
        json=arguments.json,
        quiet=arguments.quiet,
    )
    place = AuditPaths(config=Path(arguments.config)) if arguments.config else AuditPaths()
    return audit(wish, place, session.client, session.screen, session.notes)


COMMANDS: Mapping[str, Callable[[Session], int]] = {
    "status": _status,
    "containers": _containers,
    "show": _show,
    "volumes": _volumes,
    "pairs": _pairs,
    "booleans": _booleans,
    "events": _events,
    "wait": _wait,
    "verify": _verify,
    "restore": _restore,
    "scan": _scan,
    "reserve": _reserve,
    "run": _run,
    "release": _release,
    "gate": _gate,
    "fleet": _fleet,
    "why": _why,
    "audit": _audit,
}


def _complain(error: CtlError, out: TextIO) -> Exit:
    """Print one line each; on a terminal, wrapped between words."""
    screen = Screen.of(out, os.environ, time.time())
    said = (("  ", line) for line in error.lines)
    for first, text in (("mcsctl: ", error.what), *said, ("hint: ", error.hint)):
        if text and out.isatty():
            screen.paragraph(text, first=first, rest=" " * len(first))
        elif text:
            screen.line(first + printable(text))
    return error.status


def run(arguments: Arguments, *, out: TextIO, err: TextIO, environment: Mapping[str, str], now: float) -> int:
    """Run a command; prints all its output."""
    session = Session(
        arguments,
        Client(arguments.socket),
        Screen.of(out, environment, now),
        Screen.of(err, environment, now),
    )
    try:
        return COMMANDS[arguments.command](session)
    except CtlError as error:
        out.flush()
        return _complain(_for_people(error, arguments.command), err)


def _for_people(error: CtlError, command: str) -> CtlError:
    """Replace a hint to the API's description by one to mcsctl's own help."""
    if error.status is not Exit.USAGE or "openapi" not in error.hint:
        return error
    return CtlError(error.what, hint=f"see mcsctl {command} --help", status=error.status)


def main(argv: Sequence[str] | None = None) -> int:
    """Run mcsctl; return its exit status."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # so that any name can be printed in any locale
            stream.reconfigure(errors="backslashreplace")
    try:
        arguments = parse(argv)
        status = run(arguments, out=sys.stdout, err=sys.stderr, environment=os.environ, now=time.time())
        sys.stdout.flush()
    except CtlError as error:
        return _complain(error, sys.stderr)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader is gone; nothing may be written at exit either
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.FAILED
    return status


if __name__ == "__main__":
    sys.exit(main())
