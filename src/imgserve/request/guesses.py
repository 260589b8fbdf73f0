"""The known word that a misspelt one is closest to. For the sentences of faults.

A guess is slow: 40 us on one core. ``few`` bounds those of one request, which may misspell every word.
"""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from difflib import get_close_matches

# For one request. A person misspells fewer words.
MOST_GUESSES = 8
_LONGEST_GUESSED = 40

_left: ContextVar[int | None] = ContextVar("guesses left", default=None)


@contextmanager
def few() -> Iterator[None]:
    """Within the block ``nearest`` finds a word ``MOST_GUESSES`` times at most, in the order of the calls."""
    token = _left.set(MOST_GUESSES)
    try:
        yield
    finally:
        _left.reset(token)


def nearest(word: str, known: Collection[str]) -> str:
    """One of the ``known``, without regard to case; empty if none is close."""
    left = _left.get()
    if not known or len(word) > _LONGEST_GUESSED or left == 0:
        return ""
    if left is not None:
        _left.set(left - 1)
    words = {name.lower(): name for name in known}
    close = get_close_matches(word.lower(), words, n=1)
    return words[close[0]] if close else ""
