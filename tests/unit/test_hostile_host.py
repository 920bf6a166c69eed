"""Hostile hosts: each blocking call of the daemon hangs, fails with each errno, or gives garbage.

One at a time, over the assembly of production with fakes, under a load of containers that come and go through
the gate. While a call hangs, the others' starts and ends go on, the status names who hangs, and afterwards
nothing is lost. No time is asserted: what the others do is done *while* the call still hangs.
"""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any

import pytest

from mcsd.api.reports.status import headline, status_report
from mcsd.core.blocked import Party
from mcsd.core.booleans import Standing
from mcsd.core.containers import ContainerId
from mcsd.core.interfaces import Network, NetworkKind
from mcsd.core.labels import Label, read_label
from mcsd.core.volumes import Identity, VolumeId
from mcsd.core.walks import Root, SkipReason, StoredVolume, Walk
from mcsd.errors import EngineUnavailableError, GateError, McsdError, NotFoundError
from tests.fakes.hostile import VICTIM, Call, Hostile, Load, behind_the_gate, end, start, until
from tests.fakes.volume_engine import BORN
from tests.fakes.world import World, with_world

BOOLEAN = "container_connect_any"
CONFIG: dict[str, Any] = {
    "gate": {"level": "fresh", "deadline": 3600},
    "volumes": {"linger": 0},
    "booleans": {BOOLEAN: "off"},
}

EXAMINE = Call("volumes", "examine", Party.VOLUME)
IDENTIFY = Call("volumes", "identify", Party.VOLUME)
RELABEL = Call("volumes", "relabel", Party.VOLUME)
RESTORE = Call("volumes", "restore", Party.VOLUME)
VERIFY = Call("volumes", "verify", Party.VOLUME)
FORGET = Call("volumes", "forget", Party.ORIGINALS)
STORED = Call("volumes", "volumes", Party.ORIGINALS, of_victim=False)
BYTES = Call("volumes", "stored_bytes", Party.ORIGINALS, of_victim=False)
CONTEXT = Call("kernel", "process_context", Party.PROCESS)
NETWORK = Call("kernel", "network_of", Party.PROCESS)
INSPECT = Call("docker", "inspect", None)
INFO = Call("docker", "info", None, of_victim=False)
LIST = Call("docker", "containers", None, of_victim=False)
NAMES = Call("booleans", "names", Party.BOOLEANS, of_victim=False)
STANDING = Call("booleans", "standing", Party.BOOLEANS, of_victim=False)
CHANGE = Call("booleans", "change", Party.BOOLEANS, of_victim=False)
SCAN = Call("kernel", "process_levels", Party.PROCESSES, of_victim=False)
LABEL = Call("kernel", "file_context", Party.POLICY, of_victim=False)
LEDGER = Call("ledger", "apply", Party.LEDGER, of_victim=False)

ONE_S_OWN = (EXAMINE, RELABEL, RESTORE, VERIFY, FORGET, CONTEXT, NETWORK, INSPECT)
"""Calls about one container: nobody else is to notice."""
ALL_THE_SAME = (STORED, BYTES, INFO, LIST, NAMES, STANDING, CHANGE)
"""Calls that concern all, and that no start depends on."""
FOR_ALL = (SCAN, LEDGER)
"""Calls that no level can be given without."""


