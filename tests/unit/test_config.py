"""The configuration's own corners: durations, and files that cannot be looked at."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mcsd import config
from mcsd.config import load, parse_duration
from mcsd.errors import ConfigurationError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("10min", 600),
        ("90s", 90),
        ("1h 30min", 5400),
        ("1h30min", 5400),
        ("5", 5),
        (" 5 ", 5),
        ("250ms", 0.25),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", " ", "5 5 5", "1h 30", "5 s s", "min", "5 parsecs", "-5s", "1.s", "\u0665min"]
)
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="expected a duration"):
        parse_duration(text)


@pytest.mark.parametrize(
    "error", [PermissionError(13, "Permission denied"), OSError(5, "Input/output error")]
)
def test_a_configuration_that_cannot_be_looked_at_is_no_traceback(
    error: OSError, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Nor is it taken for one that is not there: a rule in it may forbid what the defaults allow."""
    path = tmp_path / "mcsd.toml"
    monkeypatch.setattr(config, "DEFAULT_PATH", path)
    real = os.stat, os.lstat

    def fail(*arguments: object, **named: object) -> os.stat_result:
        if str(path) in map(str, arguments):
            raise error
        return real[0](*arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "stat", fail)
    monkeypatch.setattr(os, "lstat", fail)
    monkeypatch.setattr(Path, "open", lambda self, *_: fail(self))
    with pytest.raises(ConfigurationError, match=str(path)):
        load(path)


def test_a_default_configuration_that_is_not_there_is_the_defaults(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(config, "DEFAULT_PATH", tmp_path / "none" / "mcsd.toml")
    assert load(config.DEFAULT_PATH).docker.url
