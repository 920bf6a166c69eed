"""Guests that run natively without hardware virtualisation: the kernel as a program, User Mode Linux.

Debian builds such a kernel with SELinux in it (package `user-mode-linux`, in sid). It wants a newer C
library than an older host has, so that is brought along. A guest has one processor, and control groups of
version 2 only. There are no snapshots: a level is a whole disk, and each run boots. Its "seccomp" way of
running programs does not keep a guest's program from the guest's kernel, nor from what that may do here:
nothing that is not trusted may run in it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from tests.vm import initramfs
from tests.vm.cache import HarnessError, entry, identity, key_of, say
from tests.vm.machine import MEMORY, PORTS, Machine

MIRROR = os.environ.get("MCSD_VM_MIRROR", "http://deb.debian.org/debian")
SUITE = "sid"
FETCHED = ("user-mode-linux", "libc6")
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
# The agent's channels are serial lines: no getty may be there, so none is a console.
# This kernel has 512 terminals of the old kind, and for each udev and systemd would do something at a boot.
KERNEL_LINE = "root=/dev/ubda rw console=tty0 mcsd.ports=/dev/ttyS pty.legacy_count=0"
OPTIONS = (f"mem={MEMORY}", "seccomp=auto", "noreboot", "con=null", "con0=null,fd:1", "ssl=null")
PATIENCE = 20.0


def kernel() -> Path:
    """The directory with `linux`, which is the kernel, and its `modules`; fetched when not there yet."""
    return entry("uml", key_of(SUITE, *FETCHED), _fetch)


def _fetch(target: Path) -> None:
    say("fetching User Mode Linux, a kernel that runs as a program…")
    with tempfile.TemporaryDirectory(prefix="mcsd-vm-") as name:
        work = Path(name)
        for package in _download(work):
            _run("dpkg-deb", "-x", str(package), str(work / package.name.partition("_")[0]))
        linux, library = work / "user-mode-linux/usr/bin/linux.uml", work / "libc6/usr/lib/x86_64-linux-gnu"
        if not linux.is_file() or not library.is_dir():
            raise HarnessError(
                f"Debian {SUITE}'s package user-mode-linux is not made as it was: no {linux.name}"
            )
        shutil.copytree(library, target / "lib", symlinks=True)
        shutil.copytree(work / "user-mode-linux/usr/lib/uml/modules", target / "modules", symlinks=True)
        shutil.copy(linux, target / "linux")
    # It lies at its final place when it first runs: the loader's path is absolute.
    final = target.with_suffix("") / "lib"
    _run("patchelf", "--set-interpreter", str(final / "ld-linux-x86-64.so.2"), "--set-rpath", str(final),
         str(target / "linux"))  # fmt: skip


def _download(work: Path) -> Sequence[Path]:
    (work / "lists/partial").mkdir(parents=True)
    (work / "sources.list").write_text(f"deb [signed-by={KEYRING}] {MIRROR} {SUITE} main\n")
    options = [
        *("-qq", "-o", f"Dir::Etc::sourcelist={work}/sources.list", "-o", "Dir::Etc::sourceparts=-"),
        *("-o", f"Dir::State::lists={work}/lists", "-o", f"Dir::Cache={work}/cache"),
        *("-o", "APT::Sandbox::User=root", "-o", "Acquire::Languages=none"),
    ]
    _run("apt-get", *options, "update")
    _run("apt-get", *options, "download", *FETCHED, cwd=work)
    return sorted(work.glob("*.deb"))


def _run(*command: str, cwd: Path | None = None) -> None:
    done = subprocess.run(
        command, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    if done.returncode != 0:
        last = done.stdout.decode(errors="replace").strip().splitlines()[-3:]
        raise HarnessError(f"{command[0]} failed with status {done.returncode}: {' '.join(last)}")


def works(linux: Path, busybox: Path) -> bool:
    """Whether this host lets such a kernel run: its own first program is heard."""
    with tempfile.TemporaryDirectory(prefix="mcsd-vm-") as name:
        directory = Path(name)
        initramfs.write_trial(directory / "initrd", busybox=busybox)
        with (directory / "serial.log").open("wb") as log:
            process = subprocess.Popen(
                [str(linux), *_places(directory), "mem=128M", "seccomp=auto", "noreboot", "con=null",
                 "con0=null,fd:1", "console=tty0", f"initrd={directory / 'initrd'}"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                env=_environment(directory, 128),
            )  # fmt: skip
        try:
            give_up = time.monotonic() + PATIENCE
            while time.monotonic() < give_up:
                ended = process.poll() is not None
                if initramfs.READY in (directory / "serial.log").read_text(errors="replace"):
                    return True
                if ended:
                    return False
                time.sleep(0.1)
            return False
        finally:
            process.kill()
            process.wait()


def _places(directory: Path) -> Sequence[str]:
    return "umid=guest", f"uml_dir={directory}"


def _environment(directory: Path, megabytes: int) -> dict[str, str]:
    """Where the guest's memory lies: in RAM where there is room for it, since a disk would be written to."""
    shared = Path("/dev/shm")
    room = False
    if shared.is_dir():
        status = os.statvfs(shared)
        room = not status.f_flag & os.ST_NOEXEC and status.f_bavail * status.f_frsize > megabytes << 20
    return {**os.environ, "TMPDIR": str(shared if room else directory)}


