"""mcsctl's command line."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NoReturn

from mcsd import __version__
from mcsd.cli.client import DEFAULT_SOCKET
from mcsd.cli.errors import CtlError, Exit

VOLUME_MODES = ("private", "shared", "group", "observe", "ignore")
CONTAINER_STATES = ("reserved", "active", "idle", "quarantined", "none")
VOLUME_STATES = (
    "pending", "ready", "partial", "refused", "failed", "unmanaged", "lingering", "restoring", "stranded",
)  # fmt: skip
PAIR_STATES = ("reserved", "active", "idle", "quarantined", "group", "foreign")
BOOLEAN_STATES = ("on", "off", "configured")
FLEET_VERBS = ("plan", "status", "init", "admit", "evict", "recover", "open")
GATE_VERBS = ("enable", "disable", "status")
ISOLATED = ("yes", "no", "none")

SEVERITIES = ("critical", "high", "medium", "low")
"""As in `mcsd.core.audit.findings`, which is not imported for every command."""
INODES = 100_000
"""Default number of inodes that an audit examines in each volume."""

LONGEST_LIST = 1000
"""Events that the daemon remembers."""

_CONTAINER = "its name, its id, or an unambiguous beginning of its id"
_EXITS = "exit status: 0 done, 1 failed, 2 usage, 3 no daemon, 4 not found, 5 refused, 6 timed out"


@dataclass(frozen=True, slots=True)
class Arguments:
    """The parsed command line. `name` is the command's own argument, "" if it was left out."""

    command: str
    socket: str = DEFAULT_SOCKET
    json: bool = False
    name: str = ""
    quiet: bool = False
    state: tuple[str, ...] = ()
    isolated: tuple[str, ...] = ()
    level: str | None = None
    path: str | None = None
    container: str | None = None
    conflicts: bool = False
    weakened: bool = False
    failed: bool = False
    follow: bool = False
    kind: tuple[str, ...] = ()
    priority: int = 6
    lines: int | None = None
    timeout: float | None = None
    repair: bool = False
    background: bool = False
    status: bool = False
    group: str | None = None
    pid: int | None = None
    unit: str | None = None
    until: str | None = None
    type: str | None = None
    volume: tuple[tuple[str, str], ...] = ()
    """Paths and their modes, "" for none."""
    command_line: tuple[str, ...] = ()
    state_wanted: str = ""
    hosts: tuple[str, ...] = ()
    engine: str = "docker"
    dry_run: bool = False
    reload: bool = False
    hook: bool = False
    file: str = ""
    sarif: bool = False
    ignore: tuple[str, ...] = ()
    severity: str = "low"
    inodes: int = INODES
    known: str = ""
    all: bool = False
    config: str = ""
    gone: bool = False
    since: str = "1d"
    log: str = ""
    tell: bool = False


class _Parser(argparse.ArgumentParser):
    commands: Mapping[str, argparse.ArgumentParser] = MappingProxyType({})
    """The parsers of the commands, by name."""

    def error(self, message: str) -> NoReturn:
        raise CtlError(message, hint=f"see {self.prog} --help", status=Exit.USAGE)


def _one_of(choices: Iterable[str]) -> Callable[[str], str]:
    """Return a check with an error text of our own: Python's differs from version to version."""

    def check(text: str) -> str:
        if text in choices:
            return text
        raise argparse.ArgumentTypeError(f"{text!r} is not one of {', '.join(choices)}")

    return check


def _seconds(text: str) -> float:
    with suppress(ValueError):
        value = float(text)
        if 0 <= value < math.inf:
            return value
    raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds")


def _count(text: str) -> int:
    if text.isdecimal() and int(text) <= LONGEST_LIST:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to {LONGEST_LIST}")


def _number(text: str) -> int:
    if text.isdecimal() and int(text):
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")


def _priority(text: str) -> int:
    return int(_one_of([str(one) for one in range(8)])(text))


def _volume(text: str) -> tuple[str, str]:
    """Return a path and its mode, "" for none: what follows the last colon, unless it is part of a path."""
    path, colon, mode = text.rpartition(":")
    if not colon or "/" in mode:
        return text, ""
    if not path:
        raise argparse.ArgumentTypeError(f"{text!r} has no path")
    return path, _one_of(VOLUME_MODES)(mode)


