"""containerd's tasks as they are on disk: directories as the shim of containerd 1.6 and 1.7 leaves them."""

from __future__ import annotations

import asyncio
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from mcsd.adapters.containerd.engine import ContainerdEngine
from mcsd.adapters.containerd.tasks import Tasks
from mcsd.core.containers import CONTAINERD, SUBSCRIBED, Container, MountKind, task_id
from mcsd.core.labels import Context
from mcsd.errors import ContainerGoneError, EngineProtocolError, EngineUnavailableError
from mcsd.runtime.oci.bundle import FORMER, Bundle
from tests.fakes.running import run

LABEL = "system_u:system_r:container_t:s0:c1,c2"
START = 4711
BUNDLES = "io.containerd.runtime.v2.task"


@dataclass
class Disk:
    """A state directory of containerd's, with processes beside it."""

    top: Path
    state: Path = field(init=False)

    def __post_init__(self) -> None:
        self.state = self.top / "state"
        self.state.mkdir()

    @property
    def tasks(self) -> Tasks:
        return Tasks(self.state, runtimes=self.top / "runc", proc=self.top / "proc")

    def bundle(self, name: str, namespace: str = "default", **fields: Any) -> Path:
        """Lay a bundle down; nothing runs in it yet."""
        place = self.state / BUNDLES / namespace / name
        place.mkdir(parents=True)
        linux = {"mountLabel": LABEL, "namespaces": [{"type": "pid"}, {"type": "ipc"}, {"type": "network"}]}
        config = {"process": {"selinuxLabel": LABEL}, "linux": linux, "root": {"path": "rootfs"}, **fields}
        (place / "config.json").write_text(json.dumps(config))
        (place / "runtime").write_text("")
        return place

    def run(self, name: str, pid: int, *, start: int = START, state: str = "D") -> None:
        """Let the first process of a task run, with the runtime's record of it."""
        (self.state / BUNDLES / "default" / name / "init.pid").write_text(str(pid))
        record = self.top / "runc" / "default" / name
        record.mkdir(parents=True, exist_ok=True)
        (record / "state.json").write_text(json.dumps({"init_process_start": START}))
        process = self.top / "proc" / str(pid)
        process.mkdir(parents=True, exist_ok=True)
        (process / "stat").write_text(f"{pid} (a) b) {state} " + "0 " * 18 + f"{start} 0")

    def read(self, name: str) -> Container:
        return self.tasks.read(self.tasks.find(name))


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return Disk(tmp_path)


def test_a_task_is_what_its_configuration_says(disk: Disk) -> None:
    mounts = [
        {"destination": "/proc", "type": "proc", "source": "proc"},
        {"destination": "/data", "type": "bind", "source": "/srv/a", "options": ["rbind", "ro"]},
    ]
    notes = {"io.mcsd.volume": "/data:shared", "a": "b", FORMER: "written by the gate"}
    place = disk.bundle("web", mounts=mounts, annotations=notes)
    (place / "runtime").write_text("/usr/libexec/mcsd/mcsd-gate-runc")
    seen = disk.read("web")
    assert seen.id == task_id("default", "web") != "web"
    assert seen.process_label == seen.mount_label == Context.parse(LABEL)
    assert seen.labels == (("io.mcsd.volume", "/data:shared"),)
    (mount,) = seen.mounts
    assert (mount.kind, mount.source, mount.destination) == (MountKind.BIND, "/srv/a", "/data")
    assert not mount.writable
    assert seen.runtime == "mcsd"
    assert (seen.status, seen.running, seen.pid) == ("created", False, None)


def test_a_task_runs_while_its_first_process_does(disk: Disk) -> None:
    disk.bundle("web")
    disk.run("web", 7)
    assert (disk.read("web").status, disk.read("web").pid) == ("running", 7)
    for other in ({"start": START + 1}, {"state": "Z"}):
        disk.run("web", 7, **other)
        assert (disk.read("web").status, disk.read("web").pid) == ("exited", None), "another has its pid"


@pytest.mark.parametrize("namespace", ["moby", "moby-100000.100000", "k8s.io"])
def test_docker_s_and_the_kubelet_s_are_theirs(disk: Disk, namespace: str) -> None:
    disk.bundle("a" * 64, namespace=namespace)
    assert disk.tasks.all() == ()


