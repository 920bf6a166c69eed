"""One guest: a QEMU process, its control channel, and the ports that lead into it.

Channels are socket pairs made before QEMU starts: no names in a file system, nothing to clean up. RAM is a
file. The first boot and each level write into theirs (`share=on`); a run maps a level's file privately, so
that restoring reads nothing in advance, and guests of one level share the pages they do not change.
"""

from __future__ import annotations

import ctypes
import json
import os
import re
import select
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.vm.cache import HarnessError
from tests.vm.image import KERNEL_LINE

MEMORY = "3072M"
CPUS = os.environ.get("MCSD_VM_CPUS", "2")
PORTS = ("in", "out", "result", "console")
ACCELERATIONS = {
    "tcg": ("-accel", "tcg,thread=multi,tb-size=1024", "-cpu", "max"),
    "kvm": ("-accel", "kvm", "-cpu", "host"),
}
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)


class Machine:
    """A running guest; leaving the context kills it."""

    def __init__(self, *, acceleration: str, image: Path, disk: Path, memory: Path, private: bool,
                 state: Path | None, directory: Path, kernel_line: str = KERNEL_LINE) -> None:  # fmt: skip
        self.serial = directory / "serial.log"
        self.errors = directory / "qemu.log"
        ours: dict[str, socket.socket] = {}
        theirs: dict[str, socket.socket] = {}
        for name in ("qmp", *PORTS):
            ours[name], theirs[name] = socket.socketpair()
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
            "-chardev", f"socket,id=qmp,fd={theirs['qmp'].fileno()}", "-mon", "chardev=qmp,mode=control",
            "-device", "virtio-serial-pci,id=ports,max_ports=8",
        ]  # fmt: skip
        for number, name in enumerate(PORTS, 1):
            command += ["-chardev", f"socket,id={name},fd={theirs[name].fileno()}"]
            kind = "virtconsole" if name == "console" else "virtserialport"
            place = f"bus=ports.0,nr={number % 4}"
            command += ["-device", f"{kind},id=port-{name},{place},chardev={name},name=mcsd.{name}"]
        if state is not None:
            command += ["-incoming", "defer"]
        self._ports = ours
        with self.errors.open("wb") as errors:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=errors, stderr=errors, start_new_session=True,
                pass_fds=[end.fileno() for end in theirs.values()], preexec_fn=_die_with_parent,
            )  # fmt: skip
        for end in theirs.values():
            end.close()
        self._control = ours["qmp"].makefile("rwb", buffering=0)
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

    def port(self, name: str) -> socket.socket:
        return self._ports[name]

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
        deadline = None if timeout is None else time.monotonic() + timeout
        port = self._ports[name]
        while True:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            ready = select.select([port.fileno(), self._control.fileno()], [], [], left)[0]
            if port.fileno() in ready or not ready:
                return bool(ready)
            news = self._answer()
            closed = news.get("event") == "VSERPORT_CHANGE" and not news["data"]["open"]
            if closed and news["data"]["id"] == "port-out":
                raise HarnessError(
                    "the agent in the guest ended; it could not unpack the job or send its files"
                )

    def save(self, state: Path) -> None:
        """Stop the guest and write down everything but its RAM, which is in its file already."""
        self.command("stop")
        self.command("migrate-set-parameters", **{"max-bandwidth": 1 << 40})
        self.command("migrate", uri=f"exec:cat > '{state}'")
        self._until("query-migrate", "completed", failed="failed")
        self.command("quit")
        self.process.wait(60)

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

    def last_words(self, lines: int = 30) -> str:
        """What qemu complained of, and the end of the guest's serial console."""
        errors = self.errors.read_text(errors="replace").strip()
        console = self.serial.read_text(errors="replace") if self.serial.exists() else ""
        plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", console).splitlines()
        return "\n".join([errors, *plain[-lines:]]).strip() or "it said nothing"

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        for end in self._ports.values():
            end.close()
        self._control.close()

    def __enter__(self) -> Machine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()


def _die_with_parent() -> None:
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def overlay(disk: Path, *, on: Path) -> None:
    """A disk that holds only the differences from another one."""
    kind = "raw" if on.suffix == ".raw" else "qcow2"
    subprocess.run(
        ["qemu-img", "create", "-q", "-f", "qcow2", "-F", kind, "-b", os.path.abspath(on), str(disk)],
        check=True, stdin=subprocess.DEVNULL,
    )  # fmt: skip
