"""Compares what `mcsctl audit` finds in the stacks with what it is known to find.

    audited.py POLICY RESULTS

RESULTS is what `runner.py --audit` wrote. Only rules about what a stack is given are compared: images are
stand-ins, which run as root and have what privileges Docker gives, whatever the stack's own would do. What
`audited.toml` lists for POLICY (`debian`, `fedora`) has to be found, and nothing else. Standard library only.
"""

from __future__ import annotations

import json
import sys
import tomllib
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

LISTED = Path(__file__).with_name("audited.toml")
RULES = (
    "privileged",
    "engine-socket",
    "weakened-isolation",
    "capabilities-added",
    "seccomp-off",
    "host-pid",
    "host-ipc",
    "host-network",
    "host-uts",
    "devices",
    "host-socket",
    "shared-tmp",
)
"""In the order of the manual's table."""


def listed(policy: str) -> dict[str, tuple[str, ...]]:
    """Return which services (`stack/service`) each rule finds on a policy."""
    tables: dict[str, dict[str, list[str]]] = tomllib.loads(LISTED.read_text())
    more = tables.get(policy, {})
    return {rule: (*services, *more.get(rule, ())) for rule, services in tables["found"].items()}


def by_rule(results: Mapping[str, Iterable[str]]) -> dict[str, set[str]]:
    """Turn rules by service into services by rule, of the rules that are compared."""
    found: dict[str, set[str]] = {}
    for service, rules in results.items():
        for rule in set(rules) & set(RULES):
            found.setdefault(rule, set()).add(service)
    return found


def differing(
    results: Mapping[str, Iterable[str]], expected: Mapping[str, Collection[str]]
) -> tuple[set[tuple[str, str]], set[tuple[str, str]]]:
    """Return what was found and is not listed, and what is listed and was not found, as (rule, service).

    `results` has every service that was made; what is listed of another is not asked for.
    """
    found = {(rule, service) for rule, services in by_rule(results).items() for service in services}
    known = {(rule, one) for rule, services in expected.items() for one in services if one in results}
    return found - known, known - found


def main() -> int:
    """See the module."""
    policy, path = sys.argv[1:]
    results = json.loads(Path(path).read_text())
    for rule, services in sorted(by_rule(results).items()):
        print(f"{rule} = {json.dumps(sorted(services))}")
    more, less = differing(results, listed(policy))
    for rule, service in sorted(more):
        print(f"FOUND, AND NOT LISTED: {rule} in {service}")
    for rule, service in sorted(less):
        print(f"LISTED, AND NOT FOUND: {rule} in {service}")
    return 1 if more or less else 0


if __name__ == "__main__":
    sys.exit(main())