class Uml(Machine):
    """A guest of User Mode Linux: `disk` is what the kernel calls ubd0, perhaps `DIFFERENCES,BASE`."""

    terminal = "ttyS3"
    shuts_down = True

    def __init__(self, *, linux: Path, disk: str, directory: Path, kernel_line: str) -> None:
        super().__init__(directory)
        self._share = directory / "share"
        self._share.mkdir()
        self._sent = 0
        lines = [f"ssl{number}=fd:{self._theirs[name].fileno()}" for number, name in enumerate(PORTS)]
        self._start(
            [str(linux), *_places(directory), f"ubd0={disk}", f"hostfs={self._share}", *OPTIONS, *lines,
             *kernel_line.split()],
            output=self.serial, environment=_environment(directory, int(MEMORY.rstrip("M"))),
            # Its kernel and its programs are processes that hand over to one another all the time. On one
            # processor that takes a sixth less of the processors' time than across two.
            pinned=True,
        )  # fmt: skip

    def send(self, data: IO[bytes]) -> None:
        """Send the agent a job, as a file: these serial lines stall for ever when 4 KiB wait in one."""
        name = f"job-{self._sent}"
        self._sent += 1
        with (self._share / name).open("wb") as file:
            shutil.copyfileobj(data, file)
        self.port("in").sendall(f"file {name}\n".encode())

    def keep(self) -> None:
        """Wait until the guest has shut down, as it was told to: then its disk is whole."""
        self.wait_until_off()


class Disks:
    """Levels as whole disks: each guest boots from one, with its differences in a file of its own."""

    acceleration = "uml"
    boots = True
    kernel_line = KERNEL_LINE

    def __init__(self) -> None:
        self.program = kernel()
        self.name = f"User Mode Linux {', '.join(path.name for path in (self.program / 'modules').iterdir())}"

    def key(self) -> str:
        """What a level cannot be used without: a boot from it needs nothing but this kernel's modules."""
        return identity(self.program)

    def first(self, image: Path, target: Path, kernel_line: str) -> Uml:
        """The image's first boot, in a directory where it is to be kept."""
        return self._copy(image, target, kernel_line)

    def copy(self, image: Path, level: Path, target: Path, kernel_line: str) -> Uml:
        """A boot of a level's guest, to become a level itself."""
        return self._copy(level, target, kernel_line)

    def fresh(self, image: Path, level: Path, directory: Path, kernel_line: str) -> Uml:
        """A boot of a level's guest, to be thrown away."""
        # The kernel compares the base's time with the one it wrote down: a base is never touched again.
        return self._boot(f"{directory / 'differences'},{level / 'disk.raw'}", directory, kernel_line)

    def again(self, image: Path, level: Path, directory: Path, kernel_line: str) -> Uml:
        """A second boot of a fresh guest's disk, which has shut down."""
        place = directory / "again"
        place.mkdir()
        return self._boot(f"{directory / 'differences'},{level / 'disk.raw'}", place, kernel_line)

    def _copy(self, base: Path, target: Path, kernel_line: str) -> Uml:
        disk = target / "disk.raw"
        source = str(base / "disk.raw")
        subprocess.run(["cp", "--reflink=auto", "--sparse=always", source, str(disk)], check=True)
        disk.chmod(0o600)
        return self._boot(str(disk), target, kernel_line)

    def _boot(self, disk: str, directory: Path, kernel_line: str) -> Uml:
        return Uml(linux=self.program / "linux", disk=disk, directory=directory, kernel_line=kernel_line)
