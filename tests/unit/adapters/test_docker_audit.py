"""What an audit reads of Docker's and Podman's answers."""

from __future__ import annotations

from typing import Any

import pytest

from mcsd.adapters.docker.audit import endpoints, read_options, read_settings
from mcsd.core.audit.facts import Endpoint
from mcsd.errors import EngineProtocolError
from tests.fakes.docker_documents import bind, container_document, recorded


def document(**host_config: Any) -> dict[str, Any]:
    return container_document("ab" * 32, "web", mounts=[bind("/srv/a", "/data")], host_config=host_config)


@pytest.mark.parametrize("engine", ["docker-20.10", "podman-4.3"])
def test_recorded_answers_are_read(engine: str) -> None:
    settings, pid = read_settings(recorded(f"{engine}-inspect"))
    assert settings.name and not settings.privileged and settings.image
    assert (pid is None) is not settings.running
    options, _ = read_options(recorded(f"{engine}-info"))
    assert "seccomp" in options


def test_what_was_asked_for_is_read() -> None:
    settings, _ = read_settings(
        document(
            Privileged=True,
            CapAdd=["CAP_NET_ADMIN", "sys_time"],
            CapDrop=["ALL"],
            PidMode="host",
            UTSMode="host",
            SecurityOpt=["no-new-privileges", "seccomp=unconfined"],
            Devices=[{"PathOnHost": "/dev/dri", "PathInContainer": "/dev/dri", "CgroupPermissions": "rwm"}],
            Memory=1024,
            PidsLimit=20,
        )
    )
    assert settings.privileged and settings.keeps_privileges
    assert settings.cap_add == frozenset({"NET_ADMIN", "SYS_TIME"})
    assert settings.cap_drop == frozenset({"ALL"})
    assert (settings.pid_mode, settings.uts_mode) == ("host", "host")
    assert settings.security_option("seccomp") == "unconfined"
    assert (settings.devices, settings.memory, settings.processes) == (("/dev/dri",), 1024, 20)
    assert [one.source for one in settings.mounts] == ["/srv/a"]


@pytest.mark.parametrize("none", [0, -1, None])
def test_no_limit_of_processes_is_none(none: int | None) -> None:
    assert read_settings(document(PidsLimit=none))[0].processes is None


def test_an_answer_that_makes_no_sense_is_refused() -> None:
    broken = document()
    del broken["HostConfig"]["Privileged"]
    with pytest.raises(EngineProtocolError, match="Privileged"):
        read_settings(broken)


def test_an_unconfined_default_profile_filters_nothing() -> None:
    info = recorded("docker-20.10-info") | {
        "SecurityOptions": ["name=seccomp,profile=unconfined", "name=userns"]
    }
    assert read_options(info)[0] == {"userns"}


@pytest.mark.parametrize(
    ("settings", "arguments", "found"),
    [
        ({}, "dockerd -H fd://", []),
        ({}, "dockerd -H tcp://0.0.0.0:2375", [("0.0.0.0:2375", False, False)]),
        ({}, "dockerd --host=tcp://0.0.0.0:2375", [("0.0.0.0:2375", False, False)]),
        ({}, "dockerd -Htcp://0.0.0.0:2375", [("0.0.0.0:2375", False, False)]),
        ({}, "dockerd --host unix:///run/docker.sock", []),
        ({}, "dockerd --tls -H tcp://0.0.0.0:2376", [("0.0.0.0:2376", True, False)]),
        ({}, "dockerd --tlsverify -H tcp://0.0.0.0:2376", [("0.0.0.0:2376", True, True)]),
        ({}, "dockerd --tlsverify=false -H tcp://:2376", [(":2376", False, False)]),
        ({"hosts": ["tcp://0.0.0.0:2375", "fd://"]}, "dockerd", [("0.0.0.0:2375", False, False)]),
        ({"hosts": ["tcp://:2376"], "tlsverify": True}, "dockerd", [(":2376", True, True)]),
    ],
)
def test_where_the_api_is_served(
    settings: dict[str, Any], arguments: str, found: list[tuple[str, bool, bool]]
) -> None:
    assert endpoints(settings, tuple(arguments.split()), ()) == tuple(Endpoint(*one) for one in found)


def test_the_address_is_the_kernels_where_it_shows_one() -> None:
    at = endpoints({"hosts": ["tcp://:2375"]}, (), ("[::]:2375", "127.0.0.1:9"))
    assert at == (Endpoint("[::]:2375", False, False),)
