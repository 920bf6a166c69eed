"""mcsctl over a real socket: what it asks for, what it prints, how it ends."""

from __future__ import annotations

import io
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from mcsd.cli import main as ctl
from mcsd.cli.arguments import Arguments, make_parser, parse, subcommands
from mcsd.cli.errors import CtlError, Exit
from mcsd.cli.screens import way_out
from mcsd.cli.wait import wait_for
from mcsd.core.snapshot import Event
from mcsd.errors import BooleanError, ExhaustedError
from tests.fakes.service import NOW, FakeService, busy, container_id, problem_events, troubled_scene
from tests.fakes.serving import Served, serving
from tests.fakes.settled import settled

NOBODY = 65534


@dataclass(frozen=True, slots=True)
class Told:
    """How one run of mcsctl ended, and what it said."""

    status: int
    out: str
    err: str

    @property
    def object(self) -> object:
        return json.loads(self.out)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def run(
    path: str, *arguments: str, environment: Mapping[str, str] | None = None, out: io.StringIO | None = None
) -> Told:
    out, err = out or io.StringIO(), io.StringIO()
    given = environment if environment is not None else {"COLUMNS": "100"}
    try:
        parsed = parse(["--socket", path, *arguments])
        status = ctl.run(parsed, out=out, err=err, environment=given, now=NOW)
    except CtlError as error:
        return Told(error.status, out.getvalue(), f"mcsctl: {error.what}\nhint: {error.hint}\n")
    return Told(status, out.getvalue(), err.getvalue())


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    scene = troubled_scene()
    service = FakeService(scene, events=problem_events(scene))
    service.change = busy
    with settled(), serving(service, tmp_path / "s") as running:
        yield running


# --- reading -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "target"),
    [
        ("status", "/v1/status"),
        ("containers", "/v1/containers"),
        ("show web", "/v1/containers/web"),
        ("volumes", "/v1/volumes"),
        ("pairs", "/v1/pairs"),
        ("booleans", "/v1/booleans"),
    ],
)
def test_json_is_the_apis_own_object(served: Served, command: str, target: str) -> None:
    told = run(served.path, "--json", *command.split())
    assert (told.status, told.err) == (Exit.DONE, "")
    assert told.object == served.ask(target).object


def test_json_may_stand_before_or_after_the_command(served: Served) -> None:
    assert run(served.path, "status", "--json").object == run(served.path, "--json", "status").object


def test_filters_are_the_sockets(served: Served) -> None:
    assert run(served.path, "containers", "-q", "--isolated", "yes").out == "db\n"
    assert run(served.path, "containers", "-q", "--failed").out == "broken\n"
    assert run(served.path, "containers", "-q", "--conflicts", "--level", "s0:c900,c12").out == (
        "web\nweb-clone\n"
    )
    assert run(served.path, "volumes", "-q", "--state", "stranded", "--state", "lingering").out == (
        "/mnt/usb\n/srv/old\n"
    )
    assert run(served.path, "volumes", "-q", "--container", "db").out == "/srv/db\n"
    assert run(served.path, "pairs", "-q", "--state", "reserved").out == "s0:c60,c61\ns0:c62,c63\n"


def test_lists_longer_than_a_page_are_whole(tmp_path: Path) -> None:
    scene = troubled_scene()
    for number in range(1500):
        scene.container(f"c{number:04d}", None)
    with settled(), serving(FakeService(scene), tmp_path / "s") as served:
        told = run(served.path, "containers", "-q")
    assert len(told.out.splitlines()) == 1500 + len(troubled_scene().containers)


def test_a_container_is_found_by_the_beginning_of_its_id_and_never_guessed(served: Served) -> None:
    assert json.loads(run(served.path, "show", "--json", container_id(2)[:6]).out)["name"] == "db"
    told = run(served.path, "show", "nobody")
    assert told.status == Exit.NOT_FOUND
    assert told.err == "mcsctl: there is no container 'nobody'\nhint: mcsctl containers lists them\n"


def test_one_boolean_is_found_by_either_name(served: Served) -> None:
    """The policy's name and the configuration's."""
    asked = run(served.path, "booleans", "docker_connect_any")
    assert asked.out == run(served.path, "booleans", "container_connect_any").out
    assert "container_use_nfs" not in asked.out
    assert run(served.path, "booleans", "no_such").status == Exit.NOT_FOUND


def test_what_a_name_holds_cannot_forge_a_line(served: Served) -> None:
    """Names are somebody else's text: no control character reaches the terminal."""
    for command in ("status", "containers", "volumes", "show evil", "events"):
        out = run(served.path, *command.split(), out=Terminal()).out
        assert not [char for char in out if not char.isprintable() and char not in "\n\x1b"], command
        assert "\x1b[31m" not in out, command


