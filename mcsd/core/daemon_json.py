"""Docker's daemon.json: the gate added, and removed again.

The gate is a runtime named `mcsd`, set as the default. Everything else in the file stays: keys, values, their
order and the indentation. Three properties of Docker and the gate determine what is written:

- A container keeps the name of the runtime it was created with. One created with `mcsd` starts only while
  that runtime is defined: if there is such a container, disabling the gate leaves the name with the real
  runtime behind it.
- On a reload, a missing key means "unchanged". So the former default is written by name, even `runc`.
- The gate finds runc and crun by itself; any other former default is passed to it as an argument.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mcsd.errors import ConfigurationError

DAEMON_JSON = "/etc/docker/daemon.json"
"""Docker's default path."""
NAME = "mcsd"
"""The gate's name among Docker's runtimes."""
STOCK = "runc"
"""Docker's built-in default runtime."""
_STOCK_NAMES = {STOCK, "io.containerd.runc.v2"}
_OPTION = "--mcsd-runtime="

Settings = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class GateSetting:
    """What a daemon.json says about the gate."""

    is_default: bool
    """Whether new containers start through it."""
    program: str
    """The program of the runtime `mcsd`, "" if there is no such runtime."""
    default: str
    """The runtime that new containers get."""

    def is_on(self, gate: str) -> bool:
        """Tell whether new containers start through the gate at this path."""
        return self.is_default and self.program == gate


def parse(text: str, path: str) -> dict[str, Any]:
    """Read the file; raise `ConfigurationError` with the line if it is not a JSON object."""
    if not text.strip():
        return {}  # as Docker does
    try:
        found = json.loads(text, object_pairs_hook=_distinct)
    except json.JSONDecodeError as exc:
        raise ConfigurationError(
            f"{path!r} is not JSON: line {exc.lineno}, column {exc.colno}: {exc.msg.lower()}",
            hint="Docker cannot read it either; mend it first",
        ) from exc
    except _TwiceError as exc:
        raise ConfigurationError(
            f"{path!r} has the key {exc.key!r} twice in one object",
            hint="only one of them counts, and writing the file again would lose the other; mend it first",
        ) from exc
    if not isinstance(found, dict):
        raise ConfigurationError(
            f"{path!r} is not a JSON object", hint="see dockerd(8) for what belongs there"
        )
    runtimes = found.get("runtimes", {})
    if not isinstance(runtimes, dict) or not all(isinstance(one, dict) for one in runtimes.values()):
        raise ConfigurationError(f"'runtimes' in {path!r} is not an object of objects", hint="mend it first")
    return found


def gate_setting(settings: Settings) -> GateSetting:
    """Return what the file says about the gate."""
    default = str(settings.get("default-runtime") or STOCK)
    program = str(settings.get("runtimes", {}).get(NAME, {}).get("path", ""))
    return GateSetting(default == NAME, program, default)


def enabled(settings: Settings, gate: str, find: Callable[[str], str | None]) -> dict[str, Any]:
    """Return the settings with the gate as the default; `find` looks a program up in PATH."""
    runtimes = dict(settings.get("runtimes", {}))
    former = gate_setting(settings).default
    if former != NAME:
        entry: dict[str, Any] = {"path": gate}
        arguments = _arguments(former, runtimes, find)
        if arguments:
            entry["runtimeArgs"] = arguments
        runtimes[NAME] = entry
    else:
        runtimes[NAME] = {**runtimes.get(NAME, {}), "path": gate}
    return {**settings, "runtimes": runtimes, "default-runtime": NAME}


def _arguments(former: str, runtimes: Settings, find: Callable[[str], str | None]) -> list[str]:
    if former in _STOCK_NAMES:
        return []
    entry = runtimes.get(former)
    name = entry.get("path") if entry else None
    if entry is None or not name:
        raise ConfigurationError(
            f"the default runtime {former!r} is not a program that the gate could hand containers to",
            hint="set default-runtime to runc or crun, and give the containers that need another --runtime",
        )
    path = find(name)
    if path is None:
        raise ConfigurationError(
            f"the default runtime's program {name!r} is not there", hint="mend daemon.json first"
        )
    return [_OPTION + path, *entry.get("runtimeArgs", ())]


def disabled(
    settings: Settings, gate: str, find: Callable[[str], str | None], *, in_use: bool
) -> dict[str, Any]:
    """Return the settings without the gate; `in_use` says whether containers exist that name it."""
    runtimes = dict(settings.get("runtimes", {}))
    entry = runtimes.get(NAME)
    others = [{"path": STOCK}, *(other for name, other in runtimes.items() if name != NAME)]
    if entry is None or (entry.get("path") != gate and (in_use or entry not in others)):
        return dict(settings)  # it is off already; another runtime of that name is not ours
    former = _former(entry, runtimes, find)
    if in_use:
        runtimes[NAME] = {**runtimes.get(former, {"path": STOCK})}
    else:
        del runtimes[NAME]
    result = {**settings, "runtimes": runtimes}
    if not runtimes:
        del result["runtimes"]
    if result.get("default-runtime") == NAME:
        result["default-runtime"] = former
    return result


def _former(entry: Settings, runtimes: Settings, find: Callable[[str], str | None]) -> str:
    arguments: list[str] = list(entry.get("runtimeArgs", ()))
    if not arguments or not arguments[0].startswith(_OPTION):
        return STOCK
    program, rest = arguments[0].removeprefix(_OPTION), arguments[1:]
    for name, other in runtimes.items():
        is_same = find(str(other.get("path", ""))) == program
        if name != NAME and is_same and list(other.get("runtimeArgs", ())) == rest:
            return name
    return STOCK


def dumps(settings: Settings, like: str) -> str:
    """Return the file's text, indented as it was."""
    found = re.search(r"^([ \t]+)\"", like, re.MULTILINE)
    indent = found[1] if found else "  "
    return json.dumps(settings, indent=indent, ensure_ascii=False) + "\n"


def difference(before: str, after: str, path: str) -> list[str]:
    """Return the change as a unified diff, line by line."""
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), path, path, lineterm="")
    return list(lines)


class _TwiceError(Exception):
    def __init__(self, key: str) -> None:
        self.key = key


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise _TwiceError(key)
        found[key] = value
    return found
