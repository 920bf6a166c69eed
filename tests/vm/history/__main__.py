"""Random histories of a real host, in the guest: `python3 -m tests.vm.history --minutes 10`, as TAP.

A history is made by its seed and its hands, as far as the host lets it: the same ones do the same again. It
ends at the first complaint, since what comes after would only tell of it again.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import time
from collections.abc import Sequence

from tests.vm.history import hands, host
from tests.vm.history.observer import Observer

SETTINGS = '[volumes]\nlinger = "1s"\n[gate]\nlevel = "fresh"\n'


class Tap:
    """Claims, numbered."""

    def __init__(self) -> None:
        self.count = self.failed = 0

    def claim(self, text: str, wrong: Sequence[str], notes: Sequence[str] = ()) -> bool:
        """One that holds when nothing is wrong."""
        for line in [*notes, *wrong]:
            print("# " + line.replace("\n", "\n# "))
        self.count += 1
        self.failed += bool(wrong)
        print(f"{'not ok' if wrong else 'ok'} {self.count} - {text}", flush=True)
        return not wrong


def clean() -> None:
    """Nothing of a history is left but what mcsd has to put back."""
    host.run("setenforce", "1")
    for name in host.VOLUMES:
        host.run("umount", "-l", f"{host.ALL}/{name}/point")
    host.run("mcsctl", "gate", "disable", "--reload")
    for one in host.containers().values():
        host.run("docker", "rm", "-f", one.id)


def history(seed: int, steps: int, wanted: Sequence[str], end: float, tap: Tap) -> None:
    """One history, from a host that is clean to one that is again."""
    chance = random.Random(seed)
    hands.build()
    observer, them = Observer(), hands.Hands(chance)
    chosen = {name: them.all[name] for name in wanted}
    names, weights = list(chosen), [weight for weight, _ in chosen.values()]
    for step in range(1, steps + 1):
        if time.monotonic() > end:
            break
        did = None
        while did is None:
            name = chance.choices(names, weights)[0]
            did = chosen[name][1]()
        if not tap.claim(f"seed {seed}, step {step}, {name}: {did}", observer.complaints(), observer.notes):
            tell()
            break
    clean()
    if not tap.claim(f"seed {seed}: in the end all is put back", observer.end(them.touched)):
        tell()


def tell() -> None:
    """What there is to look at, after a complaint."""
    for command in (
        ["mcsctl", "containers"], ["mcsctl", "volumes"], ["mcsctl", "pairs"], ["docker", "ps", "-a"],
        ["sh", "-c", f"find {host.ALL} -printf '%p %i\\n' -exec getfattr --absolute-names -h --only-values "
         "-n security.selinux {} ';' -printf '\\n'"],
        ["journalctl", "-u", "mcsd.service", "-n", "60", "-o", "short-monotonic", "--no-pager"],
    ):  # fmt: skip
        done = host.run(*command)
        print(f"# $ {' '.join(command)}")
        print("# " + (done.stdout + done.stderr).replace("\0", "").rstrip().replace("\n", "\n# "))


def main(argv: Sequence[str]) -> int:
    """Run histories until the time is up, or one of `--steps`."""
    known = list(hands.Hands(random.Random(0)).all)
    parser = argparse.ArgumentParser(prog="history", description="random histories of a host, in the guest")
    parser.add_argument("--seed", type=int, help="of the first history; the next have the next")
    parser.add_argument("--steps", type=int, default=40, help="of one history (40)")
    parser.add_argument("--minutes", type=float, help="histories until so much time has passed; else one")
    parser.add_argument("--hands", help=f"only these: {','.join(known)}")
    parser.add_argument("--without", default="", help="all but these")
    options = parser.parse_args(argv)
    wanted = options.hands.split(",") if options.hands else known
    for name in [*wanted, *filter(None, options.without.split(","))]:
        if name not in known:
            parser.error(f"there is no hand {name!r}; known: {', '.join(known)}")
    wanted = [name for name in wanted if name not in options.without.split(",")]
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(1 << 20)
    os.makedirs("/etc/mcsd/conf.d", exist_ok=True)
    with open("/etc/mcsd/conf.d/history.toml", "w", encoding="ascii") as file:
        file.write(SETTINGS)
    host.run("systemctl", "start", "mcsd.service")
    tap, begun = Tap(), time.monotonic()
    end = begun + 60 * options.minutes if options.minutes else float("inf")
    while True:
        history(seed, options.steps, wanted, end, tap)
        seed += 1
        if tap.failed or not options.minutes or time.monotonic() > end:
            break
    print(f"1..{tap.count}")
    return bool(tap.failed)


sys.exit(main(sys.argv[1:]))
