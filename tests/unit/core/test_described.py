"""What a bundle says of a container that its engine cannot be asked about."""

from __future__ import annotations

import pytest

from mcsd.core.containers import Container, ContainerId, MountKind
from mcsd.core.described import BoundMount, Described

ID = ContainerId("a" * 64)
STORAGE = "/var/lib/containers/storage"


def described(*mounts: BoundMount, **annotations: str) -> Described:
    notes = {key.replace("_", "."): value for key, value in annotations.items()}
    return Described("web", mounts, tuple(sorted(notes.items())))


@pytest.mark.parametrize("ident", [ID, "b" * 64])
@pytest.mark.parametrize("place", ["/run/containers/storage", STORAGE])
def test_podman_s_own_files_are_no_volumes(place: str, ident: str) -> None:
    """Of the container itself, and of its pod's infra container."""
    own = BoundMount(f"{place}/overlay-containers/{ident}/userdata/hosts", "/etc/hosts")
    mine = BoundMount("/srv/overlay-containers/data", "/data", frozenset({"rbind", "ro"}))
    (mount,) = described(own, mine).container(ID, "podman", None, STORAGE).mounts
    assert (mount.source, mount.kind, mount.writable) == (mine.source, MountKind.BIND, False)


def test_a_named_volume_is_known_by_its_place() -> None:
    named = BoundMount(f"{STORAGE}/volumes/db/_data", "/db")
    (mount,) = described(named).container(ID, "podman", None, STORAGE).mounts
    assert (mount.kind, mount.name, mount.driver) == (MountKind.VOLUME, "db", "local")
    (mount,) = described(named).container(ID, "podman", None, "").mounts
    assert mount.kind is MountKind.BIND, "where the storage is was not told yet"
    (mount,) = described(BoundMount(f"{STORAGE}/volumes", "/x")).container(ID, "podman", None, STORAGE).mounts
    assert mount.kind is MountKind.BIND


def test_annotations_are_added_to_the_labels_that_are_known() -> None:
    """Whoever starts it may ask for more than is recorded; other annotations are not mcsd's."""
    seen = Container(
        id=ID,
        name="old",
        running=False,
        image="bb",
        labels=(("io.mcsd.group", "a"), ("io.mcsd.volume", "/x:shared")),
    )
    asked = described(io_mcsd_group="b", io_podman_annotations_label="disable")
    made = asked.container(ID, "podman", seen, STORAGE)
    assert dict(made.labels) == {"io.mcsd.group": "b", "io.mcsd.volume": "/x:shared"}
    assert (made.name, made.engine, made.image) == ("web", "podman", "bb")


def test_without_a_name_it_has_the_one_that_is_known_or_its_id() -> None:
    nameless = Described("")
    assert nameless.container(ID, "podman", None, "").name == "a" * 12
    assert nameless.container(ID, "podman", Container(ID, "web", running=False), "").name == "web"
