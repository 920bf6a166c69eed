"""What a host may conclude from what the common store has, and what it may do next.

Theory of operation
-------------------
A host changes what it holds by *operations*. It writes the operation into its ledger first (`Operation`, with
a random id), then asks the store for one transaction: if the fleet's value and this host's fence are still
what was read, and, for a block to be taken, the documents of all other hosts as well, replace fence and
document. The answer counts for nothing. The host reads again, and believes what it reads: a fence with the id
of a pending operation says that this one was done, and that no other one of them ever will be, since all of
them demand the former fence. So answers may be lost, late, doubled or wrong.

No time decides anything. What a document has is its host's until that host writes another, or an
administrator evicts it. A host that is cut off goes on with what it holds.

What always holds:

- A block is in one document at most, unless the store lost what it had confirmed. So is one of
  two directories on shared storage that exclude each other.
- A host grants only from blocks that its ledger has as held whichever pending operation was done, and only
  if, since mcsd started, the store has shown this host's own last operation. A host whose state is older than
  the fleet's, or that is a copy, finds another operation there, and grants nothing.
- A store that was restored has another identity (etcd: cluster id), or a lower revision, or a fence that is
  older than its host. Then nobody takes a block until all hosts have written what they hold (`RECOVERING`),
  with a new generation, which no earlier transaction fits.

What a failure means: what is not certain is not granted; what runs goes on running.

Two things cannot be known from here. A store that is restored under the *same* identity, to a state in which
this host's last operation is there and another host's is not, looks to this host like one that nothing has
happened to, if it grows beyond the revision that this host has seen. And a memory image of a host that runs
twice is twice the same host.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property

from mcsd.core.fleet.blocks import BLOCKS, GROUP_PAIRS, MOST_HELD
from mcsd.core.fleet.trees import FleetTree, TreeIndex, has_room
from mcsd.core.fleet.values import (
    FLEET,
    Document,
    Fence,
    Fleet,
    FleetGroup,
    FleetRecord,
    FleetValueError,
    Operation,
    Reading,
    Swap,
    document_key,
    fence_key,
)


class Trouble(StrEnum):
    """Why a host does not take blocks, or does not grant at all; part of the API."""

    UNKNOWN = "unknown"
    """The store has not been read since mcsd started."""
    UNREACHABLE = "unreachable"
    NO_FLEET = "no-fleet"
    UNREADABLE = "unreadable"
    OTHER_FLEET = "other-fleet"
    NOT_ADMITTED = "not-admitted"
    EVICTED = "evicted"
    NAME_TAKEN = "name-taken"
    COPIED = "copied"
    BEHIND = "behind"
    TAMPERED = "tampered"
    RESTORED = "restored"
    RECOVERING = "recovering"
    MISSED_RECOVERY = "missed-recovery"
    DOUBTED = "doubted"
    FULL = "full"
    """No block is left that nobody holds."""
    CROWDED = "crowded"
    """A transaction that takes something would be longer than the store takes."""


class Grants(StrEnum):
    """What a reading says about granting from the blocks that are held."""

    PROVEN = "proven"
    UNCHANGED = "unchanged"
    """It says nothing: what was so before stays so."""
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Judgement:
    """The conclusion from one reading.

    `contested` are held blocks that another host claims as well, `split` groups that have another pair there,
    or whose pair has another name, `disputed` directories that another host has as well.
    """

    grants: Grants
    trouble: Trouble | None = None
    may_take: bool = False
    must_assert: bool = False
    """Whether the host has to write what it holds, because the store may not have it."""
    doubt: str = ""
    """What the host has to tell the others, "" for nothing new."""
    contested: frozenset[int] = frozenset()
    split: frozenset[FleetGroup] = frozenset()
    disputed: frozenset[FleetTree] = frozenset()


def disagree(one: FleetGroup, other: FleetGroup) -> bool:
    """Tell whether two groups cannot both be: one name with two pairs, or one pair with two names."""
    return (one.name == other.name) != (one.pair == other.pair)


@dataclass(frozen=True)  # without slots: `trees` is made once, if it is asked for
class View:
    """A reading, understood. What cannot be read of other hosts is in `unreadable`, by their names."""

    reading: Reading
    fleet: Fleet
    fences: Mapping[str, Fence]
    documents: Mapping[str, Document]
    unreadable: frozenset[str] = frozenset()

    @classmethod
    def of(cls, reading: Reading) -> View | None:
        """Understand a reading; None if there is no fleet. Raises `FleetValueError`."""
        text = reading.values.get(FLEET)
        if text is None:
            return None
        fleet = Fleet.parse(text)
        fences: dict[str, Fence] = {}
        documents: dict[str, Document] = {}
        unreadable: set[str] = set()
        for name in fleet.hosts:
            try:
                if (stored := reading.values.get(fence_key(name))) is not None:
                    fences[name] = Fence.parse(stored)
                if (stored := reading.values.get(document_key(name))) is not None:
                    documents[name] = Document.parse(stored)
            except FleetValueError:
                unreadable.add(name)
        return cls(reading, fleet, fences, documents, frozenset(unreadable))

    def others(self, name: str) -> Mapping[str, Document]:
        """Return the documents of all hosts but one."""
        return {host: document for host, document in self.documents.items() if host != name}

    def groups(self, name: str) -> frozenset[FleetGroup]:
        """Return the groups of hosts other than this one."""
        return frozenset().union(*(one.groups for one in self.others(name).values()))

    @cached_property
    def trees(self) -> TreeIndex:
        """The directories of all hosts."""
        return TreeIndex((host, tree) for host, one in self.documents.items() for tree in one.trees)

    def taken(self, name: str) -> frozenset[int]:
        """Return the blocks that hosts other than this one have."""
        return frozenset().union(*(one.blocks for one in self.others(name).values()))


def settled(record: FleetRecord, view: View) -> FleetRecord:
    """Return the record with the pending operation that the store shows as done.

    An operation of another generation, or one seen in a store of another identity, is not believed: it may
    have been done to a copy that knew less.
    """
    fence = view.fences.get(record.name)
    if fence is None or fence.incarnation != record.incarnation or not _is_same_store(record, view):
        return record
    for operation in record.pending:
        if operation.id == fence.operation and operation.generation == view.fleet.generation:
            after = record.following(operation)
            return replace(after, cluster=view.fleet.cluster, revision=view.reading.revision)
    return record


def _is_same_store(record: FleetRecord, view: View) -> bool:
    return view.fleet.id == record.fleet and view.reading.cluster == view.fleet.cluster


def judge(record: FleetRecord, view: View | None, *, machine: str, seen: int) -> Judgement:
    """Conclude from a reading; `record` is settled already. `seen` is the highest revision seen so far."""
    if record.machine != machine:
        return Judgement(Grants.STOPPED, Trouble.COPIED)
    if view is None:
        return Judgement(Grants.UNCHANGED, Trouble.NO_FLEET)
    if view.fleet.id != record.fleet:
        return Judgement(Grants.UNCHANGED, Trouble.OTHER_FLEET)
    if view.reading.cluster != view.fleet.cluster:
        return Judgement(Grants.UNCHANGED, Trouble.RESTORED)
    if view.fleet.hosts.get(record.name) != record.admission:
        return Judgement(Grants.STOPPED, Trouble.EVICTED)
    if record.name in view.unreadable:
        return Judgement(Grants.STOPPED, Trouble.TAMPERED)
    if view.fleet.generation < record.generation:
        return Judgement(Grants.STOPPED, Trouble.RESTORED)
    if view.fleet.generation > record.generation:
        return _judge_recovery(record, view)
    return _judge_fence(record, view, seen)


def _judge_recovery(record: FleetRecord, view: View) -> Judgement:
    """Conclude from a generation in which this host has not yet written what it holds."""
    if view.fleet.is_open:
        return Judgement(Grants.STOPPED, Trouble.MISSED_RECOVERY)
    fence = view.fences.get(record.name)
    if fence is not None:
        if fence.incarnation != record.incarnation:
            return Judgement(Grants.STOPPED, Trouble.NAME_TAKEN)
        is_ours = fence.operation in {record.operation, *(one.id for one in record.pending)}
        if not is_ours and (fence.number > record.number or fence.generation >= view.fleet.generation):
            return Judgement(Grants.STOPPED, Trouble.BEHIND)
    return _compared(record, view, Judgement(Grants.UNCHANGED, Trouble.RECOVERING, must_assert=True))


def _compared(record: FleetRecord, view: View, judgement: Judgement) -> Judgement:
    """Return a judgement with what other hosts claim as well, as after a restore they may."""
    theirs = view.groups(record.name)
    split = frozenset(own for own in record.groups if any(disagree(own, other) for other in theirs))
    disputed = frozenset(own for own in record.trees if excluded_by(own, record.name, view) is not None)
    contested = record.held & view.taken(record.name)
    return replace(judgement, contested=contested, split=split, disputed=disputed)


def excluded_by(tree: FleetTree, name: str, view: View) -> tuple[str, FleetTree] | None:
    """Return another host, and its directory, which excludes this one; None if there is none."""
    return next((found for found in view.trees.excluding(tree) if found[0] != name), None)


def _judge_fence(record: FleetRecord, view: View, seen: int) -> Judgement:
    """Conclude from this host's own fence, in the generation that it knows."""
    fence = view.fences.get(record.name)
    if fence is None and not record.operation:
        return Judgement(Grants.UNCHANGED, None)  # it has not joined yet
    if fence is not None and fence.incarnation != record.incarnation:
        return Judgement(Grants.STOPPED, Trouble.NAME_TAKEN)
    if fence is not None and fence.operation == record.operation:
        return _judge_others(record, view, seen)
    if fence is not None and fence.number > record.number:
        return Judgement(Grants.STOPPED, Trouble.BEHIND)
    doubt = f"the store is older than {record.name}"
    stopped = Judgement(Grants.STOPPED, Trouble.RESTORED, must_assert=True, doubt=doubt)
    return _compared(record, view, stopped)


