"""Processes as holders of levels: what their context and control group say."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mcsd.core.labels import Context, Level, LevelRange, read_label
from mcsd.core.processes import ProcessLevel, carrier_of, held_level, is_overlord, may_carry

ID = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("held", "level"),
    [
        ("s0:c1,c2", "s0:c1,c2"),
        ("s0-s0:c0.c1023", "s0"),
        ("s0:c1,c2-s0:c0.c1023", "s0:c1,c2"),
        ("s0-s0:c1,c2", "s0:c1,c2"),
        ("s0:c1-s0:c1,c2", "s0:c1,c2"),
        ("s0:c0.c1023", "s0:c0.c1023"),
        ("s0-s0:c0.c15", "s0:c0.c15"),
        ("s0-s0:c0.c16", "s0"),
    ],
)
def test_level_that_counts_is_the_high_one_unless_that_means_no_limit(held: str, level: str) -> None:
    """Promise 2: the kernel compares the high end, so a pair that somebody may rise to is taken."""
    assert held_level(LevelRange.parse(held)) == Level.parse(level)


@pytest.mark.parametrize(
    ("cgroup", "container"),
    [
        (f"0::/system.slice/docker-{ID}.scope\n", ID),
        (f"0::/docker/{ID}\n", ID),
        (f"12:cpu:/docker/{ID}\n0::/docker/{ID}\n", ID),
        (f"0::/machine.slice/libpod-{ID}.scope/container\n", ID),
        (f"0::/kubepods.slice/cri-containerd-{ID}.scope\n", ID),
        ("0::/machine.slice/machine-qemu\\x2d1\\x2dvm.scope\n", ""),
        (f"0::/docker/{ID}0\n", ""),
        (f"0::/docker/x{ID}\n", ""),
        ("0::/init.scope\n", ""),
        ("", ""),
    ],
)
def test_container_is_read_from_the_control_group(cgroup: str, container: str) -> None:
    context = Context.parse("system_u:system_r:container_t:s0:c1,c2")
    found = carrier_of(7, context, cgroup)
    assert found is not None
    assert replace(found, group="") == ProcessLevel(7, context, Level.of(1, 2), container)


@pytest.mark.parametrize(
    "context",
    [
        "system_u:system_r:init_t:s0",
        "system_u:system_r:init_t:s0-s0:c0.c1023",
        "docker-default (enforce)",
        "unconfined",
        "a:b:c:d:e:c9",
        "",
    ],
)
def test_who_has_no_categories_carries_nothing(context: str) -> None:
    assert carrier_of(7, read_label(context), "") is None


@pytest.mark.parametrize("level", ["s0:c0", "s0:c1,c2", "s15:c1023", "s0:c0.c3,c9"])
def test_cheap_question_never_misses_a_carrier(level: str) -> None:
    context = f"u:r:t:{level}"
    assert carrier_of(1, read_label(context), "") is not None
    assert may_carry(context)


def test_cheap_question_is_not_about_names() -> None:
    assert not may_carry("c_u:c_r:container_t:s0")


def test_administrator_is_told_from_a_container_in_many_groups() -> None:
    assert is_overlord(Level.of(*range(1024)))
    assert not is_overlord(Level.of(*range(16)))
