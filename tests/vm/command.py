"""`tests/vm/run`: the command line.

Exit status: the script's own · 124 it ran out of time · 125 the harness failed · 126 mcsd could not be
installed · 2 usage.
"""

from __future__ import annotations

import argparse
import os
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tests.vm import console, jobs, levels
from tests.vm.cache import HarnessError, say
from tests.vm.image import packages
from tests.vm.tree import tree_put

HERE = Path(__file__).resolve().parent
GUEST = "/run/mcsd-test"
OUT_OF_TIME, BROKEN, NOT_INSTALLED = 124, 125, 126
APT_OPTIONS = ("-o", "Dpkg::Use-Pty=0", "-o", "DPkg::Lock::Timeout=600")
"""Somebody else may be installing: make, for another of its targets."""
PROGRAMS = (
    "qemu-system-x86_64",
    "qemu-img",
    "mmdebstrap",
    "mke2fs",
    "setfiles",
    "busybox",
    "zstd",
    "patchelf",
)


def parser() -> argparse.ArgumentParser:
    result = argparse.ArgumentParser(
        prog="tests/vm/run",
        usage="%(prog)s [options] SCRIPT [-- ARGS...]",
        description="Run a script as root in a guest where SELinux enforces, with this mcsd installed.",
        epilog="exit status: the script's; 124 out of time; 125 harness failed; 126 mcsd does not install",
    )
    add = result.add_argument
    add("script", nargs="?", type=Path, help="any executable text: it needs a #! line, or is run by bash")
    add("--timeout", type=float, metavar="S", help="seconds the script may take")
    add("--put", action="append", default=[], metavar="FILE[:DEST]",
        help=f"bring in a file or directory; without DEST into {GUEST}, where the script runs")  # fmt: skip
    add(
        "--get",
        action="append",
        default=[],
        metavar="GUESTPATH[:HOSTPATH]",
        help="fetch it when the script is done",
    )
    add("--rootfs", type=Path, metavar="DIR", help="another prepared root tree instead of Debian's")
    add(
        "--shell",
        action="store_true",
        help="give a root shell in the guest (after the script, if there is one)",
    )
    add("--prepare", action="store_true", help="only build what is cached")
    add("--no-install", action="store_true", help="leave mcsd out of the guest")
    add("--packages", action="store_true", help=f"bring in this mcsd's RPMs, as {GUEST}/packages")
    add("--policy", metavar="NAME", help="the guest's policy as policies/NAME.cil changes it")
    add("--own-kernel", action="store_true",
        help="boot the root tree's own kernel, where another would run faster")  # fmt: skip
    add("--reboot", action="store_true",
        help="then boot the guest's disk again, and run the script with the argument `again`")  # fmt: skip
    add("--boot", default="", metavar="WORDS", help="for the kernel's command line")
    return result


def main(argv: Sequence[str]) -> int:
    ours, theirs = _split(argv)
    options = parser().parse_args(ours)
    if options.script is not None and options.script.is_file():
        options = parser().parse_args([*head_of(options.script, "guest"), *ours])
    options.args = theirs
    if options.script is None and not (options.shell or options.prepare):
        parser().error("nothing to do: name a SCRIPT, or use --shell or --prepare")
    if options.reboot and (options.script is None or options.shell):
        parser().error("--reboot is for a SCRIPT, without --shell")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        _host_packages()
        return _run(options)
    except levels.NotInstalledError as exc:
        say(str(exc))
        return NOT_INSTALLED
    except HarnessError as exc:
        say(str(exc))
        return BROKEN
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


def _split(argv: Sequence[str]) -> tuple[Sequence[str], Sequence[str]]:
    """What is ours and what is the script's: the first `--` stands between."""
    where = list(argv).index("--") if "--" in argv else len(argv)
    return argv[:where], argv[where + 1 :]


