"""The core's decisions over any history of containers, levels, mounts, failures and restarts."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from typing import Any

import pytest
from hypothesis import assume
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from mcsd.core.containers import ContainerId, Mount, MountKind
from mcsd.core.grants import Grant
from mcsd.core.labels import Level
from mcsd.core.plan import plan
from mcsd.core.sharing import are_shared, conflicts_of
from mcsd.core.volumes import CONCEDED, Claim, ClaimMode, ClaimState, Volume
from tests.properties.plan_host import BORN, DEFAULT, PATHS, Luck, PlanHost, file_context, lies_below

STANDING = {ClaimState.PENDING, ClaimState.READY, ClaimState.PARTIAL, ClaimState.FAILED}

levels = st.sampled_from(
    [
        Level.of(1, 2),
        Level.of(1, 3),
        Level.of(1),
        Level.of(1, 2, 3),
        Level.of(4, 5),
        Level.of(6, 7),
        Level(0, 0),
    ]
)
mounts = st.lists(
    st.tuples(st.sampled_from(PATHS), st.sampled_from(["/w", "/x", "/y", "/z"])),
    max_size=4,
    unique_by=lambda mount: mount[1],
)
wishes = st.sampled_from(["", "private", "shared", "ignore"])
lucks = st.sampled_from([Luck.WELL, Luck.WELL, *Luck])


class PlanHistories(RuleBasedStateMachine):
    """Containers come, stop, start and go; walks go wrong; the daemon restarts; time passes."""

    host: PlanHost

    @initialize(share_on_conflict=st.booleans())
    def begin(self, share_on_conflict: bool) -> None:
        self.host = PlanHost(share_on_conflict=share_on_conflict)

    def some(self, data: st.DataObject) -> ContainerId:
        return data.draw(st.sampled_from(sorted(self.host.containers)))

    def has_containers(self) -> bool:
        return bool(self.host.containers)

    # --- what happens ----------------------------------------------------------------------------

    @rule(level=levels, mounts=mounts, wish=wishes, luck=lucks)
    def create(self, level: Level, mounts: list[tuple[str, str]], wish: str, luck: Luck) -> None:
        assume(len(self.host.containers) < 5)
        self.host.create("c", level, mounts, wish=wish)
        self.host.settle(next(reversed(self.host.containers)), luck)

    @precondition(has_containers)
    @rule(data=st.data())
    def share(self, data: st.DataObject) -> None:
        assume(len(self.host.containers) < 5)
        self.host.share("s", self.some(data))

    @precondition(has_containers)
    @rule(data=st.data(), running=st.booleans())
    def start_or_stop(self, data: st.DataObject, running: bool) -> None:
        self.host.run(self.some(data), running=running)

    @precondition(has_containers)
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        del self.host.containers[self.some(data)]

    @precondition(has_containers)
    @rule(data=st.data(), luck=lucks)
    def look_at_one(self, data: st.DataObject, luck: Luck) -> None:
        """Promise 7: what has been carried out is not planned again."""
        key = self.some(data)
        self.host.settle(key, luck)
        if luck is Luck.WELL:
            assert plan(self.host.look(key), self.host.cache, self.host.policy) == ()

    @rule(luck=lucks)
    def look_for_who_has_gone(self, luck: Luck) -> None:
        for grant in self.host.cache.grants():
            if grant.container not in self.host.containers:
                self.host.settle(grant.container, luck)

    @rule(luck=lucks, seconds=st.sampled_from([0, 700]))
    def reclaim(self, luck: Luck, seconds: int) -> None:
        self.host.now += seconds
        self.host.reclaim(luck)

    @rule()
    def restart(self) -> None:
        self.host.restart()

    @rule()
    def quiet(self) -> None:
        """Promises 6, 7 and 8: ready is so on disk, and what nobody claims is as it was."""
        host = self.host
        host.now += 700
        host.quiet()
        host.now += 700
        host.quiet()
        for key in host.containers:
            assert plan(host.look(key), host.cache, host.policy) == ()
        for grant, claim, volume in self.standing():
            if claim.state is ClaimState.READY:
                assert host.labels[claim.source] == str(volume.target), (grant, claim)
        for path in PATHS:
            if not any(lies_below(path, volume.path) for volume in host.cache.volumes()):
                exact = {BORN[path]}
                assert host.labels[path] in (exact | {DEFAULT} if host.is_tangled else exact)

    def teardown(self) -> None:
        """Promises 2 and 6: when all have gone, everything is as it was, and every level is free."""
        if not hasattr(self, "host"):
            return
        self.host.containers.clear()
        self.quiet()
        if not self.host.is_tangled:
            assert self.host.labels == BORN
        assert not (self.host.cache.grants() or self.host.cache.volumes() or self.host.tables.claims)

    # --- what always holds -----------------------------------------------------------------------

    def standing(self) -> list[tuple[Grant, Claim, Volume]]:
        found = []
        for grant in self.host.cache.grants():
            for claim in self.host.cache.claims_of(grant.id):
                volume = self.host.cache.volume(claim.volume) if claim.volume else None
                if grant.state.is_living and volume is not None and claim.state in STANDING:
                    found.append((grant, claim, volume))
        return found

    @invariant()
    def a_conflict_s_second_has_no_private_volume(self) -> None:
        """Promises 1 and 9."""
        for grant, claim, _ in self.standing():
            if claim.mode is ClaimMode.PRIVATE:
                older = [one for one in conflicts_of(grant, self.host.cache) if one.id < grant.id]
                assert not [one for one in older if one.state.is_living]

    @invariant()
    def conflicts_are_what_dominance_says(self) -> None:
        for grant in self.host.cache.grants():
            assert conflicts_of(grant, self.host.cache) == tuple(
                other
                for other in self.host.cache.grants()
                if other.id != grant.id
                and grant.level.categories
                and other.level.categories
                and grant.level.is_comparable_to(other.level)
                and not are_shared(grant, other, self.host.cache)
            )

    @invariant()
    def those_who_share_files_agree_on_their_level(self) -> None:
        """Promise 1: no walk undoes another's, and nobody's files are taken from him."""
        for (_, _, one), (_, _, other) in combinations(self.standing(), 2):
            if lies_below(one.path, other.path) or lies_below(other.path, one.path):
                assert one.level == other.level

    @invariant()
    def a_directory_is_one_volume(self) -> None:
        identities = [volume.identity for volume in self.host.cache.volumes()]
        assert len(identities) == len(set(identities))

    @invariant()
    def memory_is_what_is_written_down(self) -> None:
        """Promise 3."""
        tables = self.host.tables
        assert {grant.id: grant for grant in self.host.cache.grants()} == tables.grants
        assert {volume.id: volume for volume in self.host.cache.volumes()} == tables.volumes


TestPlanHistories = PlanHistories.TestCase


@pytest.mark.parametrize("share_on_conflict", [False, True])
def test_what_a_volume_above_carries_already_does_not_wait_for_one_that_is_gone(
    share_on_conflict: bool,
) -> None:
    """Promise 7: after a failed walk one more look comes to rest, the part with the whole."""
    host = PlanHost(share_on_conflict=share_on_conflict)
    host.create("gone", Level(0, 10), [("/a", "/w")])
    gone = next(reversed(host.containers))
    host.settle(gone)
    del host.containers[gone]
    host.settle(gone)
    host.create("both", Level(0, 6), [("/a", "/w"), ("/a/b", "/x")], wish="shared")
    both = next(reversed(host.containers))
    host.settle(both, Luck.FAILING)
    host.settle(both)
    assert plan(host.look(both), host.cache, host.policy) == ()
    grant = host.cache.grant_of(both)
    assert grant is not None
    assert {claim.state for claim in host.cache.claims_of(grant.id)} == {ClaimState.READY}


@pytest.mark.parametrize("level", [Level(0, 0), Level.of(4, 5)])
@pytest.mark.parametrize("luck", [Luck.FAILING, Luck.PARTIAL])
def test_what_several_claim_stays_shared_after_a_walk_that_failed(level: Level, luck: Luck) -> None:
    """Promise 7: that a conflict was resolved by sharing outlasts what went wrong afterwards."""
    host = PlanHost(share_on_conflict=True)
    host.create("one", Level.of(1, 2), [("/a", "/w")])
    one = next(reversed(host.containers))
    host.settle(one)
    host.create("other", level, [("/a", "/w")])
    other = next(reversed(host.containers))
    for went in (luck, Luck.WELL, Luck.WELL):
        host.settle(other, went)
        host.settle(one, went)
    for key in (one, other):
        assert plan(host.look(key), host.cache, host.policy) == ()
        grant = host.cache.grant_of(key)
        assert grant is not None
        (claim,) = host.cache.claims_of(grant.id)
        assert (claim.mode, claim.state, claim.reason) == (ClaimMode.SHARED, ClaimState.READY, CONCEDED)


def made(host: PlanHost, level: Level, mounts: list[tuple[str, str]], **how: Any) -> ContainerId:
    """Have a container made and looked at; `luck` is its walks'."""
    luck = how.pop("luck", Luck.WELL)
    host.create("c", level, mounts, **how)
    key = next(reversed(host.containers))
    host.settle(key, luck)
    return key


