"""The guest's disk and kernel: a root tree, what the harness adds to it, and its labels, before any boot.

The tree is Debian's, made here, or anybody's (`--rootfs`), which is copied and never changed. Files are
labelled from the tree's own policy while they are still files of the host; `mke2fs -d` keeps the labels.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import tarfile
from pathlib import Path

from tests.vm import initramfs
from tests.vm.cache import HarnessError, entry, identity, key_of, say
from tests.vm.initramfs import host_busybox

HERE = Path(__file__).parent
SUITE = os.environ.get("MCSD_VM_SUITE", "trixie")
POLICY = "selinux-policy-default"
"""Installed last, by a program of ours: some releases of it need help."""
MIRROR = os.environ.get("MCSD_VM_MIRROR", "http://deb.debian.org/debian")
DISK_SIZE = "8G"
KERNEL_LINE = (
    "security=selinux selinux=1 enforcing=1 audit=1 audit_backlog_limit=8192 "
    "systemd.show_status=auto net.ifnames=0 quiet"
)
"""Of every guest; the way it runs adds where its root and its console are."""
# They start by the clock, which jumps when a guest is restored.
MASKED = (
    *("apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "e2scrub_all.timer"),
    *(
        "fstrim.timer",
        "logrotate.timer",
        "man-db.timer",
        "dnf-makecache.timer",
        "systemd-tmpfiles-clean.timer",
    ),
    *("e2scrub_reap.service", "systemd-networkd-wait-online.service", "NetworkManager-wait-online.service"),
    *("mcelog.service", "rngd.service", "fwupd.service", "packagekit.service", "systemd-firstboot.service"),
    *("initial-setup.service", "selinux-autorelabel-mark.service"),
    # one story's alone
    *("etcd.service", "nfs-server.service", "nfs-client.target", "nfs-blkmap.service"),
    *("rpcbind.service", "rpcbind.socket"),
)
RECIPE = 2
"""Counted up with each change of this file that makes another image; other changes keep what is cached."""


def packages(name: str) -> list[str]:
    lines = (HERE / name).read_text().splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def prepared(rootfs: Path | None, modules: Path | None) -> Path:
    """The directory with `disk.raw`, and `vmlinuz` and `initrd` if the tree has a kernel.

    It is built when it is not there yet. `modules` are of a kernel that is not the tree's, beside its own.
    """
    tree = root_tree(rootfs)
    source = identity(tree.parent) if rootfs is None else _fingerprint(rootfs)
    brought = identity(modules.parent) if modules else "none"
    key = key_of(source, brought, str(RECIPE), *MASKED, *initramfs.WANTED, initramfs.INIT, HERE / "guest")
    return entry("image", key, lambda target: _build(target, tree, modules))


def root_tree(rootfs: Path | None) -> Path:
    """The tree that is asked for, if it will do, or Debian's, built when it is not there yet."""
    if os.geteuid() != 0:
        raise HarnessError("building the guest needs root: its files belong to root and get labels")
    if rootfs is None:
        key = key_of(SUITE, *packages("guest-packages.txt"))
        return entry("tree", key, lambda target: _debian_tree(target / "root")) / "root"
    if not (rootfs / "etc/selinux/config").is_file():
        raise HarnessError(f"{str(rootfs)!r} is no root tree with SELinux: it has no /etc/selinux/config")
    return rootfs


def _fingerprint(rootfs: Path) -> str:
    """Changes when a file of the tree does: names, sizes and times, not gigabytes of contents."""
    lines = []
    for directory, names, files in os.walk(rootfs):
        names.sort()
        for name in sorted(files):
            status = os.lstat(os.path.join(directory, name))
            lines.append(f"{directory}/{name} {status.st_size} {status.st_mtime_ns} {status.st_mode}")
    return key_of(str(rootfs.resolve()), "\n".join(lines))


def _build(target: Path, source: Path, modules: Path | None) -> None:
    tree = target / "root"
    _copy_tree(source, tree)
    if modules is not None:
        say("adding the modules of a kernel that runs natively…")
        _quietly("cp", "-R", f"{modules}/.", str(tree / "usr/lib/modules"))
    _add_ours(tree)
    _kernel(tree, target, needed=modules is None)
    _label(tree)
    say("writing the guest's disk…")
    disk = target / "disk.raw"
    _quietly("mke2fs", "-q", "-t", "ext4", "-m", "0", "-O", "^has_journal", "-E", "lazy_itable_init=1",
             "-L", "root", "-d", str(tree), str(disk), DISK_SIZE)  # fmt: skip
    disk.chmod(0o444)
    shutil.rmtree(tree)


def _debian_tree(tree: Path) -> None:
    say(f"building the guest's root tree: Debian {SUITE}, {len(packages('guest-packages.txt'))} packages "
        "and what they need (about 2 minutes)…")  # fmt: skip
    _quietly(
        # Its mounts of /proc and /dev are seen by nobody else, and go with it however it ends.
        "unshare", "--mount", "--propagation=private",
        "mmdebstrap", "--variant=minbase", "--mode=root",
        f"--include={','.join(one for one in packages('guest-packages.txt') if one != POLICY)}",
        f'--customize-hook="{HERE / "install-policy"}" {POLICY} "$1"',
        '--aptopt=APT::Install-Recommends "false"', '--aptopt=Acquire::Languages "none"',
        # A mirror may be a snapshot, whose lists call themselves out of date; they are signed all the same.
        '--aptopt=Acquire::Check-Valid-Until "false"',
        "--dpkgopt=force-unsafe-io", "--dpkgopt=path-exclude=/usr/share/man/*",
        "--dpkgopt=path-exclude=/usr/share/locale/*", "--dpkgopt=path-exclude=/usr/share/doc/*",
        SUITE, str(tree), MIRROR,
    )  # fmt: skip


