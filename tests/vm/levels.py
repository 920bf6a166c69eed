"""Levels: guests that were stopped at a good moment, to go on from there as often as one likes.

- `booted`: the image, with Docker running and the agent waiting.
- `policy`: that, with mcsd's SELinux modules loaded.
- `code`: that, with mcsd installed as it is in the working tree now.

Each is keyed by what went into it and by what it stands on. A level holds its disk's differences
(`disk.qcow2`), its RAM (`ram`) and the rest of the machine (`state`). What a compiler made of the C extension
is kept beside them, because it depends on neither the policy nor the Python code.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from tests.vm import jobs
from tests.vm.acceleration import best
from tests.vm.cache import HarnessError, entry, identity, key_of, say, using
from tests.vm.image import KERNEL_LINE, prepared
from tests.vm.machine import ACCELERATIONS, CPUS, MEMORY, Machine, overlay
from tests.vm.tree import TREE, matching, tree_put

BOOT_TIMEOUT = 300.0
BUILD_TIMEOUT = 1200.0
BUILT = "/var/cache/mcsd-built"
"""Where guest-install keeps compiled code in the guest."""
PACKAGES = "/var/cache/mcsd-packages"
"""Where build-packages leaves them in the guest."""
PACKED = ("mcsd", "systemd", "packaging", "selinux-policy", "setup.py", "pyproject.toml")
"""What packages are made of, as far as scripts may see a difference."""


@dataclass(frozen=True, slots=True)
class Level:
    """A directory with `disk.qcow2`, `ram` and `state`, and the image it goes back to."""

    image: Path
    path: Path
    acceleration: str
    below: tuple[Path, ...]
    kernel_line: str


def booted(rootfs: Path | None, boot: str = "") -> Level:
    """The lowest level; a word of `boot` takes the place of the kernel line's word with the same key."""
    image = prepared(rootfs)
    acceleration = best(image)
    kernel_line = _kernel_line(boot.split())
    version = subprocess.run(["qemu-system-x86_64", "--version"], capture_output=True, check=True).stdout
    host = platform.processor() + platform.release() if acceleration == "kvm" else ""
    key = key_of(identity(image), kernel_line, MEMORY, CPUS, repr(ACCELERATIONS[acceleration]), version, host)
    with using(image):
        path = entry("booted", key, lambda target: _boot(image, acceleration, kernel_line, target))
    return Level(image, path, acceleration, (image,), kernel_line)


def _kernel_line(words: Sequence[str]) -> str:
    keys = {word.partition("=")[0] for word in words}
    return " ".join([word for word in KERNEL_LINE.split() if word.partition("=")[0] not in keys] + [*words])


def installed(rootfs: Path | None, boot: str = "") -> Level:
    """The highest level: this very working tree's mcsd, with what takes long built when it last changed."""
    level = booted(rootfs, boot)
    # Each of the two keeps one processor busy, and needs nothing of the other.
    with ThreadPoolExecutor(1) as aside:
        compiling = aside.submit(_extension, level)
        policy = matching(("selinux-policy",))
        level = _above(level, "policy", policy, (), "building and loading mcsd's SELinux policy…")
        extension = compiling.result()
    code = matching(("mcsd", "systemd", "packaging"))
    built = jobs.Put(extension / "built", BUILT)
    return _above(level, "code", [*code, extension / "identity"], (built,), "installing mcsd…")


def _extension(level: Level) -> Path:
    """A directory with what the guest's compiler made of mcsd's C files, in `built`."""
    inputs = matching(("setup.py", "mcsd/relabel/*.c", "mcsd/relabel/*.h"))
    key = key_of(identity(level.image), _recipe("extension"), *inputs)

    def build(target: Path) -> None:
        say("building mcsd's C extension…")
        with fresh(level) as machine:
            _install(machine, "extension", (), [jobs.Get(BUILT, target / "built")])

    return entry("extension", key, build)


def packages(rootfs: Path | None) -> Path:
    """A directory with the RPMs that the guest's own tools made of this working tree; see build-packages."""
    level = booted(rootfs)
    recipe = Path(__file__).parent / "build-packages"
    inputs = matching((*PACKED, "tests/vm/build-packages"))
    key = key_of(identity(level.image), recipe, *map(str, inputs), *inputs)

    def build(target: Path) -> None:
        say("building mcsd's packages…")
        step = jobs.Step("build-packages", [f"{TREE}/tests/vm/build-packages", PACKAGES], quiet=True)
        job = jobs.Job([step], [tree_put()], [jobs.Get(PACKAGES, target / "rpms")])
        with fresh(level) as machine:
            _do(machine, job, "build-packages")

    return entry("packages", key, build) / "rpms"


