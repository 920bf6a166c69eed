"""Starts that the gate has let begin, and how often it has acted on a container.

Docker holds a container's lock from before the gate is called until the start has succeeded or failed, and
`inspect` waits for that lock (moby: `containerStart`, `containerInspect`). So a look that began after the
gate acted tells how the start ended; what was seen before is out of date.
"""

from __future__ import annotations

from mcsd.core.containers import ContainerId


class StartTracker:
    """Owned by the event loop's thread."""

    def __init__(self) -> None:
        self._begun: set[ContainerId] = set()
        self._epochs: dict[ContainerId, int] = {}

    def begin(self, container: ContainerId) -> None:
        """The gate is at work on a start."""
        self._begun.add(container)
        self.act(container)

    def act(self, container: ContainerId) -> None:
        """What was seen of the container until now is out of date."""
        self._epochs[container] = self._epochs.get(container, 0) + 1

    def end(self, container: ContainerId) -> None:
        """The start has come to its end, either way."""
        self._begun.discard(container)

    def forget(self, container: ContainerId) -> None:
        """The container is gone."""
        self._begun.discard(container)
        self._epochs.pop(container, None)

    def is_starting(self, container: ContainerId) -> bool:
        """Tell whether a start has begun of which nobody has seen yet how it ended."""
        return container in self._begun

    def epoch(self, container: ContainerId) -> int:
        """How often the gate has acted on a container."""
        return self._epochs.get(container, 0)
