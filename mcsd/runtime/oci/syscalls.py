"""The mount system calls, which Python's standard library does not have.

mount(2) takes options as one page of text. The overlay of an image with many layers may need more than that;
fsopen(2) and its companions take options one by one, and lead to a mount that is nowhere until it is put in
its place. Every kernel that mcsd supports has them; layers one by one (`lowerdir+`) it has from 6.7 on.
"""

from __future__ import annotations

import os

_PAGE = 4096
_VALUE = 256
"""Bytes of an option's value for fsconfig(2), the end included."""
_FLAGS = {
    "ro": 1,
    "nosuid": 2,
    "nodev": 4,
    "noexec": 8,
    "remount": 32,
    "nosymfollow": 256,
    "noatime": 1024,
    "nodiratime": 2048,
    "relatime": 1 << 21,
    "strictatime": 1 << 24,
}
_ATTRIBUTES = {
    "nosuid": 2,
    "nodev": 4,
    "noexec": 8,
    "noatime": 0x10,
    "nodiratime": 0x80,
    "nosymfollow": 0x200000,
}
_DETACH = 2
_MOVE_MOUNT, _FSOPEN, _FSCONFIG, _FSMOUNT = 429, 430, 431, 432
"""The same on every architecture that Docker knows."""
_SET_FLAG, _SET_STRING, _CREATE = 0, 1, 6
_EMPTY_PATH = 4
_AT_FDCWD = -100


def unmount(path: str) -> None:
    """Take a mount out of its place; who has files open in it keeps them."""
    _call("umount2", os.fsencode(path), _DETACH)


def mount(kind: str, path: str, flags: list[str], options: list[str], label: str) -> None:
    """Mount a file system that has no device; `label` "" for none. Relative layers count from here."""
    data = os.fsencode(",".join([*options, *([f'context="{label}"'] if label else [])]))
    if len(data) < _PAGE:
        number = 0
        for flag in flags:
            number |= _FLAGS.get(flag, 0)
        _call("mount", kind.encode(), os.fsencode(path), kind.encode(), number, data)
        return
    if "ro" in flags:
        raise OSError("the options of a read-only overlay are longer than a page")
    new = detached(kind, flags, options, label)
    try:
        attach(new, path)
    finally:
        os.close(new)


def detached(kind: str, flags: list[str], options: list[str], label: str) -> int:
    """Make a mount that is nowhere yet, to be written to whatever its flags say; give its descriptor."""
    made = _call("syscall", _FSOPEN, kind.encode(), 1)
    try:
        for name, value in _one_by_one([*options, *([f"context={label}"] if label else [])]):
            given = None if value is None else os.fsencode(value)
            _configure(made, _SET_FLAG if given is None else _SET_STRING, name.encode(), given)
        _configure(made, _SET_STRING, b"source", kind.encode())
        _configure(made, _CREATE, None, None)
        attributes = 0
        for flag in flags:
            attributes |= _ATTRIBUTES.get(flag, 0)
        return _call("syscall", _FSMOUNT, made, 1, attributes)
    finally:
        os.close(made)


def attach(descriptor: int, path: str) -> None:
    """Put a mount in its place."""
    _call("syscall", _MOVE_MOUNT, descriptor, b"", _AT_FDCWD, os.fsencode(path), _EMPTY_PATH)


def _one_by_one(options: list[str]) -> list[tuple[str, str | None]]:
    """Take options apart; layers that are too long for one value become one option each."""
    found: list[tuple[str, str | None]] = []
    for option in options:
        name, equals, value = option.partition("=")
        if name == "lowerdir" and len(os.fsencode(value)) >= _VALUE:
            found += [("lowerdir+", layer) for layer in value.split(":")]
        else:
            found.append((name, value if equals else None))
    return found


def _configure(made: int, command: int, name: bytes | None, value: bytes | None) -> None:
    try:
        _call("syscall", _FSCONFIG, made, command, name, value, 0)
    except OSError as exc:
        said = b""
        try:
            said = os.read(made, 4096)  # the file system's own words
        except OSError:
            pass
        raise OSError(exc.errno, f"{exc.strerror}: {(name or b'').decode()} {said.decode().strip()}") from exc


def _call(name: str, *arguments: bytes | int | None) -> int:
    """Call the C library; raise `OSError` where it fails."""
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    whole = [ctypes.c_long(one) if isinstance(one, int) else ctypes.c_char_p(one) for one in arguments]
    result: int = getattr(libc, name)(*whole)
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
