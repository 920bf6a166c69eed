"""What an administrator does to a fleet: each as one transaction on the store, or a refusal that says why."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import combinations

from mcsd.core.fleet.blocks import listed
from mcsd.core.fleet.protocol import View, disagree
from mcsd.core.fleet.values import FLEET, Fleet, Reading, Swap, document_key, fence_key
from mcsd.errors import ConflictError, NotFoundError, RequestError

MOST_MEMBERS = 120
"""Hosts of a fleet: taking a block compares the documents of all, and etcd takes 128 operations in a
transaction (--max-txn-ops)."""

NewId = Callable[[], str]


def found(reading: Reading, hosts: Iterable[str], new_id: NewId) -> Swap:
    """Found a fleet of these hosts; raise `ConflictError` if the store has one."""
    if FLEET in reading.values:
        raise ConflictError("the store has a fleet already", hint="add hosts with mcsctl fleet admit HOST")
    names = sorted(set(hosts))
    if not 1 <= len(names) <= MOST_MEMBERS:
        raise RequestError(f"a fleet has 1 to {MOST_MEMBERS} hosts, not {len(names)}", hint="name its hosts")
    admitted = {name: new_id() for name in names}
    return _changed(reading, Fleet(new_id(), reading.cluster, 1, True, admitted, new_id()))


def admit(view: View, name: str, new_id: NewId) -> Swap:
    """Let a host join; raise `ConflictError` if it may already."""
    if name in view.fleet.hosts:
        raise ConflictError(
            f"{name!r} is a host of the fleet already",
            hint=f"if it was installed anew, and nothing of it is left: mcsctl fleet evict {name} --gone",
        )
    if len(view.fleet.hosts) >= MOST_MEMBERS:
        raise ConflictError(
            f"a fleet has at most {MOST_MEMBERS} hosts", hint="mcsctl fleet evict HOST --gone"
        )
    hosts = {**view.fleet.hosts, name: new_id()}
    return _changed(view.reading, replace(view.fleet, hosts=hosts, token=new_id()))


def evict(view: View, name: str, new_id: NewId) -> Swap:
    """Take everything from a host whose containers are gone for ever; raise `NotFoundError`."""
    if name not in view.fleet.hosts:
        raise NotFoundError(f"there is no host {name!r} in the fleet", hint="mcsctl fleet status lists them")
    hosts = {host: admission for host, admission in view.fleet.hosts.items() if host != name}
    swap = _changed(view.reading, replace(view.fleet, hosts=hosts, token=new_id()))
    return Swap(swap.conditions, {**swap.writes, fence_key(name): None, document_key(name): None})


def begin_recovery(view: View, new_id: NewId) -> Swap:
    """Have all hosts write what they hold into a restored store. Nobody takes anything meanwhile."""
    fleet = view.fleet
    generations = (fleet.generation, *(fence.generation for fence in view.fences.values()))
    recovering = replace(
        fleet,
        cluster=view.reading.cluster,
        generation=max(generations) + 1,
        is_open=False,
        token=new_id(),
    )
    return _changed(view.reading, recovering)


def missing(view: View) -> tuple[str, ...]:
    """Return the hosts that have not written what they hold in this generation."""
    fences, generation = view.fences, view.fleet.generation
    return tuple(
        name
        for name in sorted(view.fleet.hosts)
        if name not in fences or fences[name].generation != generation or name not in view.documents
    )


def overlaps(view: View) -> tuple[tuple[str, str, frozenset[int]], ...]:
    """Return which hosts have which blocks in common: none, unless the store lost something."""
    return tuple(
        (one, other, common)
        for one, other in combinations(sorted(view.documents), 2)
        if (common := view.documents[one].blocks & view.documents[other].blocks)
    )


def splits(view: View) -> tuple[tuple[str, str, str], ...]:
    """Return which hosts disagree about the pair of a group: none, unless the store lost something."""
    return tuple(
        (one, other, own.name)
        for one, other in combinations(sorted(view.documents), 2)
        for own in sorted(view.documents[one].groups)
        if any(disagree(own, theirs) for theirs in view.documents[other].groups)
    )


def clashes(view: View) -> tuple[tuple[str, str, str], ...]:
    """Return which hosts both have which directory: none, unless the store lost something."""
    return tuple(
        sorted(
            {
                (one, other, own.place.path)
                for one, document in view.documents.items()
                for own in document.trees
                for other, _ in view.trees.excluding(own)
                if one < other
            }
        )
    )


def end_recovery(view: View, new_id: NewId) -> Swap:
    """End a recovery; raise `ConflictError` while a host has not written, or two have the same block."""
    if view.fleet.is_open:
        raise ConflictError("there is no recovery to be ended", hint="mcsctl fleet status shows the fleet")
    if view.fleet.cluster != view.reading.cluster:
        raise ConflictError("the store was restored once more", hint="mcsctl fleet recover")
    late = missing(view)
    if late:
        raise ConflictError(
            f"these hosts have not written what they hold: {', '.join(late)}",
            hint="wait until they have, or mcsctl fleet evict HOST --gone",
        )
    for one, other, common in overlaps(view):
        raise ConflictError(
            f"{one} and {other} both hold {listed(common)}",
            hint="neither grants from these; remove what has pairs of them on one, and it gives them back",
        )
    for one, other, name in splits(view):
        raise ConflictError(
            f"{one} and {other} have different pairs for the group {name!r}, or one for two",
            hint="no member starts on either; remove the group's members on one, and it leaves the group",
        )
    for one, other, path in clashes(view):
        raise ConflictError(
            f"{one} and {other} both have containers with {path!r}, or what is in it",
            hint="neither labels it; remove these containers on one, and it gives the directory up",
        )
    opened = _changed(view.reading, replace(view.fleet, is_open=True, token=new_id()))
    documents = {document_key(name): view.reading.values[document_key(name)] for name in view.fleet.hosts}
    return Swap({**opened.conditions, **documents}, opened.writes)


def _changed(reading: Reading, fleet: Fleet) -> Swap:
    return Swap({FLEET: reading.values.get(FLEET)}, {FLEET: fleet.text()})
