"""Levels: guests that were stopped at a good moment, to go on from there as often as one likes.

- `booted`: the image, after a first boot with Docker running and the agent waiting.
- `variant`: that, with what one of `policies/` changes in the policy.
- `policy`: that, with mcsd's SELinux modules loaded.
- `code`: that, with mcsd installed as it is in the working tree now.

Each is keyed by what went into it and by what it stands on. What is kept of one depends on how guests run:
with QEMU a stopped guest (`qemu.py`), natively a disk (`uml.py`). What a compiler made of the C extension is
kept beside them, because it depends on neither the policy nor the Python code.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from tests.vm import jobs
from tests.vm.acceleration import best, natively
from tests.vm.cache import HarnessError, entry, identity, key_of, say, using
from tests.vm.image import KERNEL_LINE, prepared, root_tree
from tests.vm.machine import Machine
from tests.vm.qemu import Snapshots
from tests.vm.tree import TREE, matching, tree_put
from tests.vm.uml import Disks

BOOT_TIMEOUT = float(os.environ.get("MCSD_VM_BOOT_TIMEOUT", "600"))
BUILD_TIMEOUT = 1200.0
BUILT = "/var/cache/mcsd-built"
"""Where guest-install keeps compiled code in the guest."""
PACKAGES = "/var/cache/mcsd-packages"
"""Where build-packages leaves them in the guest."""
PACKED = ("mcsd", "systemd", "packaging", "selinux-policy", "setup.py", "pyproject.toml")
"""What packages are made of, as far as scripts may see a difference."""
POLICIES = Path(__file__).parent / "policies"


class Way(Protocol):
    """How guests run, and what is kept of one: Snapshots or Disks."""

    acceleration: str
    name: str
    kernel_line: str
    boots: bool
    """Whether a guest boots from what is kept, and does not go on where it was."""

    def key(self) -> str: ...
    def first(self, image: Path, target: Path, kernel_line: str) -> Machine: ...
    def copy(self, image: Path, level: Path, target: Path, kernel_line: str) -> Machine: ...
    def fresh(self, image: Path, level: Path, directory: Path, kernel_line: str) -> Machine: ...
    def again(self, image: Path, level: Path, directory: Path, kernel_line: str) -> Machine: ...


@dataclass(frozen=True, slots=True)
class Guest:
    """Which guest a script asks for; every field has the ordinary one's value by itself."""

    rootfs: Path | None = None
    boot: str = ""
    own_kernel: bool = False
    """The root tree's own kernel, where another would be faster."""
    policy: str | None = None
    """A name in `policies/`: what that changes in the guest's policy."""


ORDINARY = Guest()


@dataclass(frozen=True, slots=True)
class Level:
    """A directory that guests go on from, and the image it goes back to."""

    image: Path
    path: Path
    way: Way = field(compare=False)
    below: tuple[Path, ...]
    kernel_line: str


def booted(guest: Guest = ORDINARY) -> Level:
    """A guest without mcsd, after its first boot."""
    return _varied(_first_boot(_ground(guest)), guest)


def _ground(guest: Guest) -> Level:
    """The image; a word of `guest.boot` takes the place of the kernel line's word with the same key."""
    with ThreadPoolExecutor(1) as aside:
        fetching = aside.submit(natively)
        root_tree(guest.rootfs)
        kernel = fetching.result()
    image = prepared(guest.rootfs, kernel / "modules" if kernel else None)
    acceleration = best(image, own_kernel=guest.own_kernel)
    way: Way = Disks() if acceleration == "uml" else Snapshots(acceleration)
    return Level(image, image, way, (), _kernel_line(way.kernel_line, guest.boot.split()))


def _first_boot(ground: Level) -> Level:
    key = key_of(identity(ground.image), ground.kernel_line, ground.way.key())
    with using(ground.image):
        path = entry("booted", key, lambda target: _boot(ground, target))
    return replace(ground, path=path, below=(ground.image,))


def _kernel_line(devices: str, words: Sequence[str]) -> str:
    keys = {word.partition("=")[0] for word in words}
    usual = f"{devices} {KERNEL_LINE}".split()
    return " ".join([word for word in usual if word.partition("=")[0] not in keys] + [*words])


def _varied(level: Level, guest: Guest) -> Level:
    if guest.policy is None:
        return level
    name = guest.policy
    files = sorted(POLICIES.glob(f"{name}.*"))
    if not any(path.suffix == ".cil" for path in files):
        known = ", ".join(sorted(path.stem for path in POLICIES.glob("*.cil"))) or "none"
        raise HarnessError(f"there is no policy {name!r} in {POLICIES.name}/; known: {known}")
    command = [f"{TREE}/tests/vm/guest-policy", name]
    recipe = (Path(__file__).parent / "guest-policy").read_text()
    return _above(level, "variant", command, (recipe, *files), (), f"making the guest's policy {name!r}…")


