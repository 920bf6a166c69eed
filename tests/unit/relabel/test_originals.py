"""The file of originals: what is flushed survives, what is torn is cut away, what is damaged is refused."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from mcsd.core.volumes import Identity, VolumeId
from mcsd.errors import VolumeFailedError
from mcsd.relabel import originals as module
from mcsd.relabel import records
from mcsd.relabel.handles import Handle
from mcsd.relabel.index import encode_inodes
from mcsd.relabel.originals import Originals, OriginalsStore
from mcsd.relabel.strategies import is_exclusive

ID = VolumeId("0123456789abcdef")
TARGET = "system_u:object_r:container_file_t:s0:c1,c2"
OLD = b"system_u:object_r:var_t:s0\0"
FUTURE = 1 << 62


@pytest.fixture
def store(tmp_path: Path) -> OriginalsStore:
    return OriginalsStore(str(tmp_path))


@pytest.fixture
def written(store: OriginalsStore) -> Iterator[Originals]:
    """A volume with two originals, labelled completely."""
    with closing(store.create(ID, "/srv/a", Identity(1, 2), Handle(1, b"\x07\x08"))) as originals:
        originals.begin("labelling", TARGET)
        originals.record([(OLD, encode_inodes([5, 6, 7])), (None, encode_inodes([9]))], 0)
        originals.finish("complete", TARGET, 4)
        yield originals


def opened(store: OriginalsStore) -> Originals:
    found = store.open(ID)
    assert found is not None
    return found


def test_everything_comes_back(store: OriginalsStore, written: Originals) -> None:
    with closing(opened(store)) as again:
        assert again.volume == written.volume
        assert (again.volume.path, again.volume.identity) == ("/srv/a", Identity(1, 2))
        assert (again.volume.state, again.target, again.volume.count) == ("complete", TARGET, 4)
        assert again.handle == Handle(1, b"\x07\x08")
        assert again.swept
        assert again.is_ours(TARGET.encode())
        assert again.is_ours(TARGET.encode() + b"\0")
        assert not again.is_ours(OLD)
        assert not again.is_ours(None)
        known = again.origin_of(6, 0)
        assert known is not None
        assert known.label == OLD
        absent = again.origin_of(9, 0)
        assert absent is not None
        assert absent.label is None
        assert again.origin_of(8, 0) is None


def test_the_file_is_root_s_alone(store: OriginalsStore, written: Originals) -> None:
    assert os.stat(store.path(ID)).st_mode & 0o777 == 0o600


def test_a_younger_file_with_the_same_number_has_no_original(written: Originals) -> None:
    assert written.origin_of(6, FUTURE) is None


def test_a_file_born_in_the_future_keeps_its_original(store: OriginalsStore, written: Originals) -> None:
    """Clocks were set back since: its own birth is what a younger file is told by."""
    written.record([(OLD, encode_inodes([77]))], FUTURE)
    with closing(opened(store)) as again:
        assert again.origin_of(77, FUTURE) is not None
        assert again.origin_of(77, FUTURE + 1) is None


def test_a_file_cut_off_anywhere_still_says_what_was_flushed_before(
    store: OriginalsStore, written: Originals
) -> None:
    """Promise 3: each flushed record is whole or the walk had not gone on."""
    data = Path(store.path(ID)).read_bytes()
    seen: list[tuple[bool, bool, bool]] = []
    for length in range(len(data)):
        Path(store.path(ID)).write_bytes(data[:length])
        try:
            with closing(opened(store)) as again:
                seen.append((bool(again.ours), again.origin_of(6, 0) is not None, again.swept))
            assert Path(store.path(ID)).stat().st_size <= length
        except VolumeFailedError:
            assert not seen  # only the header's loss is not survived, and it is synced before anything else
    assert seen == sorted(seen)
    assert seen[0] == (False, False, False)
    assert seen[-1] == (True, True, False)


def test_a_file_whose_end_was_never_written_still_says_what_was_flushed_before(
    store: OriginalsStore, written: Originals
) -> None:
    """Promise 3: there are zeros where a record was to come, and no later one is taken for its successor."""
    data = Path(store.path(ID)).read_bytes()
    header, *_ = (end for end, _, _ in records.records(data))
    for length in range(header, len(data)):
        Path(store.path(ID)).write_bytes(data[:length] + bytes(5000))
        with closing(opened(store)) as again:
            assert again.origin_of(6, 0) is not None or length < data.rindex(OLD) + 60
        assert Path(store.path(ID)).stat().st_size <= length


def test_room_is_made_ahead_so_that_a_flush_changes_nothing_but_content(
    store: OriginalsStore, written: Originals
) -> None:
    """And what is complete ends with its last record."""
    path = Path(store.path(ID))
    written.record([(OLD, encode_inodes([100]))], 0)
    size = path.stat().st_size
    for inode in range(200, 240):
        written.record([(OLD, encode_inodes([inode]))], 0)
    assert path.stat().st_size == size
    assert path.read_bytes().endswith(bytes(1000))
    with closing(opened(store)) as again:  # as after a crash
        assert again.origin_of(239, 0) is not None
    written.finish("complete", TARGET, 4)
    with closing(opened(store)) as again:
        assert all(again.origin_of(inode, 0) is not None for inode in (6, 100, *range(200, 240)))


def test_a_flipped_byte_in_what_was_flushed_is_damage(store: OriginalsStore, written: Originals) -> None:
    """Promise 9: an older, shorter truth is not taken for the whole one."""
    written.record([(OLD, encode_inodes([20]))], 0)
    data = Path(store.path(ID)).read_bytes()
    last = data.rindex(OLD) - 40  # before the last record, which nothing vouches for
    for place in range(0, last, 7):
        damaged = bytearray(data)
        damaged[place] ^= 0x10
        Path(store.path(ID)).write_bytes(damaged)
        with pytest.raises(VolumeFailedError, match="cannot be read") as failed:
            store.open(ID)
        assert "restorecon" in failed.value.hint


def test_many_records_are_joined_when_a_walk_completes(
    store: OriginalsStore, written: Originals, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_REWRITE_AFTER", 20)
    for inode in range(100, 400, 2):
        written.record([(OLD, encode_inodes([inode]))], 0)
    before = os.stat(store.path(ID)).st_size
    written.finish("complete", TARGET, 400)
    assert os.stat(store.path(ID)).st_size < before
    written.begin("restoring", TARGET)  # and it goes on in the new file
    with closing(opened(store)) as again:
        assert again.volume.state == "restoring"
        assert again.volume.count == 400
        assert again.swept
        assert again.handle == Handle(1, b"\x07\x08")
        assert all(again.origin_of(inode, 0) is not None for inode in (5, 100, 398))
        assert again.origin_of(101, 0) is None


def test_a_target_is_ours_before_anything_carries_it(store: OriginalsStore) -> None:
    """Promise 3."""
    with closing(store.create(ID, "/srv/a", Identity(1, 2))) as originals:
        originals.begin("labelling", TARGET)
        with closing(opened(store)) as again:
            assert again.is_ours(TARGET.encode())
            assert (again.volume.state, again.swept) == ("labelling", False)


def test_what_is_not_there_is_none_and_forgetting_it_is_nothing(store: OriginalsStore) -> None:
    assert store.open(ID) is None
    store.forget(ID)


def test_a_store_that_cannot_be_written_stops_the_walk(tmp_path: Path) -> None:
    with pytest.raises(VolumeFailedError, match="cannot be written"):
        OriginalsStore(str(tmp_path / "missing")).create(ID, "/srv/a", Identity(1, 2))


def test_what_is_one_holder_s_alone_is_nobody_s_original(store: OriginalsStore, written: Originals) -> None:
    """`-v …:Z` had dockerd label for the container before mcsd looked, or a backup brought another's pair:
    promise 2, after the undo too."""
    foreign = b"system_u:object_r:container_file_t:s0:c65,c901\0"
    written.record(
        [(foreign, encode_inodes([40])), (b"system_u:object_r:var_t:s0:c7", encode_inodes([41]))], 0
    )
    ours, shared = TARGET.encode() + b"\0", b"system_u:object_r:container_file_t:s0\0"
    written.begin("labelling", shared.rstrip(b"\0").decode())
    written.record([(ours, encode_inodes([20, 21])), (shared, encode_inodes([30]))], 0)
    written.disbelieve(is_exclusive)
    assert all(written.origin_of(inode, 0) is None for inode in (20, 21, 40, 41))
    for inode, label in ((5, OLD), (9, None), (30, shared)):
        origin = written.origin_of(inode, 0)
        assert origin is not None and origin.label == label


def test_what_a_file_says_of_its_volume_is_read_while_a_walk_writes_it(
    store: OriginalsStore, written: Originals
) -> None:
    """Without the walk's lock: a record that is not whole yet does not count, and nothing is cut off."""
    assert store.describe(ID) == written.volume
    path = store.path(ID)
    whole = Path(path).read_bytes()
    written.begin("labelling", TARGET)
    written.record([(OLD, encode_inodes([11]))], 0)
    assert store.describe(ID) == written.volume
    grown = Path(path).read_bytes()
    for length in range(len(whole), len(whole) + 200):
        Path(path).write_bytes(grown[:length])
        found = store.describe(ID)
        assert found is not None and found.state in {"complete", "labelling"}
        assert Path(path).stat().st_size == length, "nothing is cut off"
    store.forget(ID)
    assert store.describe(ID) is None


def test_a_damaged_file_says_nothing(store: OriginalsStore, written: Originals) -> None:
    path = Path(store.path(ID))
    data = bytearray(path.read_bytes())
    data[20] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(VolumeFailedError, match="cannot be read"):
        store.describe(ID)
