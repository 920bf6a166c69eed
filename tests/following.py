"""Marks a test as one that follows a hint to the letter; `tests/unit/test_hints.py` wants one for each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from mcsd.core.hints import Hint

F = TypeVar("F", bound=Callable[..., Any])


def follows(*hints: Hint) -> Callable[[F], F]:
    """Say which hints a test follows: it sees the refusal, does what the hint says, and sees it gone."""
    assert hints, "a test that follows none says so by not being marked"
    return lambda test: test