def _judge_others(record: FleetRecord, view: View, seen: int) -> Judgement:
    """Conclude from what the others have written; this host's own last operation is in the store."""
    if view.documents.get(record.name) != record.document:
        return Judgement(Grants.STOPPED, Trouble.TAMPERED)
    if not view.fleet.is_open:
        return _compared(record, view, Judgement(Grants.UNCHANGED, Trouble.RECOVERING))
    if record.document.doubt:
        return _compared(record, view, Judgement(Grants.PROVEN, Trouble.DOUBTED))
    if view.reading.revision < max(seen, record.revision):
        doubt = f"the store's revision is lower than {record.name} has seen"
        return Judgement(Grants.PROVEN, Trouble.RESTORED, doubt=doubt)
    if any(other.doubt for other in view.others(record.name).values()):
        return Judgement(Grants.PROVEN, Trouble.DOUBTED)
    if view.unreadable:
        return Judgement(Grants.PROVEN, Trouble.UNREADABLE)
    return Judgement(Grants.PROVEN, may_take=True)


@dataclass(frozen=True, slots=True)
class Permission:
    """What a running mcsd may grant from. A new one, at each start, grants nothing until it is proven.

    The proof is an operation that was made since the start (`own` has their ids). An older one is no proof:
    if the ledger was put back, operations may be on their way that follow that one, and are not in the
    ledger. Nothing that follows it can be done any more once the store has another.
    """

    is_proven: bool = False
    contested: frozenset[int] = frozenset()
    split: frozenset[FleetGroup] = frozenset()
    disputed: frozenset[FleetTree] = frozenset()

    def after(self, judgement: Judgement, record: FleetRecord, own: Collection[str]) -> Permission:
        """Return the permission after a reading; `record` is settled by it."""
        if judgement.grants is Grants.UNCHANGED:
            contested, split = judgement.contested or self.contested, judgement.split or self.split
            return Permission(self.is_proven, contested, split, judgement.disputed or self.disputed)
        is_proven = judgement.grants is Grants.PROVEN and record.operation in own
        return Permission(is_proven, judgement.contested, judgement.split, judgement.disputed)

    def blocks(self, record: FleetRecord | None) -> frozenset[int]:
        """Return the blocks that may be granted from now."""
        if record is None or not self.is_proven:
            return frozenset()
        return record.held - self.contested

    def groups(self, record: FleetRecord | None) -> frozenset[FleetGroup]:
        """Return the groups whose members may start now."""
        if record is None or not self.is_proven:
            return frozenset()
        return record.groups - self.split

    def trees(self, record: FleetRecord | None) -> frozenset[FleetTree]:
        """Return the directories on shared storage that may be labelled now."""
        if record is None or not self.is_proven:
            return frozenset()
        return record.trees - self.disputed


