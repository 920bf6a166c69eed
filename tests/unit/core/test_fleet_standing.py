"""What is said of a host that shares labelled storage: promise 8 across hosts."""

from __future__ import annotations

import pytest

from mcsd.core.changes import LedgerContents
from mcsd.core.containers import ContainerId
from mcsd.core.fleet.standing import FleetStanding, levels_outside, places_of_claims, uses_of
from mcsd.core.fleet.storages import SharedMount, StorageUse, is_shared_and_labelled
from mcsd.core.grants import Grant, GrantState, Origin
from mcsd.core.labels import Context, Level
from mcsd.core.state_cache import StateCache
from mcsd.core.volumes import Claim, ClaimMode, ClaimState, GrantId, Identity, Volume, VolumeId, VolumePhase

CEPH = SharedMount("/mnt/ceph", "ceph", "10.0.0.7:/")
HOSTS = ("alpha", "beta", "gamma")


def grant(number: int, name: str, level: str) -> Grant:
    state = GrantState.ACTIVE
    return Grant(
        GrantId(number), ContainerId(name * 4), name, Level.parse(level), Origin.ASSIGNED, state, since=1.0
    )


def test_nothing_is_said_of_a_host_alone() -> None:
    standing = FleetStanding("alpha", "c0.c1023")
    assert (standing.is_concerned, standing.is_own, standing.troubles()) == (False, None, ())


def test_shared_storage_without_a_plan_is_told_with_the_way_out() -> None:
    standing = FleetStanding("alpha", "c0.c1023", storages=(StorageUse(CEPH, ("web",)),))
    ((text, hint),) = standing.troubles()
    assert "/mnt/ceph" in text and "only by chance" in text and "mcsctl fleet plan" in hint


@pytest.mark.parametrize(
    ("name", "range_", "own", "told"),
    [
        ("beta", "c341.c681", True, ""),
        ("beta", "c0.c1023", False, "the plan has c341.c681 for 'beta'"),
        ("beta", "c0.c340", False, "the plan has c341.c681"),
        ("delta", "c341.c681", False, "does not name this host, 'delta'"),
    ],
)
def test_the_range_is_compared_with_the_plan(name: str, range_: str, own: bool, told: str) -> None:
    standing = FleetStanding(name, range_, HOSTS)
    assert standing.is_own is own
    assert [told in text for text, hint in standing.troubles() if hint] == [True] * bool(told)


def test_levels_outside_the_range_are_told_by_who_holds_them() -> None:
    grants = tuple(
        grant(number, name, level)
        for number, (name, level) in enumerate(
            [
                ("own", "s0:c341,c681"),
                ("far", "s0:c1,c2"),
                ("half", "s0:c340,c350"),
                ("group", "s0:c1,c2,c400"),
            ],
            1,
        )
    )
    cache = StateCache(LedgerContents(grants))
    standing = FleetStanding("beta", "c341.c681", HOSTS)
    outside = levels_outside(cache, standing)
    assert outside == ("far", "half", "group")
    assert levels_outside(cache, FleetStanding("beta", "c0.c1023")) == ()
    many = FleetStanding("beta", "c341.c681", HOSTS, outside=(*outside, "one", "two"))
    ((text, hint),) = many.troubles()
    assert text.endswith("far, half, group and 2 more") and "gate enable" in hint


def test_a_storage_is_shown_with_all_that_have_volumes_on_it() -> None:
    """Labelled or not: what a container reads there carries labels of other hosts' too."""
    target = Context.parse("system_u:object_r:container_file_t:s0:c1,c2")
    volume = Volume(VolumeId("a"), "/mnt/ceph/real", Identity(1, 2), target, VolumePhase.LABELLED, since=1.0)
    claims = (
        Claim(GrantId(1), "/data", "/srv/link", ClaimMode.PRIVATE, ClaimState.READY, volume.id),
        Claim(GrantId(2), "/data", "/mnt/ceph/www", ClaimMode.IGNORE, ClaimState.UNMANAGED, None),
        Claim(GrantId(2), "/logs", "/mnt/ceph/www", ClaimMode.IGNORE, ClaimState.UNMANAGED, None),
    )
    grants = (grant(1, "web", "s0:c1,c2"), grant(2, "db", "s0:c3,c4"))
    places = places_of_claims(StateCache(LedgerContents(grants, (volume,), claims)))
    assert places == {"/mnt/ceph/real": ("web",), "/mnt/ceph/www": ("db",)}
    assert uses_of(dict.fromkeys(places, CEPH), places) == (StorageUse(CEPH, ("db", "web")),)


@pytest.mark.parametrize(
    ("kind", "options", "fixed", "shared"),
    [
        ("ceph", {"rw", "seclabel"}, False, True),
        ("ceph", {"rw"}, False, True),
        ("gfs2", set(), False, True),
        ("ocfs2", set(), False, True),
        ("ceph", set(), True, False),
        ("nfs4", {"rw", "seclabel", "vers=4.2"}, False, True),
        ("nfs4", {"rw", "vers=4.2"}, False, False),
        ("nfs", {"seclabel"}, False, False),
        ("ext4", {"seclabel"}, False, False),
    ],
)
def test_which_file_systems_show_labels_to_other_hosts(
    kind: str, options: set[str], fixed: bool, shared: bool
) -> None:
    assert is_shared_and_labelled(kind, options, fixed_label=fixed) is shared