def test_names_of_two_namespaces_are_two_tasks_and_nerdctl_s_ids_are_kept(disk: Disk) -> None:
    ident = "b" * 64
    disk.bundle("web")
    disk.bundle("web", namespace="ci")
    disk.bundle(ident, annotations={"nerdctl/name": "shop"})
    assert {task.ident for task in disk.tasks.all()} == {
        task_id("default", "web"),
        task_id("ci", "web"),
        ident,
    }
    assert disk.read("ci:web").name == "ci:web"
    assert disk.read(ident).name == "shop"


def test_the_gate_and_the_engine_give_a_task_one_id_and_one_name(disk: Disk) -> None:
    """Promise 7: what the one prepares the other looks after."""
    for namespace, name in (("default", "web"), ("ci", "web"), ("default", "c" * 64)):
        place = disk.bundle(name, namespace=namespace, root={"path": "/nowhere"})
        told = Bundle(str(place), name).description()
        (task,) = (one for one in disk.tasks.all() if one == (namespace, name))
        seen = disk.tasks.read(task)
        assert (told["container"], told["containerd"]["name"]) == (seen.id, seen.name)


def test_what_cannot_be_read_is_not_gone(disk: Disk) -> None:
    """Promise 9."""
    place = disk.bundle("web", process={"selinuxLabel": 7})
    with pytest.raises(EngineProtocolError, match=r"process\.selinuxLabel"):
        disk.read("web")
    (place / "config.json").unlink()
    with pytest.raises(ContainerGoneError):
        disk.read("web")
    with pytest.raises(ContainerGoneError):
        disk.read("nobody")
    os.rename(disk.state, disk.top / "elsewhere")
    with pytest.raises(EngineUnavailableError):
        disk.read("web")


def test_no_task_yet_is_none(disk: Disk) -> None:
    assert disk.tasks.all() == ()


def test_the_engine_tells_of_what_comes_and_goes(disk: Disk) -> None:
    async def scenario() -> None:
        engine = ContainerdEngine(disk.state, interval=0.01)
        assert (await engine.info()).kind == CONTAINERD
        events = engine.events()
        assert (await anext(events)).action == SUBSCRIBED
        place = disk.bundle("web")
        ident = task_id("default", "web")
        first = await anext(events)
        assert (first.action, first.container) == ("create", ident)
        assert await engine.containers() == (ident,)
        assert (await engine.list_one(ident)).name == "web"
        os.rename(place, disk.top / "gone")
        assert (await anext(events)).action == "destroy"
        os.rename(disk.state, disk.top / "elsewhere")
        with pytest.raises(EngineUnavailableError):
            await anext(events)
        await engine.close()
        await engine.close()
        with pytest.raises(EngineUnavailableError):
            await engine.info()

    run(scenario())


def test_an_inspection_waits_until_a_task_is_created_and_a_glance_does_not(disk: Disk) -> None:
    """Promise 2: while the gate prepares a start, the task is neither gone nor one that has ended."""

    async def scenario() -> None:
        engine = ContainerdEngine(disk.state)
        place = disk.bundle("web")
        asked = asyncio.ensure_future(engine.inspect("web"))
        assert (await engine.list_one(task_id("default", "web"))).status == "created"
        done, _ = await asyncio.wait({asked}, timeout=0.2)
        assert not done
        (place / "init.pid").write_text("4194305")  # more than any pid
        assert (await asked).status == "exited"
        await engine.close()
        hasty = ContainerdEngine(disk.state, timeout=0)
        disk.bundle("slow")
        with pytest.raises(EngineUnavailableError, match="still being created"):
            await hasty.inspect("slow")
        await hasty.close()

    run(scenario())


def test_a_look_that_is_given_up_leaves_nothing(disk: Disk) -> None:
    async def scenario() -> None:
        engine = ContainerdEngine(disk.state, interval=3600)
        events = engine.events()
        await anext(events)
        reader = asyncio.ensure_future(anext(events))
        await asyncio.sleep(0)
        reader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reader
        await engine.close()

    run(scenario())