# --- what to do next -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Wish:
    """What a host would like to change: blocks to take and to give back, groups to join and to leave by name,
    directories to claim and to give up.

    A blank one still writes an operation, which shows the others that the host is there, and tells the host
    from a copy of itself.
    """

    take: int = 0
    give: frozenset[int] = frozenset()
    join: frozenset[str] = frozenset()
    leave: frozenset[str] = frozenset()
    claim: frozenset[FleetTree] = frozenset()
    yield_up: frozenset[FleetTree] = frozenset()


Choose = Callable[[Sequence[int], int], Collection[int]]
"""Chooses so many of the blocks, at random: hosts that choose at the same time should choose differently."""


def join(view: View, name: str, *, machine: str, new_id: Callable[[], str]) -> FleetRecord | Trouble:
    """Return the record of a host that is to join, or why it may not: its first operation does it."""
    fleet = view.fleet
    if view.reading.cluster != fleet.cluster:
        return Trouble.RESTORED
    if name not in fleet.hosts:
        return Trouble.NOT_ADMITTED
    if name in view.fences or name in view.documents or name in view.unreadable:
        return Trouble.NAME_TAKEN
    if not fleet.is_open:
        return Trouble.RECOVERING
    return FleetRecord(
        fleet=fleet.id,
        name=name,
        admission=fleet.hosts[name],
        incarnation=new_id(),
        machine=machine,
        generation=fleet.generation,
        cluster=fleet.cluster,
        revision=view.reading.revision,
    )


