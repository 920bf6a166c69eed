"""Why something was denied: a case for each cause, and storms that are counted to the end."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcsd.core.denials.calls import capability_for, kept_out
from mcsd.core.denials.causes import Cause, Code, explain, standing
from mcsd.core.denials.facts import (
    DenyingRule,
    Held,
    Leasable,
    LevelHolder,
    PolicyVerdict,
    Scene,
    Somebody,
    World,
)
from mcsd.core.denials.sought import Sought, candidates, claimants, is_sought, where, whose
from mcsd.core.denials.values import (
    MOST_OF_ONE,
    MOST_STORMS,
    Denial,
    DenialKind,
    Storms,
    concerns_containers,
)

DOMAIN = "system_u:system_r:container_t:"
FILE = "system_u:object_r:container_file_t:"
VAR = "system_u:object_r:var_t:s0"
MINE, THEIRS = "s0:c12,c900", "s0:c7,c31"

CLAIM = Held("/srv/web", "/data", "private", "ready")
WEB = Somebody("a" * 64, "web", MINE, DOMAIN + MINE, 100, since=50.0, claims=(CLAIM,))
DB = Somebody(
    "b" * 64, "db", THEIRS, DOMAIN + THEIRS, 101, claims=(Held("/srv/db", "/var", "private", "ready"),)
)
WORLD = World(
    containers=(WEB, DB),
    holders={
        MINE: (LevelHolder("web", "active", WEB.id, 50.0),),
        THEIRS: (LevelHolder("db", "active", DB.id, 60.0),),
    },
    volumes={"/srv/web": MINE, "/srv/db": THEIRS},
    booleans=(Leasable("container_use_nfs", "lease"), Leasable("held", "off"), Leasable("free", "unmanaged")),
)


def denial(**more: Any) -> Denial:
    least = Denial(
        DenialKind.AVC,
        time=100.0,
        serial=7,
        source=DOMAIN + MINE,
        pid=1,
        command="cat",
        target=FILE + THEIRS,
        tclass="file",
        permissions=("read",),
        path="/data/x",
        inode=9,
    )
    return replace(least, **more)


def scene(
    rule: DenyingRule = DenyingRule.CONSTRAINT, *, verdict: Any = None, denied: Any = None, **more: Any
) -> Scene:
    what = denial(**(denied or {}))
    where_ = more.pop("host", "/srv/web/x")
    claim = more.pop("claim", CLAIM)
    who = more.pop("who", WEB)
    return Scene(what, who, PolicyVerdict(rule, **(verdict or {})), where_, claim, **more)


def causes(of: Scene, world: World = WORLD) -> dict[Code, Cause]:
    return {cause.code: cause for cause in explain(of, world)}


def held(**more: Any) -> Held:
    return replace(CLAIM, **more)


UNCLAIMED: dict[str, Any] = {"claim": None, "host": "/opt/x"}
CASES: tuple[tuple[Code, str, Scene], ...] = (
    (Code.STRAY, "mcsctl verify --repair web", scene()),
    (Code.STALE, "mcsctl verify --repair web", scene(denied={"target": FILE + "s0:c3,c4"})),
    (Code.OTHERS_VOLUME, "mcsctl volumes --path /srv/db", scene(claim=None, host="/srv/db/x")),
    (Code.STRAY, "restorecon -F /opt/x", scene(**UNCLAIMED)),
    (Code.STALE, "restorecon -F /opt/x", scene(denied={"target": FILE + "s0:c3,c4"}, **UNCLAIMED)),
    (Code.NOT_LABELLED, "mcsctl wait web", scene(claim=held(state="pending"))),
    (
        Code.REFUSED,
        "mcsctl show web",
        scene(claim=held(state="refused", reason="db holds it", hint="share it")),
    ),
    (
        Code.LEFT_OUT,
        "",
        scene(claim=held(left_out={"/srv/web/x": ("it has another name", "remove the other name")})),
    ),
    (Code.LEFT_OUT, "find / -xdev -samefile /srv/web/x", scene(links=2)),
    (Code.LEFT_ALONE, "", scene(claim=held(mode="observe"))),
    (Code.OTHERS_VOLUME, "mcsctl volumes --path /srv/db", scene(claim=held(mode="ignore"), host="/srv/db/x")),
    (
        Code.TYPE,
        "(allow container_t self (capability (chown)))",
        scene(
            DenyingRule.TYPES,
            denied={"tclass": "capability", "target": DOMAIN + MINE, "permissions": ("chown",), "path": ""},
            **UNCLAIMED,
        ),
    ),
    (
        Code.OTHERS_PROCESS,
        "",
        scene(
            denied={"tclass": "unix_stream_socket", "target": DOMAIN + THEIRS, "path": "/run/s"}, **UNCLAIMED
        ),
    ),
    (
        Code.TYPE,
        "(allow container_t var_t (file (getattr open read)))",
        scene(DenyingRule.TYPES, denied={"target": VAR}, **UNCLAIMED),
    ),
    (Code.TYPE, "mcsctl verify --repair web", scene(DenyingRule.TYPES, denied={"target": VAR})),
    (
        Code.BOOLEAN,
        "mcsctl booleans container_use_nfs on",
        scene(
            DenyingRule.BOOLEAN,
            verdict={"booleans": ("x", "container_use_nfs")},
            denied={"target": VAR},
            **UNCLAIMED,
        ),
    ),
    (
        Code.BOOLEAN,
        "setsebool other on",
        scene(DenyingRule.BOOLEAN, verdict={"booleans": ("other",)}, denied={"target": VAR}, **UNCLAIMED),
    ),
    (
        Code.BOOLEAN,
        "mcsctl booleans held on",
        scene(DenyingRule.BOOLEAN, verdict={"booleans": ("held",)}, denied={"target": VAR}, **UNCLAIMED),
    ),
    (
        Code.BOOLEAN,
        "setsebool free on",
        scene(DenyingRule.BOOLEAN, verdict={"booleans": ("free",)}, denied={"target": VAR}, **UNCLAIMED),
    ),
    (
        Code.ENGINE,
        "docker start web",
        scene(
            DenyingRule.TYPES,
            denied={"source": "system_u:system_r:dockerd_t:s0", "target": VAR, "path": "/srv/web"},
        ),
    ),
    (Code.OTHER_RULE, "semodule -i local_7.cil", scene(denied={"target": FILE + MINE})),
    (Code.OTHER_RULE, "semodule -i local_7.cil", scene(DenyingRule.ROLES, denied={"target": FILE + MINE})),
    (Code.UNKNOWN, "mcsctl status", scene(DenyingRule.UNKNOWN, denied={"target": FILE + MINE})),
    (Code.PERMISSIVE, "mcsctl status", scene(denied={"permissive": True})),
    (Code.MENDED, "docker restart web", scene(DenyingRule.ALLOWED)),
    (Code.MENDED, "docker restart web", scene(label=FILE + MINE, now=PolicyVerdict(DenyingRule.ALLOWED))),
    (
        Code.SECCOMP,
        "docker inspect",
        scene(denied={"kind": DenialKind.SECCOMP, "call": "keyctl", "signal": 31}),
    ),
    (
        Code.FILE_MODE,
        "chown 1000 /srv/web/x",
        scene(
            denied={
                "kind": DenialKind.CALL,
                "call": "openat",
                "errno": "EACCES",
                "uid": 1000,
                "mode": 0o100600,
                "owner": 0,
            }
        ),
    ),
    (
        Code.CAPABILITY,
        "",
        scene(denied={"kind": DenialKind.CALL, "call": "chown", "errno": "EPERM", "uid": 0}),
    ),
    (
        Code.CAPABILITY,
        "",
        scene(denied={"kind": DenialKind.CALL, "call": "read", "errno": "EACCES", "uid": 0}),
    ),
)


@pytest.mark.parametrize(
    ("code", "command", "what"), CASES, ids=[f"{code}-{n}" for n, (code, _, _) in enumerate(CASES)]
)
def test_a_cause_is_named_with_what_to_do(code: Code, command: str, what: Scene) -> None:
    (cause,) = explain(what, WORLD)
    assert cause.code is code
    assert command in " ; ".join(cause.commands)
    assert cause.text and (cause.commands or cause.advice)


def test_every_code_has_a_case() -> None:
    assert {code for code, _, _ in CASES} == set(Code)


def test_every_code_is_described_in_the_manual() -> None:
    page = (Path(__file__).parents[3] / "packaging/man/mcsd-why.7.rst").read_text(encoding="utf-8")
    causes = page.partition("\nCAUSES\n")[2].partition("\nFOLLOWING DENIALS\n")[0]
    described = [
        name for line in re.findall(r"^\*.*", causes, re.M) for name in re.findall(r"\*([a-z-]+)\*", line)
    ]
    assert sorted(described) == sorted(Code)


# --- two causes ----------------------------------------------------------------------------------------


def test_where_types_and_categories_deny_both_are_told_and_no_rule_alone_is_proposed() -> None:
    """Known of the interpreter: with no allow rule it is silent about categories."""
    both = scene(
        DenyingRule.TYPES,
        verdict={"categories": True},
        denied={"target": "system_u:object_r:var_t:" + THEIRS},
        claim=None,
        host="/srv/db/x",
    )
    found = causes(both)
    assert set(found) == {Code.OTHERS_VOLUME, Code.TYPE}
    assert not found[Code.TYPE].commands


def test_categories_that_would_not_deny_are_not_accused() -> None:
    only = scene(
        DenyingRule.TYPES,
        verdict={"categories": False},
        denied={"target": "u:r:var_t:" + THEIRS},
        **UNCLAIMED,
    )
    assert set(causes(only)) == {Code.TYPE}


# --- who holds it --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "told", "command"),
    [
        ("active", "db holds it", "mcsctl volumes --path /srv/db"),
        ("quarantined", "db held it and is gone", "mcsctl restore /srv/db"),
        ("reserved", "reserved under the name db", "mcsctl volumes --path /srv/db"),
        ("group", "the group db's", "mcsctl volumes --path /srv/db"),
        ("foreign", "outside the engines", "mcsctl volumes --path /srv/db"),
    ],
)
def test_who_holds_the_level_and_since_when(state: str, told: str, command: str) -> None:
    world = replace(WORLD, holders={THEIRS: (LevelHolder("db", state, DB.id, 60.0),)})
    (cause,) = explain(scene(claim=None, host="/srv/db/x"), world)
    assert told in cause.text and command in cause.commands
    assert cause.since == 60.0


def test_where_mcsd_leaves_a_mount_alone_the_rule_is_told_as_well() -> None:
    alone = scene(DenyingRule.TYPES, denied={"target": VAR}, claim=held(mode="ignore"))
    found = causes(alone)
    assert set(found) == {Code.LEFT_ALONE, Code.TYPE}
    assert "semodule -i" in found[Code.TYPE].commands[1]


def test_what_docker_is_denied_for_a_mount_that_mcsd_leaves_alone() -> None:
    what = scene(
        DenyingRule.TYPES,
        denied={"source": "system_u:system_r:dockerd_t:s0", "target": VAR, "tclass": "dir"},
        claim=held(mode="ignore"),
    )
    (cause,) = explain(what, WORLD)
    assert cause.code is Code.ENGINE and not cause.commands and "io.mcsd.volume" in cause.advice


def test_what_docker_is_denied_for_nobody_in_particular() -> None:
    what = scene(
        DenyingRule.TYPES,
        denied={"source": "system_u:system_r:dockerd_t:s0", "target": VAR, "path": "/x"},
        claim=None,
        who=None,
    )
    assert "journalctl -u docker" in causes(what)[Code.ENGINE].advice


def test_a_stray_that_is_known_does_not_ask_for_a_scan() -> None:
    known = replace(WORLD, strays={"/opt/x": "restorecon"})
    assert not causes(scene(**UNCLAIMED), known)[Code.STRAY].advice


def test_a_path_that_is_not_known_on_the_host_gets_no_command() -> None:
    assert causes(scene(claim=None, host=""))[Code.STRAY].commands == ()


def test_a_name_that_a_shell_would_read_is_quoted() -> None:
    (cause,) = explain(scene(claim=None, host="/opt/a b;rm"), WORLD)
    assert "restorecon -F '/opt/a b;rm'" in cause.commands


# --- without a record ----------------------------------------------------------------------------------


def test_what_the_policy_is_silent_about_says_how_to_see_it() -> None:
    silent = scene(verdict={"silent": True}, claim=None, host="/srv/db/x")
    (cause,) = standing(silent, WORLD, who=WEB)
    assert cause.code is Code.OTHERS_VOLUME and "dontaudit" in cause.text and "semodule -DB" in cause.advice
    assert cause.since == 60.0


def test_where_selinux_lets_it_in_the_mode_is_looked_at() -> None:
    closed = scene(DenyingRule.ALLOWED, denied={"mode": 0o100600, "owner": 0, "uid": 1000})
    (cause,) = standing(closed, WORLD, who=WEB)
    assert cause.code is Code.FILE_MODE
    open_ = scene(DenyingRule.ALLOWED, denied={"mode": 0o100644, "owner": 0, "uid": 0})
    assert standing(open_, WORLD, who=WEB) == ()


@pytest.mark.parametrize(
    ("mode", "owner", "uid", "is_kept_out"),
    [
        (0o100600, 0, 1000, True),
        (0o100600, 1000, 1000, False),
        (0o100600, 0, 0, False),
        (0o040700, 0, 1000, True),
        (0o040755, 0, 1000, True),  # it may look, and not write
        (0o040777, 0, 1000, False),
        (None, 0, 1000, False),
    ],
)
def test_what_of_a_mode_keeps_a_user_out(mode: int | None, owner: int, uid: int, is_kept_out: bool) -> None:
    assert bool(kept_out(mode, owner, uid)) is is_kept_out


def test_calls_ask_for_capabilities() -> None:
    assert (capability_for("mount"), capability_for("read")) == ("SYS_ADMIN", "")


# --- whose, and where ----------------------------------------------------------------------------------


def test_the_process_says_whose_it_is_and_then_the_level() -> None:
    assert whose(denial(), WORLD, DB.id) == DB
    assert whose(denial(), WORLD) == WEB
    assert whose(denial(source=DOMAIN + "s0:c1,c2"), WORLD) is None


def test_a_container_that_got_the_level_later_is_not_accused() -> None:
    assert whose(denial(time=40.0), WORLD) is None


def test_paths_are_found_on_the_host_by_the_innermost_mount() -> None:
    inner = Held("/srv/inner", "/data/in", "private", "ready")
    web = replace(WEB, claims=(CLAIM, inner))
    assert where(denial(path="/data/in/x"), web) == ("/srv/inner/x", inner)
    assert where(denial(path="/data"), web) == ("/srv/web", CLAIM)
    assert where(denial(path="/database"), web) == ("", None)
    assert where(denial(path="/etc/passwd"), web) == ("", None)
    assert where(denial(path=""), web) == ("", None)
    assert where(denial(), None) == ("", None)


def test_where_there_is_no_path_it_is_searched_by_inode() -> None:
    assert candidates(denial(path="", name="x"), WEB) == (CLAIM,)
    assert candidates(denial(path="", name="x", inode=None), WEB) == ()
    assert candidates(denial(), WEB) == ()


def test_what_was_sought() -> None:
    assert is_sought(Sought(0.0), denial(), None, "")
    assert not is_sought(Sought(101.0), denial(), None, "")
    assert is_sought(Sought(0.0, container=WEB.id), denial(), WEB, "")
    assert not is_sought(Sought(0.0, container=WEB.id), denial(), DB, "")
    assert is_sought(Sought(0.0, path="/srv/web"), denial(), WEB, "/srv/web/x")
    assert not is_sought(Sought(0.0, path="/srv/we"), denial(), WEB, "/srv/web/x")
    assert claimants("/srv/db/x", WORLD.containers) == (DB,)


@pytest.mark.parametrize(
    ("source", "types", "it_does"),
    [
        (DOMAIN + "s0:c1,c2", (), True),
        ("system_u:system_r:svirt_lxc_net_t:s0:c1,c2", (), True),
        ("system_u:system_r:svirt_t:s0:c1,c2", (), True),
        ("system_u:system_r:dockerd_t:s0", (), True),
        ("system_u:system_r:my_t:s0", ("my_t",), True),
        ("system_u:system_r:httpd_t:s0", (), False),
        ("unconfined_u:unconfined_r:unconfined_t:s0-s0:c0.c1023", (), False),
        ("no context", (), False),
    ],
)
def test_whom_a_denial_concerns(source: str, types: tuple[str, ...], it_does: bool) -> None:
    assert concerns_containers(denial(source=source), types) is it_does


# --- storms --------------------------------------------------------------------------------------------


def test_what_is_alike_is_one_line_with_a_count() -> None:
    storms = Storms()
    assert storms.add(denial()) is not None
    for number in range(10_000):
        assert storms.add(denial(time=200.0 + number, serial=number)) is None
    (storm,) = storms.all()
    assert (storm.count, storm.first.time, storm.last, storm.others) == (10_001, 100.0, 10_199.0, False)


def test_made_up_names_are_one_line_after_a_while_and_hide_nobody() -> None:
    storms = Storms()
    for number in range(10_000):
        storms.add(denial(path=f"/data/{number}"))
    other = storms.add(denial(source=DOMAIN + THEIRS))
    assert other is not None and other in storms.all()
    assert len(storms.all()) == MOST_OF_ONE + 2
    assert sum(one.count for one in storms.all()) == 10_001
    assert max(one.count for one in storms.all() if one.others) == 10_000 - MOST_OF_ONE


@given(st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 99), st.integers(1, 5)), max_size=300))
def test_nothing_is_lost_uncounted(many: list[tuple[int, int, int]]) -> None:
    storms = Storms()
    for kind, path, times in many:
        storms.add(denial(tclass=f"class{kind}", path=f"/data/{path}", times=times))
    assert sum(one.count for one in storms.all()) + storms.lost == sum(times for *_, times in many)


def test_there_is_an_end_to_what_is_kept() -> None:
    storms = Storms()
    for number in range(5 * MOST_STORMS):
        storms.add(denial(tclass=f"class{number}"))
    assert len(storms.all()) == MOST_STORMS
    assert storms.lost == 4 * MOST_STORMS
