"""Compares what became of the stacks without mcsd and with it, and knows what may differ.

    compare.py POLICY WITHOUT WATCHING GATE

What starts without mcsd starts with it, and what is read and written without is read and written with it, or
`differences.toml` says why not. What is listed there has to differ so. Standard library only.
"""

from __future__ import annotations

import json
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LISTED = Path(__file__).with_name("differences.toml")
MODES = ("watching", "gate")


@dataclass(frozen=True, slots=True, order=True)
class Difference:
    """One thing that is less with mcsd than without: `what` is `start`, or `read` or `write` at a place."""

    stack: str
    service: str
    mode: str
    what: str

    def __str__(self) -> str:
        return f"{self.stack}/{self.service} ({self.mode}): {self.what}"


@dataclass(frozen=True, slots=True)
class Listed:
    """A row of the table in the manual: which differences there are, on which policies, and why.

    With the gate it is the start that is refused; `what` is what cannot be done without the gate.
    """

    title: str
    stack: str
    service: str
    modes: tuple[str, ...]
    policies: tuple[str, ...]
    what: tuple[str, ...]
    reason: str
    remedy: str

    def differences(self) -> Iterator[Difference]:
        """Return each difference that the row stands for."""
        return (
            Difference(self.stack, self.service, mode, what)
            for mode in self.modes
            for what in (("start",) if mode == "gate" else self.what)
        )


def listed() -> tuple[Listed, ...]:
    """Read what may differ."""
    rows: list[dict[str, Any]] = tomllib.loads(LISTED.read_text())["difference"]
    return tuple(Listed(**{key: _frozen(value) for key, value in row.items()}) for row in rows)


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _verbs(seen: str) -> set[str]:
    return {verb for verb in ("read", "write") if verb[0] in seen}


def lost(mode: str, without: Mapping[str, Any], present: Mapping[str, Any]) -> Iterator[Difference]:
    """Say what is less than without mcsd. With the gate the first look counts, since nothing comes later."""
    for stack, before in without.items():
        for service, was in before["services"].items():
            now = present[stack]["services"].get(service, {"started": False, "first": {}, "last": {}})
            if was["started"] and not now["started"]:
                yield Difference(stack, service, mode, "start")
            elif was["started"]:
                seen = now["first" if mode == "gate" else "last"]
                for place, could in was["last"].items():
                    for verb in sorted(_verbs(could) - _verbs(seen.get(place, ""))):
                        yield Difference(stack, service, mode, f"{verb} {place}")


def gained(without: Mapping[str, Any], present: Mapping[str, Any]) -> Counter[str]:
    """Count what is more than without mcsd."""
    counts: Counter[str] = Counter()
    for stack, after in present.items():
        for service, now in after["services"].items():
            was = without[stack]["services"].get(service, {"started": False, "last": {}})
            counts["starts"] += now["started"] and not was["started"]
            for place, can in now["last"].items():
                more = _verbs(can) - _verbs(was["last"].get(place, "")) if now["started"] else set()
                counts.update(more)
    return counts


def main() -> int:
    """See the module."""
    policy, *files = sys.argv[1:]
    without, *others = (json.loads(Path(file).read_text()) for file in files)
    services = sum(len(stack["services"]) for stack in without.values())
    started = sum(one["started"] for stack in without.values() for one in stack["services"].values())
    print(f"{len(without)} stacks, {services} services; {started} start without mcsd")
    found = set()
    for mode, present in zip(MODES, others, strict=True):
        more = gained(without, present)
        print(
            f"{mode}: more than without: "
            + ", ".join(f"{more[key]} {key}" for key in ("starts", "read", "write"))
        )
        found |= set(lost(mode, without, present))
    rows = [row for row in listed() if policy in row.policies and row.stack in without]
    expected = {one for row in rows for one in row.differences()}
    for one in sorted(found & expected):
        print(f"differs, as listed: {one}")
    for one in sorted(found - expected):
        mode = others[MODES.index(one.mode)]
        print(f"DIFFERS: {one}: {mode[one.stack]['error']}")
    for one in sorted(expected - found):
        print(f"LISTED, AND DOES NOT DIFFER: {one}")
    return 0 if found == expected else 1


if __name__ == "__main__":
    sys.exit(main())
