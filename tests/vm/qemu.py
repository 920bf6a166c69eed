"""Guests of QEMU: under KVM, or translated. What is kept of one is its disk's differences, its RAM, and more.

RAM is a file. The first boot and each level write into theirs (`share=on`); a run maps a level's file
privately, so that restoring reads nothing in advance, and guests of one level share the pages they do not
change.
"""

from __future__ import annotations

import json
import os
import platform
import select
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.vm.cache import HarnessError, key_of
from tests.vm.machine import MEMORY, PORTS, Machine, deadline_of

CPUS = os.environ.get("MCSD_VM_CPUS", "2")
KERNEL_LINE = "root=/dev/vda rw console=ttyS0"
ACCELERATIONS = {
    "tcg": ("-accel", "tcg,thread=multi,tb-size=1024", "-cpu", "max"),
    "kvm": ("-accel", "kvm", "-cpu", "host"),
}
KEPT = ("disk.qcow2", "ram", "state")


class Qemu(Machine):
    """A guest of QEMU; it goes on from `state` when there is one."""

    terminal = "hvc0"

    def __init__(self, *, acceleration: str, image: Path, disk: Path, memory: Path, private: bool,
                 state: Path | None, directory: Path, kernel_line: str) -> None:  # fmt: skip
        super().__init__(directory, ("qmp", *PORTS))
        self._directory = directory
        self.resumed = state is not None
        fd = {name: end.fileno() for name, end in self._theirs.items()}
        command = [
            "qemu-system-x86_64", "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none",
            "-vga", "none", "-nic", "none", "-machine", "pc,memory-backend=ram", "-m", MEMORY, "-smp", CPUS,
            *ACCELERATIONS[acceleration],
            "-object",
            f"memory-backend-file,id=ram,size={MEMORY},mem-path={memory},share={'off' if private else 'on'}",
            "-kernel", str(image / "vmlinuz"), "-initrd", str(image / "initrd"), "-append", kernel_line,
            "-drive", f"if=none,id=root,file={disk},format=qcow2,cache=unsafe,discard=unmap",
            "-device", "virtio-blk-pci,drive=root,id=disk",
            "-device", "virtio-rng-pci",
            "-chardev", f"file,id=serial,path={self.serial}", "-serial", "chardev:serial",
            "-chardev", f"socket,id=qmp,fd={fd['qmp']}", "-mon", "chardev=qmp,mode=control",
            "-device", "virtio-serial-pci,id=ports,max_ports=8",
        ]  # fmt: skip
        for number, name in enumerate(PORTS, 1):
            command += ["-chardev", f"socket,id={name},fd={fd[name]}"]
            kind = "virtconsole" if name == "console" else "virtserialport"
            place = f"bus=ports.0,nr={number % 4}"
            command += ["-device", f"{kind},id=port-{name},{place},chardev={name},name=mcsd.{name}"]
        if state is not None:
            command += ["-incoming", "defer"]
        self._start(command, output=self.errors)
        self._control = self._ports["qmp"].makefile("rwb", buffering=0)
        try:
            self._answer()
            self.command("qmp_capabilities")
            self.command("migrate-set-capabilities",
                         capabilities=[{"capability": "x-ignore-shared", "state": True}])  # fmt: skip
            if state is not None:
                self._restore(state)
        except BaseException:
            self.kill()
            raise

    def command(self, name: str, **arguments: Any) -> Any:
        """What QEMU's control channel answers; events that come in between are passed over."""
        self._control.write(json.dumps({"execute": name, "arguments": arguments}).encode() + b"\n")
        while True:
            answer = self._answer()
            if "error" in answer:
                raise HarnessError(f"qemu refused {name!r}: {answer['error'].get('desc')}")
            if "return" in answer:
                return answer["return"]

    def wait_for(self, name: str, timeout: float | None) -> bool:
        """Whether the port has something to read, in time; meanwhile listens for the agent's end."""
        deadline = deadline_of(timeout)
        port = self._ports[name]
        while True:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            ready = select.select([port.fileno(), self._control.fileno()], [], [], left)[0]
            if port.fileno() in ready or not ready:
                return bool(ready)
            news = self._answer()
            closed = news.get("event") == "VSERPORT_CHANGE" and not news["data"]["open"]
            if closed and news["data"]["id"] == "port-out":
                raise HarnessError(f"the agent in the guest ended: {self.last_words()}")

    def keep(self) -> None:
        """Stop the guest and write down everything but its RAM, which is in its file already."""
        self.command("stop")
        self.command("migrate-set-parameters", **{"max-bandwidth": 1 << 40})
        self.command("migrate", uri=f"exec:cat > '{self._directory / 'state'}'")
        self._until("query-migrate", "completed", failed="failed")
        self.command("quit")
        self.process.wait(60)
        for name in KEPT:
            (self._directory / name).chmod(0o444)

    def _restore(self, state: Path) -> None:
        self.command("migrate-incoming", uri=f"exec:cat '{state}'")
        self._until("query-migrate", "completed", failed="failed")
        if self.command("query-status")["status"] != "running":
            self.command("cont")

    def _until(self, query: str, wanted: str, *, failed: str) -> None:
        give_up = time.monotonic() + 120
        while (status := self.command(query).get("status")) != wanted:
            if status == failed or time.monotonic() > give_up:
                raise HarnessError(
                    f"qemu could not save or restore the guest ({status}): {self.last_words()}"
                )
            time.sleep(0.02)

    def _answer(self) -> Mapping[str, Any]:
        line = self._control.readline()
        if not line:
            raise HarnessError(f"the guest ended by itself: {self.last_words()}")
        answer: Mapping[str, Any] = json.loads(line)
        return answer

    def kill(self) -> None:
        if control := getattr(self, "_control", None):
            control.close()
        super().kill()