@dataclass(frozen=True, slots=True)
class Means:
    """Randomness: `new_id` makes 32 hex digits."""

    choose: Choose
    new_id: Callable[[], str]


def next_operation(
    record: FleetRecord, view: View, judgement: Judgement, wish: Wish, own: Collection[str], means: Means
) -> tuple[FleetRecord, Operation] | None:
    """Return the operation to ask the store for, and the record that has to be durable before; None for none.

    An operation of this run (`own`) whose outcome is not known is repeated, as long as it still fits.
    """
    if judgement.grants is Grants.STOPPED and not judgement.must_assert:
        return None
    if not _is_same_store(record, view):
        return None
    newest = record.pending[-1] if record.pending else None
    if newest is not None and newest.id in own and _fits(record, newest, view, judgement):
        return record, newest
    document = _wanted(record, view, judgement, wish, means.choose)
    operation = Operation(means.new_id(), record.number + 1, view.fleet.generation, document)
    return replace(record, pending=(*record.pending, operation)), operation


MOST_IN_REQUEST = 1_400_000
"""Characters of a transaction's keys and values; etcd takes 1.5 MiB (--max-request-bytes)."""
_SPARE = 32_768
"""Of these, what no single directory exceeds, and all blocks and groups that are taken at once."""


def is_crowded(record: FleetRecord, view: View) -> bool:
    """Tell whether what takes something more may be too long for the store: it has all hosts' documents."""
    return _room(record, record.document, view) < _SPARE


def _room(record: FleetRecord, document: Document, view: View) -> int:
    operation = Operation("0" * 32, record.number + 1, view.fleet.generation, document)
    everything = swap_of(record, operation, view, takes=True)
    told = (everything.conditions, everything.writes)
    return MOST_IN_REQUEST - sum(len(key) + len(value or "") for one in told for key, value in one.items())


def _fits(record: FleetRecord, operation: Operation, view: View, judgement: Judgement) -> bool:
    if operation.generation != view.fleet.generation or (judgement.doubt and not operation.document.doubt):
        return False
    if not is_more(operation.document, record.document):
        return True
    blocks = operation.document.blocks - record.document.blocks
    groups = operation.document.groups - record.document.groups
    theirs = view.groups(record.name)
    return (
        judgement.may_take
        and _room(record, operation.document, view) >= 0
        and not blocks & view.taken(record.name)
        and not any(disagree(one, other) for one in groups for other in theirs)
        and not any(
            excluded_by(tree, record.name, view) for tree in operation.document.trees - record.document.trees
        )
    )


