"""File systems that several hosts can mount, and whose files keep their SELinux labels on all of them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

CLUSTER_FILE_SYSTEMS = frozenset({"ceph", "gfs2", "ocfs2"})
"""These store `security.selinux` like any other attribute, and every host that mounts them sees it."""
LABELLED_NFS = frozenset({"nfs4"})
"""NFS passes labels on from version 4.2 on, if the server exports with `security_label` (exports(5)).

The kernel shows that with `seclabel` among the mount's options (security_sb_show_options)."""


@dataclass(frozen=True, slots=True)
class SharedMount:
    """A mount of labelled storage that other hosts may mount, too. `source` is its server or device."""

    point: str
    file_system: str
    source: str


@dataclass(frozen=True, slots=True)
class StorageUse:
    """A shared mount, and the containers that have volumes on it, by name."""

    mount: SharedMount
    containers: tuple[str, ...]


def is_shared_and_labelled(file_system: str, options: Collection[str], *, fixed_label: bool) -> bool:
    """Tell whether other hosts can see the labels of files, by the type and the options in mountinfo.

    With `context=` all files have the mount's label on this host, whatever they carry.
    """
    if fixed_label:
        return False
    if file_system in LABELLED_NFS:
        return "seclabel" in options
    return file_system in CLUSTER_FILE_SYSTEMS
