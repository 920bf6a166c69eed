"""The Docker adapter against a real dockerd: the contract, and what only the real thing can show."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from mcsd.adapters.docker.engine import DockerEngine
from mcsd.core.containers import SUBSCRIBED, ContainerId, Mount, MountKind
from mcsd.errors import ContainerGoneError, EngineUnavailableError
from mcsd.ports import ContainerEngine
from tests.contracts.container_engine import ContainerEngineContract, World, until_actions
from tests.fakes.running import run, take
from tests.host.dockerd import Dockerd

pytestmark = pytest.mark.host


class DockerdWorld:
    """A real dockerd; its CLI blocks, so it runs in threads."""

    def __init__(self, dockerd: Dockerd) -> None:
        self._dockerd = dockerd

    def engine(self) -> ContainerEngine:
        return DockerEngine(self._dockerd.url)

    async def create(
        self, name: str, *, labels: Mapping[str, str] | None = None, volume: tuple[str, str] | None = None
    ) -> ContainerId:
        options = ["--runtime=waits", *(f"--label={key}={value}" for key, value in (labels or {}).items())]
        if volume:
            options.append(f"--volume={volume[0]}:{volume[1]}:ro")
        return ContainerId(await asyncio.to_thread(self._dockerd.create, *options, name=name))

    async def start(self, ident: ContainerId) -> None:
        await asyncio.to_thread(self._dockerd.run, "start", ident)

    @asynccontextmanager
    async def starting(self, ident: ContainerId) -> AsyncIterator[None]:
        with self._dockerd.holding_starts():
            start = asyncio.create_task(self.start(ident))
            await asyncio.to_thread(self._dockerd.until_held)
            yield
        await start

    async def die(self, ident: ContainerId) -> None:
        await asyncio.to_thread(self._dockerd.run, "kill", ident)
        await asyncio.to_thread(self._dockerd.run, "wait", ident)

    async def remove(self, ident: ContainerId) -> None:
        await asyncio.to_thread(self._dockerd.run, "rm", ident)

    async def go_down(self) -> None:
        await asyncio.to_thread(self._dockerd.kill)

    async def come_up(self) -> None:
        await asyncio.to_thread(self._dockerd.start)


class TestContract(ContainerEngineContract):
    @pytest.fixture
    def world(self, dockerd: Dockerd) -> World:
        return DockerdWorld(dockerd)


def test_info(dockerd: Dockerd) -> None:
    async def scenario() -> None:
        engine = DockerEngine(dockerd.url)
        info = await engine.info()
        assert info.server_version == dockerd.run("version", "--format", "{{.Server.Version}}")
        assert info.root_directory == str(dockerd.data_root)
        assert info.default_runtime == "runc"
        assert info.storage_driver
        assert not info.selinux
        await engine.close()

    run(scenario())


def test_every_kind_of_mount(dockerd: Dockerd, tmp_path: Path) -> None:
    dockerd.create(
        f"--volume={tmp_path}:/bind:ro,Z,rslave",
        "--volume=mcsd-named:/named",
        f"--mount=type=bind,source={tmp_path},target=/bind2",
        name="mounts",
    )
    dockerd.create("--volumes-from=mounts:ro", name="heir")
    dockerd.create("--mount=type=tmpfs,target=/scratch", name="scratch")

    async def scenario() -> None:
        engine = DockerEngine(dockerd.url)
        mounts = {mount.destination: mount for mount in (await engine.inspect("mounts")).mounts}
        assert mounts["/bind"] == Mount(
            MountKind.BIND,
            str(tmp_path),
            "/bind",
            options=frozenset({"ro", "Z", "rslave"}),
            writable=False,
        )
        assert mounts["/bind2"] == Mount(MountKind.BIND, str(tmp_path), "/bind2")
        named = mounts["/named"]
        assert (named.kind, named.name, named.driver) == (MountKind.VOLUME, "mcsd-named", "local")
        assert named.source == f"{dockerd.data_root}/volumes/mcsd-named/_data"
        assert named.options == {"z"}
        assert (await engine.inspect("scratch")).mounts == (Mount(MountKind.TMPFS, "", "/scratch"),)
        heir = await engine.inspect("heir")
        assert heir.volumes_from == ("mounts:ro",)
        inherited = {mount.destination: mount for mount in heir.mounts}
        assert inherited["/bind"].source == str(tmp_path)
        assert not inherited["/bind2"].writable
        await engine.close()

    run(scenario())
    dockerd.run("rm", "scratch", "heir", "mounts")
    dockerd.run("volume", "rm", "mcsd-named")


def test_privileges_and_shared_namespaces(dockerd: Dockerd) -> None:
    first = dockerd.create("--ipc=shareable", name="first")
    dockerd.run("start", first)
    dockerd.create("--privileged", "--pid=host", "--ipc=host", name="mighty")
    dockerd.create("--ipc=container:first", "--pid=container:first", name="sharer")
    dockerd.create("--security-opt=label=level:s0:c1,c2", "--rm", "--runtime=runc", name="chosen")

    async def scenario() -> None:
        engine = DockerEngine(dockerd.url)
        mighty = await engine.inspect("mighty")
        assert (mighty.privileged, mighty.pid_mode, mighty.ipc_mode) == (True, "host", "host")
        sharer = await engine.inspect("sharer")
        assert (sharer.ipc_mode, sharer.pid_mode) == (f"container:{first}", f"container:{first}")
        chosen = await engine.inspect("chosen")
        assert chosen.security_options == ("label=level:s0:c1,c2",)
        assert (chosen.auto_remove, chosen.runtime, chosen.network_mode) == (True, "runc", "none")
        seen = await engine.inspect("first")
        assert seen.pid
        assert b"/bin/sleep" in Path(f"/proc/{seen.pid}/cmdline").read_bytes()
        await engine.close()

    run(scenario())


def test_a_paused_container_still_runs(dockerd: Dockerd) -> None:
    ident = dockerd.create(name="paused")
    dockerd.run("start", ident)
    dockerd.run("pause", ident)

    async def scenario() -> None:
        engine = DockerEngine(dockerd.url)
        seen = await engine.inspect(ident)
        assert (seen.running, seen.status) == (True, "paused")
        assert seen.pid
        await engine.close()

    run(scenario())
    dockerd.run("unpause", ident)


def test_an_images_labels_are_not_the_owners(dockerd: Dockerd) -> None:
    """Promises 9 and 10, with an image that is there, and with one that was removed by force."""
    image = dockerd.import_image("labelled", labels={"io.mcsd.volume": "/data:shared", "other": "x"})
    ident = dockerd.run(
        "create", "--pull=never", "--network=none", "--label=io.mcsd.group=g", "labelled", "/bin/true"
    )

    async def labels() -> list[tuple[str | None, str | None]]:
        engine = DockerEngine(dockerd.url)
        looks = [await engine.inspect(ident), await engine.list_one(ContainerId(ident))]
        await engine.close()
        for seen in looks:
            assert dict(seen.labels) == {"io.mcsd.volume": "/data:shared", "io.mcsd.group": "g"}
        return [(seen.label("volume"), seen.label("group")) for seen in looks]

    assert run(labels()) == [(None, "g")] * 2
    dockerd.run("image", "rm", "--force", image)
    assert run(labels()) == [(None, None)] * 2


def test_names_that_look_like_ids(dockerd: Dockerd) -> None:
    """Promise 1: a container that is called like a dead one's id is not the dead one."""
    gone = dockerd.create(name="first")
    dockerd.run("rm", gone)
    heir = dockerd.create(name=gone)

    async def scenario() -> None:
        engine = DockerEngine(dockerd.url)
        with pytest.raises(ContainerGoneError):
            await engine.inspect(gone)
        assert (await engine.inspect(heir)).name == gone
        await engine.close()

    run(scenario())


