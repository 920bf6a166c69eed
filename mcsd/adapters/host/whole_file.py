"""A file that is written as a whole: after a crash it is the old one or the new one, and on disk."""

from __future__ import annotations

import os
from pathlib import Path


def put(path: Path, text: str, *, mode: int = 0o600) -> None:
    """Write a text in ASCII beside the old file and let it take its place; blocking. Raises `OSError`.

    `mode` is the new file's, less the umask. Where it fails before the end the old file is as it was.
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
