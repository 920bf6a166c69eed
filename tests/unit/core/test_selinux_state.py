"""What can be wrong with the ground, and how a move is told. Promise 8."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mcsd.core.host import SelinuxStatus
from mcsd.core.labels import read_label
from mcsd.core.selinux_state import Move, SelinuxState, Trouble, findings

STATUS = SelinuxStatus("kernel", enabled=True, enforcing=True, mls=True, policy="targeted", generation=1)
SOUND = SelinuxState(STATUS, own=read_label("system_u:system_r:mcsd_t:s0-s0:c0.c1023"))


def test_sound_ground_has_no_findings() -> None:
    assert findings(SOUND) == ()


@pytest.mark.parametrize(
    ("ground", "trouble"),
    [
        (SelinuxState(replace(STATUS, enabled=False, enforcing=False)), Trouble.DISABLED),
        (replace(SOUND, status=replace(STATUS, enforcing=False)), Trouble.PERMISSIVE),
        (replace(SOUND, status=replace(STATUS, mls=False)), Trouble.NO_MCS),
        (replace(SOUND, unreadable="the kernel cannot be asked"), Trouble.UNREADABLE),
        (replace(SOUND, file_type_error="no such type"), Trouble.NO_FILE_TYPE),
        (replace(SOUND, own=read_label("system_u:object_r:unlabeled_t:s0")), Trouble.NO_OWN_DOMAIN),
        (replace(SOUND, own=read_label("system_u:object_r:unlabeled_t")), Trouble.NO_OWN_DOMAIN),
        (replace(SOUND, deaf="no socket"), Trouble.DEAF),
    ],
)
def test_each_trouble_has_its_sentence_and_its_remedy(ground: SelinuxState, trouble: Trouble) -> None:
    (finding,) = findings(ground)
    assert finding.trouble is trouble and finding.text and finding.hint


def test_labels_that_are_only_written_need_no_ground() -> None:
    assert findings(SelinuxState(replace(STATUS, backend="xattr", enabled=False, enforcing=False))) == ()


def test_a_kernel_that_cannot_be_asked_is_not_taken_to_enforce() -> None:
    """Promise 8."""
    blind = replace(SOUND, unreadable="denied")
    assert not blind.trusted.enforcing
    assert Move(SOUND, blind, policy=False).enforcing is False


def test_a_move_tells_what_is_worse_and_what_is_better() -> None:
    old = replace(SOUND, status=replace(STATUS, mls=False))
    new = replace(SOUND, status=replace(STATUS, enforcing=False))
    move = Move(old, new, policy=True)
    assert [one.trouble for one in move.worse] == [Trouble.PERMISSIVE]
    assert [one.trouble for one in move.better] == [Trouble.NO_MCS]
    assert move.enforcing is False
