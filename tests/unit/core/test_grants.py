"""The life of a grant is one table. Promise 2: nothing leads to free but proof."""

from __future__ import annotations

from itertools import product

import pytest

from mcsd.core.grants import TRANSITIONS, GrantEvent, GrantState, next_state


def test_only_proof_frees_and_only_out_of_quarantine() -> None:
    """Promise 2."""
    freeing = {step for step, state in TRANSITIONS.items() if state is GrantState.FREE}
    assert freeing == {(GrantState.QUARANTINED, GrantEvent.PROVEN)}


def test_free_is_the_end() -> None:
    assert all(state is not GrantState.FREE for state, _ in TRANSITIONS)


def test_repeated_and_late_events_change_nothing_that_they_should_not() -> None:
    """Promise 7."""
    for event in (GrantEvent.EXITED, GrantEvent.REMOVED, GrantEvent.RECLAIMED):
        assert next_state(GrantState.QUARANTINED, event) is GrantState.QUARANTINED
    assert next_state(GrantState.ACTIVE, GrantEvent.STARTED) is GrantState.ACTIVE
    assert next_state(GrantState.IDLE, GrantEvent.EXITED) is GrantState.IDLE


def test_a_step_that_is_not_in_the_table_is_a_bug() -> None:
    missing = set(product(GrantState, GrantEvent)) - set(TRANSITIONS)
    assert (GrantState.FREE, GrantEvent.STARTED) in missing
    for state, event in missing:
        with pytest.raises(KeyError):
            next_state(state, event)


def test_who_holds_and_who_lives() -> None:
    assert [state for state in GrantState if not state.holds] == [GrantState.FREE]
    assert [state for state in GrantState if not state.is_living] == [
        GrantState.QUARANTINED,
        GrantState.FREE,
    ]