class Scene:
    """A host with a victim that runs, and the occasions at which each call is made."""

    def __init__(self, world: World, host: Hostile) -> None:
        self.world = world
        self.host = host
        self.victim = ContainerId("")
        self._asking: list[asyncio.Task[None]] = []

    async def prepare(self) -> None:
        self.world.booleans.active[BOOLEAN] = False
        await behind_the_gate(self.world)
        await self.make_victim()
        self.host.victim = self.victim
        await start(self.world, self.victim)
        await self.world.quiet()

    async def make_victim(self) -> None:
        mount = self.world.mount(VICTIM)
        self.victim = self.world.create("victim", mount, runtime="mcsd", start=False)

    def occasion(self, call: Call) -> None:
        """Have mcsd make a call."""
        match call:
            case call if call in {RESTORE, FORGET}:
                end(self.world, self.victim)
            case call if call is RELABEL:
                end(self.world, self.victim)
                self._ask(self._restart())
            case call if call in {VERIFY, STORED}:
                self._ask(self.world.mcsd.facade.verify(None, repair=False))
            case call if call is BYTES:
                self._ask(self.world.mcsd.facade.figures())
            case call if call in {NAMES, STANDING, CHANGE}:
                self.world.booleans.active[BOOLEAN] = True
                self.world.mcsd.booleans.wake()
            case call if call in {SCAN, LEDGER}:
                self._ask(self.world.mcsd.reservations.reserve("hostile"))
            case call if call in {INFO, LIST}:
                self._ask(self.world.mcsd.watcher.resync())
            case _:
                self.world.docker.emit(self.victim, "update")

    async def _restart(self) -> None:
        await start(self.world, self.victim)

    def _ask(self, question: Awaitable[object]) -> None:
        async def ask() -> None:
            with suppress(McsdError):
                await question

        self._asking.append(asyncio.create_task(ask()))

    async def answered(self) -> None:
        """Everything that was asked has its answer; raises what nobody foresaw."""
        asking, self._asking = self._asking, []
        await asyncio.gather(*asking)

    async def runs_again(self) -> None:
        """The victim runs, with its volume, now that nothing is in its way."""
        with suppress(NotFoundError):
            await self.world.mcsd.reservations.release("hostile")
        if not self.world.docker.present[self.victim].running:
            await start(self.world, self.victim)

    async def all_goes(self) -> None:
        """Every container goes: all levels are free again, and all labels what they were."""
        await self.runs_again()
        for ident in tuple(self.world.docker.present):
            if self.world.docker.present[ident].running:
                end(self.world, ident)
            self.world.docker.remove(ident)
        await self.world.quiet()
        await until(lambda: not self.world.mcsd.store.cache.grants(), "no grant")
        assert {tree.label for tree in self.world.volumes.trees.values()} == {BORN}, "promise 6"
        assert self.world.mcsd.store.cache.volumes() == ()
        assert not [one for one in self.world.papers.notices if one.kind.name == "INTERNAL"]

    def names(self, party: Party | None) -> bool:
        """Whether the status names who hangs."""
        snapshot = self.world.mcsd.facade.snapshot()
        report = status_report(snapshot)
        named = [one for one in report.blocked if one.party is party]
        return bool(named) and any(named[0].text.split(" has not")[0] in one.text for one in report.checks)


def play(story: Callable[[Scene, Load], Awaitable[None]], *, deadline: float = 3600) -> None:
    async def run(world: World) -> None:
        scene = Scene(world, Hostile(world))
        await scene.prepare()
        load = Load(world)
        try:
            await load.goes_on()
            await story(scene, load)
        finally:
            scene.host.release()
        await load.goes_on()
        await load.stop()
        await scene.answered()
        await scene.all_goes()

    with_world(run, within=240, **{**CONFIG, "gate": {"level": "fresh", "deadline": deadline}})


@pytest.mark.parametrize("call", [*ONE_S_OWN, *ALL_THE_SAME], ids=str)
def test_a_call_that_hangs_stops_nobody_else(call: Call) -> None:
    async def story(scene: Scene, load: Load) -> None:
        scene.host.hang(call)
        scene.occasion(call)
        await until(lambda: scene.host.is_hit, "the call")
        await load.goes_on(3)
        if call.party is not None:
            await until(lambda: scene.names(call.party), "its name in the status")
            assert "has not answered" in headline(scene.world.mcsd.facade.snapshot())

    play(story)


def test_mcsd_starts_while_a_volume_hangs() -> None:
    async def story(scene: Scene, load: Load) -> None:
        await load.pause()
        scene.host.hang(IDENTIFY)
        await scene.world.kill()
        await scene.world.boot()
        assert scene.host.is_hit
        load.go()
        await load.goes_on()

    play(story)


@pytest.mark.parametrize("call", FOR_ALL, ids=str)
def test_what_no_level_can_be_given_without_refuses_and_says_so_and_whoever_runs_runs_on(call: Call) -> None:
    """Promises 2, 3 and 9."""

    async def story(scene: Scene, load: Load) -> None:
        await load.pause()
        other = scene.world.create("other", runtime="mcsd", start=False)
        scene.host.hang(call)
        with pytest.raises(GateError, match="has not answered"):
            await start(scene.world, other)
        await until(lambda: scene.names(call.party), "its name in the status")
        with pytest.raises(GateError, match="has not answered"):
            await start(scene.world, other)
        assert scene.world.docker.present[scene.victim].running
        scene.host.release()
        await until(lambda: not scene.names(call.party), "an answer")
        await start(scene.world, other)
        load.go()

    play(story, deadline=1)


def test_a_policy_that_does_not_answer_stops_whoever_needs_a_label_and_nobody_else() -> None:
    async def story(scene: Scene, load: Load) -> None:
        await load.pause()
        plain = scene.world.create("plain", runtime="mcsd", start=False)
        bound = scene.world.create("bound", scene.world.mount("/srv/b"), runtime="mcsd", start=False)
        scene.host.hang(LABEL)
        with pytest.raises(GateError, match="has not answered"):
            await start(scene.world, bound)
        await until(lambda: scene.names(LABEL.party), "its name in the status")
        await start(scene.world, plain)
        assert scene.world.docker.present[scene.victim].running
        scene.host.release()
        await until(lambda: not scene.names(LABEL.party), "an answer")
        await start(scene.world, bound)
        load.go()

    play(story)


