"""Whose word on a volume's mode counts: one row for each rule of precedence."""

from __future__ import annotations

import pytest

from mcsd.core.containers import Container, ContainerId, Mount, MountKind
from mcsd.core.modes import PathRule, VolumePolicy, mode_for, rule_for
from mcsd.core.volumes import ClaimMode
from mcsd.core.wishes import is_claimable, notes, wishes

IGNORE, SHARED, PRIVATE, GROUP, OBSERVE = (
    ClaimMode.IGNORE,
    ClaimMode.SHARED,
    ClaimMode.PRIVATE,
    ClaimMode.GROUP,
    ClaimMode.OBSERVE,
)


def mount(source: str = "/srv/www", *options: str, kind: MountKind = MountKind.BIND) -> Mount:
    return Mount(kind, source, "/data", options=frozenset(options), driver="local")


def container(wish: str = "", *, group: str = "", image_wish: str = "") -> Container:
    labels = [("io.mcsd.volume", wish)] * bool(wish) + [("io.mcsd.group", group)] * bool(group)
    image = ((("io.mcsd.volume", image_wish),)) if image_wish else ()
    return Container(ContainerId("a" * 64), "web", running=True, labels=tuple(labels), image_labels=image)


@pytest.mark.parametrize(
    ("rule", "wish", "options", "default", "expected"),
    [
        (None, "", (), PRIVATE, PRIVATE),
        (None, "", (), OBSERVE, OBSERVE),
        (None, "", ("z",), PRIVATE, SHARED),
        (None, "", ("Z",), SHARED, PRIVATE),
        (PRIVATE, "", ("z",), SHARED, PRIVATE),
        (SHARED, "/data:private", ("z",), SHARED, PRIVATE),
        (PRIVATE, "/data:shared", (), PRIVATE, SHARED),
        (IGNORE, "/data:shared", ("z",), PRIVATE, IGNORE),
        (OBSERVE, "/data:private", ("Z",), PRIVATE, OBSERVE),
        (None, "/other:shared", (), PRIVATE, PRIVATE),
        (None, "/data:ignore", ("Z",), PRIVATE, IGNORE),
    ],
)
def test_the_strongest_word_counts(
    rule: ClaimMode | None, wish: str, options: tuple[str, ...], default: ClaimMode, expected: ClaimMode
) -> None:
    rules = (PathRule("/srv", rule),) if rule else ()
    policy = VolumePolicy(default=default, rules=rules)
    assert mode_for(mount("/srv/www", *options), container(wish), policy) is expected


def test_dockers_own_z_on_named_volumes_is_nobodys_wish() -> None:
    named = mount("/var/lib/docker/volumes/x/_data", "z", kind=MountKind.VOLUME)
    assert mode_for(named, container(), VolumePolicy()) is PRIVATE


def test_a_link_does_not_get_round_a_rule_that_keeps_hands_off() -> None:
    """Promise 10: the rule counts under any name that the volume goes by."""
    policy = VolumePolicy(rules=(PathRule("/secret", IGNORE),))
    for paths in (["/link", "/secret/x"], ["/secret/x", "/elsewhere"]):
        assert mode_for(mount("/link"), container("/data:private"), policy, paths=paths) is IGNORE


def test_a_group_needs_a_name() -> None:
    assert mode_for(mount(), container("/data:group"), VolumePolicy()) is PRIVATE
    assert mode_for(mount(), container("/data:group", group="team"), VolumePolicy()) is GROUP


def test_an_image_has_no_wishes() -> None:
    """Whoever built the image does not decide about the host's directories."""
    asked = container("/data:shared", image_wish="/data:shared")
    assert mode_for(mount(), asked, VolumePolicy()) is PRIVATE


def test_the_longest_path_that_contains_it_rules_by_whole_components() -> None:
    rules = (
        PathRule("/srv", SHARED),
        PathRule("/srv/www", IGNORE),
        PathRule("/srv/www", OBSERVE),
        PathRule("/", PRIVATE),
    )
    assert rule_for("/srv/www/a", rules) == PathRule("/srv/www", OBSERVE), "the later of two equal ones"
    assert rule_for("/srv/www2", rules) == PathRule("/srv", SHARED)
    assert rule_for("/etc", rules) == PathRule("/", PRIVATE)
    assert rule_for("/etc", rules[:3]) is None


def test_wishes_that_say_nothing_are_reported_and_change_nothing() -> None:
    asked = container("/a:shared, /b/:ignore,,nonsense,c:shared,/d:loud,/e:x:private")
    assert wishes(asked) == {"/a": SHARED, "/b": IGNORE, "/e:x": PRIVATE}
    told = [note.text.split("'")[1] for note in notes(asked) if "no mount" not in note.text]
    assert told == ["nonsense", "c:shared", "/d:loud"]
    assert wishes(container()) == {} and notes(container()) == ()


@pytest.mark.parametrize(
    ("named", "real"),
    [("/home/www", "/var/home/www"), ("/srv", "/var/srv/x"), ("/var/srv/x", "/srv/x/deep")],
)
def test_a_rule_counts_for_the_place_whatever_either_is_called(named: str, real: str) -> None:
    """Promise 10: `/home` is `/var/home` on hosts with ostree."""
    policy = VolumePolicy(rules=(PathRule("/", SHARED), PathRule(named, IGNORE)))
    assert mode_for(mount(real), container("/data:private"), policy, ruled=[named, "/"]) is IGNORE
    assert mode_for(mount(real), container(), policy) is SHARED, "by its name alone it is not met"


def test_the_nearest_rule_decides_by_place_as_the_longest_does_by_name() -> None:
    policy = VolumePolicy(rules=(PathRule("/var/srv", SHARED), PathRule("/srv/own", PRIVATE)))
    assert mode_for(mount("/var/srv/own/x"), container(), policy, ruled=["/srv/own", "/var/srv"]) is PRIVATE


@pytest.mark.parametrize(
    ("shown", "claimable"),
    [
        (Mount(MountKind.BIND, "/srv", "/x"), True),
        (Mount(MountKind.VOLUME, "/v", "/x", driver="local"), True),
        (Mount(MountKind.VOLUME, "/v", "/x", driver="nfs"), False),
        (Mount(MountKind.TMPFS, "", "/x"), False),
        (Mount(MountKind.BIND, "", "/x"), False),
        (Mount(MountKind.OTHER, "/srv", "/x"), False),
    ],
)
def test_only_what_shows_local_files_is_claimed(shown: Mount, claimable: bool) -> None:
    assert is_claimable(shown) is claimable
