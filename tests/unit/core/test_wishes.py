"""What is misspelt in a label is told with the nearest right word, and an option is explained."""

from __future__ import annotations

import re

import pytest

from mcsd.core.containers import Container, ContainerId, Mount, MountKind
from mcsd.core.volumes import ClaimMode
from mcsd.core.wishes import nearest, notes, wishes

MOUNTS = (
    Mount(MountKind.BIND, "/srv/data", "/data"),
    Mount(MountKind.BIND, "/srv/logs", "/var/logs"),
    Mount(MountKind.TMPFS, "", "/run"),
)


def container(**labels: str) -> Container:
    own = tuple(sorted((f"io.mcsd.{key}", value) for key, value in labels.items()))
    return Container(ContainerId("a" * 64), "web", running=True, labels=own, mounts=MOUNTS)


@pytest.mark.parametrize(
    ("written", "said", "right"),
    [
        ("/data=shared", "has no ':'", "write /data:shared"),
        ("/data shared", "has no ':'", "write /data:shared"),
        ("/data:Shared", "no mode that there is: 'Shared'", "write /data:shared"),
        ("/data:SHARED", "no mode that there is", "write /data:shared"),
        ("/data:sharde", "no mode that there is", "write /data:shared"),
        ("/data:ignored", "no mode that there is", "write /data:ignore"),
        ("/data:privat", "no mode that there is", "write /data:private"),
        ("/dta:shared", "names no mount", "write /data:shared"),
        ("/logs:ignore", "names no mount", "write /var/logs:ignore"),
        ("data:shared", "does not begin with an absolute path", "write /data:shared"),
        ("/data:shared;/var/logs:ignore", "has ';' in it", "write /data:shared,/var/logs:ignore"),
        ("/data", "has no mode", "it is written io.mcsd.volume=/data:shared,/logs:ignore"),
        ("/data:", "has no mode", "it is written io.mcsd.volume"),
        ("/zzzzzz:shared", "names no mount", "there are /data, /var/logs"),
        ("/run:shared", "of the kind tmpfs", ""),
        ("/data:group", "io.mcsd.group as well", "add the label io.mcsd.group"),
        ("/data:shared,/data:ignore", "second word on /data", "write one"),
    ],
)
def test_what_cannot_be_understood_is_told_with_what_was_meant(written: str, said: str, right: str) -> None:
    (note,) = notes(container(volume=written))
    assert note.misread and said in note.text
    assert note.hint.startswith(right) and bool(note.hint) is bool(right)


@pytest.mark.parametrize(
    "written",
    [
        "/data=shared",
        "/data:Shared",
        "/dta:shared",
        "data:shared",
        "/data:shared;/var/logs:ignore",
        "/data:sharde",
    ],
)
def test_what_is_written_as_the_hint_says_is_understood(written: str) -> None:
    (note,) = notes(container(volume=written))
    right = note.hint.removeprefix("write ")
    assert notes(container(volume=right)) == ()
    assert wishes(container(volume=right))["/data"] is ClaimMode.SHARED


@pytest.mark.parametrize(
    "written", ["/data:shared", " /data:ignore , /var/logs/:observe", "/data:private,", ""]
)
def test_what_is_right_is_not_mentioned(written: str) -> None:
    assert notes(container(volume=written)) == ()


@pytest.mark.parametrize(("key", "right"), [("volumes", "volume"), ("Group", "group"), ("bool", "boolean")])
def test_a_label_that_there_is_not_is_told(key: str, right: str) -> None:
    (note,) = notes(container(**{key: "/data:shared"}))
    assert note.misread and note.hint == f"write io.mcsd.{right}"


def test_what_an_image_says_is_not_its_users_mistake() -> None:
    mine = container(volumes="x")
    image = Container(mine.id, mine.name, running=True, labels=mine.labels, image_labels=mine.labels)
    assert notes(image) == ()


def options(*given: str) -> Container:
    return Container(ContainerId("a" * 64), "web", running=True, security_options=given)


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("label=level:s0-s0:c1,c2", r"range.*up to s0:c1,c2.*they carry s0$"),
        ("label:level:s0:c1,c2", r"chose this level"),
        ("level:s0:c2,c1", r"chose this level"),
        ("label=level:c1,c2", r"not an SELinux level"),
        ("label=type:spc_t", r"domain spc_t"),
        ("label=filetype:usr_t", r"type usr_t.*file_type"),
        ("label=nested", r"start containers of its own"),
        ("label=user:staff_u", r"SELinux user staff_u"),
        ("label=role:staff_r", r"SELinux role staff_r"),
        ("label=disable", r"unconfined"),
        ("disable", r"unconfined"),
    ],
)
def test_what_mcsd_makes_of_an_option(option: str, said: str) -> None:
    (note,) = notes(options(option))
    assert note.subject == option and not note.misread
    assert re.search(said, note.text)


@pytest.mark.parametrize("option", ["seccomp=unconfined", "no-new-privileges", "apparmor=docker-default"])
def test_other_options_are_none_of_its_business(option: str) -> None:
    assert notes(options(option)) == ()


def test_no_word_is_near_to_nonsense() -> None:
    assert nearest("zzz", ("shared", "ignore")) == "" and nearest("SHARED", ("shared",)) == "shared"
