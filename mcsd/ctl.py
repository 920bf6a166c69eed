"""mcsctl: what is isolated, what is not, why, and what to do.

Reads the socket and prints. Its exit status is part of the interface (`ctl_errors.Exit`); errors are two
lines on standard error, `mcsctl: what` and `hint: what to do`. It starts in well under 150 ms: nothing
that the daemon needs is imported here, and rich only for tables.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TextIO

from mcsd.core.notices import printable
from mcsd.ctl_arguments import Arguments, parse
from mcsd.ctl_client import Client, Object, Parameters, segment
from mcsd.ctl_errors import CtlError, Exit
from mcsd.ctl_screens import (
    progress_line,
    show_container,
    show_event,
    show_status,
    show_verification,
    way_out,
)
from mcsd.ctl_text import Screen
from mcsd.ctl_wait import wait_for


@dataclass(frozen=True, slots=True)
class Session:
    """One run: what was asked, whom to ask, where to print."""

    arguments: Arguments
    client: Client
    screen: Screen
    notes: Screen
    """Standard error: what is not the answer."""

    def give(self, answer: object) -> bool:
        """Print an answer as JSON if that was asked for."""
        if self.arguments.json:
            self.screen.line(json.dumps(answer, indent=2))
        return self.arguments.json

    def progress(self, text: str) -> None:
        """Show what goes on, in place, where somebody is watching."""
        if self.notes.out.isatty():
            self.notes.out.write(f"\r\x1b[K{printable(text)[: self.notes.columns - 1]}")
            self.notes.out.flush()


def _status(session: Session) -> Exit:
    answer = session.client.get("/v1/status")
    if not session.give(answer):
        show_status(session.screen, answer)
    return Exit.DONE


def _listed(session: Session, path: str, key: str, show: Callable[[Screen, Object], None]) -> Exit:
    page = session.client.every(path, _filters(session.arguments))
    if session.arguments.quiet:
        for item in page["items"]:
            session.screen.line(printable(item[key]))
    elif not session.give(page):
        show(session.screen, page)
    return Exit.DONE


def _filters(arguments: Arguments) -> Parameters:
    found: list[tuple[str, str]] = [("state", state) for state in arguments.state]
    found += [("isolated", word) for word in arguments.isolated]
    for key in ("level", "path", "container"):
        value = getattr(arguments, key)
        if value is not None:
            found.append((key, _host_path(value) if key == "path" else value))
    return found + [(key, "1") for key in ("conflicts", "failed") if getattr(arguments, key)]


def _containers(session: Session) -> Exit:
    def show(screen: Screen, page: Object) -> None:
        from mcsd.ctl_tables import show_containers

        show_containers(screen, page["items"])

    return _listed(session, "/v1/containers", "name", show)


def _volumes(session: Session) -> Exit:
    def show(screen: Screen, page: Object) -> None:
        from mcsd.ctl_tables import show_volumes

        show_volumes(screen, page["items"])

    return _listed(session, "/v1/volumes", "path", show)


def _pairs(session: Session) -> Exit:
    def show(screen: Screen, page: Object) -> None:
        from mcsd.ctl_tables import show_pairs

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
        from mcsd.ctl_tables import show_booleans

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
    if arguments.lines:
        for event in session.client.get("/v1/events", [*wanted, ("limit", str(arguments.lines))])["items"]:
            _event(session, event)
            newest = str(event["sequence"])
    if not arguments.follow:
        return Exit.DONE
    wanted += [("follow", "1"), *([("after", newest)] if arguments.lines else [])]
    for event in session.client.lines("/v1/events", wanted):
        _event(session, event)
    raise CtlError("mcsd has ended the stream", hint="systemctl status mcsd", status=Exit.NO_DAEMON)


def _wait(session: Session) -> Exit:
    arguments = session.arguments

    def still(item: Object | None) -> None:
        if item is None:
            session.progress(f"waiting for {arguments.name}: there is no such container yet")
        else:
            session.progress(f"waiting for {item['name']}: {_work_for(session, item)}")

    try:
        answer = wait_for(session.client, arguments.name, timeout=arguments.timeout, still=still)
    finally:
        session.progress("")
    if not session.give(answer):
        counts = answer["volumes"]
        level = answer.get("level") or "no level"
        session.screen.line(
            f"{printable(answer['name'])} is ready: {level}, {counts['ready']}/{counts['total']} volumes"
        )
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
    """Make a path absolute as it is written: the daemon knows volumes by the names they were given."""
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


def _reserve(session: Session) -> Exit:
    arguments = session.arguments
    answer = session.client.post("/v1/reservations", {"name": arguments.name, "group": arguments.group})
    if not session.give(answer):
        session.screen.line(answer["level"])
        if session.screen.out.isatty():
            option = f"--security-opt label=level:{answer['level']}"
            session.notes.line(f"for a container: docker run {option} ...")
    return Exit.DONE


def _release(session: Session) -> Exit:
    session.client.delete(f"/v1/reservations/{segment(session.arguments.name)}")
    return Exit.DONE


def _gate(session: Session) -> Exit:
    from mcsd.ctl_gate import DAEMON_JSON, Place, Wish, gate

    arguments = session.arguments
    wish = Wish(arguments.name, dry_run=arguments.dry_run, reload=arguments.reload)
    place = Place(file=arguments.file or DAEMON_JSON)
    return gate(wish, place, session.screen, session.notes, as_json=arguments.json)


COMMANDS: Mapping[str, Callable[[Session], Exit]] = {
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
    "reserve": _reserve,
    "release": _release,
    "gate": _gate,
}


def _complain(error: CtlError, out: TextIO) -> Exit:
    """Print two lines for a program to read; whoever looks at a terminal gets them broken between words."""
    screen = Screen.of(out, os.environ, time.time())
    for first, text in (("mcsctl: ", error.what), ("hint: ", error.hint)):
        if text and out.isatty():
            screen.paragraph(text, first=first, rest=" " * len(first))
        elif text:
            screen.line(first + printable(text))
    return error.status


def run(
    arguments: Arguments, *, out: TextIO, err: TextIO, environment: Mapping[str, str], now: float
) -> Exit:
    """Do what was asked; prints everything it has to say."""
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
    """Point whoever typed something wrong to mcsctl's own help, not to the API's description."""
    if error.status is not Exit.USAGE or "openapi" not in error.hint:
        return error
    return CtlError(error.what, hint=f"see mcsctl {command} --help", status=error.status)


def main(argv: Sequence[str] | None = None) -> int:
    """Run mcsctl; gives its exit status."""
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
    except BrokenPipeError:  # the reader has had enough; nothing may be written at exit either
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.FAILED
    return status


if __name__ == "__main__":
    sys.exit(main())
