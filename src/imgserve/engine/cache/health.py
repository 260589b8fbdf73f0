"""Whether the cache's disk can be used. A full or broken disk costs hits, never an answer."""

import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

from imgserve.errors import cause_of
from imgserve.telemetry import logs
from imgserve.telemetry.states import State

# After an error nothing is written for so long: a full disk would answer each write with an error of its own.
PAUSE_S = 5.0
Part = Literal["entries", "index"]


class Health:
    """Any thread reports to it."""

    def __init__(self, name: str, clock: Callable[[], float], pause_s: float = PAUSE_S) -> None:
        """``clock`` never goes back."""
        self._pause_s = pause_s
        self._name = name
        self._clock = clock
        self._lock = threading.Lock()
        self._causes: dict[Part, tuple[str, str]] = {}
        self._until = -math.inf
        self.failures = 0

    @property
    def may_write(self) -> bool:
        return not self._causes or self._clock() >= self._until

    def is_failing(self, part: Part) -> bool:
        return part in self._causes

    def failed(self, part: Part, cause: str, hint: str) -> None:
        with self._lock:
            is_new = self._causes.get(part) != (cause, hint)
            self._causes[part] = cause, hint
            self._until = self._clock() + self._pause_s
            self.failures += 1
        if is_new:  # one line for each trouble, not for each picture
            logs.event("cache_failing", level=logs.WARNING, cache=self._name, part=part, detail=cause)

    @contextmanager
    def watched(self) -> Iterator[None]:
        """An OSError of the entries ends the block, and is reported."""
        try:
            yield
        except OSError as error:
            self.failed("entries", *cause_of(error, "the server's user"))

    def worked(self, part: Part) -> None:
        if part in self._causes:
            with self._lock:
                self._causes.pop(part, None)

    def states(self) -> Iterator[State]:
        with self._lock:
            causes = dict(self._causes)
        for part, (cause, hint) in causes.items():
            yield State("cache_failing", f"the {part} of the cache for {self._name} cannot be written: {cause}", hint)
