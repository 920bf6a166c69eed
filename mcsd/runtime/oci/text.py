"""JSON without `import json`, which would take half the time of a handled call.

That module compiles regular expressions for its Python implementation; the work is done by the C module
`_json`, which is used here directly. If an interpreter does not have that, and for the error in an invalid
text, `json` is used.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class _Rules:
    """The attributes that the scanner expects of a decoder."""

    strict = True
    object_hook = None
    object_pairs_hook = None
    parse_float = float
    parse_int = int
    parse_constant = float

    def __init__(self) -> None:
        self.memo: dict[str, str] = {}


def parse(text: str | bytes) -> Any:
    """Return the value; raise `ValueError` if the text is not JSON."""
    whole = (text.decode() if isinstance(text, bytes) else text).strip(" \t\r\n")
    try:
        import _json

        value, end = _json.make_scanner(_Rules())(whole, 0)  # type: ignore[arg-type]
        if end == len(whole):
            return value
    except (ImportError, AttributeError, TypeError, StopIteration):
        pass
    import json

    return json.loads(whole)


def dumps(value: Any) -> str:
    """Return the text; raise `TypeError` or `ValueError` if the value has none."""
    try:
        import _json

        encode = _json.make_encoder(
            None, _no_json, _json.encode_basestring_ascii, None, ": ", ", ", False, False, True
        )
        return "".join(encode(value, 0))
    except (ImportError, AttributeError, TypeError):
        import json

        return json.dumps(value)


def _no_json(value: object) -> Any:
    raise TypeError(f"{type(value).__name__} is not JSON")