def is_more(document: Document, before: Document) -> bool:
    """Tell whether a document has something that the one before has not."""
    return bool(
        document.blocks - before.blocks or document.groups - before.groups or document.trees - before.trees
    )


def _wanted(record: FleetRecord, view: View, judgement: Judgement, wish: Wish, choose: Choose) -> Document:
    if judgement.must_assert:
        return Document(record.held, judgement.doubt, record.groups, record.trees)
    doubt = judgement.doubt or record.document.doubt
    blocks = record.held - wish.give
    groups = frozenset(one for one in record.groups if one.name not in wish.leave)
    trees = record.trees - wish.yield_up
    if not judgement.may_take or is_crowded(record, view):
        return Document(blocks, doubt, groups, trees)
    groups |= _joined(record, view, wish.join, choose)
    trees = _claimed(record, view, wish.claim, trees)
    tried = frozenset().union(*(one.document.blocks for one in record.pending))
    free = sorted(set(range(BLOCKS)) - view.taken(record.name) - record.document.blocks - tried)
    count = max(0, min(wish.take, len(free), MOST_HELD - len(blocks)))
    return Document(blocks | frozenset(choose(free, count) if count else ()), doubt, groups, trees)


def claimable(record: FleetRecord, view: View, wanted: Iterable[FleetTree]) -> frozenset[FleetTree]:
    """Return those of the directories that this host does not have yet, and may have."""
    return _claimed(record, view, frozenset(wanted), record.trees) - record.trees


def _claimed(
    record: FleetRecord, view: View, wanted: frozenset[FleetTree], had: frozenset[FleetTree]
) -> frozenset[FleetTree]:
    """Return what a host has with what it wants, as far as no other host has that and there is room."""
    new = [tree for tree in sorted(wanted - had) if excluded_by(tree, record.name, view) is None]
    room = _room(record, record.document, view) - _SPARE if new else 0
    for tree in new:
        if room >= 0 and has_room({*had, tree}):
            had |= {tree}
            room -= len(Document(trees=frozenset([tree])).text())
    return had


def _joined(record: FleetRecord, view: View, names: frozenset[str], choose: Choose) -> frozenset[FleetGroup]:
    """Return the groups to join: with the pair that other hosts have for them, or one that nobody has.

    A group is not joined that has two pairs, or the pair of another group: one compromised host can say so,
    and a member would reach the volumes of both.
    """
    known = view.groups(record.name)
    theirs = {one.name: one for one in known}
    tried = frozenset().union(*(one.document.groups for one in record.pending), record.document.groups)
    joined = []
    for name in sorted(names - {one.name for one in record.document.groups}):
        if name in theirs:
            if not any(disagree(theirs[name], one) for one in known | record.document.groups):
                joined.append(theirs[name])
            continue
        given = {one.pair for one in (*theirs.values(), *tried, *joined)}
        free = [rank for rank in range(GROUP_PAIRS.total) if GROUP_PAIRS.pair_at(rank) not in given]
        for rank in choose(free, min(1, len(free))):
            pair = GROUP_PAIRS.pair_at(rank)
            joined.append(FleetGroup(name, pair.low, pair.high))
    return frozenset(joined)


def swap_of(record: FleetRecord, operation: Operation, view: View, *, takes: bool = False) -> Swap:
    """Return the transaction that does an operation, if nothing has changed since the reading.

    `takes` has it as for one that takes something, in any case.
    """
    values = view.reading.values
    conditions: dict[str, str | None] = {key: values.get(key) for key in (FLEET, fence_key(record.name))}
    if takes or is_more(operation.document, record.document):
        for name in view.fleet.hosts.keys() - {record.name}:
            conditions[document_key(name)] = values.get(document_key(name))
    return Swap(
        conditions,
        {
            fence_key(record.name): record.fence(operation).text(),
            document_key(record.name): operation.document.text(),
        },
    )
