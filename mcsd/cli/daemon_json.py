"""Changing Docker's daemon.json on disk atomically.

A change is validated by dockerd if possible, written to a new file with the mode, owner and label of the old
one, and renamed over it. The old content is kept as a backup with the date in its name.
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from mcsd.cli.errors import CtlError, Exit
from mcsd.cli.text import Screen


def read(path: str | Path) -> str:
    """Return the file's text; "" if there is none."""
    try:
        return Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
    except UnicodeDecodeError as exc:
        raise CtlError(f"{str(path)!r} is not UTF-8: {exc.reason}", hint="mend it first") from exc
    except OSError as exc:
        raise _cannot("read", path, exc) from exc


def _cannot(verb: str, path: str | Path, exc: OSError) -> CtlError:
    status = Exit.REFUSED if isinstance(exc, PermissionError) else Exit.FAILED
    hint = "do it as root" if isinstance(exc, PermissionError) else ""
    return CtlError(
        f"cannot {verb} {str(path)!r}: {(exc.strerror or str(exc)).lower()}", hint=hint, status=status
    )


def put(
    path: str, before: str, after: str, notes: Screen, *, validate: Callable[[Path], None] | None = None
) -> None:
    """Replace the file if `validate` raises nothing, and keep the old one as a backup; raise `CtlError`."""
    target = Path(path).resolve()  # if the file is a link, its target is changed
    draft = target.with_name(target.name + ".mcsd-draft")
    try:
        target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        exists = target.exists()
        _write(draft, after, target if exists else None)
        try:
            if validate is not None:
                validate(draft)
            if read(target) != before:
                raise CtlError(f"{path!r} was changed by somebody else meanwhile", hint="try again")
            if exists:
                date = time.strftime("%Y-%m-%dT%H%M%SZ", time.gmtime())
                backup = target.with_name(f"{target.name}.mcsd-backup-{date}")
                _write(backup, before, target)
                notes.line(f"what was there is in {backup}")
            draft.replace(target)
        finally:
            draft.unlink(missing_ok=True)
        directory = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    except OSError as exc:
        raise _cannot("write", path, exc) from exc


def remove(path: str) -> None:
    """Remove a file; raise `CtlError`."""
    try:
        Path(path).unlink(missing_ok=True)
    except OSError as exc:
        raise _cannot("remove", path, exc) from exc


def _write(path: Path, text: str, like: Path | None) -> None:
    """Write a file, with the mode, owner and label of another."""
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    with open(descriptor, "w", encoding="utf-8") as file:
        if like is not None:
            status = os.stat(like)
            os.fchown(descriptor, status.st_uid, status.st_gid)
            os.fchmod(descriptor, stat.S_IMODE(status.st_mode))
            with suppress(OSError):  # no label there, or not possible here: the default label is right
                os.setxattr(descriptor, "security.selinux", os.getxattr(like, "security.selinux"))
        file.write(text)
        file.flush()
        os.fsync(descriptor)


def accepted_by_dockerd(draft: Path) -> None:
    """Have dockerd validate it, if that is possible (from 23.0 on)."""
    program = shutil.which("dockerd") or shutil.which("dockerd", path="/usr/sbin:/usr/local/sbin:/sbin")
    if program is None:
        return
    done = subprocess.run(
        [program, "--validate", "--config-file", draft],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    if done.returncode and "unknown flag" not in done.stderr:
        said = done.stderr.strip().splitlines()
        raise CtlError(
            f"Docker would not take the changed file: {said[-1] if said else done.returncode}",
            hint="nothing was written; see dockerd --validate --config-file for what was there before",
        )
