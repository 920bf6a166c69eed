"""How properties are searched: no time limit on an example, and nothing left on disk."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("mcsd", deadline=None, database=None)
settings.load_profile("mcsd")
