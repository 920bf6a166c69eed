"""A small initramfs for any kernel: load what the root disk needs, mount it, hand over.

A root tree may come without one, or with one made for other hardware; ours needs the tree's kernel modules
and a static busybox from the host, and is the same for every distribution.
"""

from __future__ import annotations

import gzip
import lzma
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.vm.cache import HarnessError

WANTED = (
    "virtio_pci",
    "virtio_blk",
    "ext4",
    "crc32c_generic",
    "crc32c_intel",
    "crc32c_cryptoapi",
    "virtio_console",
)
READY = "mcsd-vm: initramfs runs"
TRIAL = f"""#!/bin/busybox sh
echo "{READY}"
/bin/busybox poweroff -f
"""

INIT = f"""#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sysfs /sys
/bin/busybox mount -t devtmpfs dev /dev
echo "{READY}"
for module in $(/bin/busybox cat /modules/order); do
  /bin/busybox insmod "/modules/$module" || echo "mcsd-vm: cannot load $module"
done
tries=0
until [ -b /dev/vda ] || [ $tries -ge 300 ]; do tries=$((tries + 1)); /bin/busybox sleep 0.1; done
/bin/busybox mount -t ext4 -o rw /dev/vda /root || echo "mcsd-vm: no root disk"
/bin/busybox umount /proc /sys
/bin/busybox mount --move /dev /root/dev
for init in /usr/lib/systemd/systemd /lib/systemd/systemd /sbin/init; do
  [ -x "/root$init" ] && exec /bin/busybox switch_root /root "$init"
done
echo "mcsd-vm: no init in the root disk"
"""


def host_busybox() -> Path:
    """This host's busybox, which is to be a static one."""
    found = shutil.which("busybox")
    if found is None:
        raise HarnessError("there is no busybox on this host; install busybox-static")
    return Path(found).resolve()


def write(target: Path, *, modules: Path, busybox: Path) -> None:
    """The archive for the kernel whose modules lie in `modules`, a `/lib/modules/VERSION` directory."""
    files = {"init": (0o755, INIT.encode()), "bin/busybox": (0o755, busybox.read_bytes())}
    order = _in_order(modules)
    for path in order:
        files[f"modules/{_plain_name(path)}"] = (0o644, _unpacked(modules / path))
    files["modules/order"] = (0o644, "\n".join(map(_plain_name, order)).encode() + b"\n")
    _write(target, ("bin", "modules", "proc", "sys", "dev", "root"), files)


def write_trial(target: Path, *, busybox: Path) -> None:
    """An archive whose first program says that it runs, and nothing else."""
    files = {"init": (0o755, TRIAL.encode()), "bin/busybox": (0o755, busybox.read_bytes())}
    _write(target, ("bin", "dev"), files)


def _write(target: Path, directories: Sequence[str], files: Mapping[str, tuple[int, bytes]]) -> None:
    with gzip.open(target, "wb", compresslevel=1) as archive:
        for number, name in enumerate(directories, 1):
            archive.write(_member(number, name, 0o040755, b""))
        for number, (name, (mode, data)) in enumerate(files.items(), len(directories) + 1):
            archive.write(_member(number, name, 0o100000 | mode, data))
        archive.write(_member(0, "TRAILER!!!", 0, b""))


def _in_order(modules: Path) -> list[str]:
    """The module files of `WANTED` and what they need, each after what it needs; built-in ones have none."""
    needs: dict[str, list[str]] = {}
    for line in (modules / "modules.dep").read_text().splitlines():
        path, _, needed = line.partition(":")
        needs[path] = needed.split()
    by_name = {_module_name(path): path for path in needs}
    order: list[str] = []
    for name in WANTED:
        if (found := by_name.get(name)) is not None:
            # modules.dep lists the most dependent first
            order += [needed for needed in (*reversed(needs[found]), found) if needed not in order]
    return order


def _module_name(path: str) -> str:
    return re.sub(r"\.ko.*$", "", Path(path).name).replace("-", "_")


def _plain_name(path: str) -> str:
    return f"{_module_name(path)}.ko"


def _unpacked(path: Path) -> bytes:
    data = path.read_bytes()
    match path.suffix:
        case ".ko":
            return data
        case ".xz":
            return lzma.decompress(data)
        case ".gz":
            return gzip.decompress(data)
        case ".zst":
            return subprocess.run(["zstd", "-dcq"], input=data, stdout=subprocess.PIPE, check=True).stdout
        case suffix:
            raise HarnessError(f"kernel module {str(path)!r} is packed in an unknown way: {suffix!r}")


def _member(number: int, name: str, mode: int, data: bytes) -> bytes:
    """One member of a cpio archive in the kernel's format, "newc"."""
    encoded = name.encode() + b"\0"
    fields = (number, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(encoded), 0)
    header = b"070701" + b"".join(b"%08X" % field for field in fields) + encoded
    return header + b"\0" * (-len(header) % 4) + data + b"\0" * (-len(data) % 4)
