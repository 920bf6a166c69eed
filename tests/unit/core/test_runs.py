"""A run as a container, and whose processes are its own."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mcsd.core.containers import MountKind, seconds_of, task_id
from mcsd.core.labels import Context, Level
from mcsd.core.modes import PathRule, VolumePolicy, mode_for
from mcsd.core.processes import ProcessLevel
from mcsd.core.runs import RunVolume, can_be_wished, is_run, with_runs, with_tasks
from mcsd.core.volumes import ClaimMode
from tests.fakes.ledger_records import run

RUN = run(volumes=(RunVolume("/srv/a"), RunVolume("/srv/b", ClaimMode.SHARED)), group="")


def test_before_its_start_it_is_a_container_that_was_created() -> None:
    container = RUN.container
    assert (container.status, container.running, container.pid) == ("created", False, None)
    assert container.level == RUN.context.level and is_run(container.id)
    assert [(one.kind, one.source, one.destination) for one in container.mounts] == [
        (MountKind.BIND, "/srv/a", "/srv/a"),
        (MountKind.BIND, "/srv/b", "/srv/b"),
    ]


def test_after_its_start_it_is_one_that_runs() -> None:
    container = replace(RUN, started=1764003701.25).container
    assert (container.status, container.running, container.pid) == ("running", True, 42)
    assert seconds_of(container.started_at) == 1764003701.25


def test_a_mode_that_was_asked_for_counts_more_than_a_rule_and_less_than_hands_off() -> None:
    container = RUN.container
    a, b = container.mounts
    assert mode_for(a, container, VolumePolicy()) is ClaimMode.PRIVATE
    assert mode_for(b, container, VolumePolicy()) is ClaimMode.SHARED
    for mode, expected in ((ClaimMode.PRIVATE, ClaimMode.SHARED), (ClaimMode.IGNORE, ClaimMode.IGNORE)):
        assert mode_for(b, container, VolumePolicy(rules=(PathRule("/srv", mode),))) is expected


@pytest.mark.parametrize(
    ("path", "can"),
    [("/srv/a", True), ("/srv/a b", True), ("/srv/a:b", True), ("/srv/a,b", False), ("/srv/a ", False)],
)
def test_a_mode_takes_a_path_that_a_label_can_name(path: str, can: bool) -> None:
    assert can_be_wished(path) is can
    if can:
        container = replace(RUN, volumes=(RunVolume(path, ClaimMode.SHARED),)).container
        assert mode_for(container.mounts[0], container, VolumePolicy()) is ClaimMode.SHARED


def process(pid: int, group: str, level: Level | None = None) -> ProcessLevel:
    context = RUN.context if level is None else RUN.context.at(level)
    return ProcessLevel(pid, context, context.level, "", group)


@pytest.mark.parametrize(
    ("processes", "own"),
    [
        ([process(42, "/s"), process(43, "/s"), process(44, "/s/below")], [42, 43, 44]),
        ([process(42, "/s"), process(43, "/start"), process(44, "/")], [42]),
        ([process(42, "/s"), process(43, "/s", Level.of(1, 2))], [42]),
        ([process(43, "/s")], []),  # the first process does not run at it yet
        ([process(42, "/s", Level.of(1, 2)), process(43, "/s")], []),
        ([], []),
    ],
)
def test_processes_of_a_run_have_its_level_and_are_in_its_group(
    processes: list[ProcessLevel], own: list[int]
) -> None:
    found = with_runs(processes, [RUN])
    assert [one.pid for one in found] == [one.pid for one in processes]
    assert [one.pid for one in found if one.container == RUN.id] == own
    assert all(one.container in {"", RUN.id} for one in found)


def test_a_process_of_an_engine_stays_that_engine_s() -> None:
    other = replace(process(43, "/s/docker-x.scope"), container="c" * 64)
    assert with_runs([process(42, "/s"), other], [RUN])[1] == other


def test_without_runs_nothing_is_changed() -> None:
    processes = (process(42, "/s"),)
    assert with_runs(processes, []) == processes
    assert Context.parse(str(RUN.context)) == RUN.context


@pytest.mark.parametrize(
    ("group", "is_its_own"),
    [
        ("/default/web", True),
        ("/default/web/inner", True),
        ("/default/webs", False),
        ("/default", False),
        ("/", False),
        ("", False),
        ("/system.slice/default/web", False),
    ],
)
def test_a_task_s_processes_are_known_by_its_control_group(group: str, is_its_own: bool) -> None:
    """ctr's names are no ids; a process in a group of the same form that is no task's is foreign."""
    level = Level.of(1, 2)
    process = ProcessLevel(7, Context.parse(f"system_u:system_r:container_t:{level}"), level, group=group)
    (seen,) = with_tasks([process], {task_id("default", "web")}.__contains__)
    assert seen.container == (task_id("default", "web") if is_its_own else "")