def _several(parser: argparse.ArgumentParser, option: str, choices: Sequence[str] | None, about: str) -> None:
    metavar = option.lstrip("-").upper()
    check = _one_of(choices) if choices else str
    parser.add_argument(option, action="append", type=check, choices=choices, metavar=metavar, help=about)


def _listing(parser: argparse.ArgumentParser, states: Sequence[str], what: str) -> None:
    parser.add_argument("-q", "--quiet", action="store_true", help=f"print {what} only, one on a line")
    _several(parser, "--state", states, f"only in this state: {', '.join(states)}; may be repeated")
    parser.add_argument("--level", help="only at this level, however it is spelled")


def _lists(add: Any) -> None:
    containers = add("containers", "list containers and whether they are isolated")
    _listing(containers, CONTAINER_STATES, "names")
    _several(
        containers,
        "--isolated",
        ISOLATED,
        "yes, no, or none (it does not run, starts or ends); may be repeated",
    )
    containers.add_argument("--path", help="only with a volume at or below this host path")
    containers.add_argument("--conflicts", action="store_true", help="only in conflict with another holder")
    containers.add_argument(
        "--weakened", action="store_true", help="only with a mount that weakens everybody's isolation"
    )
    containers.add_argument("--failed", action="store_true", help="only those that could not be handled")
    volumes = add("volumes", "list volumes and how their labels stand")
    _listing(volumes, VOLUME_STATES, "paths")
    volumes.add_argument("--path", help="only at or below this host path")
    volumes.add_argument("--container", help="only claimed by this container")
    pairs = add("pairs", "list levels and who holds them")
    _listing(pairs, PAIR_STATES, "levels")


def _events(add: Any) -> None:
    events = add("events", "list what happened, oldest first")
    events.add_argument("-f", "--follow", action="store_true", help="go on with what happens")
    events.add_argument("-n", "--lines", type=_count, metavar="N", help="at most so many to begin with (50)")
    events.add_argument("--container", help="only about this container")
    _several(events, "--kind", None, "only of this kind, such as volume-refused; may be repeated")
    events.add_argument(
        "--priority",
        type=_priority,
        choices=range(8),
        metavar="N",
        help="only this and more important: 4 is warning; 6, info, unless given",
    )


def _audit(add: Any) -> None:
    audit = _named(
        add,
        "audit",
        "look at what else is open on this host",
        "CONTAINER",
        f"only this one: {_CONTAINER}; all that run if left out",
        nargs="?",
    )
    audit.add_argument("-q", "--quiet", action="store_true", help="print the keys of findings only")
    audit.add_argument(
        "--sarif", action="store_true", help="print SARIF 2.1.0, as programs that collect findings read it"
    )
    audit.add_argument("--all", action="store_true", help="look at containers that do not run, too")
    audit.add_argument(
        "--severity",
        type=_one_of(SEVERITIES),
        choices=SEVERITIES,
        metavar="SEVERITY",
        help=f"only this and worse: {', '.join(SEVERITIES)}; low unless given",
    )
    audit.add_argument(
        "--ignore",
        action="append",
        metavar="ID=REASON",
        help="accept these findings, and say why; may be repeated",
    )
    audit.add_argument(
        "--inodes",
        type=_number,
        metavar="N",
        help=f"look at so many in each volume at most; {INODES} unless given",
    )
    audit.add_argument(
        "--known", metavar="FILE", help="print only what is not in this file, and write it anew"
    )
    audit.add_argument("--tell", action="store_true", help="tell mcsd as well, for its socket and Cockpit")
    audit.add_argument(
        "--config", metavar="FILE", help="mcsd's configuration, /etc/mcsd/mcsd.toml unless given"
    )


def _why(add: Any) -> None:
    why = _named(
        add,
        "why",
        "say why something was denied, and what to do",
        "PATH|CONTAINER",
        "only about this path on the host, or this container; the newest denials if left out",
        nargs="?",
    )
    why.add_argument("-f", "--follow", action="store_true", help="go on with what is denied")
    why.add_argument("--since", metavar="TIME", help="how long back: 10min, 2h, 1d (unless given), or a date")
    why.add_argument("-n", "--lines", type=_count, metavar="N", help="at most so many kinds of denials (10)")
    why.add_argument(
        "--tell", action="store_true", help="follow: tell mcsd of what is denied, and print nothing"
    )
    why.add_argument("--log", metavar="FILE", help="auditd's log, /var/log/audit/audit.log unless given")


