"""The daemon's view of storage that it shares, and of its range."""

from __future__ import annotations

from mcsd.adapters.host.shared import MountedStorages
from tests.fakes.world import World, with_world

TABLE = b"""\
21 1 254:1 / / rw - ext4 /dev/vda1 rw,seclabel
30 21 0:40 / /mnt/ceph rw - ceph cluster:/ rw,seclabel
"""


def test_a_container_s_volume_on_shared_storage_is_noticed() -> None:
    async def story(world: World) -> None:
        assert world.mcsd.facade.snapshot().fleet is not None
        await world.kill()
        world.shared = MountedStorages(TABLE)
        await world.boot()
        web = world.create("web", world.mount("/mnt/ceph/web"))
        world.create("db", world.mount("/srv/db"))
        await world.quiet()
        await world.mcsd.fleet_watch.look()
        standing = world.mcsd.facade.snapshot().fleet
        assert standing is not None and standing.is_concerned
        assert [(use.mount.point, use.containers) for use in standing.storages] == [("/mnt/ceph", ("web",))]
        world.docker.remove(web)
        await world.quiet()
        world.clock.advance(601)
        await world.quiet()
        await world.mcsd.fleet_watch.look()
        standing = world.mcsd.facade.snapshot().fleet
        assert standing is not None and not standing.storages

    with_world(story)


def test_levels_that_docker_chose_are_outside_the_range() -> None:
    async def story(world: World) -> None:
        world.create("web", process_label="system_u:system_r:container_t:s0:c12,c900")
        await world.quiet()
        standing = world.mcsd.facade.snapshot().fleet
        assert standing is not None and (standing.name, standing.is_own) == ("alpha", True)
        assert standing.outside == ("web",)

    hosts = {"hosts": ["beta", "alpha", "gamma"], "name": "alpha"}
    with_world(story, fleet=hosts, categories={"range": "c0.c340"}, seed=3)
