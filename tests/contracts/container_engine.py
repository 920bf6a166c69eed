"""What every `ContainerEngine` must do, the fake included: one suite, run against each of them.

A `World` is an engine and the operations that change it from outside. A module that subclasses
`ContainerEngineContract` provides a fixture `world`, and runs the whole suite in it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Protocol

import pytest

from mcsd.core.containers import SUBSCRIBED, ContainerId, EngineEvent, MountKind
from mcsd.errors import ContainerGoneError, EngineUnavailableError
from mcsd.ports import ContainerEngine
from tests.fakes.running import outcome, run

NOBODY = "0" * 64


class World(Protocol):
    """An engine under test, and operations on it from outside."""

    def engine(self) -> ContainerEngine:
        """Make a client of the engine; the test closes it."""
        ...

    async def create(
        self, name: str, *, labels: Mapping[str, str] | None = None, volume: tuple[str, str] | None = None
    ) -> ContainerId:
        """Create a container that runs until it is killed; `volume` is a source and its place, read-only."""
        ...

    async def start(self, ident: ContainerId) -> None:
        """Start a container."""
        ...

    def starting(self, ident: ContainerId) -> AbstractAsyncContextManager[None]:
        """Keep the engine busy with a start within the block; after it the container runs."""
        ...

    async def die(self, ident: ContainerId) -> None:
        """Kill a container's process, and return when the engine knows."""
        ...

    async def remove(self, ident: ContainerId) -> None:
        """Remove a container that does not run."""
        ...

    async def go_down(self) -> None:
        """Kill the engine."""
        ...

    async def come_up(self) -> None:
        """Start the engine again; returns when it answers."""
        ...


async def until_actions(events: AsyncIterator[EngineEvent], ident: str, last: str) -> list[str]:
    """Read events up to the `last` action of a container, and list the main actions of that container."""
    seen: list[str] = []
    while last not in seen:
        event = await anext(events)
        if event.container == ident and event.action in {"create", "start", "die", "destroy"}:
            seen.append(event.action)
    return seen


