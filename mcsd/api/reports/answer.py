"""What all answers have in common.

Answers are read by programs written for an earlier release of the same major version: fields are only added,
and readers ignore unknown ones.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from mcsd.core.json_values import encodable

Text = Annotated[str, BeforeValidator(encodable)]
"""An untrusted string. It may contain control characters: escape it before printing."""

Count = Annotated[int, Field(ge=0)]


class Answer(BaseModel):
    """A part of what the socket answers."""

    model_config = ConfigDict(frozen=True)