# --- colours -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("out", "environment", "coloured"),
    [
        (io.StringIO, {}, False),
        (Terminal, {}, True),
        (Terminal, {"NO_COLOR": "1"}, False),
        (Terminal, {"TERM": "dumb"}, False),
    ],
)
@pytest.mark.parametrize("command", ["status", "containers", "booleans", "show web"])
def test_colour_is_for_terminals_and_can_be_had_without(
    served: Served, out: type[io.StringIO], environment: dict[str, str], coloured: bool, command: str
) -> None:
    told = run(served.path, *command.split(), environment=environment, out=out())
    assert ("\x1b[" in told.out) is coloured


# --- events --------------------------------------------------------------------------------------------


def test_events_are_listed_and_filtered(served: Served) -> None:
    told = run(served.path, "events", "--json", "--kind", "conflict", "--kind", "volume-refused")
    assert [json.loads(line)["sequence"] for line in told.out.splitlines()] == [2, 3]
    assert len(run(served.path, "events", "-n", "2", "--json").out.splitlines()) == 2
    assert len(run(served.path, "events", "--priority", "3", "--json").out.splitlines()) == 1


class Tail(io.StringIO):
    """Output that says when something has come."""

    def __init__(self) -> None:
        super().__init__()
        self.came = threading.Event()

    def flush(self) -> None:
        if "six" in self.getvalue():
            self.came.set()


def test_events_are_followed_from_where_the_list_ends(tmp_path: Path) -> None:
    scene = troubled_scene()
    out = Tail()
    told: list[Told] = []
    with settled():
        with serving(FakeService(scene, events=problem_events(scene)), tmp_path / "s") as served:
            follower = threading.Thread(
                target=lambda: told.append(run(served.path, "events", "-f", "-n", "2", out=out))
            )
            follower.start()
            served.wait(lambda: served.service.readers > 1)
            six = Event(6, NOW, "granted", "six", 6)
            served.on_loop(lambda: served.service.tell(six))
            assert out.came.wait(10)
        follower.join(10)
    assert [line.split()[2] for line in out.getvalue().splitlines() if line[:2] == "20"] == [
        "info",
        "warning",
        "info",
    ]
    assert (told[0].status, told[0].err.splitlines()[0]) == (
        Exit.NO_DAEMON,
        "mcsctl: mcsd has ended the stream",
    )


# --- changing ------------------------------------------------------------------------------------------


def test_verify_fails_when_something_differs_and_succeeds_when_it_was_mended(served: Served) -> None:
    told = run(served.path, "verify")
    assert told.status == Exit.FAILED
    assert "BAD /srv/web: 2 of 1,204 inodes" in told.out
    assert "BAD volume /srv/lost has originals on disk" in told.out
    assert "\nhint: mcsctl verify --repair labels again what differs" in told.err
    assert run(served.path, "verify", "--repair", "web").status == Exit.DONE
    assert run(served.path, "verify", "nobody").status == Exit.NOT_FOUND
    assert served.service.done == ["verify None False", f"verify {container_id(1)} True"]


@pytest.mark.parametrize(
    ("found", "repaired", "says"),
    [
        ({"volumes": [{"wrong": 1}]}, False, "mcsctl verify --repair"),
        ({"volumes": [{"error": "no"}]}, True, "mend what stands beside each"),
        ({"ledger": ["x"], "processes": ["y"]}, False, "mcsctl verify --repair"),
        ({"volumes": [{"wrong": 1, "repaired": True}], "processes": ["y"]}, True, "docker restart"),
        ({"pairs": ["z"]}, False, "mcsctl pairs --state foreign"),
    ],
)
def test_verify_says_what_to_do_about_what_it_found(
    found: dict[str, object], repaired: bool, says: str
) -> None:
    assert way_out(found, repaired=repaired).startswith(says)


