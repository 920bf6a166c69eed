"""Shared storage in a table of mounts, as proc_pid_mountinfo(5) has it."""

from __future__ import annotations

import pytest

from mcsd.adapters.host.shared import MountedStorages
from mcsd.core.fleet.storages import NamedStorage, SharedMount, root_of_source
from mcsd.core.fleet.trees import SharedPlace

TABLE = b"""\
21 1 254:1 / / rw,relatime - ext4 /dev/vda1 rw,seclabel
30 21 0:40 / /mnt/ceph rw - ceph 10.0.0.7:6789:/ rw,seclabel,name=admin
31 30 254:2 / /mnt/ceph/local rw - ext4 /dev/vdb rw,seclabel
32 21 0:41 / /mnt/nfs rw - nfs4 nas:/one rw,seclabel,vers=4.2
33 21 0:42 / /mnt/plain rw - nfs4 nas:/two rw,vers=4.2
34 21 0:43 / /mnt/fixed rw - ceph c:/ rw,context="system_u:object_r:container_file_t:s0:c1,c2"
35 21 254:3 / /mnt/over rw - ext4 /dev/vdc rw,seclabel
36 35 254:4 / /mnt/over rw - gfs2 /dev/vg/all rw,seclabel
37 21 254:5 / /mnt/with\\040space rw - ocfs2 /dev/vdd rw,seclabel
"""


def test_a_place_belongs_to_the_mount_that_is_nearest_and_last() -> None:
    ceph = SharedMount("/mnt/ceph", "ceph", "10.0.0.7:6789:/")
    wanted = {
        "/mnt/ceph": ceph,
        "/mnt/ceph/a/b": ceph,
        "/mnt/ceph/local/a": None,
        "/mnt/cephalopod": None,
        "/mnt/nfs/a": SharedMount("/mnt/nfs", "nfs4", "nas:/one", "/one"),
        "/mnt/plain/a": None,
        "/mnt/fixed/a": None,
        "/mnt/over/a": SharedMount("/mnt/over", "gfs2", "/dev/vg/all"),
        "/mnt/with space/a": SharedMount("/mnt/with space", "ocfs2", "/dev/vdd"),
        "/srv/a": None,
    }
    found = MountedStorages(TABLE).shared(wanted)
    assert found == {path: mount for path, mount in wanted.items() if mount is not None}


@pytest.mark.parametrize(
    ("kind", "source", "root"),
    [
        ("nfs4", "nas:/", "/"),
        ("nfs4", "nas:/export/media/", "/export/media"),
        ("nfs4", "[fe80::1%eth0]:/export:/media", "/export:/media"),
        ("ceph", "10.0.0.7:6789,10.0.0.8:6789:/", "/"),
        ("ceph", "[v2:10.0.0.7:3300]:/volumes/a", "/volumes/a"),
        ("ceph", "admin@07fe.media=/volumes/a", "/volumes/a"),
        ("gfs2", "/dev/mapper/one:/two", "/"),
    ],
)
def test_where_on_its_server_a_mount_is_is_in_its_source(kind: str, source: str, root: str) -> None:
    assert root_of_source(kind, source) == root


def test_a_bind_mount_is_at_the_same_place_of_the_storage() -> None:
    table = TABLE + b"38 21 0:40 /media/films /films rw - ceph 10.0.0.7:6789:/data rw,seclabel\n"
    storages = MountedStorages(table)
    found = storages.shared(["/films/a", "/mnt/ceph/media/films/a"])
    places = {mount.place_of(path, 7) for path, mount in found.items()}
    assert {place.path for place in places} == {"/data/media/films/a", "/media/films/a"}


def test_a_name_is_for_the_directory_and_what_is_in_it_on_the_same_file_system() -> None:
    named = [
        NamedStorage("/srv/media", "media"),
        NamedStorage("/srv/media/films", "films", "/films"),
        NamedStorage("/mnt/ceph", "pool"),
    ]
    storages = MountedStorages(TABLE, named)
    places = {
        path: mount.place_of(path, 7)
        for path, mount in storages.shared(
            ["/srv/media/a", "/srv/media/films/b", "/srv/mediator", "/mnt/ceph/a", "/mnt/ceph/local/a"]
        ).items()
    }
    assert places == {
        "/srv/media/a": SharedPlace("ext4", "media", "/srv/media/a", 7),
        "/srv/media/films/b": SharedPlace("ext4", "films", "/films/b", 7),
        "/mnt/ceph/a": SharedPlace("ceph", "pool", "/a", 7),
    }


ALIASES = (
    b"38 21 254:1 /srv/media/films /films rw - ext4 /dev/vda1 rw,seclabel\n"
    b"39 21 254:1 /srv/other /other rw - ext4 /dev/vda1 rw,seclabel\n"
    b"40 21 254:1 /srv /all rw - ext4 /dev/vda1 rw,seclabel\n"
)


def test_a_named_directory_is_found_under_every_name_that_mounts_give_it() -> None:
    storages = MountedStorages(TABLE + ALIASES, [NamedStorage("/srv/media", "media", "/")])
    found = storages.shared(["/films/a", "/all/media/b", "/other/a", "/srv/mediator"])
    places = {path: mount.place_of(path, 7) for path, mount in found.items()}
    assert places == {
        "/films/a": SharedPlace("ext4", "media", "/films/a", 7),
        "/all/media/b": SharedPlace("ext4", "media", "/b", 7),
    }


@pytest.mark.parametrize("above", ["/srv", "/", "/all"])
def test_what_has_a_named_directory_in_itself_has_all_of_it(above: str) -> None:
    """A walk over it comes to what other hosts have there."""
    storages = MountedStorages(TABLE + ALIASES, [NamedStorage("/srv/media", "media", "/")])
    place = storages.shared([above])[above].place_of(above, 5)
    assert place == SharedPlace("ext4", "media", "/", 5)
    assert place.may_touch(SharedPlace("nfs4", "media", "/own", 9))


def test_this_host_can_be_asked() -> None:
    assert MountedStorages().shared(["/proc/self"]) == {}
