"""Starts that the gate has let begin, and how often it has acted on a container.

Between the gate's answer and the moment Docker says that the container runs, it looks as if it did not run:
its level must not be taken back then. And what was seen of it before the gate acted is out of date after.
"""

from __future__ import annotations

from mcsd.core.containers import ContainerId
from mcsd.ports import Clock

LIMIT = 120.0
"""Seconds after which a start that nobody has seen to succeed or fail has failed."""


class Starts:
    """Owned by the event loop's thread."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._since: dict[ContainerId, float] = {}
        self._epochs: dict[ContainerId, int] = {}

    def begin(self, container: ContainerId) -> None:
        """The gate is at work on a start."""
        self._since[container] = self._clock.now()
        self._epochs[container] = self._epochs.get(container, 0) + 1

    def end(self, container: ContainerId) -> None:
        """The start has come to its end, either way."""
        self._since.pop(container, None)

    def forget(self, container: ContainerId) -> None:
        """The container is gone."""
        self._since.pop(container, None)
        self._epochs.pop(container, None)

    def is_starting(self, container: ContainerId) -> bool:
        """Tell whether a start has begun that may yet succeed."""
        since = self._since.get(container)
        return since is not None and self._clock.now() < since + LIMIT

    def epoch(self, container: ContainerId) -> int:
        """How often the gate has acted on a container."""
        return self._epochs.get(container, 0)