class Snapshots:
    """Levels as stopped guests: they go on where they were."""

    kernel_line = KERNEL_LINE
    boots = False

    def __init__(self, acceleration: str) -> None:
        self.acceleration = acceleration
        self.name = f"QEMU, {acceleration}"

    def key(self) -> str:
        """What a level cannot be used without: the very same QEMU, and for KVM the same processor."""
        version = subprocess.run(["qemu-system-x86_64", "--version"], capture_output=True, check=True).stdout
        host = platform.processor() + platform.release() if self.acceleration == "kvm" else ""
        return key_of(MEMORY, CPUS, repr(ACCELERATIONS[self.acceleration]), version, host)

    def first(self, image: Path, target: Path, kernel_line: str) -> Qemu:
        """The image's first boot, in a directory where it is to be kept."""
        if not (image / "vmlinuz").exists():
            raise HarnessError("the root tree has no kernel of its own to boot under QEMU: neither "
                               "/usr/lib/modules/*/vmlinuz nor /boot/vmlinuz-*")  # fmt: skip
        return self._machine(image, image / "disk.raw", None, target, target, kernel_line, keep=True)

    def copy(self, image: Path, level: Path, target: Path, kernel_line: str) -> Qemu:
        """A level's guest going on, to become a level itself."""
        source, copied = str(level / "ram"), target / "ram"
        subprocess.run(["cp", "--reflink=auto", "--sparse=always", source, str(copied)], check=True)
        copied.chmod(0o600)
        return self._machine(
            image, level / "disk.qcow2", level / "state", target, target, kernel_line, keep=True
        )

    def fresh(self, image: Path, level: Path, directory: Path, kernel_line: str) -> Qemu:
        """A level's guest going on, to be thrown away."""
        return self._machine(
            image, level / "disk.qcow2", level / "state", level, directory, kernel_line, keep=False
        )

    def again(self, image: Path, level: Path, directory: Path, kernel_line: str) -> Qemu:
        """A second boot of a fresh guest's disk, which has shut down."""
        place = directory / "again"
        place.mkdir()
        return self._machine(image, directory / "disk.qcow2", None, place, place, kernel_line, keep=True)

    def _machine(self, image: Path, base: Path, state: Path | None, memory: Path, directory: Path,
                 kernel_line: str, *, keep: bool) -> Qemu:  # fmt: skip
        disk = directory / "disk.qcow2"
        overlay(disk, on=base)
        return Qemu(acceleration=self.acceleration, image=image, disk=disk, memory=memory / "ram",
                    private=not keep, state=state, directory=directory, kernel_line=kernel_line)  # fmt: skip


def overlay(disk: Path, *, on: Path) -> None:
    """A disk that holds only the differences from another one."""
    kind = "raw" if on.suffix == ".raw" else "qcow2"
    subprocess.run(
        ["qemu-img", "create", "-q", "-f", "qcow2", "-F", kind, "-b", os.path.abspath(on), str(disk)],
        check=True, stdin=subprocess.DEVNULL,
    )  # fmt: skip
