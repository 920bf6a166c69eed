"""The gate's JSON is JSON: what it reads and writes is what Python's own module does."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcsd.runtime.oci.text import dumps, parse

VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(VALUES, st.sampled_from([None, 2]))
def test_what_is_written_by_anybody_is_read(value: Any, indent: int | None) -> None:
    text = json.dumps(value, indent=indent)
    assert parse(text) == parse(text.encode()) == parse(f"\n {text} \n") == value


@given(VALUES)
def test_what_is_written_is_read_by_anybody(value: Any) -> None:
    assert json.loads(dumps(value)) == value and dumps(value) == json.dumps(value)


@given(st.text())
def test_whatever_is_not_json_is_said_not_to_be(text: str) -> None:
    try:
        expected = json.loads(text.strip(" \t\r\n"))
    except ValueError:
        with pytest.raises(ValueError, match=r"\S"):
            parse(text)
    else:
        found = parse(text)
        assert found == expected or (isinstance(found, float) and math.isnan(found))


@pytest.mark.parametrize("text", ["", "{", '{"a":}', "[1,]", '{"a":1} x', '"\n"'])
def test_a_broken_text_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"line 1 column|Expecting"):
        parse(text)


def test_what_has_no_json_is_an_error() -> None:
    with pytest.raises(TypeError):
        dumps({"a": object()})
