"""What mcsd's domain may not change is known before, named, and never tried."""

from __future__ import annotations

import re

import pytest

from mcsd.core.hints import Hint
from mcsd.core.walks import RawLabel, may_take_off
from mcsd.errors import VolumeRefusedError
from mcsd.relabel.places import judge_type
from mcsd.relabel.strategies import LabelVerdict, Verifying
from tests.following import follows

TARGET = b"system_u:object_r:container_file_t:s0:c1,c2\0"
PROGRAM = b"system_u:object_r:bin_t:s0\0"
ORDINARY = b"system_u:object_r:usr_t:s0\0"


def may_change(label: RawLabel) -> bool:
    return label != PROGRAM


def test_the_policy_is_asked_about_the_label_as_it_is_stored() -> None:
    asked = []

    def may_relabel(label: str) -> bool:
        asked.append(label)
        return False

    assert not may_take_off(may_relabel, PROGRAM)
    assert may_take_off(may_relabel, None)
    assert asked == ["system_u:object_r:bin_t:s0"]


def test_a_walk_leaves_such_files_alone() -> None:
    """Fault of old: bin/ and lib/ in /opt/app were tried, denied, and made the volume a failed one."""
    walk = Verifying(TARGET, may_change)
    assert walk.verdict(PROGRAM) is LabelVerdict.LEFT_ALONE
    assert walk.verdict(ORDINARY) is LabelVerdict.NOTHING
    assert walk.verdict(TARGET) is LabelVerdict.TARGET


@pytest.mark.parametrize("kind", ["bin_t", "home_cert_t", "httpd_sys_script_exec_t"])
@pytest.mark.parametrize("is_allowed", [True, False])
def test_no_hint_leads_nowhere(kind: str, is_allowed: bool) -> None:
    """No rule of the configuration lifts what the policy denies, so none is named."""
    label = f"system_u:object_r:{kind}:s0".encode()
    with pytest.raises(VolumeRefusedError, match="may not change") as refused:
        judge_type(label, "/srv/app", is_allowed=is_allowed, may_change=False)
    assert "volumes.rule" not in refused.value.hint
    assert f"typeattribute {kind} mcsd_volume_type" in refused.value.hint


@follows(Hint.ALLOW_TYPE)
def test_a_type_that_the_policy_lets_mcsd_change_is_refused_no_more() -> None:
    """With the attribute on the type, which is what the hint asks for, the policy's answer is another."""
    allowed: set[str] = set()
    label = b"system_u:object_r:opt_app_t:s0"

    def asked() -> bool:
        return may_take_off(lambda context: context.split(":")[2] in allowed, label)

    with pytest.raises(VolumeRefusedError) as refused:
        judge_type(label, "/srv/app", is_allowed=True, may_change=asked())
    found = re.search(r"typeattribute (\S+) mcsd_volume_type", refused.value.hint)
    assert found is not None
    allowed.add(found[1])
    judge_type(label, "/srv/app", is_allowed=True, may_change=asked())


def test_a_secret_stays_one() -> None:
    with pytest.raises(VolumeRefusedError, match="secrets"):
        judge_type(b"system_u:object_r:shadow_t:s0", "/srv/app", is_allowed=True, may_change=False)