class ContainerEngineContract:
    """The promises of `mcsd.ports.ContainerEngine`."""

    def test_info(self, world: World) -> None:
        async def scenario() -> None:
            engine = world.engine()
            info = await engine.info()
            assert info.server_version
            assert info.api_version >= "1.41"
            assert info.root_directory.startswith("/")
            assert info.default_runtime in dict(info.runtimes)
            await engine.close()

        run(scenario())

    def test_a_container_is_listed_and_inspected_until_it_is_removed(self, world: World) -> None:
        async def scenario() -> None:
            engine = world.engine()
            ident = await world.create("mcsd-listed")
            assert ident in await engine.containers()
            for asked in (ident, "mcsd-listed", "/mcsd-listed"):
                seen = await engine.inspect(asked)
                assert (seen.id, seen.name) == (ident, "mcsd-listed")
            await world.remove(ident)
            assert ident not in await engine.containers()
            for asked in (ident, "mcsd-listed"):
                with pytest.raises(ContainerGoneError):
                    await engine.inspect(asked)
            await engine.close()

        run(scenario())

    @pytest.mark.parametrize("asked", [NOBODY, "mcsd-nobody", "", "a/b", "../info", "not a name"])
    def test_nobody_is_gone(self, world: World, asked: str) -> None:
        async def scenario() -> None:
            engine = world.engine()
            with pytest.raises(ContainerGoneError) as caught:
                await engine.inspect(asked)
            assert repr(asked) in caught.value.what
            await engine.close()

        run(scenario())

    def test_state_follows_what_happens(self, world: World) -> None:
        async def scenario() -> None:
            engine = world.engine()
            ident = await world.create("mcsd-state")
            created = await engine.inspect(ident)
            assert (created.running, created.pid, created.status, created.started_at) == (
                False,
                None,
                "created",
                "",
            )
            await world.start(ident)
            running = await engine.inspect(ident)
            assert (running.running, running.status) == (True, "running")
            assert running.pid
            assert running.started_at
            assert (running.process_label, running.mount_label) == (
                created.process_label,
                created.mount_label,
            )
            await world.die(ident)
            exited = await engine.inspect(ident)
            assert (exited.running, exited.pid, exited.status) == (False, None, "exited")
            await world.remove(ident)
            await engine.close()

        run(scenario())

    def test_an_inspection_waits_for_a_start_and_a_glance_does_not(self, world: World) -> None:
        """An inspection after the call of the gate shows the result of the start."""

        async def scenario() -> None:
            engine = world.engine()
            ident = await world.create("mcsd-starting")
            async with world.starting(ident):
                asked = asyncio.create_task(engine.inspect(ident))
                assert (await engine.list_one(ident)).name == "mcsd-starting"
                done, _ = await asyncio.wait({asked}, timeout=0.2)
                assert not done
            seen = await asked
            assert (seen.running, seen.status) == (True, "running")
            await world.die(ident)
            await engine.close()

        run(scenario())

    def test_labels_addressed_to_mcsd_and_volumes(self, world: World) -> None:
        async def scenario() -> None:
            engine = world.engine()
            labels = {"io.mcsd.volume": "/data:shared", "io.mcsd.group": "g", "exitCode": "0"}
            ident = await world.create("mcsd-labels", labels=labels, volume=("/usr/share", "/data"))
            for seen in (await engine.inspect(ident), await engine.list_one(ident)):
                assert seen.labels == (("io.mcsd.group", "g"), ("io.mcsd.volume", "/data:shared"))
                assert (seen.image_labels, seen.label("group")) == ((), "g")
                (mount,) = seen.mounts
                assert (mount.kind, mount.source, mount.destination) == (
                    MountKind.BIND,
                    "/usr/share",
                    "/data",
                )
                assert not mount.writable
            await world.remove(ident)
            await engine.close()

        run(scenario())

    def test_the_stream_begins_with_a_marker_and_misses_nothing_after_it(self, world: World) -> None:
        """Promise 7: subscribe, then list; a container is in the one or the other."""

        async def scenario() -> None:
            engine = world.engine()
            before = await world.create("mcsd-before")
            events = engine.events()
            first = await anext(events)
            assert (first.action, first.container) == (SUBSCRIBED, "")
            assert before in await engine.containers()
            ident = await world.create("mcsd-after")
            await world.start(ident)
            await world.die(ident)
            await world.remove(ident)
            assert await until_actions(events, ident, "destroy") == ["create", "start", "die", "destroy"]
            await world.remove(before)
            await engine.close()

        run(scenario())

    def test_two_streams_each_get_everything(self, world: World) -> None:
        async def scenario() -> None:
            engine = world.engine()
            streams = [engine.events(), engine.events()]
            for events in streams:
                await anext(events)
            ident = await world.create("mcsd-twice")
            await world.remove(ident)
            for events in streams:
                assert await until_actions(events, ident, "destroy") == ["create", "destroy"]
            await engine.close()

        run(scenario())

    def test_a_container_that_vanishes_between_event_and_inspect_is_gone(self, world: World) -> None:
        async def scenario() -> None:
            engine = world.engine()
            events = engine.events()
            await anext(events)
            ident = await world.create("mcsd-vanishing")
            assert await until_actions(events, ident, "create") == ["create"]
            await world.remove(ident)
            with pytest.raises(ContainerGoneError) as caught:
                await engine.inspect(ident)
            assert ident in caught.value.what
            await engine.close()

        run(scenario())

    def test_an_engine_that_goes_down_breaks_the_stream_and_comes_back(self, world: World) -> None:
        """Promise 7: after a restart of the engine, a new listing is complete."""

        async def scenario() -> None:
            engine = world.engine()
            ident = await world.create("mcsd-survivor")
            events = engine.events()
            await anext(events)
            await world.go_down()
            with pytest.raises(EngineUnavailableError):
                while True:
                    await anext(events)
            for wish in (engine.info(), engine.containers(), engine.inspect(ident), anext(engine.events())):
                result = await outcome(wish)
                assert isinstance(result, EngineUnavailableError)
            await world.come_up()
            assert (await engine.inspect(ident)).name == "mcsd-survivor"
            again = engine.events()
            assert (await anext(again)).action == SUBSCRIBED
            await world.remove(ident)
            assert await until_actions(again, ident, "destroy") == ["destroy"]
            await engine.close()

        run(scenario(), within=120.0, restarts=True)

    def test_a_cancelled_reader_leaves_nothing(self, world: World) -> None:
        """`run` fails when a thread or a descriptor is left."""

        async def scenario() -> None:
            engine = world.engine()
            events = engine.events()
            await anext(events)

            async def read() -> None:
                async for _ in events:
                    pass

            reader = asyncio.create_task(read())
            await asyncio.sleep(0)
            reader.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reader
            assert (await engine.info()).server_version
            await engine.close()

        run(scenario())

    def test_a_closed_engine_refuses_and_can_be_closed_again(self, world: World) -> None:
        async def scenario() -> None:
            engine = world.engine()
            events = engine.events()
            await anext(events)
            await engine.close()
            assert isinstance(await outcome(anext(events)), EngineUnavailableError)
            assert isinstance(await outcome(engine.info()), EngineUnavailableError)
            await engine.close()

        run(scenario())
