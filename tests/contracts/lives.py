"""The contract of `ProcessLives` and `UnitLives`, for what is on the host and for the fakes."""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

from tests.fakes.running import run, until


class LivesWorld(Protocol):
    """Something that lives under keys, and can be begun and ended."""

    lives: Any
    """The port."""

    def begin(self) -> Any:
        """Have something new live, and return its key."""
        ...

    def end(self, key: Any) -> None:
        """End what lives under a key."""
        ...

    def begin_again(self, key: Any) -> None:
        """Have something else live under the key of what has ended."""
        ...


class LivesContract:
    """Run it with a `world` fixture."""

    def test_what_lives_is_identified_and_always_the_same(self, world: LivesWorld) -> None:
        async def story() -> None:
            key = world.begin()
            life = world.lives.identify(key)
            assert life is not None and world.lives.identify(key) == life

        run(story(), restarts=True)  # the world ends what it began

    def test_two_that_live_are_not_one(self, world: LivesWorld) -> None:
        async def story() -> None:
            one, two = world.begin(), world.begin()
            assert world.lives.identify(one) != world.lives.identify(two)

        run(story(), restarts=True)  # the world ends what it began

    def test_an_end_is_told_once_and_then_it_is_over(self, world: LivesWorld) -> None:
        async def story() -> None:
            key, told = world.begin(), []
            life = world.lives.identify(key)
            line = world.lives.follow(life, lambda: told.append(key))
            assert line is not None
            await asyncio.sleep(0.02)
            assert told == []
            world.end(key)
            await until(lambda: told)
            line.release()
            await asyncio.sleep(0.02)
            assert told == [key]
            assert world.lives.identify(key) is None
            assert world.lives.follow(life, lambda: told.append(key)) is None

        run(story(), restarts=True)  # the world ends what it began

    def test_who_is_released_is_not_told(self, world: LivesWorld) -> None:
        async def story() -> None:
            key, other, told = world.begin(), world.begin(), []
            released = world.lives.follow(world.lives.identify(key), lambda: told.append(key))
            kept = world.lives.follow(world.lives.identify(other), lambda: told.append(other))
            released.release()
            released.release()
            world.end(key)
            world.end(other)
            await until(lambda: told)
            await asyncio.sleep(0.02)
            kept.release()
            assert told == [other]

        run(story(), restarts=True)  # the world ends what it began

    def test_who_has_the_key_now_is_not_mistaken_for_who_had_it(self, world: LivesWorld) -> None:
        async def story() -> None:
            key = world.begin()
            life = world.lives.identify(key)
            world.end(key)
            world.begin_again(key)
            assert world.lives.identify(key) not in (None, life)
            assert world.lives.follow(life, lambda: None) is None

        run(story(), restarts=True)  # the world ends what it began
