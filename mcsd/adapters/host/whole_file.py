"""Atomic replacement of a file: after a crash it is the old one or the new one, and on disk."""

from __future__ import annotations

import os
from pathlib import Path


def put(path: Path, text: str, *, mode: int = 0o600) -> None:
    """Write an ASCII text to a new file and replace the old one with it; blocking. Raises `OSError`.

    `mode` is the new file's, less the umask. If anything fails, the old file is unchanged.
    """
    fresh = path.with_name(f"{path.name}.new")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
    with open(os.open(fresh, flags, mode), "w", encoding="ascii") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
