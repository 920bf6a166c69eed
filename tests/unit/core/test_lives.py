"""What a life is, and what is written for one."""

from __future__ import annotations

import pytest

from mcsd.core.lives import LifeKind, ProcessLife, TimeLife, UnitLife, moment_of, unit_name

NOON = 1_795_521_600.0
"""2026-11-24 12:00:00 UTC."""


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2h", NOON + 7200),
        ("1h 30min", NOON + 5400),
        ("90", NOON + 90),
        ("2026-11-24T13:00:00+01:00", NOON),
        ("2026-11-24T12:00:00Z", NOON),
        ("2026-11-24 12:00:00.5Z", NOON + 0.5),
    ],
)
def test_a_time_or_a_duration_from_now(text: str, seconds: float) -> None:
    assert moment_of(text, NOON) == seconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        "soon",
        "2026-11-24T12:00:00",  # whose noon?
        "2026-13-24T12:00:00Z",
        "-2h",
        "2h 3",
        "9" * 400,
        "999999999d",
        "0000-01-01T00:00:00Z",
    ],
)
def test_what_is_neither_is_none(text: str) -> None:
    assert moment_of(text, NOON) is None


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("web", "web.service"),
        ("web.service", "web.service"),
        ("systemd-nspawn@box", "systemd-nspawn@box.service"),
        ("machine-qemu\\x2d1\\x2dvm.scope", "machine-qemu\\x2d1\\x2dvm.scope"),
        ("org.example.Thing", "org.example.Thing.service"),
        ("web.timer", None),
        ("machine.slice", None),
        ("../web.service", None),
        ("web\n.service", None),
        ("", None),
        ("x" * 250, None),
        (".service", None),
    ],
)
def test_a_unit_is_named_as_for_systemctl(text: str, name: str | None) -> None:
    assert unit_name(text) == name


def test_each_is_told_in_words() -> None:
    lives = (ProcessLife(42, 7, "b"), UnitLife("web.service", "i"), TimeLife(NOON + 0.25))
    assert [life.kind for life in lives] == list(LifeKind)
    assert [life.text for life in lives] == [
        "while process 42 runs",
        "while web.service is active",
        "until 2026-11-24T12:00:00Z",
    ]
    assert [life.end for life in lives] == [
        "process 42 has ended",
        "web.service is not active any more",
        "2026-11-24T12:00:00Z is past",
    ]
