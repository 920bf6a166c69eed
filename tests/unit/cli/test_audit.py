"""`mcsctl audit` from Docker's answers, a made /proc and real directories to its screens and exit
statuses."""

from __future__ import annotations

import io
import json
import socket
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from mcsd.cli.audit import AuditOptions, AuditPaths, audit
from mcsd.cli.client import Client
from mcsd.cli.errors import CtlError, Exit
from mcsd.cli.text import Screen
from mcsd.core.containers import EngineInfo
from mcsd.core.isolation import Reason, Verdict, Why
from mcsd.core.snapshot import Snapshot
from tests.fakes.docker_documents import bind
from tests.fakes.docker_socket import DockerStandIn
from tests.fakes.procfs import NAMESPACES, Procfs
from tests.fakes.service import NOW, FakeService, quiet_scene
from tests.fakes.serving import serving
from tests.fakes.settled import settled
from tests.unit.cli.test_screens import compare


@dataclass
class Host:
    """Docker, /proc and mcsd, and what was printed."""

    docker: DockerStandIn
    podman: DockerStandIn
    proc: Procfs
    place: AuditPaths
    client: Client
    top: Path
    service: FakeService

    def start(self, name: str, pid: int, *, mounts: Any = (), seen: Any = None, **host_config: Any) -> str:
        """Start a container."""
        ident = self.docker.create(name, mounts=mounts, host_config=host_config)
        self.proc.process(pid, group=f"docker/{ident}", **(seen or {"shared": ("user", "cgroup")}))
        self.docker.start_container(ident, pid)
        return ident

    def audit(self, wish: AuditOptions | None = None, *, columns: int = 100, **more: Any) -> tuple[Exit, str]:
        """Type the command."""
        out = io.StringIO()
        screen = Screen(out, columns, False, NOW)
        status = audit(replace(wish or AuditOptions(), **more), self.place, self.client, screen, screen)
        return status, out.getvalue()

    def found(self, **more: Any) -> set[str]:
        """Return the keys of what is found."""
        return set(self.audit(quiet=True, **more)[1].splitlines())


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    monkeypatch.setattr(socket, "gethostname", lambda: "host")
    proc = Procfs(tmp_path)
    (tmp_path / "mcsd.toml").write_text("")
    with (
        settled(),
        DockerStandIn(tmp_path / "docker.sock") as docker,
        DockerStandIn(tmp_path / "podman.sock") as podman,
        serving(FakeService(quiet_scene()), tmp_path / "s") as served,
    ):
        place = AuditPaths(
            config=tmp_path / "mcsd.toml",
            daemon_json=str(tmp_path / "daemon.json"),
            sockets={"docker": docker.path, "podman": podman.path},
            proc=proc.proc,
            cgroups=proc.cgroups,
            pid_files=(str(tmp_path / "docker.pid"),),
        )
        yield Host(docker, podman, proc, place, Client(served.path), tmp_path, served.service)


def volume(host: Host) -> str:
    top = host.top / "volume"
    top.mkdir()
    (top / "su").touch()
    (top / "su").chmod(0o4755)
    return str(top)


def test_a_container_and_the_host(host: Host) -> None:
    host.start("web", 7, mounts=[bind(volume(host), "/data")])
    keys = host.found()
    assert {"root-inside/web", "no-memory-limit/web", "live-restore/host", "user-namespaces/host"} <= keys
    assert f"suid-content/web/{host.top}/volume" in keys
    assert host.audit()[0] is Exit.FAILED


def test_one_container_alone(host: Host) -> None:
    host.start("web", 7)
    host.start("db", 8)
    assert not [key for key in host.found(container="db") if "/web" in key]


def test_a_container_that_is_not_there(host: Host) -> None:
    with pytest.raises(CtlError) as caught:
        host.audit(container="no/body")
    assert caught.value.status is Exit.NOT_FOUND and caught.value.hint


def test_docker_that_does_not_answer(host: Host) -> None:
    host.docker.stop()
    with pytest.raises(CtlError) as caught:
        host.audit()
    assert caught.value.status is Exit.NO_DAEMON and "docker" in caught.value.hint


def test_without_mcsd_nothing_is_called_proven(host: Host) -> None:
    host.start("web", 7)
    silent = replace(host, client=Client(str(host.top / "nobody")))
    assert "mcsd-silent/host" in silent.found()