def test_paths_are_made_absolute_and_links_are_not_followed(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to("/etc")
    run(served.path, "restore", "link/../data")
    run(served.path, "verify", "./link")
    assert served.service.done == [f"restore {tmp_path}/data", f"verify {tmp_path}/link False"]


def test_a_path_that_leads_elsewhere_is_followed_in_lists_and_said(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to("/srv/finance")
    told = run(served.path, "volumes", "--quiet", "--path", "link/")
    assert told.status == Exit.DONE and told.out.splitlines()
    assert all(line.startswith("/srv/finance") for line in told.out.splitlines())
    assert told.err == "link/ leads to /srv/finance\n"
    assert run(served.path, "volumes", "--path", "/srv//finance/../finance/").err == ""


def test_restore_says_what_it_did_or_why_not(served: Served) -> None:
    told = run(served.path, "restore", "/srv/old")
    assert (told.status, told.out) == (Exit.DONE, "/srv/old: 12 labels put back, 1 left alone, in 0.5 s\n")
    told = run(served.path, "restore", "/srv/web")
    assert told.status == Exit.REFUSED
    assert told.err == (
        "mcsctl: the volume /srv/web is claimed by container web\nhint: remove the container first\n"
    )


def test_reserve_prints_the_level_alone_where_a_program_reads(served: Served) -> None:
    told = run(served.path, "reserve", "ci", "--group", "builders")
    assert (told.status, told.out, told.err) == (Exit.DONE, "s0:c80,c81\n", "")
    assert run(served.path, "release", "backup") == Told(Exit.DONE, "", "")
    assert run(served.path, "release", "other").status == Exit.NOT_FOUND
    assert served.service.done == ["reserve ci builders", "release backup", "release other"]


@pytest.mark.parametrize(
    ("option", "value", "life"),
    [
        ("--pid", "42", "LifeRequest(pid=42, unit='', until='')"),
        ("--unit", "web.service", "LifeRequest(pid=None, unit='web.service', until='')"),
        ("--until", "2h", "LifeRequest(pid=None, unit='', until='2h')"),
    ],
)
def test_a_reservation_is_asked_for_with_a_life(served: Served, option: str, value: str, life: str) -> None:
    told = run(served.path, "--json", "reserve", "ci", option, value)
    assert json.loads(told.out)["life"]["text"]
    assert served.service.done == [f"reserve ci None {life}"]


def test_a_reservation_has_one_life_at_most(served: Served) -> None:
    told = run(served.path, "reserve", "ci", "--pid", "1", "--until", "2h")
    assert (told.status, "not allowed with" in told.err) == (Exit.USAGE, True)
    told = run(served.path, "reserve", "ci", "--pid", "no")
    assert told.err.startswith("mcsctl: argument --pid: 'no' is not a number above 0\nhint: ")
    assert served.service.done == []


def test_a_boolean_is_held_and_let_go(served: Served) -> None:
    told = run(served.path, "booleans", "container_use_nfs", "on")
    assert told.status == Exit.DONE
    assert "off, held on" in told.out
    assert run(served.path, "booleans", "other", "off").status == Exit.NOT_FOUND
    assert served.service.done == ["boolean container_use_nfs on", "boolean other off"]


# --- waiting -------------------------------------------------------------------------------------------


def test_wait_gives_back_what_is_ready(served: Served) -> None:
    told = run(served.path, "wait", "db", "--timeout", "9")
    assert (told.status, told.out) == (Exit.DONE, "db is ready: s0:c7,c31, 1/1 volumes\n")


@pytest.mark.parametrize(
    ("container", "status", "text"),
    [
        ("media", Exit.TIMED_OUT, "container 'media' was not ready within 0 s"),
        ("web-clone", Exit.REFUSED, "is refused: web holds /srv/web as private"),
        ("broken", Exit.FAILED, "could not be handled"),
        ("nobody", Exit.NOT_FOUND, "there is no container 'nobody'"),
    ],
)
def test_wait_says_why_not(served: Served, container: str, status: Exit, text: str) -> None:
    told = run(served.path, "wait", container, "--timeout", "0")
    assert told.status == status
    assert text in told.err


def test_wait_waits_for_a_container_that_appears_and_becomes_ready(served: Served) -> None:
    from mcsd.cli.client import Client

    looks: list[str] = []

    def pause(_: float) -> None:
        looks.append("")
        if len(looks) == 2:
            served.service.scene.container("late", "s0:c801,c802")
            served.service.scene.unsettled.add("late")
        if len(looks) == 4:
            served.service.scene.unsettled.discard("late")

    found = wait_for(Client(served.path), "late", timeout=60, pause=pause, now=lambda: 0.0)
    assert (found["name"], len(looks)) == ("late", 4)


# --- how it ends ---------------------------------------------------------------------------------------


def test_no_daemon_has_its_own_status(tmp_path: Path) -> None:
    told = run(str(tmp_path / "none"), "status")
    assert told.status == Exit.NO_DAEMON
    assert told.err.splitlines()[1] == "hint: systemctl status mcsd; systemctl start mcsd"
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(tmp_path / "dead"))
    dead.close()
    assert run(str(tmp_path / "dead"), "status").status == Exit.NO_DAEMON


def test_problems_keep_the_sentence_and_the_hint(served: Served) -> None:
    served.service.raises = ExhaustedError("no pair is free in c0.c3", hint="widen [categories] range")
    assert run(served.path, "status") == Told(
        Exit.FAILED, "", "mcsctl: no pair is free in c0.c3\nhint: widen [categories] range\n"
    )
    served.service.raises = BooleanError("the kernel refuses", hint="see ausearch -m avc")
    assert run(served.path, "booleans").status == Exit.FAILED


def test_a_bug_in_the_daemon_is_a_failure_like_others(served: Served) -> None:
    served.service.raises = ZeroDivisionError()
    told = run(served.path, "status")
    assert told.status == Exit.FAILED
    assert told.err.startswith("mcsctl: an unforeseen failure\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ["nothing"],
        [],
        ["containers", "--state", "sleeping"],
        ["wait", "x", "--timeout", "-1"],
        ["events", "--priority", "9"],
        ["booleans", "x", "maybe"],
        ["status", "--jso"],
    ],
)
def test_usage_errors_have_a_hint(arguments: list[str]) -> None:
    with pytest.raises(CtlError) as caught:
        parse(arguments)
    assert caught.value.status == Exit.USAGE
    assert caught.value.hint.startswith("see mcsctl")