def test_forged_labels_do_not_reach_an_event(dockerd: Dockerd) -> None:
    """Promise 7: Docker copies a container's labels over an event's attributes."""

    async def scenario() -> None:
        engine = DockerEngine(dockerd.url)
        events = engine.events()
        await anext(events)
        forged = ["--label=exitCode=0", "--label=name=victim", "--label=id=" + "0" * 64]
        ident = await asyncio.to_thread(dockerd.create, *forged, name="forger")
        (event,) = await take(events, 1)
        assert (event.container, event.action) == (ident, "create")
        await engine.close()

    run(scenario())


def test_a_failed_start_and_an_exec_with_free_text(dockerd: Dockerd) -> None:
    async def scenario() -> None:
        engine = DockerEngine(dockerd.url)
        events = engine.events()
        await anext(events)
        bad = await asyncio.to_thread(dockerd.create, name="bad", command=("/no/such/program",))
        await asyncio.to_thread(dockerd.run, "start", bad, check=False)
        assert not (await engine.inspect(bad)).running
        good = await asyncio.to_thread(dockerd.create, name="good")
        await asyncio.to_thread(dockerd.run, "start", good)
        await asyncio.to_thread(dockerd.run, "exec", good, "/bin/echo", "x" * 1000)
        seen: list[str] = []
        while not seen or not seen[-1].startswith("exec_die"):
            seen.append((await anext(events)).action)
        assert any(action.startswith("exec_create: /bin/echo xxx") for action in seen)
        assert max(map(len, seen)) <= 64
        await engine.close()

    run(scenario())


def test_an_orderly_restart_ends_the_stream_and_the_next_one_works(dockerd: Dockerd) -> None:
    async def scenario() -> None:
        engine = DockerEngine(dockerd.url)
        events = engine.events()
        await anext(events)
        restarting = asyncio.create_task(asyncio.to_thread(dockerd.restart))
        with pytest.raises(EngineUnavailableError):
            while True:
                await anext(events)
        await restarting
        again = engine.events()
        assert (await anext(again)).action == SUBSCRIBED
        ident = await asyncio.to_thread(dockerd.create, name="later")
        assert await until_actions(again, ident, "create") == ["create"]
        assert (await engine.inspect(ident)).name == "later"
        await engine.close()

    run(scenario(), within=120.0, restarts=True)


def test_many_questions_at_once(dockerd: Dockerd) -> None:
    idents = [dockerd.create(name=f"many{number}") for number in range(10)]

    async def scenario() -> None:
        engine = DockerEngine(dockerd.url)
        seen = await asyncio.gather(*(engine.inspect(ident) for ident in idents * 20))
        assert [container.id for container in seen] == idents * 20
        await engine.close()

    run(scenario())