def _copy_tree(rootfs: Path, tree: Path) -> None:
    say(f"copying the root tree {str(rootfs)!r}…")
    _quietly("cp", "-a", "--reflink=auto", "--sparse=auto", f"{rootfs}/.", str(tree))


def _add_ours(tree: Path) -> None:
    """The agent, and a Docker that needs no network; nothing of mcsd."""
    ours = tree / "usr/lib/mcsd-test"
    ours.mkdir(parents=True)
    shutil.copy(HERE / "guest/agent", ours / "agent")
    _docker_image(ours / "bb.tar")
    units = tree / "etc/systemd/system"
    wanted = units / "multi-user.target.wants"
    wanted.mkdir(parents=True, exist_ok=True)
    shutil.copy(HERE / "guest/mcsd-test-agent.service", units / "mcsd-test-agent.service")
    _link(wanted / "mcsd-test-agent.service", "/etc/systemd/system/mcsd-test-agent.service")
    for unit, target in (("docker.service", "multi-user.target"), ("docker.socket", "sockets.target")):
        if (tree / "usr/lib/systemd/system" / unit).exists():
            (units / f"{target}.wants").mkdir(parents=True, exist_ok=True)
            _link(units / f"{target}.wants" / unit, f"/usr/lib/systemd/system/{unit}")
    console = units / "serial-getty@.service.d"
    console.mkdir(exist_ok=True)
    shutil.copy(HERE / "guest/console.conf", console / "console.conf")
    for unit in MASKED:
        _link(units / unit, "/dev/null")
    docker = tree / "etc/docker"
    docker.mkdir(parents=True, exist_ok=True)
    shutil.copy(HERE / "guest/daemon.json", docker / "daemon.json")
    config = tree / "etc/selinux/config"
    config.write_text(re.sub(r"(?m)^SELINUX=.*$", "SELINUX=enforcing", config.read_text()))
    (tree / "etc/hostname").write_text("mcsd-guest\n")
    (tree / "etc/fstab").write_text("# the root is where the kernel's line says, and writable\n")
    (tree / "etc/machine-id").write_text("6d637364000000000000000000000001\n")
    for left in ("boot/initrd.img", ".autorelabel", "etc/resolv.conf"):
        if (tree / left).is_file() or (tree / left).is_symlink():
            (tree / left).unlink()
    (tree / "etc/resolv.conf").write_text("")


def _link(path: Path, target: str) -> None:
    if path.is_symlink() or path.exists():
        path.unlink()
    path.symlink_to(target)


def _docker_image(target: Path) -> None:
    """A root file system of busybox alone, for `docker import`."""
    busybox = host_busybox()
    names = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True).stdout.split()
    with tarfile.open(target, "w") as archive:
        for name, mode in (("bin", 0o755), ("etc", 0o755), ("tmp", 0o1777), ("root", 0o700), ("data", 0o755)):
            directory = tarfile.TarInfo(name)
            directory.type, directory.mode = tarfile.DIRTYPE, mode
            archive.addfile(directory)
        program = tarfile.TarInfo("bin/busybox")
        data = busybox.read_bytes()
        program.size, program.mode = len(data), 0o755
        archive.addfile(program, io.BytesIO(data))
        for name in sorted(set(names) - {"busybox"}):
            link = tarfile.TarInfo(f"bin/{name}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            archive.addfile(link)
        for path, text in (("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n"), ("etc/group", "root:x:0:\n")):
            plain = tarfile.TarInfo(path)
            plain.size, plain.mode = len(text), 0o644
            archive.addfile(plain, io.BytesIO(text.encode()))


def _kernel(tree: Path, target: Path, *, needed: bool) -> None:
    """The tree's newest kernel, and an initramfs of ours for it."""
    versions = sorted(
        (path.parent for path in (tree / "usr/lib/modules").glob("*/modules.dep")),
        key=lambda path: [int(part) for part in re.findall(r"\d+", path.name)],
        reverse=True,
    )
    for modules in versions:
        for kernel in (modules / "vmlinuz", tree / f"boot/vmlinuz-{modules.name}"):
            if kernel.is_file():
                shutil.copy(kernel, target / "vmlinuz")
                initramfs.write(target / "initrd", modules=modules, busybox=host_busybox())
                return
    if needed:
        raise HarnessError(
            f"no kernel in {str(tree)!r}: neither /usr/lib/modules/*/vmlinuz nor /boot/vmlinuz-*"
        )


def _label(tree: Path) -> None:
    config = (tree / "etc/selinux/config").read_text()
    found = re.search(r"(?m)^SELINUXTYPE=(\S+)", config)
    if found is None:
        raise HarnessError("the root tree's /etc/selinux/config names no SELINUXTYPE")
    contexts = tree / "etc/selinux" / found[1] / "contexts/files/file_contexts"
    if not contexts.is_file():
        raise HarnessError(f"the root tree has no file contexts for its policy {found[1]!r}")
    say("labelling the guest's root tree…")
    _quietly("setfiles", "-F", "-r", str(tree), str(contexts), str(tree))


def _quietly(*command: str) -> None:
    """Run one command of the build; what it says is shown only when it fails."""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode != 0:
        tail = done.stdout.decode(errors="replace")[-4000:]
        raise HarnessError(
            f"{command[0]} failed with status {done.returncode} while building the guest:\n{tail}"
        )
