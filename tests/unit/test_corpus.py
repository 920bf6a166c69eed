"""The corpus of everyday stacks: what is in it, and that the manual's table is what runs are held to."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from mcsd.core.audit.findings import RULES
from tests.corpus import audited
from tests.corpus.compare import Difference, gained, listed, lost
from tests.corpus.table import entries, open_in_stacks

ROOT = Path(__file__).parents[2]
STACKS = {path.stem: path.read_text() for path in (ROOT / "tests/corpus").glob("*.yaml")}
AUDIT = (ROOT / "packaging/man/mcsd-audit.7.rst").read_text()
PAGE = (ROOT / "packaging/man/mcsd-recipes.7.rst").read_text()


def test_there_are_enough_and_each_says_what_it_is() -> None:
    assert len(STACKS) >= 40
    for name, text in STACKS.items():
        assert text.startswith("# "), name
        assert "services:" in text and len(text.splitlines()) <= 40, name


def test_the_kinds_that_people_have_are_among_them() -> None:
    everything = "\n".join(STACKS.values())
    for kind in (
        "/var/run/docker.sock",
        "/:/host:ro,rslave",
        "/var/lib/docker/containers",
        "/run/dbus",
        "/lib/modules",
        "/etc/localtime",
        "/dev/ttyUSB0",
        "nvidia.com/gpu=all",
        "/sys/fs/cgroup",
        "service_completed_successfully",
        "docker-entrypoint-initdb.d",
        "read_only: true",
        "subpath:",
        "external: true",
        "network_mode: service:",
        "ipc: service:",
        "develop:",
        "secrets:",
        "privileged: true",
        "label=disable",
        "volumes_from:",
        "io.mcsd.group",
    ):
        assert kind in everything, kind


def test_the_table_is_in_the_manual_as_the_runs_are_held_to_it() -> None:
    for entry in entries():
        assert re.sub(r"\s+", " ", entry) in re.sub(r"\s+", " ", PAGE), entry
    section = PAGE.partition("EVERYDAY STACKS")[2].partition("\nSHARING A VOLUME\n")[0]
    assert len(re.findall(r"^\S.*\n    \S", section, re.M)) == len(listed()), "and nothing else"
    assert f"Of {len(STACKS)} everyday compose files" in section


def test_what_is_open_in_them_is_in_the_manual() -> None:
    section = AUDIT.partition("\nEVERYDAY STACKS\n")[2].partition("\nBESIDE DOCKER-BENCH-SECURITY\n")[0]
    assert section.rstrip().endswith("\n".join(open_in_stacks()))
    assert f"In the {len(STACKS)} everyday compose files" in section


def test_what_is_found_is_of_rules_and_services_that_there_are() -> None:
    assert set(audited.RULES) <= set(RULES)
    everything = audited.listed("fedora")
    assert list(everything) == [rule for rule in audited.RULES if rule in everything]
    for services in everything.values():
        for stack, service in (one.split("/") for one in services):
            assert f"\n  {service}:\n" in STACKS[stack]


def test_what_only_one_policy_leaves_open_is_listed_for_it_alone() -> None:
    tables = tomllib.loads(audited.LISTED.read_text(encoding="utf-8"))
    for rule, services in tables["fedora"].items():
        assert not set(services) & set(audited.listed("debian")[rule])
        assert set(services) < set(audited.listed("fedora")[rule])
    assert audited.listed("debian") == {rule: tuple(services) for rule, services in tables["found"].items()}


def test_more_and_less_than_listed_is_told() -> None:
    results = {"s/a": ["privileged", "naked-pull"], "s/b": ["devices"], "s/c": []}
    expected = {"privileged": ["s/a", "s/c"], "host-pid": ["t/not-run"]}
    assert audited.differing(results, expected) == ({("devices", "s/b")}, {("privileged", "s/c")})


def test_what_is_listed_is_in_the_corpus() -> None:
    for row in listed():
        assert f"\n  {row.service}:\n" in STACKS[row.stack]
        assert row.reason and row.remedy and row.policies and row.modes
        assert bool(row.what) is ("watching" in row.modes)


# --- the comparison ------------------------------------------------------------------------------------


def state(last: str, *, started: bool = True, first: str | None = None) -> dict[str, object]:
    seen = {"/data": last}
    return {"started": started, "first": seen if first is None else {"/data": first}, "last": seen}


def stack(**services: dict[str, object]) -> dict[str, object]:
    return {"s": {"error": "", "services": services}}


def test_less_is_seen_and_more_is_none() -> None:
    before = stack(a=state("rw"), b=state("r-"), c=state("rw"), d=state("--", started=False))
    after = stack(a=state("r-"), b=state("rw"), c=state("--", started=False), d=state("rw"))
    found = set(lost("watching", before, after))
    assert found == {
        Difference("s", "a", "watching", "write /data"),
        Difference("s", "c", "watching", "start"),
    }
    assert gained(before, after) == {"starts": 1, "write": 2, "read": 1}


def test_with_the_gate_the_first_look_counts() -> None:
    before, after = stack(a=state("rw")), stack(a=state("rw", first="--"))
    assert len(set(lost("gate", before, after))) == 2 and not set(lost("watching", before, after))


def test_who_is_not_there_has_not_started() -> None:
    assert set(lost("gate", stack(a=state("rw")), stack())) == {Difference("s", "a", "gate", "start")}
