"""What administrators and engines do, each by a random choice: a command as somebody would type it.

A hand says what it did, or None when there was nothing for it to do. Commands may fail, as they do for
people; what must hold afterwards is the observer's to say. What a hand does to labels by itself is written
down: nobody can be asked to put that back.
"""

from __future__ import annotations

import os
import random
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tests.vm.history import host
from tests.vm.history.host import ALL, ELSEWHERE, OUTSIDE, SHARED, VOLUMES, run

Hand = Callable[[], str | None]
_ARCHIVE = "/root/history.tar"
_LABELS = ("--xattrs", "--xattrs-include=*")
MOST = 4
"""Containers at once."""


class Hands:
    """All hands, over one source of chance."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.count = 0
        self.touched: set[int] = set()
        """Inodes whose label somebody else than mcsd has set."""
        self.all: dict[str, tuple[int, Hand]] = {
            "create": (2, self.create), "run": (6, self.run_one), "start": (5, self.start),
            "stop": (2, self.stop),
            "kill": (2, self.kill), "restart": (2, self.restart), "rm": (3, self.remove),
            "rename": (1, self.rename), "pause": (1, self.pause), "write": (3, self.write),
            "admin_write": (2, self.admin_write), "restorecon": (2, self.restorecon),
            "chcon": (1, self.chcon), "mv": (2, self.move), "cp": (2, self.copy), "mount": (1, self.mount),
            "umount": (1, self.unmount), "setenforce": (1, self.setenforce),
            "load_policy": (1, self.load_policy),
            "boolean": (1, self.boolean), "dockerd": (1, self.restart_docker), "mcsd": (1, self.restart_mcsd),
            "mcsd_killed": (1, self.kill_mcsd), "clock": (1, self.clock), "verify": (1, self.verify),
            "restore": (1, self.restore), "gate": (1, self.gate), "relabel_z": (1, self.create_z),
            "clash": (1, self.clash), "mv_in": (2, self.move_in), "backup": (1, self.back_up),
            "unpack": (2, self.unpack), "scan": (1, self.scan),
        }  # fmt: skip

    def _container(self, *, running: bool | None = None) -> str | None:
        found = [one.name for one in host.containers().values() if running is None or one.runs == running]
        return self.chance.choice(sorted(found)) if found else None

    def _volume(self) -> str:
        return f"{ALL}/{self.chance.choice(VOLUMES)}"

    def _file(self, volume: str) -> str | None:
        found = sorted(
            path for path in host.inodes(volume) if os.path.isfile(path) and not os.path.islink(path)
        )
        return self.chance.choice(found) if found else None

    def _touch(self, top: str) -> None:
        for path in host.inodes(top):
            self.touched.add(os.lstat(path).st_ino)

    def _docker(self, verb: str, running: bool | None, *options: str) -> str | None:
        name = self._container(running=running)
        return None if name is None else self._did("docker", verb, *options, name)

    def _did(self, *command: str) -> str:
        done = run(*command)
        said = (done.stdout + done.stderr).strip().replace("\n", " | ")[-160:]
        return f"{' '.join(command)}{'' if done.returncode == 0 else f' [{done.returncode}: {said}]'}"

    def _create(self, mode: str = "", *options: str) -> str | None:
        if len(host.containers()) >= MOST:
            return None
        self.count += 1
        volume = self._volume()
        labels = "/all:ignore" + (",/data:shared" if volume == SHARED else "")
        if mode:
            self._touch(volume)
        read_only = ":ro" if not mode and self.chance.random() < 0.15 else ""
        return self._did(
            "docker", "create", "--name", f"h{self.count}", "--network", "none", "--stop-timeout", "0",
            "--label", f"io.mcsd.volume={labels}", "-v", f"{ALL}:/all",
            "-v", f"{volume}:/data{mode}{read_only}",
            *options, "bb", "sleep", "100000",
        )  # fmt: skip

    def create(self) -> str | None:
        """A container with one volume of its own, or the one that is shared."""
        return self._create()

    def run_one(self) -> str | None:
        """A container that is created, has its volumes ready, and starts."""
        did = self._create()
        name = f"h{self.count}"
        if did is None:
            return None
        waited = self._did("mcsctl", "wait", "--timeout", "30", name)
        return f"{did}; {waited}; {self._did('docker', 'start', name)}"

    def create_z(self) -> str | None:
        """Docker labels by itself, at the start."""
        return self._create(":Z")

    def clash(self) -> str | None:
        """One at another's level, on purpose."""
        others = [one for one in host.containers().values() if one.label]
        if not others:
            return None
        level = host.level_of(self.chance.choice(sorted(others, key=lambda one: one.name)).label)
        return self._create("", "--label", "history.clash=yes", "--security-opt", f"label=level:{level}")

    def start(self) -> str | None:
        """A container that does not run."""
        return self._docker("start", False)

    def stop(self) -> str | None:
        """A running one."""
        return self._docker("stop", True, "-t", "0")

    def kill(self) -> str | None:
        """A running one, without asking it."""
        return self._docker("kill", True)

    def restart(self) -> str | None:
        """Any."""
        return self._docker("restart", None, "-t", "0")

    def remove(self) -> str | None:
        """Any, whether it runs or not."""
        return self._docker("rm", None, "-f")

    def pause(self) -> str | None:
        """A running one, for a moment."""
        name = self._container(running=True)
        return name and f"{self._did('docker', 'pause', name)}; {self._did('docker', 'unpause', name)}"

    def rename(self) -> str | None:
        """Any."""
        name = self._container()
        self.count += 1
        return name and self._did("docker", "rename", name, f"h{self.count}")

    def write(self) -> str | None:
        """A container makes a file in its volume, and a directory with one."""
        name = self._container(running=True)
        self.count += 1
        script = f"mkdir /data/d{self.count}; echo its >/data/d{self.count}/made"
        return name and self._did("docker", "exec", name, "sh", "-c", script)

    def admin_write(self) -> str | None:
        """An administrator makes one."""
        self.count += 1
        path = f"{self._volume()}/admin{self.count}"
        with open(path, "w", encoding="ascii") as file:
            file.write("an administrator's\n")
        self._touch(path)
        return f"echo >{path}"

    def restorecon(self) -> str | None:
        """What the policy says, with force or without."""
        volume = self._volume()
        self._touch(volume)
        return self._did("restorecon", self.chance.choice(["-R", "-RF"]), volume)

    def chcon(self) -> str | None:
        """A level that is somebody's, or nobody's."""
        levels = [host.level_of(one.label) for one in host.containers().values() if one.label]
        level = self.chance.choice([*sorted(levels), "s0", f"s0:c{self.chance.randrange(512)},c1000"])
        volume = self._volume()
        self._touch(volume)
        return self._did(
            "chcon", *self.chance.choice([["-R"], []]), "-t", "container_file_t", "-l", level, volume
        )

    def _between(self, verb: str, *options: str) -> str | None:
        source = self._file(self._volume())
        if source is None:
            return None
        self.count += 1
        target = self.chance.choice([self._volume(), ELSEWHERE])
        self._touch(source)
        path = f"{target}/{verb}{self.count}"
        told = self._did(verb, *options, source, path)
        with suppress(FileNotFoundError):
            self._touch(path)
        return told

    def move(self) -> str | None:
        """A file out of a volume, perhaps into another: it takes its label with it."""
        return self._between("mv")

    def copy(self) -> str | None:
        """The same, with its label."""
        return self._between("cp", "-a")

    def move_in(self) -> str | None:
        """What lies beside, with whatever label, into a volume; or something new."""
        self.count += 1
        source = self._file(ELSEWHERE)
        if source is None or self.chance.random() < 0.3:
            source = f"{ELSEWHERE}/new{self.count}"
            with open(source, "w", encoding="ascii") as file:
                file.write("from outside\n")
        self._touch(source)
        return self._did("mv", source, f"{self._volume()}/in{self.count}")

    def back_up(self) -> str | None:
        """A volume into an archive, with its labels."""
        return self._did("tar", *_LABELS, "-C", self._volume(), "-cf", _ARCHIVE, ".")

    def unpack(self) -> str | None:
        """That archive over a volume, or beside: each file is made anew, and gets the label that it had."""
        if not os.path.exists(_ARCHIVE):
            return None
        self.count += 1
        target = self.chance.choice([self._volume(), f"{ELSEWHERE}/unpacked{self.count}"])
        os.makedirs(target, exist_ok=True)
        told = self._did("tar", *_LABELS, "-C", target, "-xf", _ARCHIVE)
        self._touch(target)
        return told

    def scan(self) -> str | None:
        """Somebody looks for strays."""
        return self._did("mcsctl", "scan", self.chance.choice([ELSEWHERE, "/srv"]))

    def mount(self) -> str | None:
        """A file system inside a volume."""
        point = f"{self._volume()}/point"
        os.makedirs(point, exist_ok=True)
        self._touch(point)
        return None if os.path.ismount(point) else self._did("mount", "-t", "tmpfs", "none", point)

    def unmount(self) -> str | None:
        """One of those goes."""
        mounted = [f"{ALL}/{one}/point" for one in VOLUMES if os.path.ismount(f"{ALL}/{one}/point")]
        return self._did("umount", "-l", self.chance.choice(mounted)) if mounted else None

    def setenforce(self) -> str | None:
        """The other mode."""
        return self._did("setenforce", "0" if host.enforces() else "1")

    def load_policy(self) -> str | None:
        """The same policy again."""
        return self._did("load_policy")

    def boolean(self) -> str | None:
        """One that mcsd does not manage."""
        return self._did("setsebool", "container_use_nfs", self.chance.choice(["on", "off"]))

    def restart_docker(self) -> str | None:
        """All containers end."""
        return self._did("systemctl", "restart", "docker.service")

    def restart_mcsd(self) -> str | None:
        """As after an update."""
        return self._did("systemctl", "restart", "mcsd.service")

    def kill_mcsd(self) -> str | None:
        """Without asking it; systemd has it back."""
        return self._did("systemctl", "kill", "-s", "KILL", "--kill-whom=main", "mcsd.service")

    def clock(self) -> str | None:
        """The wall clock jumps."""
        seconds = self.chance.choice([-3600, -30, 45, 3600, 86400])
        time.clock_settime(time.CLOCK_REALTIME, time.time() + seconds)
        return f"date -s '{seconds:+d} seconds'"

    def verify(self) -> str | None:
        """Somebody asks mcsd to look, and to mend."""
        return self._did("mcsctl", "verify", *self.chance.choice([[], ["--repair"]]))

    def restore(self) -> str | None:
        """Somebody wants the labels back."""
        return self._did("mcsctl", "restore", self._volume())

    def gate(self) -> str | None:
        """Docker starts containers through it, or no longer."""
        return self._did("mcsctl", "gate", self.chance.choice(["enable", "disable"]), "--reload")


def build() -> None:
    """The volumes, what lies beside them, and a link out; all of it new."""
    for place in (ALL, OUTSIDE, ELSEWHERE):
        shutil.rmtree(place, ignore_errors=True)
    for place in (OUTSIDE, ELSEWHERE):
        os.makedirs(place)
    Path(_ARCHIVE).unlink(missing_ok=True)
    with open(f"{OUTSIDE}/file", "w", encoding="ascii") as file:
        file.write("not a volume's\n")
    for name in VOLUMES:
        os.makedirs(f"{ALL}/{name}/sub", exist_ok=True)
        for path in ("f", "sub/g"):
            with open(f"{ALL}/{name}/{path}", "w", encoding="ascii") as file:
                file.write(f"{name}'s\n")
        os.symlink(OUTSIDE, f"{ALL}/{name}/link")
    run("chcon", "-t", "container_file_t", "-l", "s0", ALL)