def test_a_process_that_cannot_be_looked_at_is_said_to_be_unseen(host: Host) -> None:
    ident = host.docker.create("web")
    host.docker.start_container(ident, 99)
    assert "unseen/web" in host.found()


def test_what_docker_and_the_kernel_do_not_agree_on(host: Host) -> None:
    host.start("web", 7, seen={"shared": NAMESPACES, "seccomp": 0, "bounding": (1 << 41) - 1})
    keys = host.found()
    assert {f"disagreement/web/{code}" for code in ("capabilities", "seccomp", "namespace-net")} <= keys
    assert "host-network/web" in keys


def test_dockers_port_is_seen_by_its_process(host: Host) -> None:
    (host.top / "docker.pid").write_text("50\n")
    host.proc.process(50)
    (host.proc.proc / "50/cmdline").write_bytes(b"dockerd\0-H\0tcp://0.0.0.0:2375\0")
    assert "docker-tcp/host/0.0.0.0:2375" in host.found()


def test_a_daemon_json_that_cannot_be_read_is_no_empty_one(host: Host) -> None:
    (host.top / "daemon.json").write_text("{")
    with pytest.raises(CtlError, match="is not JSON"):
        host.audit()


def test_a_baseline_of_the_configuration_and_of_the_command_line(host: Host) -> None:
    host.start("web", 7)
    (host.top / "mcsd.toml").write_text('[audit]\nignore = ["root-inside/web=it drops root itself"]\n')
    everything = host.found()
    assert "root-inside/web" not in everything
    rules = {key.split("/")[0] for key in everything}
    status, said = host.audit(ignore=tuple(f"{rule}=accepted here" for rule in sorted(rules)))
    assert status is Exit.DONE
    assert "it drops root itself" in said and "accepted here" in said


def test_a_baseline_that_makes_no_sense_is_refused(host: Host) -> None:
    with pytest.raises(CtlError) as caught:
        host.audit(ignore=("nothing=x",))
    assert caught.value.status is Exit.USAGE
    (host.top / "mcsd.toml").write_text('[audit]\nignore = ["root-inside"]\n')
    with pytest.raises(CtlError, match="there is no reason"):
        host.audit()


def test_only_what_is_severe_enough_counts(host: Host) -> None:
    host.start("web", 7)
    assert host.audit(severity="critical")[0] is Exit.DONE


def test_what_is_new_is_told_once(host: Host) -> None:
    host.start("web", 7)
    known = str(host.top / "known.json")
    first = host.found(known=known)
    assert first
    assert host.found(known=known) == set()
    host.start("db", 8)
    new = host.found(known=known)
    assert new and all("/db" in key for key in new)
    assert "nothing new since it was last looked" in host.audit(known=known)[1]


def test_what_was_mended_and_is_there_again_is_new(host: Host) -> None:
    known = str(host.top / "known.json")
    host.found(known=known)
    ident = host.start("web", 7)
    assert host.found(known=known)
    host.docker.vanish(ident)
    assert host.found(known=known) == set()
    host.docker.start_container(host.docker.create("web"), 7)
    assert host.found(known=known)


def test_a_file_of_what_is_known_that_is_none_is_refused(host: Host) -> None:
    (host.top / "known.json").write_text("[]")
    with pytest.raises(CtlError, match="what was known before cannot be read"):
        host.audit(known=str(host.top / "known.json"))
    with pytest.raises(CtlError, match="cannot be written"):
        host.audit(known=str(host.top / "nowhere/known.json"))


def test_json_and_sarif_are_printed_whole(host: Host) -> None:
    host.start("web", 7)
    told = json.loads(host.audit(json=True)[1])
    assert {one["key"] for one in told["findings"]} == host.found()
    assert told["containers"] == 1
    log = json.loads(host.audit(sarif=True)[1])
    assert len(log["runs"][0]["results"]) == len(told["findings"])


@pytest.mark.parametrize("columns", [80, 200])
def test_the_screen(host: Host, columns: int) -> None:
    (host.top / "mcsd.toml").write_text(
        '[audit]\nignore = ["user-namespaces=volumes belong to services of the host",'
        ' "devices/gone=it had a camera"]\n'
    )
    host.start("web", 7)
    host.start(
        "cadvisor",
        8,
        Privileged=True,
        seen={"shared": NAMESPACES, "bounding": (1 << 41) - 1, "seccomp": 0},
    )
    host.start("dns", 9, CapAdd=["NET_ADMIN"], seen={"shared": (), "bounding": 0xA80425FB | 1 << 12})
    compare("audit", columns, host.audit(columns=columns)[1])
    compare("audit dns", columns, host.audit(columns=columns, container="dns")[1])


