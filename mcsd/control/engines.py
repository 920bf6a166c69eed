"""All engines of the host as one, for questions about one container.

Ids are 256 random bits, so no two engines have the same one. Which engine has a container is learnt by
asking, and remembered while mcsd runs. That a container is gone is believed only if the engine that had it
says so, or all engines do: while one that may have it cannot be asked, nothing of it is taken back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from mcsd.core.containers import Container, ContainerId
from mcsd.core.runs import is_run
from mcsd.errors import ContainerGoneError, EngineProtocolError, EngineUnavailableError
from mcsd.ports import ContainerEngine


class Engines:
    """The engines by their names in the configuration, and mcsd's own for runs, which is always there and has
    no news. Owned by the event loop's thread."""

    def __init__(self, engines: Mapping[str, ContainerEngine], runs: ContainerEngine) -> None:
        self.by_name = engines
        self._runs = runs
        self._homes: dict[ContainerId, str] = {}

    def engine_of(self, container: ContainerId) -> str:
        """Return the name of the engine that has a container, "" while that is unknown, and for runs."""
        return self._homes.get(container, "")

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

        Raises `ContainerGoneError` if no engine has it, and what an engine raises that may have it.
        """
        if is_run(container):
            return await self._runs.inspect(container)
        home = self._homes.get(container)
        names = [home] if home is not None else list(self.by_name)
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
        self._homes.pop(container, None)
        assert gone is not None, "there is an engine"
        raise gone