def _named(add: Any, command: str, about: str, metavar: str, help_text: str, **more: Any) -> Any:
    parser = add(command, about)
    parser.add_argument("name", metavar=metavar, help=help_text, **more)
    return parser


def _wait(add: Any) -> None:
    wait = _named(add, "wait", "wait until a container's volumes are ready", "CONTAINER", _CONTAINER)
    wait.add_argument("--timeout", type=_seconds, metavar="S", help="give up after so many seconds")


def _booleans(add: Any) -> None:
    booleans = _named(add, "booleans", "list booleans, or hold one", "NAME", "only this boolean", nargs="?")
    booleans.add_argument(
        "state_wanted",
        metavar="on|off|configured",
        nargs="?",
        default=None,
        type=_one_of(BOOLEAN_STATES),
        choices=BOOLEAN_STATES,
        help="hold it so until mcsd's next start, or let it be as the configuration has it",
    )


def _verify(add: Any) -> None:
    verify = _named(
        add,
        "verify",
        "compare disk, processes and ledger",
        "PATH|CONTAINER",
        "only this volume, or this container's; everything if left out",
        nargs="?",
    )
    verify.add_argument("--repair", action="store_true", help="label again what differs")


def _scan(add: Any) -> None:
    scan = _named(
        add,
        "scan",
        "look for files outside every volume that carry a level",
        "PATH",
        "only what is below it; all local file systems if left out",
        nargs="?",
    )
    scan.add_argument("--background", action="store_true", help="begin it, slowly, and do not wait for it")
    scan.add_argument("--status", action="store_true", help="only show what was found, and how far a scan is")


def _reserve(add: Any) -> None:
    reserve = _named(add, "reserve", "set a level aside for a container to come", "NAME", "a name for it")
    reserve.add_argument("--group", metavar="G", help="let it reach this group's volumes too")
    life = reserve.add_mutually_exclusive_group()
    life.add_argument("--pid", type=_number, metavar="PID", help="until this process ends")
    life.add_argument("--unit", metavar="UNIT", help="until this unit of systemd's is not active any more")
    life.add_argument("--until", metavar="TIME", help="until this time, or for this long: 90min, 2h, 1d")


def _run(add: Any) -> None:
    run = add("run", "run a command at a level of its own")
    run.add_argument("--name", metavar="NAME", help="a name for it; run- and its pid unless given")
    run.add_argument("--group", metavar="G", help="let it reach this group's volumes too")
    run.add_argument(
        "--type", metavar="TYPE", help="its domain; the policy's own for containers unless given"
    )
    run.add_argument(
        "--volume",
        action="append",
        type=_volume,
        metavar="PATH[:MODE]",
        help=f"label this directory or file for it; a mode is {', '.join(VOLUME_MODES)}; may be repeated",
    )
    run.add_argument("command_line", metavar="COMMAND", nargs="+", help="the command, after --")


def _gate(add: Any) -> None:
    gate = _named(
        add,
        "gate",
        "have an engine start containers through mcsd, or not",
        "enable|disable|status",
        "switch it on, off, or say how it stands",
        type=_one_of(GATE_VERBS),
        choices=GATE_VERBS,
    )
    gate.add_argument(
        "--engine", metavar="NAME", default="docker", help="of which engine: docker unless given"
    )
    gate.add_argument("--hook", action="store_true", help="a hook of Podman's, where its runtime must stay")
    gate.add_argument("--dry-run", action="store_true", help="only show the change")
    gate.add_argument("--reload", action="store_true", help="have the engine reload, and see that it did")
    gate.add_argument("--file", metavar="PATH", help="the engine's file, unless it is the usual one")


