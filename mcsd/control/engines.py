"""All engines of the host as one, for questions about one container.

Ids are 256 random bits, so no two engines have the same one. Which engine has a container is learnt by
asking, remembered while mcsd runs, and recorded with its grant. That a container is gone is believed only if
the engine that had it says so, or all engines do: while one that may have it cannot be asked, or is not in
the configuration any more, nothing of it is taken back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from mcsd.core.containers import DOCKER, Container, ContainerId
from mcsd.core.hints import Hint
from mcsd.core.runs import is_run
from mcsd.errors import (
    ContainerGoneError,
    EngineNotAskedError,
    EngineProtocolError,
    EngineUnavailableError,
)
from mcsd.ports import ContainerEngine


class Engines:
    """The engines by their names in the configuration, and mcsd's own for runs, which is always there and has
    no news. Owned by the event loop's thread.

    `recorded` returns the name that the ledger has for a container's engine, "" if an older mcsd recorded
    none, None for a container without a grant.
    """

    def __init__(
        self,
        engines: Mapping[str, ContainerEngine],
        runs: ContainerEngine,
        recorded: Callable[[ContainerId], str | None],
    ) -> None:
        self.by_name = engines
        self._runs = runs
        self._recorded = recorded
        self._homes: dict[ContainerId, str] = {}

    def engine_of(self, container: ContainerId) -> str:
        """Return the name of the engine that has a container, "" while that is unknown, and for runs."""
        if is_run(container):
            return ""
        return self._homes.get(container) or self._recorded(container) or ""

    def is_asked(self, container: ContainerId) -> bool:
        """Tell whether what may have a container can be asked: a run, or one of a configured engine."""
        if is_run(container):
            return True
        home = self.engine_of(container)
        # A ledger without names is older than other engines than Docker.
        return (home or DOCKER) in self.by_name or (not home and self._recorded(container) is None)

    def is_at(self, container: ContainerId, engine: str) -> None:
        """Remember which engine has named a container."""
        self._homes[container] = engine

    async def containers(self) -> tuple[ContainerId, ...]:
        """List the containers of all engines; raises as `ContainerEngine.containers` does if one cannot."""
        found: list[ContainerId] = []
        for name, engine in self.by_name.items():
            listed = await engine.containers()
            self._homes.update(dict.fromkeys(listed, name))
            found += listed
        return (*found, *await self._runs.containers())

    async def inspect(self, container: ContainerId) -> Container:
        """Inspect one container by its id.

        Raises `ContainerGoneError` if no engine has it, what an engine raises that may have it, and
        `EngineNotAskedError` if one may have it that is not in the configuration.
        """
        if is_run(container):
            return await self._runs.inspect(container)
        home = self.engine_of(container)
        if home and home not in self.by_name:
            raise not_asked(container, home)
        names = [home] if home else list(self.by_name)
        gone: ContainerGoneError | None = None
        failed: EngineUnavailableError | EngineProtocolError | None = None
        for name in names:
            try:
                seen = await self.by_name[name].inspect(container)
            except ContainerGoneError as exc:
                gone = gone or exc
            except (EngineUnavailableError, EngineProtocolError) as exc:
                failed = failed or exc
            else:
                self._homes[container] = name
                return replace(seen, engine=name)
        if failed is not None:
            raise failed
        if not self.is_asked(container):
            raise not_asked(container, DOCKER)
        self._homes.pop(container, None)
        assert gone is not None, "there is an engine"
        raise gone


def not_asked(container: ContainerId, engine: str) -> EngineNotAskedError:
    """Return the error about a container of an engine that the configuration does not name."""
    return EngineNotAskedError(
        f"container {container[:12]} is of the engine {engine!r}, which mcsd does not ask",
        hint=Hint.ENGINE_BACK.say(),
    )