CODES = sorted(errno.errorcode)[:: 1 if os.environ.get("MCSD_LONG") else 8]
"""Each in `make test-long`; in `adapters/test_every_errno.py` the real adapters fail with all, always."""


def error_of(call: Call, code: int) -> BaseException:
    """What a call fails with: the system's error, or, as their contracts say, the adapter's own."""
    if call.owner == "docker":
        return EngineUnavailableError(os.strerror(code).lower(), hint="start docker")
    return OSError(code, os.strerror(code))


@pytest.mark.parametrize("call", [*ONE_S_OWN, *ALL_THE_SAME, *FOR_ALL], ids=str)
def test_a_call_that_fails_in_any_way_stops_nobody_else(call: Call) -> None:
    async def story(scene: Scene, load: Load) -> None:
        await load.pause()
        for code in CODES:
            scene.host.fail(call, partial(error_of, call, code))
            scene.occasion(call)
            await until(lambda: scene.host.is_hit, "the call")
            await scene.answered()
            assert scene.world.is_running
            scene.host.release()
            await scene.runs_again()
        load.go()

    play(story)


CONTEXTS = ["", "x", "a:b:c:s0:c9999,c1", "a:b:c", "\udcff:\0:\n:s0", "a:b:c:s0-s0:c0.c1023", "x" * 70_000]
WALKS = [
    Walk(),
    Walk(seen=-1, changed=-1),
    Walk(complete=True, seen=2**63),
    Walk(skipped={SkipReason.DIFFERS: 1}),
    Walk(complete=True, skipped={SkipReason.IO_ERROR: 5}, examples=((SkipReason.IO_ERROR, "\udcff\n"),)),
    Walk(cancelled=True),
    Walk(complete=True, gone=True),
]
ROOTS = [
    Root(path, identity, False, label, "\udcff", -1, False)
    for path in (VICTIM, "", "relative", "/", "\udcff\0")
    for identity in (Identity(0, 0), Identity(-1, 2**64))
    for label in (None, *CONTEXTS)
]
GARBAGE: list[tuple[Call, list[Any]]] = [
    (EXAMINE, ROOTS),
    (RELABEL, WALKS),
    (RESTORE, [walk for walk in WALKS if not walk.complete]),
    (VERIFY, WALKS),
    (
        STORED,
        [
            (StoredVolume(VolumeId(key), path, Identity(0, 0), 0.0, read_label(target), state),)
            for key in ("", "\udcff", "v")
            for path in ("", "\udcff")
            for target in CONTEXTS
            for state in ("", "damaged", "complete")
        ],
    ),
    (BYTES, [-1, 2**80]),
    (CONTEXT, [None, *map(read_label, CONTEXTS)]),
    (NETWORK, [Network(kind, error="\udcff\n") for kind in NetworkKind]),
    (NAMES, [frozenset(), frozenset({"", "\udcff"})]),
    (STANDING, [Standing(True, False), Standing(False, True)]),
    (LIST, [(), (ContainerId(""),), (ContainerId("\udcff"),) * 3]),
    (SCAN, [()]),
]


@pytest.mark.parametrize(("call", "results"), GARBAGE, ids=[str(call) for call, _ in GARBAGE])
def test_a_call_that_gives_garbage_stops_nobody_else(call: Call, results: list[Any]) -> None:
    async def story(scene: Scene, load: Load) -> None:
        await load.pause()
        for result in results:
            scene.host.give(call, result)
            scene.occasion(call)
            await until(lambda: scene.host.is_hit, "the call")
            await scene.answered()
            assert scene.world.is_running
            scene.host.release()
            await scene.runs_again()
        load.go()

    play(story)


def test_a_process_with_no_context_that_makes_sense_is_that_container_s_trouble_and_no_bug() -> None:
    async def story(world: World) -> None:
        scene = Scene(world, Hostile(world))
        await scene.prepare()
        real, seen = world.kernel.process_context, list[int]()

        def turn(pid: int) -> Label | None:
            """Make sense at the first look, and none at those that follow."""
            seen.append(pid)
            return real(pid) if len(seen) == 1 else read_label("no context")

        world.kernel.process_context = turn  # type: ignore[method-assign]
        world.docker.emit(scene.victim, "update")
        await until(lambda: "CONTAINER_FAILED" in world.papers.kinds(), "a word about it")
        assert "INTERNAL" not in world.papers.kinds()

    with_world(story, **CONFIG)
