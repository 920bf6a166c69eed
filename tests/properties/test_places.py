"""The few places near a volume are all that any comparison of every place would find."""

from __future__ import annotations

from pathlib import PurePosixPath

from hypothesis import given
from hypothesis import strategies as st

from mcsd.core.volumes import Identity
from mcsd.relabel.places import Location, Surroundings

NAMES = st.sampled_from("ab")
PATHS = st.lists(NAMES, max_size=4).map(lambda names: PurePosixPath("/", *names))
DEVICES = st.sampled_from(["8:1", "8:2"])
POSITIONS = st.none() | st.tuples(DEVICES, PATHS)
# Identities that repeat, as one directory is met under several names.
CHAINS = st.lists(st.integers(0, 5), max_size=4, unique=True).map(
    lambda inodes: tuple(Identity(1, inode) for inode in inodes)
)
LOCATIONS = st.builds(Location, CHAINS, POSITIONS)


@given(LOCATIONS, st.lists(st.none() | LOCATIONS, max_size=8))
def test_what_is_not_near_is_neither_inside_nor_around(
    volume: Location, places: list[Location | None]
) -> None:
    near = Surroundings(places).near(volume)
    assert near == sorted(set(near))
    for number, place in enumerate(places):
        if place is not None and (place.is_within(volume) or volume.is_within(place)):
            assert number in near