def test_every_command_has_its_handler_and_every_option_its_place() -> None:
    choices = subcommands(make_parser())
    assert set(choices) == set(ctl.COMMANDS)
    fields = set(Arguments.__dataclass_fields__)
    for parser in choices.values():
        assert {action.dest for action in parser._actions} - {"help"} <= fields


def test_an_old_daemon_and_a_new_one_are_understood(served: Served) -> None:
    """Any mcsd of the same major version: fields that are missing or new do no harm."""
    from mcsd.cli.screens import show_container, show_status
    from mcsd.cli.text import Screen

    screen = Screen(io.StringIO(), 80, False, NOW)
    show_status(screen, {"version": "1.0", "future": {"x": 1}})
    show_container(screen, {"name": "n", "id": "0" * 64, "future": 1})


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "mcsd.cli.main", *arguments]


def test_nothing_slow_is_imported() -> None:
    """mcsctl starts at once: neither what the daemon needs nor what only some commands need is loaded."""
    script = "import sys, mcsd.cli.main; print('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert not loaded & {"pydantic", "aiohttp", "docker", "rich", "asyncio", "prometheus_client", "selinux"}


def test_the_program_ends_with_the_status_and_says_why_on_standard_error(served: Served) -> None:
    done = subprocess.run(command("--socket", served.path, "show", "nobody"), capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr == "mcsctl: there is no container 'nobody'\nhint: mcsctl containers lists them\n"


def test_a_reader_that_has_enough_is_no_error_to_shout_about(served: Served) -> None:
    program = " ".join(command("--socket", served.path, "volumes", "--json"))
    done = subprocess.run(["sh", "-c", f"{program} | true"], capture_output=True, text=True)
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="takes another user's place")
def test_others_are_told_that_they_may_not() -> None:
    """Who is neither root nor in the group gets no answer; who is in the group may read and not change."""
    tree = Path.cwd()
    for needed in (tree, Path(sys.executable)):
        if not all(parent.stat().st_mode & 0o001 for parent in (needed, *needed.parents)):
            pytest.skip(f"another user cannot reach {needed}")
    with (
        tempfile.TemporaryDirectory() as place,
        settled(),
        serving(FakeService(troubled_scene()), Path(place) / "s", mode=0o666, gid=0) as served,
    ):
        os.chmod(place, 0o755)
        script = f"import sys; sys.path.insert(0, {str(tree)!r}); from mcsd.cli.main import main; "

        def as_nobody(call: str, *, group: int) -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                [sys.executable, "-c", f"{script} sys.exit(main(['--socket', {served.path!r}, {call}]))"],
                capture_output=True,
                text=True,
                user=NOBODY,
                group=group,
                extra_groups=[],
            )

        shut_out = as_nobody("'status'", group=NOBODY)
        assert (shut_out.returncode, shut_out.stdout) == (5, "")
        assert "you may not use mcsd's socket" in shut_out.stderr
        reads = as_nobody("'containers', '-q'", group=0)
        assert reads.returncode == 0, reads.stderr
        changes = as_nobody("'restore', '/srv/old'", group=0)
        assert (changes.returncode, changes.stderr.splitlines()[0]) == (
            5,
            f"mcsctl: user {NOBODY} may not change anything",
        )
        assert served.service.done == []


def test_the_engine_being_away_is_told_in_the_status(served: Served) -> None:
    """Promise 8."""
    served.service.change = lambda p: replace(
        p, engine_errors={"docker": ("connection refused", "")}, synced=False
    )
    out = run(served.path, "status").out
    assert "Docker      BAD  connection refused" in out
    assert "next: systemctl status docker" in out
