"""The mount system calls, which Python's standard library does not have.

mount(2) takes options as one page of text, which the overlay of an image with many layers may exceed.
fsopen(2) and related calls take options one by one, and create a detached mount that is attached later. Every
kernel that mcsd supports has them; separate layers (`lowerdir+`) need 6.7.
"""

from __future__ import annotations

import os

_PAGE = 4096
_VALUE = 256
"""The most bytes of an option's value for fsconfig(2), including the terminating NUL."""
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
"""The same on every architecture that Docker supports."""
_SET_FLAG, _SET_STRING, _CREATE = 0, 1, 6
_EMPTY_PATH = 4
_AT_FDCWD = -100


def unmount(path: str) -> None:
    """Detach a mount; open files in it stay usable."""
    _call("umount2", os.fsencode(path), _DETACH)


def mount(kind: str, path: str, flags: list[str], options: list[str], label: str) -> None:
    """Mount a file system without a device; `label` "" for none. Relative layers refer to the working
    directory."""
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
    """Create a detached mount, writable whatever its flags say; return its descriptor."""
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
    """Attach a detached mount."""
    _call("syscall", _MOVE_MOUNT, descriptor, b"", _AT_FDCWD, os.fsencode(path), _EMPTY_PATH)


def _one_by_one(options: list[str]) -> list[tuple[str, str | None]]:
    """Split options; layers that are too long for one value become one option each."""
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
            said = os.read(made, 4096)  # the file system's own message
        except OSError:
            pass
        raise OSError(exc.errno, f"{exc.strerror}: {(name or b'').decode()} {said.decode().strip()}") from exc


def _call(name: str, *arguments: bytes | int | None) -> int:
    """Call the C library; raise `OSError` if that fails."""
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    whole = [ctypes.c_long(one) if isinstance(one, int) else ctypes.c_char_p(one) for one in arguments]
    result: int = getattr(libc, name)(*whole)
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
