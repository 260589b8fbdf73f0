"""The URLs that are asked for again and again: neither their grammar nor their signature is judged each time.

For ``images``, on the event loop. A URL is kept from its second request on: most are asked for once, when their picture
is made, and each one that is kept takes 2.5 KB.
"""

from collections import OrderedDict
from typing import Generic, TypeVar

from imgserve.request.dialects.dialect import Negotiable

# A longer path is judged each time.
_LONGEST = 1_000
# Of each URL that was asked for once there is only a number, some 80 bytes. All of them are forgotten together.
_MOST_ONCE = 8_000

T = TypeVar("T")
Place = tuple[str, Negotiable]


class Judged(Generic[T]):
    """At most ``most`` of them. A place is a path and what the headers of its request say."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._found: OrderedDict[Place, T] = OrderedDict()
        self._asked_once: set[int] = set()

    def __len__(self) -> int:
        return len(self._found)

    def get(self, place: Place) -> T | None:
        return self._found.get(place)

    def add(self, place: Place, found: T) -> None:
        """Keep it from the second call on. The one that was kept first goes where there are too many."""
        number = hash(place)
        if len(place[0]) > _LONGEST:
            return
        if number not in self._asked_once:
            if len(self._asked_once) >= _MOST_ONCE:
                self._asked_once.clear()
            self._asked_once.add(number)
            return
        self._found[place] = found
        if len(self._found) > self._most:
            self._found.popitem(last=False)
