"""`DockerEngine` against the stand-in: what it asks, what it makes of the answers, what it leaves behind."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from mcsd.adapters.docker.client import NEWEST_KNOWN, ImageLabels
from mcsd.adapters.docker.engine import DockerEngine, socket_path
from mcsd.core.containers import LOST, SUBSCRIBED
from mcsd.errors import (
    ConfigurationError,
    ContainerGoneError,
    EngineProtocolError,
    EngineUnavailableError,
)
from tests.fakes.docker_documents import bind
from tests.fakes.docker_socket import DockerStandIn
from tests.fakes.running import outcome, run, take, until
from tests.fakes.scripted_socket import ScriptedSocket, answering

IMAGE = "sha256:" + "2b" * 32


@pytest.fixture
def docker(tmp_path: Path) -> Iterator[DockerStandIn]:
    with DockerStandIn(tmp_path / "d.sock") as stand_in:
        yield stand_in


@asynccontextmanager
async def engine_of(docker: DockerStandIn, **options: float) -> AsyncIterator[DockerEngine]:
    engine = DockerEngine(docker.url, **options)  # type: ignore[arg-type]
    try:
        yield engine
    finally:
        await engine.close()


# Questions


def test_a_container_with_its_pair_and_volumes(docker: DockerStandIn) -> None:
    ident = docker.create("web", mounts=[bind("/srv/a", "/data", mode="ro,Z", writable=False)])
    docker.start_container(ident, pid=4_194_999)

    async def scenario() -> None:
        async with engine_of(docker) as engine:
            assert await engine.containers() == (ident,)
            by_id, by_name, by_prefix = [await engine.inspect(asked) for asked in (ident, "web", ident[:12])]
            assert by_id == by_name == by_prefix == await engine.inspect("/web")
            assert (by_id.id, by_id.pid) == (ident, 4_194_999)
            assert str(by_id.process_label) == "system_u:system_r:container_t:s0:c0,c1"
            assert str(by_id.mount_label) == "system_u:object_r:container_file_t:s0:c0,c1"
            assert by_id.mounts[0].options == {"ro", "Z"}
            assert (await engine.info()).selinux

    run(scenario())


@pytest.mark.parametrize(
    "asked", ["nope", "", "/", "a b", "../info", "a/b", "%2e", "web\n", "é", "-web", "0" * 64]
)
def test_a_container_that_is_not_there(docker: DockerStandIn, asked: str) -> None:
    async def scenario() -> None:
        async with engine_of(docker) as engine:
            with pytest.raises(ContainerGoneError) as caught:
                await engine.inspect(asked)
            assert repr(asked) in caught.value.what

    docker.create("web")
    run(scenario())


def test_another_containers_name_does_not_pass_for_an_id_that_is_gone(docker: DockerStandIn) -> None:
    """Promise 1: else whoever names a container like a dead one would inherit what it held."""
    gone = docker.create("first")
    docker.destroy(gone)
    docker.create(gone)

    async def scenario() -> None:
        async with engine_of(docker) as engine:
            with pytest.raises(ContainerGoneError):
                await engine.inspect(gone)

    run(scenario())


def test_no_container_at_all(docker: DockerStandIn) -> None:
    async def scenario() -> None:
        async with engine_of(docker) as engine:
            assert await engine.containers() == ()

    run(scenario())


def test_connections_are_kept_and_one_for_each_thread(docker: DockerStandIn) -> None:
    docker.populate(50)

    async def scenario() -> None:
        async with engine_of(docker, places=2) as engine:
            idents = await engine.containers()
            seen = await asyncio.gather(*(engine.inspect(ident) for ident in idents * 4))
            assert {container.id for container in seen} == set(idents)
            assert docker.on_loop(lambda: len(docker.connections)) <= 2

    run(scenario())


# What an image says is not what the container's owner says


def test_labels_that_the_image_carries_are_told_apart(docker: DockerStandIn) -> None:
    """Promise 10: who builds an image admits nothing."""
    docker.put_image(IMAGE, {"io.mcsd.group": "sneaky", "io.mcsd.volume": "/a:shared", "other": "x"})
    ident = docker.create(image=IMAGE, labels={"io.mcsd.volume": "/b:shared", "io.mcsd.boolean": "b"})

    async def scenario() -> None:
        async with engine_of(docker) as engine:
            seen = await engine.inspect(ident)
            assert seen.image_labels == (("io.mcsd.group", "sneaky"), ("io.mcsd.volume", "/a:shared"))
            assert (seen.label("group"), seen.label("volume"), seen.label("boolean")) == (
                None,
                "/b:shared",
                "b",
            )

    run(scenario())


def test_an_image_is_asked_only_about_labels_and_once(docker: DockerStandIn) -> None:
    docker.put_image(IMAGE, None)
    labelled = [docker.create(image=IMAGE, labels={"io.mcsd.group": "g"}) for _ in range(3)]
    plain = docker.create(image=IMAGE, labels={"other": "x"})

    async def scenario() -> None:
        async with engine_of(docker) as engine:
            assert (await engine.inspect(plain)).image_labels == ()
            assert docker.asked("/images/ID/json") == 0
            for ident in labelled:
                assert (await engine.inspect(ident)).label("group") == "g"
            assert docker.asked("/images/ID/json") == 1

    run(scenario())


def test_without_its_image_no_label_is_the_owners(docker: DockerStandIn) -> None:
    """Promise 9: an opt-in that cannot be proven does not open anything."""
    docker.put_image(IMAGE, {"io.mcsd.group": "g"})
    ident = docker.create(image=IMAGE, labels={"io.mcsd.volume": "/data:shared"})
    docker.remove_image(IMAGE)

    async def scenario() -> None:
        async with engine_of(docker) as engine:
            seen = await engine.inspect(ident)
            assert seen.image_labels == seen.labels != ()
            assert seen.label("volume") is None
            docker.put_image(IMAGE, {"io.mcsd.group": "g"})  # it was not remembered as gone
            assert (await engine.inspect(ident)).label("volume") == "/data:shared"

    run(scenario())


def test_remembered_images_are_bounded_and_only_what_cannot_change_is_remembered() -> None:
    images = ImageLabels(capacity=3)
    names = [f"sha256:{number:064x}" for number in range(5)]
    for name in names:
        images.put(name, (("io.mcsd.group", name),))
    assert [images.get(name) is not None for name in names] == [False, False, True, True, True]
    images.put("bb:latest", ())
    assert images.get("bb:latest") is None


# Versions of the API


def spoken(server: ScriptedSocket) -> set[str]:
    return {request.split("/")[1] for request in server.targets if request.startswith("/v1.")}


@pytest.mark.parametrize(
    ("oldest", "newest", "expected"),
    [
        ("1.12", "1.41", "v1.41"),
        ("1.44", "1.52", "v1.52"),
        ("1.44", "1.99", "v{}.{}".format(*NEWEST_KNOWN)),
        ("1.60", "1.99", "v1.60"),
    ],
)
def test_the_newest_version_that_both_sides_know(
    tmp_path: Path, oldest: str, newest: str, expected: str
) -> None:
    scripts = {
        "/version": answering({"ApiVersion": newest, "MinAPIVersion": oldest}),
        "/containers/json": answering([]),
    }

    async def scenario(url: str) -> None:
        engine = DockerEngine(url)
        await engine.containers()
        assert (await engine.info()).api_version == newest
        await engine.close()

    with ScriptedSocket(tmp_path / "d.sock", scripts) as server:
        run(scenario(server.url))
        assert spoken(server) == {expected}


def test_an_engine_replaced_by_one_that_speaks_other_versions(tmp_path: Path) -> None:
    async def scenario(server: ScriptedSocket) -> None:
        engine = DockerEngine(server.url, places=1)
        await engine.containers()
        server.scripts["/version"] = answering({"ApiVersion": "1.52", "MinAPIVersion": "1.44"})
        server.scripts["/containers/json"] = lambda peer: (
            peer.answer([])
            if b"/v1.52/" in peer.request
            else peer.answer({"message": "client version 1.41 is too old"}, "400 Bad Request")
        )
        assert await engine.containers() == ()
        await engine.close()

    with ScriptedSocket(tmp_path / "d.sock", {"/containers/json": answering([])}) as server:
        run(scenario(server))


# Events


def test_the_first_event_says_that_what_follows_is_not_missed(docker: DockerStandIn) -> None:
    """Promise 7: what is created after the marker is in the list or in the stream."""

    async def scenario() -> None:
        async with engine_of(docker) as engine:
            events = engine.events()
            first = await anext(events)
            assert (first.action, first.container) == (SUBSCRIBED, "")
            ident = docker.create()
            docker.start_container(ident)
            docker.die(ident)
            docker.destroy(ident)
            seen = await take(events, 4)
            assert [event.action for event in seen] == ["create", "start", "die", "destroy"]
            assert {event.container for event in seen} == {ident}
            assert [event.time_ns for event in seen] == sorted(event.time_ns for event in seen)

    run(scenario())


def test_what_happens_between_asking_and_subscribing_is_replayed(docker: DockerStandIn) -> None:
    """Promise 7. Docker says yes first and subscribes then; here an event falls between the two."""
    ident = docker.populate(1)[0]
    docker.event(ident, "old")

    async def scenario() -> None:
        async with engine_of(docker) as engine:
            docker.resume_until("/events")
            events = engine.events()
            first = asyncio.ensure_future(anext(events))
            await until(lambda: docker.on_loop(lambda: docker.waiting))
            docker.event(ident, "meanwhile")
            docker.resume()
            assert (await first).action == SUBSCRIBED
            assert (await anext(events)).action == "meanwhile"

    run(scenario())


def test_lost_doubled_and_reordered_events_come_as_they_are(docker: DockerStandIn) -> None:
    one, two = docker.populate(2)

    async def scenario() -> None:
        async with engine_of(docker) as engine:
            events = engine.events()
            await anext(events)
            docker.drop_events(1)
            docker.event(one, "lost")
            docker.duplicate_events()
            docker.event(one, "twice")
            docker.duplicate_events(1)
            docker.hold_events()
            docker.event(one, "first")
            docker.event(two, "second")
            docker.release_events()
            actions = [event.action for event in await take(events, 4)]
            assert actions == ["twice", "twice", "second", "first"]

    run(scenario())


def test_a_slow_reader_gets_one_lost_event_and_the_newest(docker: DockerStandIn) -> None:
    """Promise 7: Docker is not held up, memory does not grow, and the reader knows to look again."""
    idents = docker.populate(10)
    backlog = 50

    async def scenario() -> None:
        async with engine_of(docker, event_backlog=backlog) as engine:
            events = engine.events()
            await anext(events)
            # The loop is not left between here and the last storm: nothing is read meanwhile.
            for _ in range(20):
                docker.storm(idents, actions=["start", "die"])
            docker.event(idents[0], "last")
            queue = next(iter(engine._subscriptions))._queue
            while not queue._events or queue._events[-1].action != "last":
                threading.Event().wait(0.005)
            assert len(queue._events) <= backlog
            seen = [(await anext(events)).action for _ in range(len(queue._events))]
            assert (seen[0], seen[-1], seen.count(LOST)) == (LOST, "last", 1)

    run(scenario())


def test_other_tasks_run_during_a_storm(docker: DockerStandIn) -> None:
    idents = docker.populate(100)

    async def scenario() -> None:
        async with engine_of(docker, event_backlog=100_000) as engine:
            events = engine.events()
            await anext(events)
            turns = 0

            async def count() -> None:
                nonlocal turns
                while True:
                    turns += 1
                    await asyncio.sleep(0)

            counting = asyncio.create_task(count())
            docker.storm(idents, actions=["start", "die"])
            await take(events, 200)
            assert turns >= 100
            counting.cancel()

    run(scenario())


def test_a_restarted_engine_ends_the_stream_and_can_be_subscribed_again(docker: DockerStandIn) -> None:
    async def scenario() -> None:
        async with engine_of(docker) as engine:
            events = engine.events()
            await anext(events)
            await asyncio.to_thread(docker.restart)
            with pytest.raises(EngineUnavailableError, match="closed the connection"):
                await anext(events)
            with pytest.raises(StopAsyncIteration):
                await anext(events)
            again = engine.events()
            assert (await anext(again)).action == SUBSCRIBED
            ident = docker.create()
            assert (await anext(again)).container == ident
            assert (await engine.inspect(ident)).id == ident

    run(scenario(), restarts=True)


def test_an_engine_that_hangs_ends_a_silent_stream(docker: DockerStandIn) -> None:
    async def scenario() -> None:
        async with engine_of(docker, ping_interval=0.05, ping_timeout=0.1) as engine:
            events = engine.events()
            await anext(events)
            docker.hang()
            with pytest.raises(EngineUnavailableError, match="/_ping"):
                await anext(events)

    run(scenario())


# Endings: `run` fails when a thread, a descriptor or a socket is left


def test_cancelling_the_reader_ends_thread_and_connections(docker: DockerStandIn) -> None:
    async def scenario() -> None:
        async with engine_of(docker) as engine:

            async def read() -> None:
                async for _ in engine.events():
                    pass

            reader = asyncio.create_task(read())
            await until(docker.subscriptions)
            reader.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reader
            assert not [thread for thread in threading.enumerate() if "events" in thread.name]
            await until(lambda: not docker.subscriptions())

    run(scenario())


def test_cancelling_during_the_subscription_ends_it_too(docker: DockerStandIn) -> None:
    docker.hang()

    async def scenario() -> None:
        async with engine_of(docker, timeout=1000.0) as engine:
            reader = asyncio.ensure_future(anext(engine.events()))
            await until(lambda: docker.on_loop(lambda: docker.waiting))
            reader.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reader

    run(scenario())


def test_a_stream_that_is_left_alone_ends_with_the_loop(docker: DockerStandIn) -> None:
    async def scenario() -> None:
        engine = DockerEngine(docker.url)
        async for event in engine.events():
            if event.action == SUBSCRIBED:
                break

    run(scenario())


def test_closing_breaks_streams_and_questions_and_refuses_new_ones(docker: DockerStandIn) -> None:
    async def scenario() -> None:
        engine = DockerEngine(docker.url, timeout=1000.0, places=2)
        await engine.info()
        events, idle = engine.events(), engine.events()
        await anext(events)
        await anext(idle)
        waiting = asyncio.ensure_future(anext(events))
        await asyncio.sleep(0)
        docker.hang()
        questions = [asyncio.create_task(outcome(engine.info())) for _ in range(10)]
        await until(lambda: docker.on_loop(lambda: docker.waiting))
        await engine.close()
        assert not [thread for thread in threading.enumerate() if thread.name.startswith("mcsd-docker")]
        for result in [*await asyncio.gather(*questions), await outcome(waiting), await outcome(anext(idle))]:
            assert isinstance(result, EngineUnavailableError)
            assert "mcsd closed" in result.what
        for wish in (engine.info(), engine.containers(), engine.inspect("a"), anext(engine.events())):
            assert isinstance(await outcome(wish), EngineUnavailableError)
        await engine.close()

    run(scenario())


def test_closing_what_was_never_used() -> None:
    async def scenario() -> None:
        await DockerEngine("unix:///nowhere").close()

    run(scenario())


# Bounds of the adapter


@pytest.mark.parametrize(
    "url", ["", "/run/docker.sock", "unix://run/docker.sock", "tcp://127.0.0.1:2375", "unix:///a\0b"]
)
def test_a_url_that_is_not_a_unix_socket(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        socket_path(url)
    assert repr(url) in caught.value.what
    assert "unix:///run/docker.sock" in caught.value.hint


def test_the_sdk_is_not_imported_before_it_is_needed() -> None:
    code = (
        "import sys, mcsd.adapters.docker.engine; "
        "sys.exit(any(m in sys.modules for m in ('docker', 'requests')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_an_event_storm_with_a_forged_id_is_refused(docker: DockerStandIn) -> None:
    async def scenario() -> None:
        async with engine_of(docker) as engine:
            events = engine.events()
            await anext(events)
            docker.event("web", "start")
            with pytest.raises(EngineProtocolError, match="'web' is not a full container id"):
                await anext(events)

    run(scenario())
