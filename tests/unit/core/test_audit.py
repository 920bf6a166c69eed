"""What an audit finds: every rule has a case that it finds and one that it does not."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcsd.cli.arguments import SEVERITIES as OFFERED
from mcsd.core.audit import capabilities
from mcsd.core.audit.baseline import AuditOutcome, Ignored, news, settle
from mcsd.core.audit.facts import (
    ContainerFacts,
    Endpoint,
    Facts,
    Proof,
    Seccomp,
    Shortfall,
    Sort,
    VolumeContents,
)
from mcsd.core.audit.findings import RULES, SEVERITIES, Finding, Severity
from mcsd.core.audit.host import audit
from mcsd.core.audit.telling import as_json, as_sarif
from mcsd.errors import ConfigurationError
from tests.fakes.audited import container, host, mount

MANUAL = Path(__file__).parents[3] / "packaging/man/mcsd-audit.7.rst"
EVERY = frozenset(capabilities.NAMES)


def found(facts: Facts) -> dict[str, Finding]:
    return {finding.key: finding for finding in audit(facts)}


def test_nothing_is_found_where_all_is_well() -> None:
    assert audit(host(container())) == ()


def suid(**more: Any) -> ContainerFacts:
    return container(contents=(VolumeContents("/srv/a", **more),))


CASES: tuple[tuple[str, Facts], ...] = (
    (
        "isolation/web/volume",
        host(container(proof=Proof(False, missing=(Shortfall("volume", "it is not labelled", "label it"),)))),
    ),
    (
        "weakened-isolation/web//host",
        host(container(proof=Proof(True, weakened=(Shortfall("x", "/ is shown", "do not", "/host"),)))),
    ),
    ("privileged/web", host(container(privileged=True, seen={"bounding": EVERY, "effective": EVERY}))),
    ("host-pid/web", host(container(pid_mode="host", seen={"shared": frozenset({"pid"})}))),
    ("host-ipc/web", host(container(ipc_mode="host", seen={"shared": frozenset({"ipc"})}))),
    ("host-network/web", host(container(network_mode="host", seen={"shared": frozenset({"net"})}))),
    ("host-uts/web", host(container(uts_mode="host", seen={"shared": frozenset({"uts"})}))),
    (
        "capabilities-added/web",
        host(container(cap_add=frozenset({"SYS_ADMIN"}), seen={"bounding": frozenset({"SYS_ADMIN"})})),
    ),
    (
        "capabilities-droppable/web",
        host(container(cap_drop=frozenset(), seen={"bounding": capabilities.DEFAULT})),
    ),
    ("root-inside/web", host(container(user="", seen={"root_inside": True, "root_outside": True}))),
    (
        "seccomp-off/web",
        host(container(security_options=("seccomp=unconfined",), seen={"seccomp": Seccomp.OFF})),
    ),
    ("new-privileges/web", host(container(security_options=(), seen={"no_new_privileges": False}))),
    ("devices/web//dev/dri", host(container(devices=("/dev/dri",)))),
    ("devices/web//dev/ttyS0", host(container(mounts=(mount("/dev/ttyS0", Sort.DEVICE),)))),
    (
        "engine-socket/web//var/run/docker.sock",
        host(container(mounts=(mount("/var/run/docker.sock", Sort.SOCKET, real="/run/docker.sock"),))),
    ),
    ("engine-socket/web//run", host(container(mounts=(mount("/run"),)))),
    ("host-socket/web//run/dbus/s", host(container(mounts=(mount("/run/dbus/s", Sort.SOCKET),)))),
    ("suid-content/web//srv/a", host(suid(suid=("/srv/a/su",), suid_count=1, seen=2))),
    ("world-writable/web//srv/a", host(suid(writable=("/srv/a/x",), writable_count=7, seen=9))),
    ("unseen-content/web//srv/a", host(suid(seen=9, complete=False))),
    ("shared-tmp/web//tmp/x", host(container(mounts=(mount("/tmp/x"),)))),
    ("naked-pull/web/alpine:3", host(container(image="alpine:3"))),
    ("no-memory-limit/web", host(container(memory=None, seen={"memory": None}))),
    ("no-process-limit/web", host(container(processes=None, seen={"processes": None}))),
    ("disagreement/web/seccomp", host(container(seen={"seccomp": Seccomp.OFF}))),
    ("unseen/web", host(container(unseen="process 7 cannot be looked at"))),
    ("docker-tcp/host/0.0.0.0:2375", host(endpoints=(Endpoint("0.0.0.0:2375", False, False),))),
    ("engine-unlabelled/host", host(labels_containers=False)),
    ("not-enforcing/host", host(enforcing=False)),
    ("engine-unfiltered/host", host(filters_calls=False)),
    ("user-namespaces/host", host(remaps_users=False)),
    ("live-restore/host", host(live_restore=False)),
    ("mcsd-silent/host", host(silent="no mcsd answers")),
)


@pytest.mark.parametrize(("key", "facts"), CASES, ids=[key for key, _ in CASES])
def test_it_is_found_by_this_key(key: str, facts: Facts) -> None:
    finding = found(facts)[key]
    assert finding.text and finding.seen and finding.remedy


def test_every_rule_has_a_case() -> None:
    assert {key.split("/")[0] for key, _ in CASES} == set(RULES)


@pytest.mark.parametrize(("key", "facts"), CASES, ids=[key for key, _ in CASES])
def test_what_one_thing_opens_is_told_once(key: str, facts: Facts) -> None:
    keys = [finding.key for finding in audit(facts)]
    assert len(keys) == len(set(keys))
    if not key.startswith(("privileged", "capabilities-added", "seccomp-off", "root-inside", "disagreement")):
        assert keys == [key]


def test_a_rule_says_where_it_is_from() -> None:
    """Chapters 6 to 8 of the guide, the numbers of the benchmark, or mcsd's own knowledge."""
    for rule in RULES.values():
        assert re.fullmatch(r"(2|6|[78](\.\d)?)?", rule.guide)
        assert re.fullmatch(r"([245]\.\d+)?", rule.cis)


