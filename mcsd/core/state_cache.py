"""The ledger in memory: the same records, with the indexes that decisions need.

`StateCache.apply` takes the same tuples of changes as the ledger, and only after those are durable. It is not
thread-safe: the event loop's thread owns it.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath
from typing import assert_never

from mcsd.core.changes import (
    Change,
    DropClaim,
    DropGroup,
    DropRun,
    DropVolume,
    Group,
    LedgerContents,
    PutClaim,
    PutFleet,
    PutGrant,
    PutGroup,
    PutRun,
    PutTurn,
    PutVolume,
)
from mcsd.core.containers import ContainerId
from mcsd.core.grants import Grant, GrantState
from mcsd.core.labels import Level
from mcsd.core.runs import Run
from mcsd.core.separation import Separation
from mcsd.core.volumes import Claim, GrantId, Identity, Volume, VolumeId


class StateCache:
    """Grants, volumes, claims and groups that are live."""

    def __init__(self, contents: LedgerContents = LedgerContents()) -> None:  # noqa: B008  (a frozen value)
        self._grants: dict[GrantId, Grant] = {}
        self._volumes: dict[VolumeId, Volume] = {}
        self._claims: dict[GrantId, dict[str, Claim]] = {}
        self._groups: dict[str, Group] = {}
        self._runs: dict[ContainerId, Run] = {}
        self._by_container: dict[ContainerId, GrantId] = {}
        self._separation: Separation[GrantId] = Separation()
        self._by_identity: dict[Identity, VolumeId] = {}
        self._by_volume: dict[VolumeId, set[tuple[GrantId, str]]] = {}
        self._paths: list[tuple[str, VolumeId]] = []
        self.next_grant = contents.next_grant
        self.fleet = contents.fleet
        self.apply(PutGroup(group) for group in contents.groups)
        self.apply(PutVolume(volume) for volume in contents.volumes)
        self.apply(PutGrant(grant) for grant in contents.grants)
        self.apply(PutClaim(claim) for claim in contents.claims)
        self.apply(PutRun(run) for run in contents.runs)

    # --- reading -----------------------------------------------------------------------------------

    def grants(self) -> tuple[Grant, ...]:
        """Return all grants that hold a level, oldest first."""
        return tuple(self._grants[key] for key in sorted(self._grants))

    def volumes(self) -> tuple[Volume, ...]:
        """Return all volumes, by path."""
        return tuple(self._volumes[key] for _, key in self._paths)

    def groups(self) -> tuple[Group, ...]:
        """Return all groups, by name."""
        return tuple(self._groups[name] for name in sorted(self._groups))

    def runs(self) -> tuple[Run, ...]:
        """Return all runs, by id."""
        return tuple(self._runs[key] for key in sorted(self._runs))

    def run(self, key: str) -> Run | None:
        """Return the run of that id."""
        return self._runs.get(ContainerId(key))

    def grant(self, key: GrantId) -> Grant | None:
        """Return the grant of that id, if it still holds."""
        return self._grants.get(key)

    def grant_of(self, container: ContainerId) -> Grant | None:
        """Return the newest grant that a container holds; older ones are on their way to FREE."""
        key = self._by_container.get(container)
        return None if key is None else self._grants[key]

    def engine_of(self, container: ContainerId) -> str | None:
        """Return the recorded name of a container's engine, "" if none was, None without a grant."""
        grant = self.grant_of(container)
        return None if grant is None else grant.engine

    def grants_at(self, level: Level) -> tuple[Grant, ...]:
        """Return the grants on exactly this level, oldest first."""
        return tuple(self._grants[key] for key in sorted(self._separation.equal_to(level)))

    def grants_near(self, level: Level) -> tuple[Grant, ...]:
        """Return the grants whose level is comparable to this one, oldest first."""
        return tuple(self._grants[key] for key in sorted(self._separation.comparable_to(level)))

    def volume(self, key: VolumeId) -> Volume | None:
        """Return the volume of that id."""
        return self._volumes.get(key)

    def volume_of(self, identity: Identity) -> Volume | None:
        """Return the volume with that device and inode."""
        key = self._by_identity.get(identity)
        return None if key is None else self._volumes[key]

    def claims_of(self, grant: GrantId) -> tuple[Claim, ...]:
        """Return a grant's claims, by destination."""
        claims = self._claims.get(grant, {})
        return tuple(claims[key] for key in sorted(claims))

    def claim(self, grant: GrantId, destination: str) -> Claim | None:
        """Return a grant's claim on what is mounted at a destination."""
        return self._claims.get(grant, {}).get(destination)

    def claims_on(self, volume: VolumeId) -> tuple[Claim, ...]:
        """Return all claims on a volume, oldest grant first."""
        return tuple(self._claims[grant][at] for grant, at in sorted(self._by_volume.get(volume, ())))

    def volumes_around(self, path: str) -> Iterator[Volume]:
        """Return the volumes above or below a path, without itself: by whole components, not by prefix."""
        for parent in PurePosixPath(path).parents:
            yield from self.volumes_at(str(parent))
        start = path.rstrip("/") + "/"
        at = bisect_left(self._paths, (start, VolumeId("")))
        while at < len(self._paths) and self._paths[at][0].startswith(start):
            if self._paths[at][0] != path:  # as "/" is below "/"
                yield self._volumes[self._paths[at][1]]
            at += 1

    def volumes_at(self, path: str) -> Iterator[Volume]:
        """Return the volumes last seen at exactly this path; older ones are covered by a mount, or gone."""
        at = bisect_left(self._paths, (path, VolumeId("")))
        while at < len(self._paths) and self._paths[at][0] == path:
            yield self._volumes[self._paths[at][1]]
            at += 1

    # --- writing -----------------------------------------------------------------------------------

    def apply(self, changes: Iterable[Change]) -> None:
        """Apply changes that the ledger has made durable."""
        for change in changes:
            self._apply(change)

    def _apply(self, change: Change) -> None:
        match change:
            case PutGrant(grant):
                self._put_grant(grant)
            case PutVolume(volume):
                self._drop_volume(volume.id)
                self._put_volume(volume)
            case DropVolume(volume_id):
                self._drop_volume(volume_id)
            case PutClaim(claim):
                self._drop_claim(claim.grant, claim.destination)
                self._put_claim(claim)
            case DropClaim(grant_id, destination):
                self._drop_claim(grant_id, destination)
            case PutGroup(group):
                self._groups[group.name] = group
            case DropGroup(name):
                self._groups.pop(name, None)
            case PutRun(run):
                self._runs[run.id] = run
            case DropRun(run_id):
                self._runs.pop(run_id, None)
            case PutFleet(record):
                self.fleet = record
            case PutTurn():
                pass  # only the allocator needs these
            case _:
                assert_never(change)

    def _put_grant(self, grant: Grant) -> None:
        old = self._grants.pop(grant.id, None)
        if old is not None and self._by_container.get(old.container) == grant.id:
            del self._by_container[old.container]
        self.next_grant = max(self.next_grant, grant.id + 1)
        if grant.state is GrantState.FREE:
            self._separation.drop(grant.id)
            return
        self._grants[grant.id] = grant
        self._separation.put(grant.id, grant.level)
        if grant.container and self._by_container.get(grant.container, 0) <= grant.id:
            self._by_container[grant.container] = grant.id

    def _put_volume(self, volume: Volume) -> None:
        self._volumes[volume.id] = volume
        self._by_identity[volume.identity] = volume.id
        insort(self._paths, (volume.path, volume.id))

    def _drop_volume(self, key: VolumeId) -> None:
        volume = self._volumes.pop(key, None)
        if volume is None:
            return
        if self._by_identity.get(volume.identity) == key:
            del self._by_identity[volume.identity]
        self._paths.remove((volume.path, key))

    def _put_claim(self, claim: Claim) -> None:
        self._claims.setdefault(claim.grant, {})[claim.destination] = claim
        if claim.volume is not None:
            self._by_volume.setdefault(claim.volume, set()).add(claim.key)

    def _drop_claim(self, grant: GrantId, destination: str) -> None:
        claim = self._claims.get(grant, {}).pop(destination, None)
        if claim is None:
            return
        if not self._claims[grant]:
            del self._claims[grant]
        if claim.volume is not None:
            keys = self._by_volume[claim.volume]
            keys.discard(claim.key)
            if not keys:
                del self._by_volume[claim.volume]
