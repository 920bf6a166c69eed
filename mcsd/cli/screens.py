"""mcsctl's output that is not a table: the status, one container, events, and results."""

from __future__ import annotations

from collections.abc import Iterable

from mcsd.cli.client import Object
from mcsd.cli.text import Screen, bar, clock, names, number, since
from mcsd.core.notices import printable

PROBLEMS = 4
"""Last problems that the status shows."""

_WORDS = {"good": "ok", "busy": "...", "warning": "warn", "bad": "BAD"}
_PASSING = {
    "starting": "not yet: its process is the runtime's still",
    "ending": "its process has ended",
}
_PRIORITIES = ("emerg", "alert", "crit", "error", "warning", "notice", "info", "debug")


def show_status(screen: Screen, status: Object) -> None:
    """Print the whole status; each line with a problem says what to do next."""
    up = since(status.get("started"), screen.now)
    screen.line(screen.paint(f"mcsd {printable(status.get('version', '?'))}, up {up}", "strong"))
    for check in status.get("checks", ()):
        _check(screen, check)
    work = status.get("work") or ()
    if work:
        screen.line()
        screen.line(screen.paint("work in progress", "strong"))
        for walk in work:
            _walk(screen, walk)
    problems = (status.get("problems") or ())[:PROBLEMS]
    if problems:
        screen.line()
        screen.line(screen.paint("last problems", "strong") + "  (all of them: mcsctl events --priority 4)")
        for event in problems:
            ago = since(event.get("time"), screen.now) + " ago"
            screen.paragraph(event.get("message", ""), first=f"  {ago:<12}", rest=" " * 14)


def _check(screen: Screen, check: Object) -> None:
    condition = str(check.get("condition", ""))
    word = f"{_WORDS.get(condition, condition):<5}"
    subject = f"  {printable(check.get('subject', '')):<11} "
    rest = " " * len(subject + word)
    screen.paragraph(
        check.get("text", ""),
        first=subject + word,
        rest=rest,
        painted=subject + screen.paint(word, condition),
    )
    if check.get("hint"):
        screen.paragraph(check["hint"], first=f"{rest}next: ", rest=f"{rest}      ")


_RUN = "run-"
"""As in `mcsd.core.runs`, which is not imported for every command."""


def progress_line(walk: Object, now: float) -> str:
    """Return a line about the progress of a walk."""
    seen, expected = int(walk.get("seen", 0)), int(walk.get("expected", 0))
    share = f"{bar(seen, expected)}, {seen:,} of about {expected:,}" if expected else f"{seen:,}"
    return f"{share} inodes in {since(walk.get('started'), now)}"


def _walk(screen: Screen, walk: Object) -> None:
    screen.line(f"  {printable(walk.get('work', '')):<8} {printable(walk.get('path', ''))}")
    screen.line(f"           {progress_line(walk, screen.now)}")


def _entry(screen: Screen, key: str, text: str, *, style: str = "") -> None:
    screen.paragraph(text, first=f"  {key:<11} ", rest=" " * 14, style=style)


def show_container(screen: Screen, item: Object) -> None:
    """Print all about one container."""
    title = f"{printable(item['name'])}  {str(item['id'])[:12]}"
    screen.line(screen.paint(title, "strong"))
    what = "command" if str(item["id"]).startswith(_RUN) else "image"
    _entry(screen, "status", f"{item.get('status', '?')}, {what} {item.get('image') or '-'}")
    _isolation(screen, item)
    if item.get("level"):
        for_time = since(item.get("since"), screen.now)
        _entry(screen, "level", f"{item['level']} ({item['origin']}, {item['state']} for {for_time})")
    else:
        _entry(screen, "level", "none")
    for key in ("group", "reservation", "shares_with", "process"):
        if item.get(key):
            _entry(screen, key.replace("_", " "), str(item[key]))
    if item.get("error"):
        _entry(screen, "error", item["error"], style="bad")
        if item.get("hint"):
            _entry(screen, "", f"next: {item['hint']}")
    elif not item.get("settled", True):
        _entry(screen, "work", "something is still to do; mcsctl wait waits for it", style="busy")
    _network(screen, item.get("network"))
    _notes(screen, item.get("notes", ()))
    _weaknesses(screen, item.get("weaknesses", ()))
    _claims(screen, item.get("claims", ()))


def _isolation(screen: Screen, item: Object) -> None:
    isolated = item.get("isolated")
    passing = _PASSING.get(str(item.get("stage")), "it does not run")
    word = passing if isolated is None else "yes" if isolated else "no"
    style = "faint" if isolated is None else "good" if isolated else "bad"
    _entry(screen, "isolated", word, style=style)
    for reason in item.get("reasons", ()):
        _entry(screen, "", f"{reason['code']}: {reason['text']}")
        if reason.get("hint"):
            _entry(screen, "", f"next: {reason['hint']}")


def _notes(screen: Screen, notes: Iterable[Object]) -> None:
    for one in notes:
        key = "misread" if one.get("misread") else "option"
        style = "warning" if one.get("misread") else ""
        _entry(screen, key, f"{one['subject']}: {one['text']}", style=style)
        if one.get("hint"):
            _entry(screen, "", f"next: {one['hint']}")


