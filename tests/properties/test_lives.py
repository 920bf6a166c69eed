"""Reservations with lives, over random histories of a host: each lasts exactly as long as its life.

A model knows who lives. After any number of events and restarts, one look leaves those reservations, and only
those, whose lives are not over; and a look in between never ends one that lives. Promises 2 and 7.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from mcsd.core.lives import LifeRequest, ProcessLife
from tests.fakes.world import World, with_world

PIDS, UNITS, NAMES = (41, 42), ("a.service", "b.service"), ("x", "y", "z")
LIVES = st.one_of(
    st.sampled_from(PIDS).map(lambda pid: LifeRequest(pid=pid)),
    st.sampled_from(UNITS).map(lambda unit: LifeRequest(unit=unit)),
    st.sampled_from(["10s", "1min", "1h"]).map(lambda until: LifeRequest(until=until)),
    st.just(LifeRequest()),
)
EVENTS = st.one_of(
    st.tuples(st.just("begin"), st.sampled_from((*PIDS, *UNITS))),
    st.tuples(st.just("end"), st.sampled_from((*PIDS, *UNITS))),
    st.tuples(st.just("reserve"), st.sampled_from(NAMES), LIVES),
    st.tuples(st.just("release"), st.sampled_from(NAMES)),
    st.tuples(st.just("pass"), st.sampled_from([1, 30, 600])),
    st.tuples(st.sampled_from(["look", "restart", "reboot", "silent", "told"])),
)


@dataclass
class Model:
    """Who lives, and what each reservation lasts as long as."""

    world: World
    lives: dict[str, object] = field(default_factory=dict)

    def lasts(self, name: str) -> bool:
        """Whether a reservation's life is not over."""
        life = self.lives[name]
        if isinstance(life, float):
            return self.world.clock.now() < life
        return life is None or life in {
            *self.world.lives.present.values(),
            *self.world.units.present.values(),
        }

    def forget_ended(self) -> None:
        """After a look, nothing is left of them."""
        self.lives = {name: life for name, life in self.lives.items() if self.lasts(name)}

    def reserved(self) -> set[str]:
        """What mcsd has."""
        return {one.reservation for one in self.world.mcsd.store.cache.grants() if one.reservation}

    async def look(self) -> None:
        """Look, and hold mcsd against the model."""
        await self.world.mcsd.life_watch.look()
        self.forget_ended()
        assert self.reserved() == self.lives.keys()

    def key(self, life: LifeRequest) -> object:
        """What a life is about, as it lives now; False if it does not live."""
        if life.pid is not None:
            return self.world.lives.present.get(life.pid, False)
        if life.unit:
            return self.world.units.present.get(life.unit, False)
        seconds = {"": None, "10s": 10, "1min": 60, "1h": 3600}[life.until]
        return None if seconds is None else self.world.clock.now() + seconds

    async def reserve(self, name: str, life: LifeRequest) -> None:
        """Reserve or renew, if what it is about lives."""
        key = self.key(life)
        if key is False:
            return
        await self.world.mcsd.facade.reserve(name, group=None, life=life)
        if name not in self.lives or key is not None:
            self.lives[name] = key


async def happen(model: Model, event: tuple[object, ...]) -> None:
    """Have one thing happen to the host."""
    world = model.world
    match event:
        case ("begin", int(pid)):
            world.lives.begin(pid)
        case ("begin", str(unit)):
            world.units.begin(unit)
        case ("end", int(pid)):
            world.lives.end(pid)
        case ("end", str(unit)):
            world.units.end(unit)
        case ("reserve", str(name), LifeRequest() as life):
            await model.look()
            await model.reserve(name, life)
        case ("release", str(name)):
            await model.look()
            if name in model.lives:
                await world.mcsd.facade.release(name)
                del model.lives[name]
        case ("pass", int(seconds)):
            world.clock.advance(seconds)
        case ("look",):
            await model.look()
        case ("restart",):
            await world.kill()
            await world.boot()
        case ("reboot",):
            await world.kill()
            _reboot(world)
            await world.boot()
        case (("silent" | "told") as how,):
            world.lives.silent = world.units.silent = how == "silent"


def _reboot(world: World) -> None:
    """Processes with the same pids and starts are there again, and units with other invocations."""
    world.lives.boot += "+"
    for pid, life in tuple(world.lives.present.items()):
        world.lives.present[pid] = ProcessLife(pid, life.start, world.lives.boot)
    for unit in tuple(world.units.present):
        world.units.begin(unit)


@given(st.lists(EVENTS, max_size=25))
@settings(max_examples=80, deadline=None)
def test_a_reservation_lasts_exactly_as_long_as_its_life(events: list[tuple[object, ...]]) -> None:
    async def story(world: World) -> None:
        model = Model(world)
        for event in events:
            await happen(model, event)
            lasting = {name for name in model.lives if model.lasts(name)}
            assert lasting <= model.reserved(), "never early"
        await model.look()

    with_world(story)
