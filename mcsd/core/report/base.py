"""What all answers have in common: how text, times and lists are shown.

Answers are read by programs written for an earlier release of the same major version: fields are only
ever added, and readers pass over what they do not know.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


def encodable(value: object) -> object:
    """Spell out what no JSON text can carry: the lone surrogates of a file name that is not UTF-8."""
    if isinstance(value, str) and not value.isascii():
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    return value


def moment(seconds: float) -> datetime:
    """Give seconds since the epoch as a time in UTC, to the millisecond; RFC 3339 in JSON."""
    return datetime.fromtimestamp(round(seconds, 3), UTC)


Text = Annotated[str, BeforeValidator(encodable)]
"""A string that somebody else may have chosen. It may hold control characters: escape it to print it."""

Count = Annotated[int, Field(ge=0)]


class Answer(BaseModel):
    """A part of what the socket answers."""

    model_config = ConfigDict(frozen=True)


def texts(values: Mapping[str, object]) -> dict[str, str]:
    """Make a mapping of strings of any mapping."""
    return {str(encodable(key)): str(encodable(str(value))) for key, value in values.items()}
