"""Text and times in JSON.

Standard library only: commands use it too, and would start slower with more imports.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime


def encodable(value: object) -> object:
    """Escape what JSON text cannot contain: the lone surrogates of a file name that is not UTF-8."""
    if isinstance(value, str) and not value.isascii():
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    return value


def moment(seconds: float) -> datetime:
    """Return seconds since the epoch as a time in UTC, to the millisecond; RFC 3339 in JSON."""
    return datetime.fromtimestamp(round(seconds, 3), UTC)


def texts(values: Mapping[str, object]) -> dict[str, str]:
    """Convert the keys and values of a mapping to strings."""
    return {str(encodable(key)): str(encodable(str(value))) for key, value in values.items()}
