"""What may not be labelled: the whole table, by enumeration, on a host made of values."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path, PurePosixPath

import pytest

from mcsd.core.protected import TYPES, Lift, ProtectedPlace, ProtectionRules, Reach, is_left_alone
from mcsd.core.volumes import Identity
from mcsd.errors import VolumeRefusedError
from mcsd.relabel.mounts import mount_table
from mcsd.relabel.places import (
    LASTS,
    Location,
    PathIndex,
    PathIndexes,
    judge_place,
    judge_type,
    within,
)

RULES = ProtectionRules.of(
    homes=["/home/ann", "/root", "/"], storage=["/data/docker"], state=["/var/lib/mcsd"]
)
PLACES = [place for place in RULES.places() if place.path != "/"]


class Host(PathIndex):
    """Every path is a directory of one file system; its inode is its own."""

    def __init__(self, *, missing: frozenset[str] = frozenset(), same: dict[str, str] | None = None) -> None:
        super().__init__(b"")
        self._missing, self._same = missing, same or {}

    def location(self, path: str) -> Location | None:
        if path in self._missing:
            return None
        real = PurePosixPath(self._same.get(path, path))
        chain = tuple(self._inode(one) for one in (real, *real.parents))
        return Location(chain, ("1:1", real))

    def gather(self, paths: Iterable[str]) -> None:
        """Every path is known."""

    @staticmethod
    def _inode(path: PurePosixPath) -> Identity:
        return Identity(1, hash(str(path)) & 0xFFFFFFFF)


HOST = Host()


def rule_for(path: str, *allowed: str, host: Host = HOST) -> str:
    """Return the name of the rule that refuses a volume, "" where none does."""
    location = host.location(path)
    assert location is not None
    try:
        judge_place(location, path, RULES, allowed, host)
    except VolumeRefusedError as refused:
        lift = next(one.rule.lift for one in RULES.places() if one.rule.name == refused.rule)
        assert bool(refused.hint) is (lift is not Lift.NEVER), "who cannot have it allowed is told no way to"
        assert repr(path) in refused.what
        return refused.rule
    return ""


@pytest.mark.parametrize(
    ("path", "rule"),
    [
        ("/var/lib/docker/volumes", "engine-storage"),
        ("/var/lib/containers/storage", "engine-storage"),
        ("/var/lib/containerd/io.containerd.content.v1.content", "engine-storage"),
        ("/var/lib/libvirt/images", "engine-storage"),
        ("/var/lib/incus/containers", "engine-storage"),
        ("/var/lib/lxc/one/rootfs", "engine-storage"),
        ("/var/lib/machines/one", "engine-storage"),
        ("/etc/shadow", "system"),
        ("/etc/ssh/ssh_host_ed25519_key", "system"),
        ("/var/lib/mcsd", "own-state"),
        ("/run/dbus", "runtime"),
        ("/srv", "explicit"),
        ("/srv/data", ""),
    ],
)
def test_what_every_host_has_is_in_the_table(path: str, rule: str) -> None:
    """By name: a row that is taken out of the table is missed here and nowhere else."""
    assert rule_for(path) == rule


def name(place: ProtectedPlace) -> str:
    return f"{place.rule.name}:{place.path}"


@pytest.mark.parametrize("place", PLACES, ids=name)
def test_a_protected_place_is_refused_and_so_is_what_contains_it(place: ProtectedPlace) -> None:
    """Promise 10."""
    for path in (place.path, *map(str, PurePosixPath(place.path).parents)):
        assert rule_for(path), path


@pytest.mark.parametrize("place", PLACES, ids=name)
def test_what_lies_inside_is_refused_where_the_rule_is_for_the_tree(place: ProtectedPlace) -> None:
    assert bool(rule_for(f"{place.path}/zzz/deep")) or place.rule.reach is Reach.ITSELF


@pytest.mark.parametrize("place", PLACES, ids=name)
def test_what_the_configuration_names_is_admitted_as_far_as_the_rule_can_be_lifted(
    place: ProtectedPlace,
) -> None:
    inside = f"{place.path}/zzz"
    match place.rule.lift:
        case Lift.NEVER:
            assert rule_for(place.path, place.path)
            assert rule_for(inside, inside) or place.rule.reach is Reach.ITSELF
        case Lift.BELOW:
            assert rule_for(place.path, place.path)
            assert rule_for(inside, place.path)
            assert not rule_for(inside, inside)
        case Lift.BY_RULE:
            contained = [one for one in PLACES if PurePosixPath(one.path).is_relative_to(place.path)]
            if all(one.rule.lift is Lift.BY_RULE for one in contained):
                assert not rule_for(place.path, place.path)


def test_the_root_directory_cannot_be_allowed() -> None:
    assert rule_for("/", "/") == "root"


@pytest.mark.parametrize(
    "path", ["/srv/www", "/home/ann/site", "/opt/app/data", "/data/x", "/var/www", "/mnt/disk/a"]
)
def test_ordinary_volumes_are_admitted(path: str) -> None:
    assert not rule_for(path)


def test_another_name_for_a_protected_place_is_that_place() -> None:
    """A bind mount, a link: the inode is the same."""
    host = Host(same={"/srv/innocent": "/etc", "/srv/deeper": "/usr/lib/systemd"})
    assert rule_for("/srv/innocent", host=host) == "system"
    assert rule_for("/srv/deeper", host=host) == "system"


def test_what_is_below_a_place_is_found_by_any_name_of_it(tmp_path: Path) -> None:
    """A bind mount, a link, a detour, a slash too many; what is gone goes by its name."""
    alias = Host(same={"/mnt/alias": "/srv/a"}, missing=frozenset({"/srv/gone", "/mnt/alias/gone"}))
    paths = ["/srv/a", "/srv/a/b", "/srv/ab", "/srv/gone", "/mnt/alias/gone"]
    assert within("/mnt/alias", paths, alias) == {"/srv/a", "/srv/a/b", "/mnt/alias/gone"}
    inside = tmp_path / "real" / "deep"
    inside.mkdir(parents=True)
    (tmp_path / "link").symlink_to("real")
    found = {str(inside), f"{tmp_path}/link/deep", f"{tmp_path}/link/../real//deep/"}
    for top in (f"{tmp_path}/link", f"{tmp_path}/real/", f"{tmp_path}/link/../real"):
        assert within(top, [*found, str(tmp_path)], PathIndex()) == found


def test_a_place_that_is_not_there_protects_nothing() -> None:
    host = Host(missing=frozenset(place.path for place in PLACES))
    assert not rule_for("/var/lib/docker/volumes", host=host)


def test_every_rule_says_why_and_every_type_pattern_is_met() -> None:
    for rule in TYPES:
        for pattern in rule.patterns:
            label = f"system_u:object_r:{pattern.replace('*', 'x')}:s0".encode()
            with pytest.raises(VolumeRefusedError) as refused:
                judge_type(label, "/srv/a", is_allowed=False)
            assert refused.value.rule == rule.name
            assert is_left_alone(label) is rule.inside
            if rule.lift is Lift.NEVER:
                with pytest.raises(VolumeRefusedError):
                    judge_type(label, "/srv/a", is_allowed=True)
            else:
                judge_type(label, "/srv/a", is_allowed=True)


@pytest.mark.parametrize("label", [None, b"", b"\0", b"nonsense", b"u:r", b"system_u:object_r:var_t:s0\0"])
def test_other_labels_protect_nothing(label: bytes | None) -> None:
    judge_type(label, "/srv/a", is_allowed=False)
    assert not is_left_alone(label)


def test_a_view_of_the_places_is_used_for_a_moment_only() -> None:
    """Promise 10: what is protected is looked at again, and many looks at once share one."""
    now = [100.0]
    path_indexes = PathIndexes(clock=lambda: now[0])
    first = path_indexes.latest()
    now[0] += LASTS / 2
    assert path_indexes.latest() is first
    now[0] += LASTS / 2
    assert path_indexes.latest() is not first


def test_a_view_ends_with_the_mounts_it_was_made_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """Promise 10: a bind mount makes another path lead to a protected place."""
    path_indexes = PathIndexes(clock=lambda: 0.0)
    first = path_indexes.latest()
    more = mount_table() + b"9999 1 8:1 /etc /srv/etc rw - ext4 /dev/sda1 rw\n"
    monkeypatch.setattr("mcsd.relabel.places.mount_table", lambda: more)
    second = path_indexes.latest()
    assert second is not first and second.mount(9999) is not None
    assert path_indexes.latest() is second