def _above(level: Level, part: str, inputs: Sequence[Path], puts: Sequence[jobs.Put], why: str) -> Level:
    key = key_of(identity(level.path), _recipe(part), *map(str, inputs), *inputs)

    def build(target: Path) -> None:
        say(why)
        with copy(level, target) as machine:
            _install(machine, part, puts, ())
            machine.save(target / "state")
        _finish(target)

    with _held(level):
        path = entry(part, key, build)
    return replace(level, path=path, below=(*level.below, level.path))


def _install(machine: Machine, part: str, puts: Sequence[jobs.Put], gets: Sequence[jobs.Get]) -> None:
    """One part of guest-install; the tree it came from does not stay, a script gets today's."""
    steps = [
        jobs.Step(part, [f"{TREE}/tests/vm/guest-install", part], quiet=True),
        jobs.Step("tidying", ["/bin/rm", "-rf", TREE], quiet=True),
    ]
    _do(machine, jobs.Job(steps, [tree_put(), *puts], gets), f"guest-install {part}")


def _do(machine: Machine, job: jobs.Job, what: str) -> None:
    try:
        outcome = jobs.run(machine, job, output=_complain, timeout=BUILD_TIMEOUT)
    except jobs.OutOfTimeError:
        raise HarnessError(f"{what} took longer than {BUILD_TIMEOUT:.0f} s in the guest") from None
    if outcome.status != 0:
        raise NotInstalledError(f"{what} failed in the guest with status {outcome.status}")


class NotInstalledError(HarnessError):
    """The guest works, and this tree's mcsd could not be installed in it."""


def _recipe(part: str) -> str:
    """The part of guest-install that makes this: what takes long does not depend on the rest of the file."""
    text = (Path(__file__).parent / "guest-install").read_text()
    if part == "code":
        return text
    return text[text.index(f"install_{part}() {{") :].partition("\n}\n")[0]


def _boot(image: Path, acceleration: str, kernel_line: str, target: Path) -> None:
    say(f"booting the guest for the first time ({acceleration}; under tcg a minute or more)…")
    overlay(target / "disk.qcow2", on=image / "disk.raw")
    with Machine(
        acceleration=acceleration, image=image, disk=target / "disk.qcow2", memory=target / "ram",
        private=False, state=None, directory=target, kernel_line=kernel_line,
    ) as machine:  # fmt: skip
        try:
            ready = jobs.wait_until_ready(machine, BOOT_TIMEOUT)
        except jobs.OutOfTimeError:
            raise HarnessError(
                f"the guest did not get ready in {BOOT_TIMEOUT:.0f} s: {machine.last_words()}"
            ) from None
        mode = "enforcing" if ready["enforcing"] else "NOT ENFORCING"
        say(f"the guest is up: {mode}, scripts run as {ready['context']}")
        machine.save(target / "state")
    _finish(target)


def _finish(target: Path) -> None:
    for name in ("disk.qcow2", "ram", "state"):
        (target / name).chmod(0o444)


@contextmanager
def copy(level: Level, target: Path) -> Iterator[Machine]:
    """The level's guest going on in a directory of its own, there to become a level itself."""
    overlay(target / "disk.qcow2", on=level.path / "disk.qcow2")
    subprocess.run(
        ["cp", "--reflink=auto", "--sparse=always", str(level.path / "ram"), str(target / "ram")], check=True
    )
    (target / "ram").chmod(0o600)
    with Machine(
        acceleration=level.acceleration, image=level.image, disk=target / "disk.qcow2",
        memory=target / "ram", private=False, state=level.path / "state", directory=target,
        kernel_line=level.kernel_line,
    ) as machine:  # fmt: skip
        yield machine


@contextmanager
def fresh(level: Level) -> Iterator[Machine]:
    """The level's guest going on in a copy that is thrown away at the end."""
    with _held(level), ExitStack() as held:
        directory = Path(tempfile.mkdtemp(prefix="mcsd-vm-", dir=os.environ.get("TMPDIR", "/var/tmp")))
        held.callback(shutil.rmtree, directory, ignore_errors=True)
        overlay(directory / "disk.qcow2", on=level.path / "disk.qcow2")
        yield held.enter_context(
            Machine(acceleration=level.acceleration, image=level.image, disk=directory / "disk.qcow2",
                    memory=level.path / "ram", private=True, state=level.path / "state", directory=directory,
                    kernel_line=level.kernel_line)
        )  # fmt: skip


@contextmanager
def _held(level: Level) -> Iterator[None]:
    """Nothing the level stands on is removed meanwhile."""
    with ExitStack() as held:
        for path in (*level.below, level.path):
            held.enter_context(using(path))
        yield


def _complain(data: bytes) -> None:
    sys.stderr.buffer.write(data)
    sys.stderr.buffer.flush()