def test_the_words_for_severity_are_those_that_are_offered() -> None:
    assert SEVERITIES == OFFERED


def test_the_manual_lists_the_rules_as_they_are() -> None:
    page = MANUAL.read_text(encoding="utf-8")
    rows = re.findall(
        r"^    ([a-z-]+) +(critical|high|medium|low) +(2|6|[78](?:\.\d)?|-) +([245]\.\d+|-)$", page, re.M
    )
    told = {name: tuple(rest) for name, *rest in rows}
    assert told == {
        rule.id: (rule.severity.word, rule.guide or "-", rule.cis or "-") for rule in RULES.values()
    }
    for rule in RULES:
        assert f"*{rule}*" in page, rule


# --- the finer points ----------------------------------------------------------------------------------


def test_what_reaches_the_host_is_worse_than_what_does_not() -> None:
    net = found(
        host(container(seen={"bounding": frozenset({"NET_ADMIN"})}, cap_add=frozenset({"NET_ADMIN"})))
    )
    admin = found(
        host(container(seen={"bounding": frozenset({"SYS_ADMIN"})}, cap_add=frozenset({"SYS_ADMIN"})))
    )
    assert net["capabilities-added/web"].weight is Severity.MEDIUM
    assert admin["capabilities-added/web"].weight is Severity.HIGH


def test_a_mount_that_ends_isolation_is_told_once() -> None:
    socket = Shortfall("engine-socket", "it is shown the socket", "take it out", "/s")
    proof = Proof(False, missing=(socket,), weakened=(socket,))
    assert list(found(host(container(proof=proof)))) == ["isolation/web/engine-socket"]


def test_an_idle_bounding_set_can_be_dropped_whole() -> None:
    facts = host(container(cap_drop=frozenset(), seen={"bounding": capabilities.DEFAULT}))
    assert "--cap-drop=ALL," in found(facts)["capabilities-droppable/web"].remedy


def test_of_what_is_in_effect_the_seldom_used_are_named() -> None:
    has = {"bounding": capabilities.DEFAULT, "effective": capabilities.DEFAULT}
    text = found(host(container(cap_drop=frozenset(), seen=has)))["capabilities-droppable/web"].text
    assert "NET_RAW" in text and "CHOWN" not in text


def test_root_in_a_user_namespace_is_less() -> None:
    facts = host(container(user="", seen={"root_inside": True}))
    assert found(facts)["root-inside/web"].weight is Severity.LOW


@pytest.mark.parametrize(
    ("image", "is_naked"),
    [
        ("alpine", True),
        ("team/app:2", True),
        ("docker.io/library/alpine:3", False),
        ("localhost/app", False),
        ("registry:5000/app", False),
        ("alpine@sha256:" + "0" * 64, False),
        ("sha256:" + "0" * 64, False),
        ("", False),
    ],
)
def test_which_images_are_naked_pulls(image: str, is_naked: bool) -> None:
    assert any(key.startswith("naked-pull") for key in found(host(container(image=image)))) is is_naked


@pytest.mark.parametrize(
    ("code", "asked", "seen"),
    [
        ("capabilities", {}, {"bounding": frozenset({"SYS_ADMIN"})}),
        ("capabilities", {"cap_drop": frozenset({"ALL"})}, {"bounding": frozenset({"CHOWN"})}),
        ("no-new-privileges", {}, {"no_new_privileges": False}),
        ("namespace-net", {"network_mode": "none"}, {"shared": frozenset({"net"})}),
        ("memory", {}, {"memory": None}),
        ("processes", {}, {"processes": None}),
    ],
)
def test_the_kernel_is_believed_and_the_difference_told(
    code: str, asked: dict[str, Any], seen: dict[str, Any]
) -> None:
    assert f"disagreement/web/{code}" in found(host(container(seen=seen, **asked)))