def _weaknesses(screen: Screen, weaknesses: Iterable[Object]) -> None:
    for at, one in enumerate(weaknesses):
        weakens = one.get("weakens")
        _entry(
            screen, "" if at else "shown", f"{one['code']}: {one['text']}", style="warning" if weakens else ""
        )
        if one.get("hint"):
            _entry(screen, "", f"next: {one['hint']}")


def _network(screen: Screen, network: Object | None) -> None:
    if network is None:
        return
    shared = f" with {network['shared_with']}" if network.get("shared_with") else ""
    kind = {"own": "its own", "host": "the host's"}.get(network["kind"], str(network["kind"]))
    _entry(screen, "network", kind + shared + (f": {network['error']}" if network.get("error") else ""))
    for one in network.get("interfaces", ()):
        inside = f" to its {one['peer']}" if one.get("peer") else ""
        _entry(screen, "", f"{one['name']} (index {one['index']}, {one['mac']}){inside}")


def _claims(screen: Screen, claims: Iterable[Object]) -> None:
    for claim in claims:
        screen.line()
        access = "" if claim.get("writable", True) else ", read-only"
        screen.line(f"  {screen.paint(printable(claim['destination']), 'strong')}")
        _entry(screen, "  on host", claim["source"])
        style = {"ready": "good", "pending": "busy", "unmanaged": "faint"}.get(claim["state"], "bad")
        _entry(screen, "  state", f"{claim['state']} ({claim['mode']}{access})", style=style)
        if claim.get("reason"):
            _entry(screen, "  because", claim["reason"])
        if claim.get("hint"):
            _entry(screen, "  next", claim["hint"])
        for one in claim.get("left_out") or ():
            _entry(screen, "  left out", f"{one['path']}: {one['text']}", style="warning")
            _entry(screen, "  next", one["hint"])
        if claim.get("disk"):
            _disk(screen, claim["disk"])


_WATCHING = {"watched": "and watched since", "pending": "and not watched yet", "rounds": "and not watched"}


def _disk(screen: Screen, disk: Object) -> None:
    """Print when all of a volume was last checked, and how later changes become known."""
    when = (
        f"all of it right {since(disk['looked'], screen.now)} ago" if disk.get("looked") else "not looked at"
    )
    watching = _WATCHING.get(disk["watching"], str(disk["watching"]))
    why = f": {disk['reason']}" if disk.get("reason") else ""
    drifted = f"; {number(disk['drifted'])} changed by somebody" if disk.get("drifted") else ""
    style = "bad" if drifted else "" if disk["watching"] == "watched" else "warning"
    _entry(screen, "  disk", f"{when}, {watching}{why}{drifted}", style=style)


def show_event(screen: Screen, event: Object) -> None:
    """Print one event, or how many were lost."""
    if "lost" in event:
        screen.line(screen.paint(f"-- lost {event['lost']} events: this reader was too slow", "warning"))
        return
    priority = int(event.get("priority", 6))
    word = _PRIORITIES[priority] if 0 <= priority < len(_PRIORITIES) else str(priority)
    style = "bad" if priority <= 3 else "warning" if priority == 4 else ""
    first = f"{clock(event['time'])}  {word:<8}"
    screen.paragraph(event.get("message", ""), first=first, rest=" " * 6, style=style)


def show_verification(screen: Screen, found: Object) -> None:
    """Print what was compared."""
    for check in found.get("volumes", ()):
        path = printable(check["path"])
        if check.get("error"):
            _finding(screen, "BAD", f"{path}: {check['error']}")
        elif check.get("wrong") and not check.get("repaired"):
            some = f", such as {names(check['examples'])}" if check.get("examples") else ""
            what = f"{number(check['wrong'])} of {number(check['seen'])} inodes"
            _finding(screen, "BAD", f"{path}: {what} do not carry {check['target']}{some}")
        else:
            mended = f", {number(check['wrong'])} of them mended" if check.get("wrong") else ""
            skipped = f", {number(check['skipped'])} skipped" if check.get("skipped") else ""
            _finding(
                screen, "ok", f"{path}: {check['seen']:,} inodes carry {check['target']}{mended}{skipped}"
            )
    for key in ("processes", "pairs", "ledger"):
        for sentence in found.get(key, ()):
            _finding(screen, "BAD", sentence)
    if found.get("good"):
        _finding(screen, "ok", "disk, processes and ledger agree")


def way_out(found: Object, *, repaired: bool) -> str:
    """Return what to do about the differences: first what mcsd can repair, then what only the user can."""
    amiss = any(
        c.get("error") or (c.get("wrong") and not c.get("repaired")) for c in found.get("volumes", ())
    )
    if not repaired and (amiss or found.get("ledger")):
        return "mcsctl verify --repair labels again what differs"
    if amiss or found.get("ledger"):
        return "mend what stands beside each, then repeat it; journalctl -u mcsd -x"
    if found.get("processes"):
        return "docker restart gives a container's processes the level it is granted"
    return "mcsctl pairs --state foreign shows who it is; re-create one of the two"


def _finding(screen: Screen, word: str, text: str) -> None:
    first = f"{word:<4}"
    painted = screen.paint(first, "good" if word == "ok" else "bad")
    screen.paragraph(text, first=first, rest="    ", painted=painted)
