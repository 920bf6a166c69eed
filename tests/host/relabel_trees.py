"""Trees with real labels, for the relabel engine's tests. Needs root and a file system that keeps labels.

Where SELinux is in the kernel it has its say: no inode is without a label, and only contexts that the loaded
policy knows can be written. There the odd labels of these tests are unlikely ones of every policy's instead.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from mcsd.core.protected import ProtectionRules
from mcsd.core.volumes import Identity, VolumeId
from mcsd.core.walks import MayChange, may_always
from mcsd.relabel import Engine, Walk
from mcsd.relabel.passing import Effort

TARGET = "system_u:object_r:container_file_t:s0:c1,c2"
OTHER = "system_u:object_r:container_file_t:s0:c3,c4"
SHARED = "system_u:object_r:container_file_t:s0"
HOME = "system_u:object_r:var_t:s0"
KEY = "security.selinux"
ID = VolumeId("0123456789abcdef")
HAS_SELINUX = Path("/sys/fs/selinux/enforce").exists()


def odd(name: str, level: str = "s0") -> bytes:
    """Return a label as others might have written it, one for each of a handful of names."""
    types = {
        "odd": "public_content_t",
        "mine": "public_content_rw_t",
        "link": "mnt_t",
        "sub": "var_lib_t",
        "secret": "var_spool_t",
        "policy": "var_log_t",
    }
    return (f"system_u:object_r:{types[name]}:{level}\0" if HAS_SELINUX else f"u:r:{name}_t:{level}").encode()


def kept(label: str | bytes) -> bytes:
    """Return what is read where a label was written: SELinux ends it with a NUL in any case."""
    plain = label.encode() if isinstance(label, str) else label
    return plain.rstrip(b"\0") + b"\0" if HAS_SELINUX else plain


def label_of(path: str | bytes | Path) -> bytes | None:
    """Read the label of a name itself, None where there is none."""
    try:
        return os.getxattr(path, KEY, follow_symlinks=False)
    except OSError:
        return None


def put_label(path: str | bytes | Path, label: str | bytes | None) -> None:
    """Write the label of a name itself, as it is."""
    if label is None:
        with suppress(OSError):
            os.removexattr(path, KEY, follow_symlinks=False)
    else:
        os.setxattr(path, KEY, label.encode() if isinstance(label, str) else label, follow_symlinks=False)


def paths(root: str | Path) -> Iterator[bytes]:
    """Return the root and everything below it, without crossing links; names as bytes."""
    top = os.fsencode(root)
    yield top
    if os.path.isdir(top):
        for above, directories, files in os.walk(top):
            yield from (os.path.join(above, name) for name in directories + files)


def labels(root: str | Path) -> dict[bytes, bytes | None]:
    """Take down every label in a tree."""
    return {path: label_of(path) for path in paths(root)}


def grow(root: Path, *, directories: int = 8, files: int = 12) -> None:
    """Make a small tree with all sorts of inodes and labels."""
    root.mkdir()
    put_label(root, HOME.encode() + b"\0")
    for number in range(directories):
        below = root / f"d{number}" / "sub"
        below.mkdir(parents=True)
        for place in (below.parent, below):
            for one in range(files):
                (place / f"f{one}").touch()
                put_label(place / f"f{one}", [None, HOME.encode() + b"\0", odd("odd")][one % 3])
    (root / "link").symlink_to("/etc/passwd")
    put_label(root / "link", odd("link"))
    os.mkfifo(root / "fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(root / "socket"))
    os.mkdir(os.fsencode(root) + b"/na\xefve\n")
    Path(os.fsdecode(os.fsencode(root) + b"/na\xefve\n/\xff\xfe")).touch()


@dataclass
class Stage:
    """An engine with its store, and one volume."""

    base: Path
    native: bool
    default_label: Callable[[str, int], str | None] = lambda path, mode: None
    effort: Effort = field(
        default_factory=lambda: Effort(batch=64, most=256, quick=50, nice=0, io_priority=-1)
    )

    def __post_init__(self) -> None:
        self.root = self.base / "volume"
        self.store = self.base / "store"
        self.engine = self.fresh()

    def fresh(self, *, may_change: MayChange = may_always) -> Engine:
        """Make an engine that knows nothing but what is in the store: as after a restart."""
        return Engine(
            store=self.store,
            rules=ProtectionRules.of(state=[str(self.store)]),
            default_label=self.default_label,
            effort=self.effort,
            native=self.native,
            may_change=may_change,
        )

    @property
    def identity(self) -> Identity:
        """What the volume is now."""
        found = os.lstat(self.root)
        return Identity(found.st_dev, found.st_ino)

    def relabel(self, target: str = TARGET, **more: object) -> Walk:
        """Label the volume."""
        return self.engine.relabel(ID, str(self.root), self.identity, target, **more)  # type: ignore[arg-type]

    def restore(self, **more: object) -> Walk:
        """Put its originals back."""
        return self.restore_as(self.identity, **more)  # type: ignore[arg-type]

    def restore_as(self, identity: Identity, target: str = TARGET, **more: object) -> Walk:
        """Put the originals back on what had an identity, whatever is in its place by now."""
        more = {"was_complete": False, **more}
        return self.engine.restore(ID, str(self.root), identity, target, **more)  # type: ignore[arg-type]

    def verify(self, target: str = TARGET) -> Walk:
        """Look at it."""
        return self.engine.verify(ID, str(self.root), self.identity, target)


def carrying(root: Path, target: str) -> set[bytes]:
    """Return what carries a label, with or without a NUL at its end."""
    return {path for path, label in labels(root).items() if label and label.rstrip(b"\0") == target.encode()}


@contextmanager
def mounted(point: Path, *command: str) -> Iterator[None]:
    """Mount something for the time of the block: `mount` is run with the rest of the command line."""
    import subprocess

    subprocess.run(["mount", *command, str(point)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(point)], check=True)
