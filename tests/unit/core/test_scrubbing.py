"""Which volume is looked at again next. Promise 8: complete is not believed for ever."""

from __future__ import annotations

import pytest

from mcsd.core.grants import GrantState
from mcsd.core.labels import Level
from mcsd.core.scrubbing import SHARE, SHORTEST, next_to_confirm, rest_after
from mcsd.core.state_cache import StateCache
from mcsd.core.volumes import VolumeId, VolumePhase
from tests.unit.core.test_reclaim import claim, grant, volume

LEVEL = Level.parse("s0:c1,c2")
DAY = 86400.0
LABELLED = 1000.0
"""When the volumes of `volume` were labelled."""


def cache(*changes: object, state: GrantState = GrantState.ACTIVE) -> StateCache:
    made = StateCache()
    made.apply([grant(1, LEVEL, state), *changes])  # type: ignore[list-item]
    return made


def test_a_volume_is_due_when_its_time_has_passed() -> None:
    one = cache(volume("a", "/srv/a"), claim(1, "a"))
    assert next_to_confirm(one, {}, LABELLED + 1, DAY) == (None, DAY - 1)
    found = next_to_confirm(one, {}, LABELLED + DAY, DAY)
    assert found.volume is not None and (found.volume.path, found.wait) == ("/srv/a", 0.0)
    assert next_to_confirm(one, {VolumeId("a"): LABELLED + DAY}, LABELLED + DAY, DAY) == (None, DAY)


def test_what_was_not_looked_at_for_the_longest_time_comes_first() -> None:
    both = cache(volume("a", "/srv/a"), volume("b", "/srv/b"), claim(1, "a"), claim(1, "b", at="/b"))
    confirmed = {VolumeId("a"): LABELLED + 2, VolumeId("b"): LABELLED + 1}
    found = next_to_confirm(both, confirmed, LABELLED + 2 * DAY, DAY)
    assert found.volume is not None and found.volume.path == "/srv/b"


@pytest.mark.parametrize("phase", [phase for phase in VolumePhase if phase is not VolumePhase.LABELLED])
def test_only_what_should_be_complete_is_looked_at(phase: VolumePhase) -> None:
    one = cache(volume("a", "/srv/a", phase=phase), claim(1, "a"))
    assert next_to_confirm(one, {}, LABELLED + 9 * DAY, DAY) == (None, float("inf"))


def test_what_nobody_who_lives_claims_is_left_to_be_given_back() -> None:
    nobody = cache(volume("a", "/srv/a"))
    gone = cache(volume("a", "/srv/a"), claim(1, "a"), state=GrantState.QUARANTINED)
    for one in (nobody, gone):
        assert next_to_confirm(one, {}, LABELLED + 9 * DAY, DAY) == (None, float("inf"))


@pytest.mark.parametrize("seconds", [0.0, 0.01, 3.0, 600.0])
def test_looking_takes_no_more_than_its_share_of_the_time(seconds: float) -> None:
    rest = rest_after(seconds)
    assert rest >= SHORTEST
    assert seconds <= SHARE * (seconds + rest) + 1e-9
