"""One guest: a process of this host, and the channels that lead into it.

Channels are socket pairs made before the guest starts: no names in a file system, nothing to clean up. What a
guest is made of is `qemu.py`'s or `uml.py`'s to say.
"""

from __future__ import annotations

import ctypes
import os
import re
import select
import signal
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from tests.vm.cache import HarnessError, take_processor

MEMORY = "3072M"
OFF_TIMEOUT = 90.0
PORTS = ("in", "out", "result", "console")
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)


class Machine(ABC):
    """A running guest; leaving the context kills it."""

    terminal: str
    """The device in the guest where a person's shell is."""
    resumed = False
    """Whether it goes on from where another stopped, and did not boot."""
    shuts_down = False
    """Whether keeping it takes a shutdown."""

    def __init__(self, directory: Path, names: Sequence[str] = PORTS) -> None:
        self.serial = directory / "serial.log"
        self.errors = directory / "errors.log"
        self._ports: dict[str, socket.socket] = {}
        self._theirs: dict[str, socket.socket] = {}
        for name in names:
            self._ports[name], self._theirs[name] = socket.socketpair()

    def _start(
        self, command: Sequence[str], *, output: Path, environment: Mapping[str, str] | None = None,
        pinned: bool = False,
    ) -> None:  # fmt: skip
        """Run the guest's process, which ends with this one; `pinned` to a processor that no other has."""
        with output.open("wb") as log, ExitStack() as until_started:
            taken = take_processor() if pinned else None
            passed = [end.fileno() for end in self._theirs.values()]
            if taken is not None:
                passed.append(until_started.enter_context(taken.held).fileno())
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                env=environment, pass_fds=passed,
                preexec_fn=partial(_prepare, None if taken is None else taken.number),
            )  # fmt: skip
        for end in self._theirs.values():
            end.close()
        self._ended = os.pidfd_open(self.process.pid)

    def port(self, name: str) -> socket.socket:
        return self._ports[name]

    def wait_for(self, name: str, timeout: float | None) -> bool:
        """Whether the port has something to read, in time; it has also when the guest ended."""
        port = self._ports[name].fileno()
        return bool(select.select([port, self._ended], [], [], timeout)[0])

    def send(self, data: IO[bytes]) -> None:
        """Send the agent a job: a line of JSON and an archive."""
        port = self.port("in")
        while part := data.read(1 << 18):
            port.sendall(part)

    @abstractmethod
    def keep(self) -> None:
        """Stop the guest in a state from which others go on; what that is made of lies in its directory."""

    def wait_until_off(self) -> None:
        """Wait until the guest has shut down, as it was told to."""
        try:
            self.process.wait(OFF_TIMEOUT)
        except subprocess.TimeoutExpired:
            raise HarnessError(
                f"the guest did not shut down in {OFF_TIMEOUT:.0f} s: {self.last_words()}"
            ) from None

    def last_words(self, lines: int = 30) -> str:
        """What its process complained of, and the end of the guest's console."""
        told = [path.read_text(errors="replace") for path in (self.errors, self.serial) if path.exists()]
        plain = [re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text).replace("\r", "").splitlines() for text in told]
        return "\n".join(line for text in plain for line in text[-lines:]).strip() or "it said nothing"

    def kill(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        for end in self._ports.values():
            end.close()
        os.close(self._ended)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()


def deadline_of(timeout: float | None) -> float | None:
    """The moment of the monotonic clock that is so many seconds away."""
    return None if timeout is None else time.monotonic() + timeout


def _prepare(processor: int | None) -> None:
    """In the child: end with the parent, and run where it should."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if processor is not None:
        os.sched_setaffinity(0, {processor})
