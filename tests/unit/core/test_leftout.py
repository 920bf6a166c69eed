"""What a walk leaves out by rule is named: its path, why, and what to do."""

from __future__ import annotations

import pytest

from mcsd.core.leftout import MOST, LeftOut, counted, left_out
from mcsd.core.walks import SkipReason

MISSED = (
    SkipReason.MULTIPLY_LINKED,
    SkipReason.MOUNT_POINT,
    SkipReason.PROTECTED_TYPE,
    SkipReason.DEVICE_NODE,
)


@pytest.mark.parametrize("reason", [reason for reason in SkipReason if reason.is_by_rule])
def test_what_a_container_will_miss_is_named_with_a_remedy_and_nothing_else_is(reason: SkipReason) -> None:
    found = left_out([(reason, "a/b"), (reason, "a/b")])
    if reason in MISSED:
        assert found == (LeftOut(reason.value, "a/b"),)
        assert found[0].text and found[0].hint and found[0].at("/srv/x") == "/srv/x/a/b"
        assert counted([(reason, 7), ("vanished", 3)]) == 7
    else:
        assert found == () and counted([(reason, 7)]) == 0


def test_a_few_are_kept_of_many() -> None:
    assert len(left_out(("mount-point", str(number)) for number in range(100))) == MOST
