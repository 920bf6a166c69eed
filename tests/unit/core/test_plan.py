"""The plan, rule by rule, on a host of plain values; that it comes to rest is a property."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mcsd.core.changes import Group, PutGrant, PutGroup
from mcsd.core.containers import ContainerId
from mcsd.core.grants import Grant, GrantEvent, GrantState, Origin
from mcsd.core.labels import Context, Level
from mcsd.core.plan import (
    Adopt,
    Advance,
    Assign,
    LabelVolume,
    Occupy,
    RenameGrant,
    SetClaim,
    Unusable,
    Vacate,
    plan,
)
from mcsd.core.sharing import conflicts_of
from mcsd.core.volumes import Claim, ClaimMode, ClaimState, GrantId
from tests.properties.plan_host import BORN, Luck, PlanHost, file_context, label_of

L12, L45 = Level.of(1, 2), Level.of(4, 5)


@pytest.fixture
def host() -> PlanHost:
    return PlanHost(share_on_conflict=False)


def created(
    host: PlanHost, level: Level = L12, *mounts: tuple[str, str], wish: str = "", name: str = "web"
) -> ContainerId:
    host.create(name, level, mounts, wish=wish)
    return next(reversed(host.containers))


def settled(
    host: PlanHost, level: Level = L12, *mounts: tuple[str, str], wish: str = "", luck: Luck = Luck.WELL
) -> ContainerId:
    key = created(host, level, *mounts, wish=wish)
    host.settle(key, luck)
    return key


def grant_of(host: PlanHost, key: ContainerId) -> Grant:
    grant = host.cache.grant_of(key)
    assert grant is not None
    return grant


def claims(host: PlanHost, key: ContainerId) -> dict[str, Claim]:
    return {claim.destination: claim for claim in host.cache.claims_of(grant_of(host, key).id)}


def removed(host: PlanHost, key: ContainerId) -> None:
    del host.containers[key]
    host.settle(key)


# --- the grant -----------------------------------------------------------------------------------------


def test_what_the_engine_chose_is_adopted(host: PlanHost) -> None:
    key = created(host)
    assert plan(host.look(key), host.cache, host.policy) == (Adopt(host.containers[key], L12),)


def test_where_the_engine_does_not_label_a_pair_is_assigned(host: PlanHost) -> None:
    key = created(host)
    host.containers[key] = replace(host.containers[key], process_label=None)
    seen = host.look(key)
    off = replace(seen.host.engines["docker"], selinux=False)
    seen = replace(seen, host=seen.host.with_engine("docker", off))
    assert plan(seen, host.cache, host.policy) == (Assign(host.containers[key]),)
    assert plan(replace(seen, host=replace(seen.host, engines={})), host.cache, host.policy) == ()


def test_what_the_engine_did_not_confine_gets_no_grant(host: PlanHost) -> None:
    key = created(host)
    host.containers[key] = replace(host.containers[key], process_label=None, privileged=True)
    assert plan(host.look(key), host.cache, host.policy) == ()


def test_a_reservation_is_occupied_by_who_comes_with_its_level(host: PlanHost) -> None:
    reserved = Grant(
        GrantId(1), ContainerId(""), "web", L12, Origin.ASSIGNED, GrantState.RESERVED, 1.0, reservation="web"
    )
    host.commit([PutGrant(reserved)])
    key = created(host)
    assert plan(host.look(key), host.cache, host.policy) == (Occupy(host.containers[key], GrantId(1)),)
    host.settle(key)
    removed(host, key)
    assert host.cache.grants() == (replace(reserved, since=host.now),), "the reservation has it back"


def test_exit_start_and_another_name_are_followed(host: PlanHost) -> None:
    key = settled(host)
    host.run(key, running=False)
    assert plan(host.look(key), host.cache, host.policy) == (Advance(GrantId(1), GrantEvent.EXITED),)
    host.settle(key)
    assert grant_of(host, key).state is GrantState.IDLE, "Docker keeps the level"
    host.run(key, running=True)
    host.settle(key)
    assert grant_of(host, key).state is GrantState.ACTIVE
    host.containers[key] = replace(host.containers[key], name="blog")
    assert plan(host.look(key), host.cache, host.policy) == (RenameGrant(GrantId(1), "blog", "docker"),)


@pytest.mark.parametrize("running", [True, False])
def test_who_was_taken_for_gone_and_is_there_has_its_level_again(host: PlanHost, running: bool) -> None:
    """Promise 2: Docker keeps the label of a container that exists, so its pair must not become free."""
    key = settled(host, L12, ("/c", "/x"))
    container = host.containers[key]
    removed(host, key)
    assert grant_of(host, key).state is GrantState.QUARANTINED
    host.containers[key] = container
    host.run(key, running=running)
    host.settle(key)
    assert grant_of(host, key).state is (GrantState.ACTIVE if running else GrantState.IDLE)
    host.now += 700
    host.reclaim()
    assert host.labels["/c"] == file_context(L12)


# --- volumes -------------------------------------------------------------------------------------------


def test_an_intent_comes_first_and_a_finished_walk_is_not_planned_again(host: PlanHost) -> None:
    key = created(host, L12, ("/c", "/x"))
    host.settle(key, Luck.FAILING)
    assert claims(host, key)["/x"].state is ClaimState.FAILED
    (action,) = plan(host.look(key), host.cache, host.policy)
    assert isinstance(action, LabelVolume), "what failed is tried again in the next pass"
    assert plan(host.look(key, frozenset({"/x"})), host.cache, host.policy) == (), "and not in this one"
    host.settle(key)
    assert claims(host, key)["/x"].state is ClaimState.READY and host.labels["/c"] == file_context(L12)


@pytest.mark.parametrize(
    "label", ["system_u:object_r:etc_t:s0", "system_u:object_r:container_file_t:s0:c2,c1"]
)
def test_a_root_that_was_relabelled_behind_our_back_is_walked_again(host: PlanHost, label: str) -> None:
    """Also one that was only spelled anew: a walk compares bytes, so the plan does."""
    key = settled(host, L12, ("/c", "/x"))
    host.labels["/c"] = label
    (action,) = plan(host.look(key), host.cache, host.policy)
    assert isinstance(action, LabelVolume)


def test_a_directory_mounted_twice_is_walked_once(host: PlanHost) -> None:
    key = created(host, L12, ("/c", "/x"), ("/c", "/y"))
    host.settle(key, Luck.FAILING)
    assert [claim.state for claim in claims(host, key).values()] == [ClaimState.FAILED] * 2
    host.settle(key)
    assert [claim.state for claim in claims(host, key).values()] == [ClaimState.READY] * 2
    assert len(host.cache.volumes()) == 1


def test_a_directory_inside_another_of_the_same_container_is_part_of_it(host: PlanHost) -> None:
    """Promise 6: one volume has the originals of both, whatever order they are given back in."""
    key = settled(host, L12, ("/a/b", "/x"), ("/a", "/y"))
    assert [volume.path for volume in host.cache.volumes()] == ["/a"]
    assert {claim.state for claim in claims(host, key).values()} == {ClaimState.READY}
    removed(host, key)
    host.now += 700
    host.reclaim()
    assert host.labels == BORN


def test_what_cannot_be_used_says_why(host: PlanHost) -> None:
    key = settled(host, L45, ("/c", "/x"))
    sights = {"/x": Unusable(ClaimState.REFUSED, "it is protected", "name it")}
    (action,) = plan(replace(host.look(key), sights=sights), host.cache, host.policy)
    assert isinstance(action, SetClaim)
    assert (action.claim.state, action.claim.reason) == (ClaimState.REFUSED, "it is protected")
    assert action.claim.volume is None, "what is refused is let go of"


def test_hands_off_means_hands_off(host: PlanHost) -> None:
    """Promise 10."""
    key = settled(host, L12, ("/c", "/x"), wish="ignore")
    assert claims(host, key)["/x"].state is ClaimState.UNMANAGED
    assert host.labels == BORN and host.cache.volumes() == ()


def test_a_second_private_claim_is_refused_and_told_who(host: PlanHost) -> None:
    settled(host, L12, ("/c", "/x"))
    claim = claims(host, settled(host, L45, ("/c", "/y")))["/y"]
    assert claim.state is ClaimState.REFUSED and "web holds /c as private" in claim.reason
    assert Context.parse(host.labels["/c"]).level == L12


@pytest.mark.parametrize(("first", "second"), [("/a", "/a/b"), ("/a/b", "/a")])
def test_one_inside_the_other_is_refused_too(host: PlanHost, first: str, second: str) -> None:
    settled(host, L12, (first, "/x"))
    key = settled(host, L45, (second, "/y"))
    assert claims(host, key)["/y"].state is ClaimState.REFUSED


def test_a_conflict_over_a_volume_can_be_resolved_by_sharing() -> None:
    host = PlanHost(share_on_conflict=True)
    one = settled(host, L12, ("/c", "/x"))
    two = settled(host, L45, ("/c", "/y"))
    for key in (one, two):
        (claim,) = claims(host, key).values()
        assert (claim.mode, claim.state) == (ClaimMode.SHARED, ClaimState.READY)
    assert host.labels["/c"] == file_context(Level(0, 0))
    host.settle(one)
    assert claims(host, one)["/x"].mode is ClaimMode.SHARED, "and stays resolved"


def test_a_volume_goes_straight_from_who_is_gone_to_the_next(host: PlanHost) -> None:
    removed(host, settled(host, L12, ("/c", "/x")))
    settled(host, L45, ("/c", "/y"))
    assert host.labels["/c"] == file_context(L45)
    host.reclaim()
    assert [grant.level for grant in host.cache.grants()] == [L45]


def test_a_gone_container_s_volume_in_the_way_is_vacated_and_the_new_one_labelled(host: PlanHost) -> None:
    removed(host, settled(host, L12, ("/a", "/x")))
    key = created(host, L45, ("/a/b", "/y"))
    host.commit(
        [
            PutGrant(
                Grant(GrantId(9), key, "web", L45, Origin.ADOPTED, GrantState.ACTIVE, 1.0, engine="docker")
            )
        ]
    )
    (action,) = plan(host.look(key), host.cache, host.policy)
    assert action == Vacate((GrantId(1),), "/y")
    host.settle(key)
    assert claims(host, key)["/y"].state is ClaimState.READY
    assert host.labels["/a"] == BORN["/a"] and host.labels["/a/b"] == file_context(L45)


def test_what_cannot_be_vacated_is_said(host: PlanHost) -> None:
    removed(host, settled(host, L12, ("/a", "/x")))
    key = settled(host, L45, ("/a/b", "/y"), luck=Luck.FAILING)
    claim = claims(host, key)["/y"]
    assert claim.state is ClaimState.FAILED and "former container's labels" in claim.reason


# --- conflicts of levels -------------------------------------------------------------------------------


@pytest.mark.parametrize("level", ["s0:c1,c2", "s0:c1", "s0:c1,c2,c3"])
def test_the_second_of_a_conflict_gets_nothing_private_and_may_share(host: PlanHost, level: str) -> None:
    """Promises 1 and 9."""
    first = settled(host, L12, ("/a", "/x"))
    second = settled(host, Level.parse(level), ("/c", "/y"))
    claim = claims(host, second)["/y"]
    assert claim.state is ClaimState.REFUSED and "not separate from that of web" in claim.reason
    assert host.labels["/c"] == BORN["/c"]
    assert claims(host, first)["/x"].state is ClaimState.READY
    third = settled(host, Level.parse(level), ("/c", "/y"), wish="shared")
    assert claims(host, third)["/y"].state is ClaimState.READY


def test_a_stranger_at_the_level_is_a_conflict_for_what_is_not_labelled_yet(host: PlanHost) -> None:
    """Promises 1 and 9."""
    key = created(host, L12, ("/c", "/x"))
    host.commit(
        [
            PutGrant(
                Grant(GrantId(1), key, "web", L12, Origin.ADOPTED, GrantState.ACTIVE, 1.0, engine="docker")
            )
        ]
    )
    seen = replace(host.look(key), conflicting=("process 7 at s0:c1,c2",))
    (action,) = plan(seen, host.cache, host.policy)
    assert isinstance(action, SetClaim) and action.claim.state is ClaimState.REFUSED
    assert "process 7" in action.claim.reason
    host.settle(key)
    seen = replace(host.look(key), conflicting=("process 7 at s0:c1,c2",))
    assert plan(seen, host.cache, host.policy) == (), "what is labelled stays so: taking it away helps nobody"


def test_a_container_re_created_at_its_old_level_has_its_volumes(host: PlanHost) -> None:
    """A gone container runs no process, and its level is cleaned at once for who has come to be at it."""
    removed(host, settled(host, L12, ("/c", "/x"), ("/a", "/y")))
    key = settled(host, L12, ("/c", "/x"))
    assert claims(host, key)["/x"].state is ClaimState.READY
    host.reclaim()
    assert host.labels["/a"] == BORN["/a"], "what the new one does not claim is not left at its level"
    assert conflicts_of(grant_of(host, key), host.cache) == ()


def test_sharing_another_s_ipc_is_sharing_its_level_on_purpose(host: PlanHost) -> None:
    first = settled(host, L12, ("/a", "/x"))
    host.share("side", first)
    second = next(reversed(host.containers))
    host.settle(second)
    assert grant_of(host, second).shares_with == first
    assert conflicts_of(grant_of(host, second), host.cache) == ()
    third = settled(host, L12)
    assert len(conflicts_of(grant_of(host, third), host.cache)) == 2


def test_a_group_s_volume_needs_a_member_and_carries_the_group_s_pair(host: PlanHost) -> None:
    host.commit([PutGroup(Group("team", 30, 40, 1.0))])
    label = (("io.mcsd.group", "team"), ("io.mcsd.volume", "/x:group"))
    outsider = created(host, L12, ("/c", "/x"))
    host.containers[outsider] = replace(host.containers[outsider], labels=label)
    host.settle(outsider)
    assert claims(host, outsider)["/x"].state is ClaimState.REFUSED
    level = Level.of(7, 8, 30, 40)
    host.commit(
        [
            PutGrant(
                Grant(
                    GrantId(5),
                    ContainerId(""),
                    "m",
                    level,
                    Origin.ASSIGNED,
                    GrantState.RESERVED,
                    1.0,
                    group="team",
                    reservation="m",
                )
            )
        ]
    )
    member = created(host, level, ("/c", "/x"))
    assert host.containers[member].process_label == label_of(level)
    host.containers[member] = replace(host.containers[member], labels=label)
    host.settle(member)
    assert claims(host, member)["/x"].state is ClaimState.READY
    assert Context.parse(host.labels["/c"]).level == Level.of(30, 40)


def test_a_group_s_volume_is_not_labelled_while_a_stranger_could_read_it(host: PlanHost) -> None:
    """Promises 1 and 9: such a level is comparable to no member's, and dominates what they share."""
    label = (("io.mcsd.group", "team"), ("io.mcsd.volume", "/x:group"))
    member = created(host, Level.of(7, 8, 30, 40), ("/c", "/x"))
    host.containers[member] = replace(host.containers[member], labels=label)
    grant = Grant(
        GrantId(1),
        member,
        "web",
        Level.of(7, 8, 30, 40),
        Origin.ASSIGNED,
        GrantState.ACTIVE,
        1.0,
        group="team",
    )
    host.commit([PutGroup(Group("team", 30, 40, 1.0)), PutGrant(grant)])
    stranger = settled(host, Level.of(9, 30, 40))
    host.settle(member)
    claim = claims(host, member)["/x"]
    assert claim.state is ClaimState.REFUSED and "no member" in claim.reason
    removed(host, stranger)
    host.settle(member)
    assert claims(host, member)["/x"].state is ClaimState.READY
