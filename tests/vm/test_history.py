"""The random histories' own tools: what a level holds, and which hands there are."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.vm.history import hands, host

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("level", "holds"),
    [
        ("s0", set()),
        ("s0:c1", {1}),
        ("s0:c5,c3", {3, 5}),
        ("s0:c1.c3,c9", {1, 2, 3, 9}),
        ("s0-s0:c0.c2", {0, 1, 2}),
    ],
)
def test_a_level_holds_categories(level: str, holds: set[int]) -> None:
    assert host.categories(level) == holds


def test_a_context_s_level_is_behind_its_type() -> None:
    assert host.level_of("system_u:object_r:container_file_t:s0:c1,c2") == "s0:c1,c2"
    assert host.level_of("") == ""


def test_every_hand_says_what_it_does() -> None:
    for weight, hand in hands.Hands(random.Random(0)).all.values():
        assert weight > 0 and hand.__doc__


def test_an_unknown_hand_is_refused_with_those_there_are() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.vm.history", "--hands", "restorecon,pray"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "'pray'" in done.stderr and "setenforce" in done.stderr
