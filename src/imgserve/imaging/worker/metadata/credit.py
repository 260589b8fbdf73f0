"""A picture's copyright and artists, whichever block they came in."""

from typing import NamedTuple


class Credit(NamedTuple):
    copyright: str = ""
    artists: tuple[str, ...] = ()
