"""Mounting again with another label what Docker has mounted for a container.

A mount's label is fixed for its life (`context=`), so another one takes another mount of the same thing. Each
is complete when it appears: interrupted at any point there is the old mount, none, or the new one, and
Docker takes away what is there and mounts anew at the next start.
"""

from __future__ import annotations

import os

from .syscalls import attach, detached, mount, unmount

KINDS = ("overlay", "tmpfs")
"""File systems that can be mounted again: neither has a device, nor state that a second mount would miss."""
_SELINUX = ("context=", "fscontext=", "defcontext=", "rootcontext=", "seclabel")
_LAYERS = ("lowerdir=", "lowerdir+=", "datadir+=")


class MountInfo:
    """One mount, as the kernel tells of it in mountinfo(5)."""

    def __init__(self, path: str, kind: str, flags: list[str], options: list[str]) -> None:
        self.path = path
        self.kind = kind
        self.flags = flags
        """Of the mount: `ro`, `nosuid` and so on."""
        self.options = options
        """Of the file system, `ro` among them."""

    @property
    def context(self) -> str:
        """The label that everything in it carries; "" where its files have labels of their own."""
        given = (one for one in self.options if one.startswith("context="))
        return next(given, "").partition("=")[2].strip('"')

    @property
    def plain_options(self) -> list[str]:
        """The options without those that SELinux and the kernel itself have added."""
        return [one for one in self.options if not one.startswith(_SELINUX) and one not in ("rw", "ro")]

    @property
    def base(self) -> str:
        """Where relative layers count from: Docker's storage driver mounts two directories up."""
        return os.path.dirname(os.path.dirname(self.path))

    @property
    def obstacle(self) -> str:
        """Say why it cannot be mounted again; "" where it can."""
        if self.kind not in KINDS:
            return f"the file system at {self.path} is {self.kind}, not an overlay"
        for option in self.options if self.kind == "overlay" else ():
            if option.startswith(_LAYERS):
                first = option.partition("=")[2].partition(":")[0]
                if not os.path.isdir(os.path.join(self.base, first)):
                    return f"the overlay at {self.path} has its layer {first} where it cannot be found"
        return ""


def mounts_at(root: str, below: str = "") -> dict[str, MountInfo]:
    """Return what is mounted at a path, and below a directory that ends in "/", by path."""
    found = {}
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as table:
        for line in table:
            if root not in line and not (below and below in line) and "\\" not in line:
                continue  # a host has thousands
            fields, _, more = line.rstrip("\n").partition(" - ")
            words = fields.split(" ")
            path = unescape(words[4])
            if path == root or (below and path.startswith(below)):
                kind, _, options = more.split(" ", 2)
                found[path] = MountInfo(path, kind, words[5].split(","), split_options(unescape(options)))
    return found  # of several at one path the last, which is on top


def unescape(text: str) -> str:
    """Undo the kernel's escapes in mountinfo: `\\040` and its like."""
    parts = text.split("\\")
    return parts[0] + "".join(chr(int(part[:3], 8)) + part[3:] for part in parts[1:])


def split_options(text: str) -> list[str]:
    """Split mount options at commas that no quotes enclose."""
    parts, quoted = [""], False
    for char in text:
        quoted ^= char == '"'
        if char == "," and not quoted:
            parts.append("")
        else:
            parts[-1] += char
    return parts


def carry(mounted: MountInfo, label: str) -> None:
    """Have a mount carry a label; raise `OSError` with it as it was where that cannot be."""
    if mounted.context == label:
        return
    if mounted.obstacle:
        raise OSError(mounted.obstacle)
    if mounted.kind == "tmpfs":
        _carry_tmpfs(mounted, label)
    else:
        _carry_overlay(mounted, label)


def _carry_overlay(mounted: MountInfo, label: str) -> None:
    """Unmount first: the kernel wants a layer that is written to in one overlay only."""
    here = os.getcwd()
    os.chdir(mounted.base)
    try:
        unmount(mounted.path)
        try:
            _mount(mounted, label)
        except OSError as exc:
            _mount(mounted, mounted.context)
            raise OSError(f"the root file system cannot be mounted with another level: {exc}") from exc
    finally:
        os.chdir(here)


def _mount(mounted: MountInfo, label: str) -> None:
    flags = [*mounted.flags, *(["ro"] if "ro" in mounted.options else [])]
    mount("overlay", mounted.path, flags, mounted.plain_options, label)


def _carry_tmpfs(mounted: MountInfo, label: str) -> None:
    """Fill the new one before anybody can see it: Swarm's secrets and configs lie in such a mount."""
    new = detached("tmpfs", mounted.flags, mounted.plain_options, label)
    try:
        _copy(mounted.path, f"/proc/self/fd/{new}")
        unmount(mounted.path)
        attach(new, mounted.path)
    finally:
        os.close(new)
    if "ro" in mounted.options or "ro" in mounted.flags:
        mount("tmpfs", mounted.path, [*mounted.flags, "ro", "remount"], [], "")


def _copy(source: str, target: str) -> None:
    """Copy the files of a directory that Docker has made; they never leave memory."""
    import stat

    for name in os.listdir(source):
        descriptor = os.open(f"{source}/{name}", os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise OSError(f"{source}/{name} is not a regular file, so it cannot be given another level")
            copy = os.open(f"{target}/{name}", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                while os.sendfile(copy, descriptor, None, 1 << 20):
                    pass
                os.fchown(copy, status.st_uid, status.st_gid)
                os.fchmod(copy, stat.S_IMODE(status.st_mode))
            finally:
                os.close(copy)
        finally:
            os.close(descriptor)
