"""Claims directories on shared storage for this host, before they are labelled.

A volume that no other host can mount needs nothing. One on storage that others mount is claimed in the
fleet's store first, and is refused if another host has it, or what is in it, at another level; or if that is
not certain. What this host has already is not asked for again, so a container that starts again asks for
nothing.

A refused container is looked at anew when the store shows that the other host has given the directory up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from mcsd.blocking.calls import Blocking
from mcsd.control.fleet_keeper import FleetKeeper
from mcsd.core.blocked import Party, Subject
from mcsd.core.containers import ContainerId
from mcsd.core.fleet.storages import SharedMount
from mcsd.core.fleet.trees import FleetTree
from mcsd.core.hints import Hint
from mcsd.core.labels import Level
from mcsd.core.notices import printable
from mcsd.core.state_cache import StateCache
from mcsd.core.volumes import Identity, Volume, VolumeId
from mcsd.errors import ConflictError, FleetError, HostError, McsdError
from mcsd.ports import SharedStorages

LONGEST_NAME = 128
"""Characters of a holder's name that other hosts are told; the first of a longer one."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A directory that is to be labelled: where this host has it, at which level, and for whom."""

    path: str
    identity: Identity
    level: Level
    container: ContainerId
    name: str


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Why another host of the fleet keeps a volume from being labelled, and what to do."""

    reason: str
    hint: str


class FleetClaims:
    """Owned by the event loop's thread."""

    def __init__(
        self,
        keeper: FleetKeeper,
        storages: SharedStorages,
        cache: StateCache,
        blocking: Blocking,
        look: Callable[[ContainerId], None],
    ) -> None:
        self._keeper = keeper
        self._storages = storages
        self._cache = cache
        self._blocking = blocking
        self._look = look
        self._refused: dict[ContainerId, FleetTree] = {}
        keeper.listen(self._look_again)

    async def claim(self, wanted: Wanted, *, is_labelled: bool = False) -> FleetTree | Elsewhere | None:
        """Have a directory for this host; return it, or why it cannot be had. None on storage of its own.

        `is_labelled` tells whether the ledger has it as a volume at this level.
        """
        subject = Subject(Party.MOUNTS)
        try:
            shared = await self._blocking.run(subject, lambda: self._storages.shared([wanted.path]))
        except HostError as exc:
            return _not_certain(exc)
        mount = shared.get(wanted.path)
        return None if mount is None else await self._claim_on(mount, wanted, is_labelled=is_labelled)

    async def _claim_on(
        self, mount: SharedMount, wanted: Wanted, *, is_labelled: bool
    ) -> FleetTree | Elsewhere:
        place = mount.place_of(wanted.path, wanted.identity.inode)
        tree = FleetTree(place, wanted.level, printable(wanted.name)[:LONGEST_NAME])
        try:
            await self._keeper.claim_tree(tree, is_labelled=is_labelled)
        except ConflictError as exc:
            self._refused[wanted.container] = tree
            return Elsewhere(exc.what, exc.hint)
        except (FleetError, HostError) as exc:
            return _not_certain(exc)
        self._refused.pop(wanted.container, None)
        return tree

    def has(self, tree: FleetTree | None) -> bool:
        """Tell whether what `claim` returned is still this host's; the caller is `deciding`."""
        return tree is None or self._keeper.has(tree)

    def settled(self, claimed: Iterable[FleetTree | None]) -> None:
        """Note that the ledger has the volumes that have come of what `claim` returned, if any have."""
        for tree in claimed:
            if tree is not None:
                self._keeper.forget_claim(tree)

    async def claim_all(self, mounts: Mapping[str, SharedMount]) -> tuple[str, ...]:
        """Claim the volumes at these paths, which may have been labelled before this host had a fleet; return
        why some cannot be had."""
        wanted = [one for volume in self._cache.volumes() if (one := self._wanted(volume)) is not None]
        found = [
            await self._claim_on(mounts[one.path], one, is_labelled=True)
            for one in wanted
            if one.path in mounts
        ]
        return tuple(elsewhere.reason for elsewhere in found if isinstance(elsewhere, Elsewhere))

    async def has_volume(self, volume: VolumeId) -> bool:
        """Tell whether a volume that is labelled already is this host's."""
        known = self._cache.volume(volume)
        wanted = None if known is None else self._wanted(known)
        return wanted is None or not isinstance(await self.claim(wanted, is_labelled=True), Elsewhere)

    def _wanted(self, volume: Volume) -> Wanted | None:
        """Return what a volume needs of the fleet; None if it is being restored."""
        grants = (self._cache.grant(claim.grant) for claim in self._cache.claims_on(volume.id))
        grant = next((one for one in grants if one is not None), None)
        if grant is None:
            return None
        return Wanted(volume.path, volume.identity, volume.level, grant.container, grant.name)

    def waiting(self) -> frozenset[ContainerId]:
        """Return the containers that were refused, and are looked at when no other host has the directory."""
        return frozenset(self._refused)

    def _look_again(self) -> None:
        """Request the containers that were refused because of what no other host has any more."""
        for container, tree in tuple(self._refused.items()):
            if self._cache.grant_of(container) is None:
                del self._refused[container]  # it is gone, or asks again when it starts
            elif self._keeper.may_claim(tree):
                del self._refused[container]
                self._look(container)


def _not_certain(error: McsdError) -> Elsewhere:
    reason = f"whether another host has it is not certain: {error.what}"
    return Elsewhere(reason, error.hint or Hint.JOIN_LATER.say())
