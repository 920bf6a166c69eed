"""What all answers have in common.

Answers are read by programs written for an earlier release of the same major version: fields are only
ever added, and readers pass over what they do not know.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from mcsd.core.json_values import encodable

Text = Annotated[str, BeforeValidator(encodable)]
"""A string that somebody else may have chosen. It may hold control characters: escape it to print it."""

Count = Annotated[int, Field(ge=0)]


class Answer(BaseModel):
    """A part of what the socket answers."""

    model_config = ConfigDict(frozen=True)
