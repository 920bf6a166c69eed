"""Promise 8: what is known of the disk, and when it was seen."""

from __future__ import annotations

from mcsd.core.changes import LedgerContents
from mcsd.core.disk import MOST_FINDINGS, UNSEEN, Drift, What
from mcsd.core.labels import Context
from mcsd.core.state_cache import StateCache
from mcsd.core.volumes import Identity, Volume, VolumeId, VolumePhase
from mcsd.state.disk import Disk

ONE = VolumeId("1" * 32)
TARGET = "system_u:object_r:container_file_t:s0:c1,c2"


def volume(phase: VolumePhase = VolumePhase.LABELLED) -> Volume:
    return Volume(ONE, "/srv/a", Identity(1, 2), Context.parse(TARGET), phase, since=100.0)


def test_what_was_labelled_was_looked_at_then() -> None:
    disk = Disk(StateCache(LedgerContents(volumes=(volume(),))))
    assert disk.state(ONE).looked == 100.0
    disk.seen_right(ONE, 200.0)
    assert disk.state(ONE).looked == 200.0


def test_what_is_not_completely_labelled_was_never_seen_right() -> None:
    disk = Disk(StateCache(LedgerContents(volumes=(volume(VolumePhase.LABELLING),))))
    assert disk.state(ONE) == UNSEEN


def test_findings_are_told_until_it_is_seen_right_and_counted_beyond_what_is_kept() -> None:
    told: list[VolumeId] = []
    disk = Disk(StateCache(LedgerContents(volumes=(volume(),))))
    disk.listen(told.append)
    many = tuple(Drift(f"/srv/a/{n}", What.RELABELLED) for n in range(MOST_FINDINGS + 3))
    disk.put(ONE, disk.state(ONE).with_findings(many, len(many)))
    assert disk.state(ONE).is_drifting
    assert len(disk.state(ONE).findings) == MOST_FINDINGS
    assert disk.state(ONE).count == MOST_FINDINGS + 3
    disk.seen_right(ONE, 300.0)
    assert not disk.state(ONE).is_drifting
    disk.seen_right(ONE, 400.0)
    assert told == [ONE, ONE], "a look that finds nothing new is no news"


def test_volumes_that_are_gone_are_forgotten() -> None:
    disk = Disk(StateCache())
    disk.seen_right(ONE, 1.0)
    disk.keep([])
    assert disk.state(ONE) == UNSEEN


def test_a_correction_removes_what_was_corrected_and_not_what_a_check_has_found_elsewhere() -> None:
    seen, unseen = Drift("/srv/a/f", What.RELABELLED), Drift("/srv/a/g", What.DIFFERS)
    state = UNSEEN.with_findings((seen, unseen), 2)
    assert (state.amended({"/srv/a/f"}).findings, state.amended({"/srv/a/f"}).count) == ((unseen,), 1)
    assert not state.amended({"/srv/a/f", "/srv/a/g"}).is_drifting
    assert not UNSEEN.with_findings((seen,), 1).amended({"/srv/a/f"}).is_drifting