def _fleet(add: Any) -> None:
    fleet = _named(
        add,
        "fleet",
        "keep hosts apart that mount the same labelled storage",
        "VERB",
        "plan: divide the categories among hosts; status: say how this host stands; init, admit, evict, "
        "recover and open change the fleet in a common store",
        type=_one_of(FLEET_VERBS),
        choices=FLEET_VERBS,
    )
    fleet.add_argument(
        "hosts",
        metavar="HOST",
        nargs="*",
        default=[],
        help="plan, init: all hosts that mount the same storage; admit, evict: this one",
    )
    fleet.add_argument(
        "--config", metavar="FILE", help="how to reach the store, /etc/mcsd/fleet.toml unless given"
    )
    fleet.add_argument(
        "--gone",
        action="store_true",
        help="evict: state that the host is off, and its disks are gone or their labels removed",
    )


def _always() -> argparse.ArgumentParser:
    """Return the options that each command has."""
    always = _Parser(add_help=False, argument_default=argparse.SUPPRESS)
    always.add_argument("--socket", metavar="PATH", help=f"the daemon's socket ({DEFAULT_SOCKET})")
    always.add_argument("--json", action="store_true", help="print JSON, most of it the API's own objects")
    return always


def make_parser() -> argparse.ArgumentParser:
    """Return the parser; the manual and the completions are tested against it."""
    common: dict[str, Any] = {
        "epilog": _EXITS,
        "parents": [_always()],
        "argument_default": argparse.SUPPRESS,
        "allow_abbrev": False,
    }
    about = "What mcsd isolates, what it does not, why, and what to do."
    parser = _Parser(prog="mcsctl", description=about, **common)
    parser.add_argument("--version", action="version", version=f"mcsctl {__version__}")
    commands: Any = parser.add_subparsers(
        dest="command", metavar="COMMAND", required=True, parser_class=_Parser
    )
    parser.commands = commands.choices

    def add(name: str, about: str) -> argparse.ArgumentParser:
        description = about[0].upper() + about[1:] + "."
        one: argparse.ArgumentParser = commands.add_parser(
            name, help=about, description=description, **common
        )
        return one

    _add_commands(add)
    return parser


def _add_commands(add: Any) -> None:
    """Add every command, in the order that the help lists them."""
    add("status", "show everything at one glance")
    _lists(add)
    _booleans(add)
    _named(add, "show", "show all about one container", "CONTAINER", _CONTAINER)
    _events(add)
    _wait(add)
    _verify(add)
    _named(add, "restore", "put a volume's original labels back", "PATH", "the volume's path on the host")
    _scan(add)
    _reserve(add)
    _run(add)
    _gate(add)
    _fleet(add)
    _why(add)
    _audit(add)
    _named(add, "release", "give a reserved level up", "NAME", "the name it was reserved under")


def subcommands(parser: argparse.ArgumentParser) -> Mapping[str, argparse.ArgumentParser]:
    """Return a parser's commands, for generators and tests."""
    return parser.commands if isinstance(parser, _Parser) else {}


def _check_command(parser: argparse.ArgumentParser, argv: Sequence[str] | None) -> None:
    """Raise `CtlError` if the command is none: argparse checks that itself, in words of its own."""
    first = _Parser(prog=parser.prog, add_help=False, allow_abbrev=False, parents=[_always()])
    first.add_argument("command", nargs="?", metavar="COMMAND", type=_one_of(subcommands(parser)))
    first.parse_known_args(argv)


def parse(argv: Sequence[str] | None = None) -> Arguments:
    """Parse a command line; raise `CtlError` for an invalid one."""
    parser = make_parser()
    try:
        given = vars(parser.parse_args(argv))
    except CtlError:
        _check_command(parser, argv)
        raise
    values: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in given.items()
    }
    values = {key: value for key, value in values.items() if value is not None}
    _no_empty(values)
    return Arguments(**values)


def _no_empty(values: Mapping[str, Any]) -> None:
    """Refuse empty arguments: an unset variable must not mean everything, or the current directory."""
    for key, value in values.items():
        if key == "command_line":  # whose arguments are the command's
            continue
        if value == "" or (isinstance(value, tuple) and "" in value):
            what = "the argument" if key == "name" else f"--{key}"
            raise CtlError(
                f"{what} of {values['command']!r} is empty",
                hint="is a variable not set? see mcsctl " + values["command"] + " --help",
                status=Exit.USAGE,
            )
