"""What a receiver saw, in the order in which it happened; tests and benches judge by it. Written by the receivers."""

import hashlib
import threading
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Event:
    """One thing that happened. ``kind`` is the method or command; ``state`` is X-Imgserve-State, if any.

    ``is_complete`` is False for bytes that were cut off; ``login`` is the Authorization header as it came.
    """

    at: float
    kind: str
    name: str
    state: str = ""
    size: int = 0
    digest: str = ""
    is_complete: bool = True
    status: int = 0
    login: str = ""


class Log:
    """Events in the order in which they happened; may be read while it grows."""

    def __init__(self) -> None:
        self._events: list[Event] = []
        self._news = threading.Condition()

    def add(self, event: Event) -> None:
        with self._news:
            self._events.append(event)
            self._news.notify_all()

    def all(self) -> tuple[Event, ...]:
        with self._news:
            return tuple(self._events)

    def of(self, *kinds: str) -> tuple[Event, ...]:
        return tuple(event for event in self.all() if event.kind in kinds)

    def wait_for(self, wanted: Callable[[tuple[Event, ...]], bool], timeout_s: float = 10.0) -> bool:
        with self._news:
            return self._news.wait_for(lambda: wanted(tuple(self._events)), timeout_s)


def digest_of(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()
