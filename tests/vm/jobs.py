"""A job for the guest: files that go in, steps that run there, files that come back.

The other half is `guest/agent`. Output is streamed while it comes and ends with a token of ours on a line of
its own; the answer comes on another port.
"""

from __future__ import annotations

import io
import json
import os
import secrets
import shutil
import tarfile
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from tests.vm.cache import HarnessError, say
from tests.vm.machine import Machine

SLOW = (
    "On a slow or busy host give it longer with MCSD_VM_BOOT_TIMEOUT=SECONDS. To see more of the boot: "
    '--boot "loglevel=7 systemd.show_status=true systemd.log_target=console"'
)
TELLING = 60.0
"""Seconds of a boot after which a person is told again that it goes on."""


@dataclass(frozen=True, slots=True)
class Step:
    """One command in the guest; a quiet one is heard only when it fails."""

    name: str
    argv: Sequence[str]
    quiet: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Put:
    """A file or directory of the host, and where it goes; `files` chooses among a directory's files."""

    source: Path
    target: str
    files: Sequence[str] | None = None


@dataclass(frozen=True, slots=True)
class Get:
    """A file or directory of the guest, and where it goes here."""

    source: str
    target: Path


@dataclass(frozen=True, slots=True)
class Job:
    steps: Sequence[Step]
    puts: Sequence[Put] = ()
    gets: Sequence[Get] = ()
    fresh: bool = True
    then: Sequence[str] = ()
    """A command for when all of it has come back."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How it went; `failed` names the step whose status this is."""

    status: int
    failed: str | None
    kernel: str


class OutOfTimeError(Exception):
    """The job took longer than it was given."""


def run(
    machine: Machine, job: Job, *, output: Callable[[bytes], object], timeout: float | None = None
) -> Outcome:
    """Send the job, pass its output on while it comes, and fetch what it was to bring."""
    deadline = None if timeout is None else time.monotonic() + timeout
    token = f"--mcsd-{secrets.token_hex(16)}"
    with tempfile.TemporaryFile() as archive, tempfile.TemporaryFile() as sent:
        _pack(archive, job.puts)
        size = archive.seek(0, os.SEEK_END)
        archive.seek(0)
        header = {
            "token": token, "now": time.time(), "seed": secrets.token_hex(32), "size": size,
            "fresh": job.fresh, "then": list(job.then),
            "places": [put.target for put in job.puts], "get": [get.source for get in job.gets],
            "steps": [{"name": step.name, "argv": list(step.argv), "quiet": step.quiet,
                       "environment": dict(step.environment)} for step in job.steps],
        }  # fmt: skip
        sent.write(json.dumps(header).encode() + b"\n")
        shutil.copyfileobj(archive, sent)
        sent.seek(0)
        failures: list[OSError] = []
        sender = threading.Thread(target=_send, args=(machine, sent, failures), daemon=True)
        sender.start()
        _stream(machine, token, output, deadline)
        sender.join()
    if failures:
        raise HarnessError(f"the job could not be sent to the guest: {failures[0]}")
    answer = json.loads(_line(machine, deadline))
    if answer["broken"]:
        raise HarnessError(f"the agent in the guest failed: {answer['broken']}")
    with tempfile.TemporaryFile() as brought:
        _receive(machine, brought, answer["size"], deadline)
        _unpack(brought, job.gets)
    return Outcome(answer["exit"], answer["failed"], answer["kernel"])


