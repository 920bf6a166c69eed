"""Strings that must match a pattern, for pydantic's models.

A replacement for pydantic's `pattern=`. From 2.14 on, compiling such a pattern asks for the number of
processors, for which the Rust library reads the process's control group (`cpu.max`). In a domain that may not
read control groups, that is a denial at each start. The other engine, `python-re`, does not read it, but its
`$` also matches before a final newline, and the syntax that does not is not valid in JSON Schema.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema


@dataclass(frozen=True, slots=True)
class Matching:
    """An annotation for a string that must match `pattern` as a whole; `expected` describes it in words.

    The pattern also goes into the JSON Schema, so it must mean the same in Python and in ECMA 262.
    """

    pattern: str
    expected: str

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Validate the string as before, then match the pattern."""
        form = re.compile(self.pattern)

        def check(value: str) -> str:
            if form.fullmatch(value) is None:
                raise PydanticCustomError("form", "expected {form}", {"form": self.expected})
            return value

        return core_schema.no_info_after_validator_function(check, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Add the pattern to the JSON Schema."""
        return {**handler(schema), "pattern": f"^(?:{self.pattern})$"}