def claims_of(host: PlanHost, key: ContainerId) -> dict[str, Claim]:
    grant = host.cache.grant_of(key)
    assert grant is not None
    return {claim.destination: claim for claim in host.cache.claims_of(grant.id)}


def test_what_is_held_around_is_told_before_what_would_have_to_be_restored() -> None:
    """Promise 7: that would be asked for at each look, in vain."""
    host = PlanHost(share_on_conflict=True)
    for level in (Level.of(1, 2), Level.of(1, 3)):
        del host.containers[made(host, level, [("/a/b", "/w")])]
    for grant in host.cache.grants():
        host.settle(grant.container)
    made(host, Level(0, 0), [("/a", "/w")])
    inner = made(host, Level.of(1, 2), [("/a/b/d", "/w")])
    assert plan(host.look(inner), host.cache, host.policy) == ()
    assert claims_of(host, inner)["/w"].state is ClaimState.REFUSED


def test_what_could_not_be_labelled_is_nobody_else_s_original() -> None:
    """Promise 6: the inner volume carries a level that the outer one would put back for ever."""
    host = PlanHost(share_on_conflict=True)
    first = made(host, Level.of(1, 2), [("/a/b", "/w")])
    made(host, Level.of(1, 3), [("/a/b", "/w")], luck=Luck.FAILING)
    outer = made(host, Level(0, 0), [("/a", "/w")])
    assert claims_of(host, outer)["/w"].state is ClaimState.FAILED
    host.settle(first)
    host.settle(outer)
    assert claims_of(host, outer)["/w"].state is ClaimState.READY
    host.containers.clear()
    for _ in range(2):
        host.now += 700
        host.quiet()
    assert host.labels == BORN


def test_a_volume_is_not_shared_for_a_conflict_with_another_inside_it() -> None:
    """Promise 1: the walk of the outer one would take its level from the inner one."""
    host = PlanHost(share_on_conflict=True)
    one = made(host, Level.of(1, 2), [("/a/b", "/x")])
    host.containers[one] = replace(
        host.containers[one],
        mounts=tuple(Mount(MountKind.BIND, path, at) for path, at in (("/a", "/w"), ("/a/b", "/x"))),
    )
    host.settle(one)
    other = made(host, Level.of(3, 4), [("/a", "/w")])
    assert claims_of(host, other)["/w"].state is ClaimState.REFUSED
    assert "/a/b as private" in claims_of(host, other)["/w"].reason
    assert {claim.mode for claim in claims_of(host, one).values()} == {ClaimMode.PRIVATE}
    assert {host.labels[path] for path in ("/a", "/a/b")} == {file_context(Level.of(1, 2))}