def head_of(script: Path, key: str) -> list[str]:
    """The words behind `# KEY: ` in lines near a script's head; of `# guest: --packages` options of ours."""
    asks = f"# {key}: "
    head = script.read_text(errors="replace").splitlines()[:12]
    return [word for line in head if line.startswith(asks) for word in shlex.split(line.removeprefix(asks))]


def _run(options: argparse.Namespace) -> int:
    job = _job(options)
    at = levels.booted if options.no_install else levels.installed
    guest = levels.Guest(options.rootfs, options.boot, options.own_kernel, options.policy)
    level = at(guest)
    if options.packages:
        brought = jobs.Put(levels.packages(guest), f"{GUEST}/packages")
        job = replace(job, puts=[*job.puts, brought])
    if options.prepare and options.script is None:
        return 0
    begun = time.monotonic()
    with levels.fresh(level) as machine:
        try:
            outcome = jobs.run(machine, job, output=_show, timeout=options.timeout)
            if options.reboot and not outcome.status:
                last = replace(job.steps[-1], argv=[*job.steps[-1].argv, "again"])
                with levels.rebooted(level, machine) as machine:
                    again = replace(job, steps=[*job.steps[:-1], last])
                    outcome = jobs.run(machine, again, output=_show, timeout=options.timeout)
        except jobs.OutOfTimeError:
            say(f"out of time after {options.timeout:g} s; the guest is killed")
            return OUT_OF_TIME
        took = time.monotonic() - begun
        status = console.attach(machine) if options.shell else outcome.status
    _tell(level, guest, outcome.kernel, took)
    return status


def _tell(level: levels.Level, guest: levels.Guest, kernel: str, seconds: float) -> None:
    """Say what was the witness, and what it cost: the guest has ended, so its processor time is known."""
    tree = "Debian's tree" if guest.rootfs is None else str(guest.rootfs)
    policy = "its own policy" if guest.policy is None else f"policy {guest.policy}"
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = f"{used.ru_utime + used.ru_stime:.0f} s of processor time"
    say(f"ran on Linux {kernel} ({level.way.name}), {tree}, {policy}, {seconds:.0f} s, {processor}")


def _job(options: argparse.Namespace) -> jobs.Job:
    puts = [jobs.Put(HERE / "tap.sh", f"{GUEST}/tap.sh"), tree_put()]
    steps = []
    for spec in options.put:
        name, _, target = spec.partition(":")
        source = Path(name)
        if not source.exists():
            raise HarnessError(f"--put {spec!r}: there is no {name!r} here")
        if not target or target.endswith("/"):
            target += source.resolve().name
        puts.append(jobs.Put(source.resolve(), os.path.join(GUEST, target)))
    if options.script is not None:
        if not options.script.is_file():
            raise HarnessError(f"there is no script {str(options.script)!r}")
        puts.append(jobs.Put(options.script, f"{GUEST}/script"))
        interpreter = [] if options.script.read_bytes().startswith(b"#!") else ["/bin/bash"]
        if not interpreter and not os.access(options.script, os.X_OK):
            interpreter = options.script.read_text().splitlines()[0][2:].split()
        steps.append(jobs.Step("script", [*interpreter, f"{GUEST}/script", *options.args]))
    gets = []
    for spec in options.get:
        name, _, target = spec.partition(":")
        gets.append(jobs.Get(os.path.join(GUEST, name), Path(target or Path(name).name)))
    return jobs.Job(steps, puts, gets)


def _show(data: bytes) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def _host_packages() -> None:
    """Install what is missing, where that is ours to do."""
    search = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    os.environ["PATH"] = search
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if not missing:
        return
    wanted = packages("host-packages.txt")
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise HarnessError(
            f"missing here: {', '.join(missing)}; on Debian: apt-get install {' '.join(wanted)}"
        )
    say(f"installing on this host: {' '.join(wanted)}…")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (
        ["apt-get", "update", "-qq"],
        ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *APT_OPTIONS, *wanted],
    ):
        done = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        if done.returncode != 0:
            raise HarnessError(
                f"{' '.join(command[:2])} failed: {done.stdout.decode(errors='replace')[-2000:]}"
            )
