"""Texts that must have a form, for pydantic's models.

In the place of pydantic's own `pattern=`. From 2.14 on, building one asks for the number of processors, for
which the Rust library reads the process's control group (`cpu.max`), and a domain that may not read control
groups is denied that at each start. Its other engine, `python-re`, reads nothing, but `$` is before a last
newline there too, and what says it otherwise is not in the language of JSON Schema.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema


@dataclass(frozen=True, slots=True)
class Matching:
    """An annotation of a string that `pattern` must match whole; `expected` says in words what that is.

    The pattern goes into the JSON Schema too: it means the same in Python and in ECMA 262.
    """

    pattern: str
    expected: str

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Validate the string as before, then its form."""
        form = re.compile(self.pattern)

        def check(value: str) -> str:
            if form.fullmatch(value) is None:
                raise PydanticCustomError("form", "expected {form}", {"form": self.expected})
            return value

        return core_schema.no_info_after_validator_function(check, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Say the form in the JSON Schema."""
        return {**handler(schema), "pattern": f"^(?:{self.pattern})$"}
