"""Shared storage in a table of mounts, as proc_pid_mountinfo(5) has it."""

from __future__ import annotations

from mcsd.adapters.host.shared import MountedStorages
from mcsd.core.fleet.storages import SharedMount

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
        "/mnt/nfs/a": SharedMount("/mnt/nfs", "nfs4", "nas:/one"),
        "/mnt/plain/a": None,
        "/mnt/fixed/a": None,
        "/mnt/over/a": SharedMount("/mnt/over", "gfs2", "/dev/vg/all"),
        "/mnt/with space/a": SharedMount("/mnt/with space", "ocfs2", "/dev/vdd"),
        "/srv/a": None,
    }
    found = MountedStorages(TABLE).shared(wanted)
    assert found == {path: mount for path, mount in wanted.items() if mount is not None}


def test_this_host_can_be_asked() -> None:
    assert MountedStorages().shared(["/proc/self"]) == {}
