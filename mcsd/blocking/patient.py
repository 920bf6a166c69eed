"""Asking sources that may hang: each in its own thread, with a short wait.

This is for facts that every examination needs and none may be blocked by: the protected places, the accounts.
A home on a server that is down, or a hung directory service, must not keep other volumes from being examined.
The last known answer counts meanwhile, and the request continues in the background.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

T = TypeVar("T")

MOMENT = 1.0
"""Seconds to wait for an answer."""


class _Pending:
    """One pending question."""

    def __init__(self, version: Hashable, began: float) -> None:
        self.version = version
        self.began = began
        self.done = threading.Event()


class Patient:
    """See the module. Thread-safe; hung threads are daemon threads, one for each source."""

    def __init__(self, *, moment: float = MOMENT, clock: Callable[[], float] = time.monotonic) -> None:
        self._moment = moment
        self._clock = clock
        self._lock = threading.Lock()
        self._asked: dict[str, _Pending] = {}
        self._answers: dict[str, tuple[Hashable, float, Any]] = {}

    def ask(
        self, source: str, question: Callable[[], T], without: T, *, version: Hashable = None, lasts: float
    ) -> T:
        """Return the answer to a question, or the last one if that is younger than `lasts` seconds.

        An answer to another `version` of the question does not count, unless the source does not answer in
        time: then its last answer is used, or `without` if there is none. Raises what the question raises.
        """
        until = self._clock() + self._moment
        while True:
            with self._lock:
                present = self._answers.get(source)
                if present is not None and present[0] == version and self._clock() - present[1] < lasts:
                    answer: T = _given(present[2])
                    return answer
                asked = self._asked.get(source)
                if asked is None:
                    asked = self._begin(source, question, version)
            left = min(until, asked.began + self._moment) - self._clock()
            if not asked.done.wait(max(left, 0)):
                last = self._answers.get(source)
                known: T = without if last is None else _given(last[2])
                return known
            lasts = max(lasts, self._moment)  # an answer requested now is new enough

    def _begin(self, source: str, question: Callable[[], object], version: Hashable) -> _Pending:
        asked = self._asked[source] = _Pending(version, self._clock())
        thread = threading.Thread(
            target=self._work, args=(source, question, asked), name="patient", daemon=True
        )
        thread.start()
        return asked

    def _work(self, source: str, question: Callable[[], object], asked: _Pending) -> None:
        try:
            found = question()
        except Exception as exc:  # noqa: BLE001 - it is raised where it is asked for
            found = exc
        with self._lock:
            self._answers[source] = asked.version, self._clock(), found
            del self._asked[source]
        asked.done.set()

    def silent(self) -> dict[str, float]:
        """Return the sources that do not answer, and for how many seconds."""
        now = self._clock()
        with self._lock:
            waiting = {source: now - asked.began for source, asked in self._asked.items()}
        return {source: seconds for source, seconds in waiting.items() if seconds > self._moment}


def _given(found: Any) -> Any:
    if isinstance(found, Exception):
        raise found
    return found