@pytest.mark.parametrize(
    "facts",
    [
        container(cap_add=frozenset({"ALL"}), seen={"bounding": EVERY}),
        container(
            privileged=True, seen={"bounding": EVERY, "seccomp": Seccomp.OFF, "no_new_privileges": False}
        ),
        container(pid_mode="container:x", seen={"shared": frozenset({"pid"})}),
        container(security_options=("seccomp:unconfined",), seen={"seccomp": Seccomp.OFF}),
    ],
)
def test_what_was_asked_for_is_no_disagreement(facts: ContainerFacts) -> None:
    assert not [key for key in found(host(facts)) if key.startswith("disagreement")]


def test_a_container_that_does_not_run_is_judged_by_its_options() -> None:
    facts = container(privileged=True, running=False, proof=Proof(None))
    keys = set(found(host(ContainerFacts(facts.settings, None, (), facts.proof))))
    assert "privileged/web" in keys and not {key for key in keys if key.startswith(("isolation", "unseen"))}


# --- baselines -----------------------------------------------------------------------------------------


def outcome(*ignored: str, least: Severity = Severity.LOW) -> AuditOutcome:
    facts = host(container(devices=("/dev/dri", "/dev/kvm"), memory=None, seen={"memory": None}))
    return settle(audit(facts), map(Ignored.parse, ignored), least=least)


def keys(findings: tuple[Finding, ...]) -> set[str]:
    return {one.key for one in findings}


def test_what_is_ignored_is_by_rule_container_or_object_in_whole_parts() -> None:
    both = {"devices/web//dev/dri", "devices/web//dev/kvm"}
    assert keys(outcome("devices=needed").open) == {"no-memory-limit/web"}
    assert keys(outcome("devices/web=needed").open) == {"no-memory-limit/web"}
    assert keys(outcome("devices/web//dev/dri=needed").open) == {
        "no-memory-limit/web",
        "devices/web//dev/kvm",
    }
    assert keys(outcome("devices/we=needed").open) >= both


def test_a_wish_that_meets_nothing_is_told() -> None:
    assert [one.target for one in outcome("privileged/web=it was", "devices=needed").idle] == [
        "privileged/web"
    ]


def test_below_the_least_severity_nothing_counts() -> None:
    assert keys(outcome(least=Severity.MEDIUM).open) == {"devices/web//dev/dri", "devices/web//dev/kvm"}
    assert outcome(least=Severity.HIGH).worst() is None


@pytest.mark.parametrize("text", ["devices", "devices=", "devices=  ", "nothing=why", "=why", ""])
def test_a_wish_needs_a_rule_and_a_reason(text: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Ignored.parse(text)
    assert caught.value.hint


def test_news_are_what_was_not_known() -> None:
    findings = outcome().open
    assert keys(news(findings, ["devices/web//dev/dri"])) == {"devices/web//dev/kvm", "no-memory-limit/web"}
    assert news(findings, keys(findings)) == ()


# --- how it is told ------------------------------------------------------------------------------------


def everything() -> AuditOutcome:
    findings = tuple(finding for _, facts in CASES for finding in audit(facts))
    return settle(findings, [Ignored.parse("naked-pull=built here")])


def test_json_has_everything_of_each_finding() -> None:
    told = as_json(everything(), new=["privileged/web"], audited=3)
    assert json.loads(json.dumps(told)) == told
    assert sum(told["counts"].values()) == len(told["findings"])
    assert [one["key"] for one in told["findings"] if one["new"]] == ["privileged/web"]
    assert {one["ignored"] for one in told["ignored"]} == {"built here"}


def test_sarif_is_what_its_schema_says() -> None:
    """The models are made from the OASIS schema, and refuse what it does not know."""
    model = pytest.importorskip("pydantic_sarif.model", reason="there is no pydantic-sarif")
    text = json.dumps(as_sarif(everything(), host="host", version="0.1.0"))
    log = model.StaticAnalysisResultsFormatSarifVersion210JsonSchema.model_validate_json(text)
    assert len(log.runs[0].results) == len(everything().open) + len(everything().accepted)


def test_sarif_s_results_name_rules_and_are_told_apart() -> None:
    run = as_sarif(everything(), host="host", version="0.1.0")["runs"][0]
    rules = run["tool"]["driver"]["rules"]
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["message"]["text"]
    prints = {tuple(one["partialFingerprints"].items()) for one in run["results"]}
    assert len(prints) == len({one["properties"]["key"] for one in run["results"]})
    suppressed = [one for one in run["results"] if "suppressions" in one]
    assert {one["ruleId"] for one in suppressed} == {"naked-pull"}


@given(st.text(), st.text())
def test_any_name_can_be_told(name: str, text: str) -> None:
    """Names of containers are the engine's to choose, paths are anybody's."""
    facts = host(container(name or "x", devices=("/dev/" + text + "\udcff",)))
    json.dumps(as_json(settle(audit(facts), ()), new=(), audited=1)).encode()
    json.dumps(as_sarif(settle(audit(facts), ()), host=text, version="1")).encode()
