"""Promise 8: *isolated* is said only when nothing is missing, and each thing that is missing is named."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mcsd.core.containers import Container, ContainerId, EngineInfo
from mcsd.core.grants import Grant, GrantState, Origin
from mcsd.core.host import Host, SelinuxStatus
from mcsd.core.isolation import Conflict, Evidence, Verdict, Why, judge
from mcsd.core.labels import Context, Level, read_label
from mcsd.core.volumes import Claim, ClaimMode, ClaimState, GrantId

LABEL = Context.parse("system_u:system_r:container_t:s0:c1,c2")
SELINUX = SelinuxStatus("kernel", enabled=True, enforcing=True, mls=True, policy="targeted")
DOCKER = EngineInfo(True, "26.1", "1.45", "/var/lib/docker", "runc")
HOST = Host(SELINUX, {"docker": DOCKER})
WEB = Container(ContainerId("a" * 64), "web", running=True, pid=7, process_label=LABEL)
GRANT = Grant(GrantId(1), WEB.id, "web", Level.of(1, 2), Origin.ADOPTED, GrantState.ACTIVE, 1.0)
CLAIM = Claim(GrantId(1), "/data", "/srv", ClaimMode.PRIVATE, ClaimState.READY)
SOUND = Evidence(HOST, WEB, GRANT, (CLAIM,), (), LABEL)


def selinux(**changes: object) -> Evidence:
    status = SelinuxStatus(**{**_fields(SELINUX), **changes})  # type: ignore[arg-type]
    return replace(SOUND, host=replace(HOST, selinux=status))


def _fields(status: SelinuxStatus) -> dict[str, object]:
    return {name: getattr(status, name) for name in SelinuxStatus.__dataclass_fields__}


def unlabelled(**changes: object) -> Evidence:
    container = replace(WEB, process_label=None, **changes)  # type: ignore[arg-type]
    return replace(SOUND, container=container, grant=None, claims=())


def test_nothing_missing_is_isolated() -> None:
    assert judge(SOUND) == Verdict(True)


@pytest.mark.parametrize(
    ("evidence", "why"),
    [
        (selinux(backend="xattr"), Why.NO_KERNEL),
        (selinux(enabled=False), Why.SELINUX_OFF),
        (selinux(enforcing=False), Why.PERMISSIVE),
        (selinux(mls=False), Why.NO_MCS),
        (replace(SOUND, host=HOST.with_engine("docker", replace(DOCKER, selinux=False))), Why.ENGINE_OFF),
        (unlabelled(privileged=True), Why.PRIVILEGED),
        (unlabelled(pid_mode="host"), Why.HOST_PID),
        (unlabelled(ipc_mode="host"), Why.HOST_IPC),
        (unlabelled(), Why.LABEL_DISABLED),
        (replace(SOUND, grant=None), Why.NO_GRANT),
        (replace(SOUND, grant=replace(GRANT, level=Level(0, 0)), process=LABEL), Why.NO_CATEGORIES),
        (replace(SOUND, conflicts=(Conflict("db", "s0:c1"),)), Why.CONFLICT),
        (replace(SOUND, permissive_domain=True), Why.PERMISSIVE_DOMAIN),
        (replace(SOUND, process=None), Why.PROCESS_UNKNOWN),
        (replace(SOUND, process=read_label("system_u:system_r:container_t:s0:c1,c3")), Why.PROCESS_LEVEL),
        (replace(SOUND, process=read_label("nonsense")), Why.PROCESS_LEVEL),
        *[
            (replace(SOUND, claims=(replace(CLAIM, state=state),)), Why.VOLUME)
            for state in (ClaimState.PENDING, ClaimState.PARTIAL, ClaimState.REFUSED, ClaimState.FAILED)
        ],
    ],
)
def test_each_thing_that_is_missing_is_named_with_what_to_do(evidence: Evidence, why: Why) -> None:
    verdict = judge(evidence)
    assert verdict.isolated is False
    assert [reason.why for reason in verdict.reasons] == [why]
    assert verdict.reasons[0].text and (verdict.reasons[0].hint or why is Why.VOLUME)


def test_a_container_that_does_not_run_is_neither() -> None:
    stopped = replace(WEB, running=False, pid=None)
    assert judge(replace(SOUND, container=stopped, process=None)) == Verdict(None)
    reasons = judge(replace(selinux(enforcing=False), container=stopped)).reasons
    assert [reason.why for reason in reasons] == [Why.PERMISSIVE]


def test_what_is_not_to_be_labelled_is_not_missed() -> None:
    left_alone = replace(CLAIM, mode=ClaimMode.IGNORE, state=ClaimState.UNMANAGED)
    assert judge(replace(SOUND, claims=(left_alone,))).isolated is True


def test_everything_that_is_missing_is_said_at_once() -> None:
    broken = replace(
        selinux(enforcing=False),
        conflicts=(Conflict("db", "s0:c1"),),
        claims=(replace(CLAIM, state=ClaimState.FAILED, reason="it is full"),),
    )
    assert [reason.why for reason in judge(broken).reasons] == [Why.PERMISSIVE, Why.CONFLICT, Why.VOLUME]
