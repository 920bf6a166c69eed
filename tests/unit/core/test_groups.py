"""A member's level: its own pair and its groups', and what that dominates."""

from __future__ import annotations

from mcsd.core.groups import joint_level, member_level
from mcsd.core.labels import CategoryPair, Level

OWN, GROUP = CategoryPair(1, 2), CategoryPair(30, 40)


def test_a_member_reads_the_group_s_volume_and_a_stranger_does_not() -> None:
    """Promise 1: the group's pair is the only thing that is shared."""
    member = member_level(OWN, [GROUP])
    assert str(member) == "s0:c1,c2,c30,c40"
    assert member.dominates(GROUP.level)
    stranger = CategoryPair(5, 6).level
    assert not stranger.dominates(GROUP.level) and not member.is_comparable_to(stranger)


def test_members_of_one_group_keep_what_is_their_own() -> None:
    """Promise 1."""
    other = member_level(CategoryPair(1, 3), [GROUP])
    assert not other.is_comparable_to(member_level(OWN, [GROUP]))
    assert not other.dominates(OWN.level)


def test_a_member_of_two_groups_has_both_pairs() -> None:
    also = CategoryPair(30, 50)
    assert joint_level([GROUP, also]) == Level.of(30, 40, 50)
    assert member_level(OWN, [GROUP, also]) == Level.of(1, 2, 30, 40, 50)
    assert joint_level([]) == Level(0, 0)