def test_mcsd_is_told_the_whole_of_it_and_the_socket_has_it(host: Host) -> None:
    host.start("web", 7)
    (host.top / "mcsd.toml").write_text('[audit]\nignore = ["root-inside/web=it drops root itself"]\n')
    known = str(host.top / "known.json")
    host.found(known=known)
    host.audit(known=known, tell=True)
    told = host.client.get("/v1/audit")
    keys = {one["key"] for one in told["findings"] if one["accepted"] is None}
    assert keys == host.found(), "what was known before is told too"
    (accepted,) = (one for one in told["findings"] if one["accepted"] is not None)
    assert (accepted["key"], accepted["accepted"]) == ("root-inside/web", "it drops root itself")
    assert (told["containers"], told["left_out"]) == (1, 0) and told["time"] is not None


def test_mcsd_is_told_of_everything_or_of_nothing(host: Host) -> None:
    with pytest.raises(CtlError) as caught:
        host.audit(container="web", tell=True)
    assert caught.value.status is Exit.USAGE


# --- other engines -------------------------------------------------------------------------------------


def knows(host: Host, kind: str, *, engine: str = "") -> None:
    """Configure an engine beside Docker."""
    (host.top / "mcsd.toml").write_text(f'[[engine]]\nkind = "{kind}"\nname = "{engine or kind}"\n')


def test_podman_s_containers_are_asked_of_podman(host: Host) -> None:
    knows(host, "podman")
    ident = host.podman.create("web", host_config={"Privileged": True})
    host.proc.process(7, group=f"libpod-{ident}", shared=NAMESPACES)
    host.podman.start_container(ident, 7)
    assert "privileged/podman/web" in host.found()
    assert "privileged/podman/web" in host.found(container="podman/web") & host.found(container="web")
    said = host.audit(container="podman/web")[1]
    assert "podman inspect: HostConfig.Privileged" in said and "docker" not in said.lower().split("cis")[0]


def test_podman_that_does_not_answer_is_no_host_without_containers(host: Host) -> None:
    knows(host, "podman")
    host.podman.stop()
    with pytest.raises(CtlError) as caught:
        host.audit()
    assert caught.value.status is Exit.NO_DAEMON and caught.value.hint == "systemctl status podman"


def test_without_docker_nothing_is_said_of_it(host: Host) -> None:
    (host.top / "mcsd.toml").write_text('[docker]\nenabled = false\n[[engine]]\nkind = "podman"\n')
    host.docker.stop()
    assert not {"live-restore/host", "user-namespaces/host", "engine-unlabelled/host"} & host.found()


def described(snapshot: Snapshot, engine: str) -> Snapshot:
    """The same host, whose first container is a run, or of an engine that cannot be asked."""
    first, *rest = snapshot.container_status
    mine = replace(first.container, engine=engine)
    verdict = Verdict(False, (Reason(Why.VOLUME, "its volume is not labelled", "label it"),))
    return replace(snapshot, container_status=(replace(first, container=mine, verdict=verdict), *rest))


@pytest.mark.parametrize(("engine", "subject"), [("run", "web"), ("containerd", "containerd/web")])
def test_what_mcsd_alone_describes_is_judged_by_what_it_is_given(
    host: Host, engine: str, subject: str
) -> None:
    """A run is a process of the host by intention: that it shares namespaces is no finding."""
    if engine == "containerd":
        knows(host, engine)
    host.service.change = lambda snapshot: described(snapshot, engine)
    assert {key for key in host.found() if "/web" in key} == {f"isolation/{subject}/volume"}
    assert f"isolation/{subject}/volume" in host.found(container=subject)
    with pytest.raises(CtlError) as caught:
        host.audit(container="nobody")
    assert caught.value.status is Exit.NOT_FOUND


def test_an_engine_that_labels_nothing_is_named(host: Host) -> None:
    knows(host, "podman")
    info = EngineInfo(False, "5.4.2", "1.41", "/s", "crun", kind="podman")
    host.service.change = lambda snapshot: replace(
        snapshot, engines=("docker", "podman"), host=snapshot.host.with_engine("podman", info)
    )
    assert "engine-unlabelled/host/podman" in host.found()
