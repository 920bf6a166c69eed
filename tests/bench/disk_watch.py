"""What watching volumes costs: memory for each directory, and processor time while others are busy in them.

    python -m tests.bench.disk_watch [--json] [--seconds S]

Another process is busy at a set pace in a watched volume: it makes and removes files, renames them in place
as a mail spool does, or changes their modes, which the kernel tells as it tells a changed label. The time is
what the process that watches took; the memory the kernel's, from its slab counters.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from pathlib import Path

from mcsd.adapters.fanotify.watch import FanotifyWatch
from mcsd.core.volumes import Identity, VolumeId

TARGET = "system_u:object_r:container_file_t:s0:c1,c2"
DIRECTORIES = 5000
PACE = 10_000
GOAL = 2.0
"""Per cent of one processor at 10,000 creations a second."""
KINDS = ("nothing", "creations", "renames", "changed modes")

_BUSY = """
import os, sys, time
top, kind, pace, seconds = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
names = [f"{top}/f{n}" for n in range(4000)]
if kind in ("renames", "changed modes"):
    for name in names:
        os.close(os.open(name, os.O_CREAT | os.O_WRONLY, 0o600))
        os.setxattr(name, "security.selinux", b"system_u:object_r:container_file_t:s0:c1,c2\\0")
    time.sleep(1)
print("ready", flush=True)
sys.stdin.readline()
began, done = time.monotonic(), 0
while time.monotonic() - began < seconds:
    if kind == "nothing":
        time.sleep(0.1)
        continue
    for _ in range(pace // 100):
        name = names[done % len(names)]
        if kind == "creations":
            os.close(os.open(name, os.O_CREAT | os.O_WRONLY, 0o600))
            os.unlink(name)
        elif kind == "renames":
            os.rename(name, name + "x"); os.rename(name + "x", name)
        else:
            os.chmod(name, 0o600 + done // len(names) % 8)
        done += 1
    time.sleep(max(0.0, began + done / pace - time.monotonic()))
print(done / (time.monotonic() - began))
"""


def _slab() -> int:
    """Kilobytes of the kernel's slabs."""
    lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("SUnreclaim:"))


async def measure(top: Path, kind: str, seconds: float) -> tuple[float, float]:
    """Return per cent of a processor, and what was done each second."""
    volume = top / kind.replace(" ", "-")
    volume.mkdir()
    os.setxattr(volume, "security.selinux", TARGET.encode())
    found = os.lstat(volume)
    watch = FanotifyWatch(most=1 << 20)
    identity = Identity(found.st_dev, found.st_ino)
    pipe = asyncio.subprocess.PIPE
    busy = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _BUSY, str(volume), kind, str(PACE), str(seconds)), stdin=pipe, stdout=pipe
    )
    assert busy.stdin is not None
    assert busy.stdout is not None
    await busy.stdout.readline()
    answer = await watch.watch(VolumeId(kind), str(volume), identity, TARGET)
    assert answer.is_watched, answer.why
    listening = asyncio.create_task(_listen(watch))
    before = time.process_time()
    busy.stdin.write(b"\n")
    rate = float(await busy.stdout.readline())
    took = time.process_time() - before
    listening.cancel()
    watch.close()
    await busy.wait()
    return 100 * took / seconds, rate


async def _listen(watch: FanotifyWatch) -> None:
    while True:
        await watch.next()


async def memory(top: Path) -> tuple[float, float]:
    """Return kilobytes of the kernel's for each marked directory, and milliseconds of work for a thousand."""
    volume = top / "many"
    for number in range(DIRECTORIES):
        (volume / str(number // 100) / str(number)).mkdir(parents=True)
    found = os.lstat(volume)
    watch = FanotifyWatch(most=1 << 20)
    before, began = _slab(), time.process_time()
    identity = Identity(found.st_dev, found.st_ino)
    answer = await watch.watch(VolumeId("many"), str(volume), identity, TARGET)
    took, after = time.process_time() - began, _slab()
    watch.close()
    return (after - before) / answer.directories, took / answer.directories * 1e6


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description="what watching volumes costs")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--seconds", type=float, default=10.0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mcsd-watch-", dir="/var/tmp") as name:
        each, marking = asyncio.run(memory(Path(name)))
        rows = {kind: asyncio.run(measure(Path(name), kind, arguments.seconds)) for kind in KINDS}
    if arguments.json:
        print(json.dumps({"kilobytes": each, "ms_per_thousand": marking, "churn": rows}))
        return
    print(
        f"watching: {each:.2f} kB of the kernel for each directory, {marking:.0f} ms of work for a thousand"
    )
    for kind, (share, rate) in rows.items():
        goal = f"  (goal {GOAL} %)" if kind == "creations" else ""
        print(f"watching, {kind:14} {rate:8,.0f}/s: {share:5.2f} % of a processor{goal}")


if __name__ == "__main__":
    main()