def installed(guest: Guest = ORDINARY) -> Level:
    """The highest level: this very working tree's mcsd, with what takes long built when it last changed."""
    ground = _ground(guest)
    # Where each level boots there is nothing to gain from one that did so before.
    level = _varied(ground if ground.way.boots else _first_boot(ground), guest)
    # Each of the two keeps one processor busy, and needs nothing of the other.
    with ThreadPoolExecutor(1) as aside:
        compiling = aside.submit(_extension, level)
        policy = matching(("selinux-policy",))
        level = _with(level, "policy", policy, (), "building and loading mcsd's SELinux policy…")
        extension = compiling.result()
    code = matching(("mcsd", "systemd", "packaging"))
    built = jobs.Put(extension / "built", BUILT)
    return _with(level, "code", [*code, extension / "identity"], (built,), "installing mcsd…")


def _extension(level: Level) -> Path:
    """A directory with what the guest's compiler made of mcsd's C files, in `built`."""
    inputs = matching(("setup.py", "mcsd/*/native/*.[ch]"))
    key = key_of(identity(level.image), _recipe("extension"), *inputs)

    def build(target: Path) -> None:
        say("building what mcsd has in C…")
        with fresh(level) as machine:
            command = [f"{TREE}/tests/vm/guest-install", "extension"]
            _install(machine, "extension", command, (), [jobs.Get(BUILT, target / "built")])

    return entry("extension", key, build)


def packages(guest: Guest = ORDINARY) -> Path:
    """A directory with the RPMs that the guest's own tools made of this working tree; see build-packages."""
    ground = _ground(Guest(guest.rootfs))
    level = ground if ground.way.boots else _first_boot(ground)
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


def _with(level: Level, part: str, inputs: Sequence[Path], puts: Sequence[jobs.Put], why: str) -> Level:
    """A level with one part of guest-install done."""
    command = [f"{TREE}/tests/vm/guest-install", part]
    return _above(level, part, command, (_recipe(part), *map(str, inputs), *inputs), puts, why)


def _above(level: Level, part: str, command: Sequence[str], made_of: Sequence[str | Path],
           puts: Sequence[jobs.Put], why: str) -> Level:  # fmt: skip
    # An image is nobody's before it booted: how it will is a part of what is made of it.
    boots = (level.kernel_line, level.way.key()) if level.path == level.image else ()
    key = key_of(identity(level.path), *boots, *made_of)

    def build(target: Path) -> None:
        say(why)
        with level.way.copy(level.image, level.path, target, level.kernel_line) as machine:
            _ready(machine)
            _install(machine, part, command, puts, ())
            jobs.stop(machine)
            machine.keep()

    with _held(level):
        path = entry(part, key, build)
    return replace(level, path=path, below=(*level.below, level.path))


def _install(machine: Machine, part: str, command: Sequence[str], puts: Sequence[jobs.Put],
             gets: Sequence[jobs.Get]) -> None:  # fmt: skip
    """One step of an installation; the tree it came from does not stay, a script gets today's."""
    steps = [
        jobs.Step(part, command, quiet=True),
        jobs.Step("tidying", ["/bin/rm", "-rf", TREE], quiet=True),
    ]
    _do(machine, jobs.Job(steps, [tree_put(), *puts], gets), " ".join(map(str, command)))


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


def _boot(ground: Level, target: Path) -> None:
    say(f"booting the guest for the first time ({ground.way.name}; under tcg a minute or more)…")
    with ground.way.first(ground.image, target, ground.kernel_line) as machine:
        _ready(machine)
        jobs.stop(machine)
        machine.keep()


def _ready(machine: Machine) -> None:
    ready = jobs.wait_until_ready(machine, BOOT_TIMEOUT)
    if ready:
        mode = "enforcing" if ready["enforcing"] else "NOT ENFORCING"
        say(f"a guest is up: {mode}, Linux {ready['kernel']}, scripts run as {ready['context']}")


@contextmanager
def fresh(level: Level) -> Iterator[Machine]:
    """The level's guest going on in a copy that is thrown away at the end."""
    with _held(level), ExitStack() as held:
        directory = Path(tempfile.mkdtemp(prefix="mcsd-vm-", dir=os.environ.get("TMPDIR", "/var/tmp")))
        held.callback(shutil.rmtree, directory, ignore_errors=True)
        machine = held.enter_context(level.way.fresh(level.image, level.path, directory, level.kernel_line))
        jobs.wait_until_ready(machine, BOOT_TIMEOUT)
        yield machine


@contextmanager
def rebooted(level: Level, machine: Machine) -> Iterator[Machine]:
    """The disk of a fresh guest booted again, after that guest has shut down; thrown away with it."""
    jobs.shut_down(machine)
    with level.way.again(level.image, level.path, machine.serial.parent, level.kernel_line) as booted:
        _ready(booted)
        yield booted


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
