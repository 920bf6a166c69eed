"""Starts through the gate, and how often it has acted on a container.

Docker holds a container's lock from before the gate is called until the start has succeeded or failed, and
`inspect` waits for that lock (moby: `containerStart`, `containerInspect`). So an observation that began after
the gate acted shows the result of the start; earlier ones are outdated.
"""

from __future__ import annotations

from mcsd.core.containers import ContainerId


class StartTracker:
    """Owned by the event loop's thread."""

    def __init__(self) -> None:
        self._begun: set[ContainerId] = set()
        self._epochs: dict[ContainerId, int] = {}

    def begin(self, container: ContainerId) -> None:
        """Record that the gate handles a start."""
        self._begun.add(container)
        self.act(container)

    def act(self, container: ContainerId) -> None:
        """Mark earlier observations of the container as outdated."""
        self._epochs[container] = self._epochs.get(container, 0) + 1

    def end(self, container: ContainerId) -> None:
        """Record that the start has succeeded or failed."""
        self._begun.discard(container)

    def forget(self, container: ContainerId) -> None:
        """Remove a container that is gone."""
        self._begun.discard(container)
        self._epochs.pop(container, None)

    def is_starting(self, container: ContainerId) -> bool:
        """Tell whether a start has begun whose result is not known yet."""
        return container in self._begun

    def epoch(self, container: ContainerId) -> int:
        """Return how often the gate has acted on a container."""
        return self._epochs.get(container, 0)
