"""Whether the promises hold, judged by what the observer sees for itself; ARCHITECTURE.md has their numbers.

mcsd is given time to come to rest, since it hears of most things afterwards. Then each promise that does not
hold is one complaint.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

from tests.vm.history import host
from tests.vm.history.host import ALL, ELSEWHERE, MCSD, OUTSIDE, SHARED, VOLUMES, Container

REST, LOOK = 90.0, 40.0
"""Seconds: to come to rest, and to see what was changed behind mcsd's back."""


class Observer:
    """Looks after each step, and remembers what it must have been."""

    def __init__(self) -> None:
        self.originals = {
            os.lstat(path).st_ino: (path, host.label_of(path))
            for name in VOLUMES
            for path in host.inodes(f"{ALL}/{name}")
        }
        self.outside = {path: host.label_of(path) for path in host.inodes(OUTSIDE)}
        self.levels: dict[str, str] = {}
        """What each container that is known was last at."""
        self.notes: list[str] = []

    def complaints(self) -> list[str]:
        """Everything that is wrong now."""
        self.notes = []
        if not host.wait_until(REST, lambda: not self._restless()):
            return [f"mcsd did not come to rest in {REST:.0f} s: {self._restless()}"]
        if not host.wait_until(LOOK, lambda: not list(self._disk())):
            self.notes.append("its own watching did not see what only mcsctl verify did")
            host.run("mcsctl", "verify", timeout=300)
            host.wait_until(REST, lambda: not self._restless() and not list(self._disk()))
        return [
            *(f"promise 8: {text}" for text in self._disk()),
            *(f"promise 8: {text}" for text in self._processes()),
            *(f"promise 1: {text}" for text in self._separate()),
            *(f"promise 2: {text}" for text in self._reused()),
            *(f"promise 2: {text}" for text in self._free_on_disk()),
            *(f"promise 5: {text}" for text in self._outside()),
            *self._journal(),
        ]

    def _free_on_disk(self) -> Iterator[str]:
        """No file anywhere carries a level that is free, once mcsd has been told to look for strays."""
        host.run("mcsctl", "scan", "/srv", timeout=120)
        try:
            held = {one["level"] for one in host.ask(MCSD, "/v1/pairs")["items"]}
            strays = {one["level"] for one in host.ask(MCSD, "/v1/strays")["items"]}
        except OSError as exc:
            yield f"no answer: {exc}"
            return
        for top in (ALL, ELSEWHERE):
            for path in host.inodes(top):
                level = host.level_of(host.label_of(path))
                if host.categories(level) and level not in held | strays:
                    yield f"{path} carries {level}, which nobody holds and no scan has shown"

    def _restless(self) -> str:
        """Why mcsd has not come to rest, or nothing."""
        try:
            status, known = self._status(), self._known()
            docker = host.containers()
        except (OSError, KeyError) as exc:
            return f"no answer: {exc}"
        if not status["synced"] or status["work"]:
            return f"synced {status['synced']}, work {status['work']}"
        if status["selinux"]["enforcing"] != host.enforces():
            return f"it says enforcing {status['selinux']['enforcing']}, and it is {host.enforces()}"
        if set(known) != set(docker):
            return f"it knows {sorted(one['name'] for one in known.values())}, Docker {sorted(docker)}"
        for ident, one in known.items():
            if one["name"] != docker[ident].name or one["running"] != docker[ident].runs:
                return (
                    f"{docker[ident].name} runs: {docker[ident].runs}; it says {one['name']} {one['running']}"
                )
            if not one["settled"] and not one["error"]:
                return f"{one['name']} is not settled"
        return ""

    def _status(self) -> Any:
        return host.ask(MCSD, "/v1/status")

    def _known(self) -> Mapping[str, Any]:
        return {one["id"]: one for one in host.ask(MCSD, "/v1/containers")["items"]}

    def _isolated(self) -> Iterator[tuple[Container, Any]]:
        docker = host.containers()
        for ident, one in self._known().items():
            if one["isolated"] and ident in docker:
                yield docker[ident], one

    def _disk(self) -> Iterator[str]:
        """Of whom isolation is said, all of whose own volumes carries its level, and nobody else reads it."""
        isolated = list(self._isolated())
        runners = [one for one in host.containers().values() if one.runs]
        reads = {one.name: host.readable(one.name) for one in runners}
        for container, told in isolated:
            own = {claim["source"] for claim in told["claims"] if claim["mode"] == "private"}
            for source in sorted(own & set(container.private)):
                if not os.path.isdir(source):
                    continue
                for path in host.inodes(source):
                    label = host.label_of(path)
                    if host.level_of(label) != told["level"]:
                        yield f"{container.name} is isolated at {told['level']}, and {path} is {label}"
                for other in runners:
                    seen = sorted(path for path in reads[other.name] if _below(path, source))
                    if other.id != container.id and seen and source not in other.private:
                        yield f"{other.name} ({other.label}) reads {seen} of {container.name}, isolated"

    def _processes(self) -> Iterator[str]:
        for container, told in self._isolated():
            if not host.enforces():
                yield f"{container.name} is called isolated, and the kernel does not enforce"
            if not container.runs or host.level_of(container.label) != told["level"]:
                yield f"{container.name} is isolated at {told['level']}, and runs at {container.label!r}"

    def _separate(self) -> Iterator[str]:
        """Nobody's level holds another's, or both are told to share."""
        known = self._known()
        running = [one for one in host.containers().values() if host.level_of(one.label)]
        for one in running:
            for other in running:
                mine, theirs = (host.categories(host.level_of(each.label)) for each in (one, other))
                told = [known.get(each.id) for each in (one, other)]
                if one.id == other.id or not mine >= theirs:
                    continue
                if not any(each and (each["conflicts"] or each["shares_with"]) for each in told):
                    yield f"{one.name} at {one.label} reads what is {other.name}'s at {other.label}, untold"

    def _reused(self) -> Iterator[str]:
        """A level that mcsd gives to somebody is on no file of anybody else's."""
        known, docker = self._known(), host.containers()
        now = {ident: one["level"] for ident, one in known.items() if one["level"] and ident in docker}
        for ident, level in now.items():
            if (
                self.levels.get(ident) == level
                or known[ident]["origin"] != "assigned"
                or docker[ident].clashes
            ):
                continue
            for name in VOLUMES:
                if f"{ALL}/{name}" in docker[ident].private or f"{ALL}/{name}" == SHARED:
                    continue
                for path in host.inodes(f"{ALL}/{name}"):
                    if host.level_of(host.label_of(path)) == level:
                        yield f"{docker[ident].name} was given {level}, which {path} carries"
        self.levels = now

    def _outside(self) -> Iterator[str]:
        for path, label in self.outside.items():
            if host.label_of(path) != label:
                yield f"{path} was {label}, and is {host.label_of(path)}"

    def _journal(self) -> Iterator[str]:
        told = host.run("journalctl", "-b", "-q", "-o", "cat", "-u", "mcsd.service", "-u", "docker.service")
        if "Traceback" in told.stdout:
            yield f"a traceback in the journal: ...{told.stdout[told.stdout.rindex('Traceback') :][:1500]}"
        audited = host.run("journalctl", "-b", "-q", "-o", "cat", "_TRANSPORT=audit")
        own = [line for line in audited.stdout.splitlines() if "avc:  denied" in line and ":mcsd_t:" in line]
        for line in [line for line in own if "scontext=system_u:system_r:mcsd_t" in line][:3]:
            yield f"mcsd was denied: {line}"

    def end(self, touched: set[int]) -> list[str]:
        """What is wrong when all containers are gone: promises 2, 6 and 7."""
        pairs: Any = None

        def nobody_holds() -> bool:
            nonlocal pairs
            try:
                pairs = [one for one in host.ask(MCSD, "/v1/pairs")["items"] if one["state"] != "foreign"]
            except OSError as exc:
                pairs = [{"level": "?", "state": str(exc)}]
            return not pairs

        host.wait_until(REST, nobody_holds)
        held = {one["level"] for one in pairs}
        wrong = []
        now = {
            os.lstat(path).st_ino: (path, host.label_of(path))
            for name in VOLUMES
            for path in host.inodes(f"{ALL}/{name}")
        }
        for inode, (path, label) in now.items():
            before = self.originals.get(inode)
            if inode in touched:
                continue
            if before and before[1] != label:
                wrong.append(f"promise 6: {path} was {before[1]}, and is {label} in the end")
            level = host.level_of(label)
            if not before and host.categories(level) and level not in held:
                wrong.append(f"promise 2: {path} carries {label}, and nobody holds the level")
        beside = [host.level_of(host.label_of(path)) for path in host.inodes(ELSEWHERE)]
        if held and not held & {*beside, *(host.level_of(label) for _, label in now.values())}:
            wrong.append(f"promise 7: nobody is there and no file carries them, yet levels are held: {pairs}")
        wrong += [f"promise 2: {text}" for text in self._free_on_disk()]
        return [*wrong, *(f"promise 5: {text}" for text in self._outside()), *self._journal()]


def _below(path: str, top: str) -> bool:
    return os.path.commonpath([path, top]) == top