def wait_until_ready(machine: Machine, patience: float) -> Mapping[str, Any]:
    """What the agent says when the guest's boot is over; one that goes on says nothing, and is ready."""
    if machine.resumed:
        return {}
    begun = time.monotonic()
    line = b""
    while not line.endswith(b"\n"):
        try:
            line += _some(machine, "result", min(begun + patience, time.monotonic() + TELLING), limit=1)
        except OutOfTimeError:
            waited = time.monotonic() - begun
            if waited >= patience:
                raise HarnessError(
                    f"the guest's agent was not heard in {patience:.0f} s; its console ends with:\n"
                    f"{machine.last_words()}\n{SLOW}"
                ) from None
            say(f"still booting after {waited:.0f} s; last heard: {machine.last_words(1)}")
    ready: Mapping[str, Any] = json.loads(line)
    if not ready["ready"]:
        raise HarnessError(f"the guest did not become ready: {ready['why']}; {machine.last_words()}")
    return ready


def stop(machine: Machine) -> None:
    """Shut the guest down, where that is how it is kept."""
    if machine.shuts_down:
        _power_off(machine)


def shut_down(machine: Machine) -> None:
    """Shut the guest down, and wait until its disk is whole."""
    _power_off(machine)
    machine.wait_until_off()


def _power_off(machine: Machine) -> None:
    off = Job([], fresh=False, then=["/usr/bin/systemctl", "--no-block", "poweroff"])
    run(machine, off, output=lambda _: None, timeout=60)


def _pack(archive: IO[bytes], puts: Sequence[Put]) -> None:
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for number, put in enumerate(puts):
            if put.files is None:
                tar.add(put.source, arcname=str(number))
                continue
            for name in put.files:
                tar.add(put.source / name, arcname=f"{number}/{name}", recursive=False)


def _unpack(brought: IO[bytes], gets: Sequence[Get]) -> None:
    brought.seek(0)
    missing = set(range(len(gets)))
    with tarfile.open(fileobj=brought, mode="r") as tar:
        for member in tar:
            number, _, rest = member.name.partition("/")
            target = gets[int(number)].target
            missing.discard(int(number))
            if not rest and member.isfile() and target.is_dir():
                target = target / Path(gets[int(number)].source).name
            target = target / rest if rest else target
            target.parent.mkdir(parents=True, exist_ok=True)
            if member.isfile():
                data = tar.extractfile(member)
                assert data is not None
                target.write_bytes(data.read())
                target.chmod(member.mode & 0o777)
            elif member.isdir():
                target.mkdir(exist_ok=True)
    if missing:
        names = ", ".join(repr(gets[index].source) for index in sorted(missing))
        raise HarnessError(f"the guest has no {names} to get")


def _send(machine: Machine, data: IO[bytes], failures: list[OSError]) -> None:
    try:
        machine.send(data)
    except OSError as exc:
        failures.append(exc)


def _stream(machine: Machine, token: str, output: Callable[[bytes], object], deadline: float | None) -> None:
    """Pass on everything before the token; hold back only what may be its beginning."""
    end = f"\n{token}\n".encode()
    held = b""
    while True:
        held += _some(machine, "out", deadline)
        where = held.find(end)
        if where >= 0:
            output(held[:where])
            return
        safe = next((len(held) - size for size in range(min(len(end), len(held)), 0, -1)
                     if end.startswith(held[-size:])), len(held))  # fmt: skip
        output(held[:safe])
        held = held[safe:]


def _line(machine: Machine, deadline: float | None) -> bytes:
    line = io.BytesIO()
    while not line.getvalue().endswith(b"\n"):
        line.write(_some(machine, "result", deadline, limit=1))
    return line.getvalue()


def _receive(machine: Machine, into: IO[bytes], size: int, deadline: float | None) -> None:
    while size:
        data = _some(machine, "result", deadline, limit=min(size, 1 << 18))
        into.write(data)
        size -= len(data)


def _some(machine: Machine, name: str, deadline: float | None, *, limit: int = 1 << 16) -> bytes:
    port = machine.port(name)
    left = None if deadline is None else max(0.0, deadline - time.monotonic())
    if not machine.wait_for(name, left):
        raise OutOfTimeError
    data = port.recv(limit)
    if not data:
        raise HarnessError(f"the guest ended while something ran in it: {machine.last_words()}")
    return data
