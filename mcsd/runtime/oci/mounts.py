"""Replacing Docker's mounts for a container by mounts with another label.

A mount's label is fixed (`context=`), so a new label needs a new mount of the same file system. Each new
mount is complete when it appears: after an interruption there is the old mount, none, or the new one, and
Docker unmounts whatever is there and mounts again at the next start.
"""

from __future__ import annotations

import os

from .syscalls import attach, detached, mount, unmount

KINDS = ("overlay", "tmpfs")
"""File systems that can be mounted again: they have neither a device nor state that would be lost."""
_SELINUX = ("context=", "fscontext=", "defcontext=", "rootcontext=", "seclabel")
_LAYERS = ("lowerdir=", "lowerdir+=", "datadir+=")


class MountInfo:
    """One mount from proc_pid_mountinfo(5)."""

    def __init__(self, path: str, kind: str, flags: list[str], options: list[str]) -> None:
        self.path = path
        self.kind = kind
        self.flags = flags
        """The mount's flags: `ro`, `nosuid` and so on."""
        self.options = options
        """The file system's options, including `ro`."""

    @property
    def context(self) -> str:
        """The label of everything in it; "" if its files have labels of their own."""
        given = (one for one in self.options if one.startswith("context="))
        return next(given, "").partition("=")[2].strip('"')

    @property
    def plain_options(self) -> list[str]:
        """The options without those that SELinux and the kernel have added."""
        return [one for one in self.options if not one.startswith(_SELINUX) and one not in ("rw", "ro")]

    @property
    def base(self) -> str:
        """The directory that relative layers refer to: Docker's storage driver mounts from two levels up."""
        return os.path.dirname(os.path.dirname(self.path))

    @property
    def obstacle(self) -> str:
        """Return why it cannot be mounted again; "" if it can."""
        if self.kind not in KINDS:
            return f"the file system at {self.path} is {self.kind}, not an overlay"
        for option in self.options if self.kind == "overlay" else ():
            if option.startswith(_LAYERS):
                first = option.partition("=")[2].partition(":")[0]
                if not os.path.isdir(os.path.join(self.base, first)):
                    return f"the overlay at {self.path} has its layer {first} where it cannot be found"
        return ""


def mounts_at(root: str, *below: str) -> dict[str, MountInfo]:
    """Return the mounts at a path, and below directories that end in "/", by path."""
    found = {}
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as table:
        for line in table:
            if root not in line and not any(one in line for one in below) and "\\" not in line:
                continue  # a host has thousands
            fields, _, more = line.rstrip("\n").partition(" - ")
            words = fields.split(" ")
            path = unescape(words[4])
            if path == root or path.startswith(below):
                kind, _, options = more.split(" ", 2)
                found[path] = MountInfo(path, kind, words[5].split(","), split_options(unescape(options)))
    return found  # of several at one path, the last one, which is on top


def unescape(text: str) -> str:
    """Decode the kernel's escapes in mountinfo, such as `\\040`."""
    parts = text.split("\\")
    return parts[0] + "".join(chr(int(part[:3], 8)) + part[3:] for part in parts[1:])


def split_options(text: str) -> list[str]:
    """Split mount options at commas outside quotes."""
    parts, quoted = [""], False
    for char in text:
        quoted ^= char == '"'
        if char == "," and not quoted:
            parts.append("")
        else:
            parts[-1] += char
    return parts


def carry(mounted: MountInfo, label: str) -> None:
    """Give a mount another label; raise `OSError`, with the mount as it was, if that fails."""
    if mounted.context == label:
        return
    if mounted.obstacle:
        raise OSError(mounted.obstacle)
    if mounted.kind == "tmpfs":
        _carry_tmpfs(mounted, label)
    else:
        _carry_overlay(mounted, label)


def _carry_overlay(mounted: MountInfo, label: str) -> None:
    """Remount an overlay: unmount first, because a writable layer may only be in one overlay."""
    here = os.getcwd()
    os.chdir(mounted.base)
    try:
        unmount(mounted.path)
        _allow_again(mounted)
        try:
            _mount(mounted, label)
        except OSError as exc:
            _allow_again(mounted)
            _mount(mounted, mounted.context)
            raise OSError(f"the root file system cannot be mounted with another level: {exc}") from exc
    finally:
        os.chdir(here)


def _allow_again(mounted: MountInfo) -> None:
    """Remove the kernel's mark of a volatile overlay, which refuses another mount of the same layers.

    Podman mounts so for `--rm`. The mark says that the layers may be incomplete after a crash of the host;
    here the unmount was a moment ago (the kernel's overlayfs.rst, "Volatile mount").
    """
    work = next((one.partition("=")[2] for one in mounted.options if one.startswith("workdir=")), "")
    if not work or not {"volatile", "fsync=volatile"} & set(mounted.options):
        return  # newer kernels show the option by its second name
    mark = os.path.join(mounted.base, work, "work", "incompat")
    for remove, path in ((os.unlink, "volatile/dirty"), (os.rmdir, "volatile"), (os.rmdir, "")):
        try:
            remove(os.path.join(mark, path))
        except FileNotFoundError:
            pass


def _mount(mounted: MountInfo, label: str) -> None:
    flags = [*mounted.flags, *(["ro"] if "ro" in mounted.options else [])]
    mount("overlay", mounted.path, flags, mounted.plain_options, label)


def _carry_tmpfs(mounted: MountInfo, label: str) -> None:
    """Remount a tmpfs: fill the new one before it is visible. Swarm's secrets and configs are in such
    mounts."""
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
    """Copy the files of a directory from Docker; they never leave memory."""
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
