"""Several engines as one: lists are whole or fail, and each container is asked for where it is."""

from __future__ import annotations

import pytest

from mcsd.control.engines import Engines
from mcsd.control.run_engine import RunEngine
from mcsd.core.changes import LedgerContents
from mcsd.core.containers import SUBSCRIBED, ContainerId
from mcsd.core.runs import is_run
from mcsd.core.state_cache import StateCache
from mcsd.errors import ContainerGoneError, EngineUnavailableError
from tests.fakes.container_engine import FakeContainerEngine
from tests.fakes.ledger_records import run as record
from tests.fakes.running import run

RUN = record()


def engines() -> tuple[Engines, FakeContainerEngine]:
    docker = FakeContainerEngine()
    own = RunEngine(StateCache(LedgerContents(runs=(RUN,))))
    return Engines({"docker": docker, "run": own}, lambda one: "run" if is_run(one) else "docker"), docker


def test_the_containers_of_all_are_listed() -> None:
    both, docker = engines()
    a = docker.create("a")
    assert run(both.containers()) == (a, RUN.id)


def test_a_list_without_one_engine_is_none() -> None:
    """Or whoever that engine has would be taken for gone."""
    both, docker = engines()
    docker.go_down()
    with pytest.raises(EngineUnavailableError):
        run(both.containers())


def test_each_is_asked_for_where_it_is() -> None:
    both, docker = engines()
    a = docker.create("a")
    assert run(both.inspect(a)).engine == "docker"
    docker.go_down()
    assert run(both.inspect(RUN.id)) == run(both.list_one(RUN.id)) == RUN.container
    with pytest.raises(ContainerGoneError):
        run(both.inspect("run-" + "0" * 32))
    with pytest.raises(EngineUnavailableError):
        run(both.inspect(a))


def test_what_the_host_has_is_the_first_s_to_tell() -> None:
    both, docker = engines()
    assert run(both.info()) == docker.engine_info

    async def first() -> str:
        events = both.events()
        return (await anext(aiter(events))).action

    assert run(first()) == SUBSCRIBED


def test_runs_alone_are_an_engine_too() -> None:
    own = RunEngine(StateCache(LedgerContents(runs=(RUN,))))
    assert run(own.info()).selinux is True
    assert run(own.containers()) == (RUN.id,)
    assert run(own.inspect("build")).id == RUN.id
    with pytest.raises(ContainerGoneError):
        run(own.inspect(ContainerId("c" * 64)))

    async def first() -> str:
        return (await anext(aiter(own.events()))).action

    assert run(first()) == SUBSCRIBED
    run(own.close())


def test_all_are_closed() -> None:
    both, docker = engines()
    run(both.close())
    with pytest.raises(EngineUnavailableError):
        run(docker.info())
