"""The host's file contexts for paths (selabel_lookup(3)).

The database is read at the first lookup, and again after a policy load, because `semanage` ends each change
of file contexts with one.
"""

from __future__ import annotations

import errno
import threading
from typing import Any

import selinux

from mcsd.errors import SelinuxError


class PathLabels:
    """The host's file contexts. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._handle: Any = None
        self._is_open = False
        self._generation = 0

    def lookup(self, path: str, mode: int, *, generation: int = 0) -> str | None:
        """Return the context for a path; None if there is none, or there are no file contexts at all."""
        with self._lock:
            if not self._is_open or self._generation != generation:
                self._open(generation)
            if self._handle is None:
                return None
            try:
                _, context = selinux.selabel_lookup_raw(self._handle, _as_text(path), mode)
            except OSError as exc:
                if exc.errno == errno.ENOENT:
                    return None
                raise SelinuxError(
                    f"the host's file contexts cannot be asked about {path!r}: {exc.strerror}",
                    hint="look at the files that matchpathcon reads",
                ) from exc
        return str(context)

    def close(self) -> None:
        """Close the database; the next lookup reads it again."""
        with self._lock:
            self._close()

    def _open(self, generation: int) -> None:
        self._close()
        self._handle = selinux.selabel_open(selinux.SELABEL_CTX_FILE, None, 0)
        self._is_open, self._generation = True, generation

    def _close(self) -> None:
        if self._handle is not None:
            selinux.selabel_close(self._handle)
        self._handle, self._is_open = None, False


def _as_text(path: str) -> str:
    # The bindings take valid Unicode only. No file context names such a byte, so what stands in for one
    # matches the same patterns.
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
