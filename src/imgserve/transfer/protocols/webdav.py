"""Collections that a WebDAV server wants to be made before a PUT: it answers 409 where a parent is missing (RFC 4918,
9.7.1). Called by ``http``.
"""

from collections.abc import Awaitable, Callable

from imgserve.transfer.client import location

_IS_THERE = frozenset({201, 405})  # made by us, or by somebody else at the same moment
_CONFLICT = 409  # to MKCOL: its own parent is missing
_MOST_LEVELS = 16


async def make_parents(url: str, make: Callable[[str], Awaitable[int]]) -> bool:
    """Make the missing collections above ``url``: the nearest first, and only as far up as necessary.

    ``make`` sends one MKCOL and returns its status. False: there is none to make, or the server refuses.
    """
    parents = location.parents(url)[:_MOST_LEVELS]
    missing: list[str] = []
    for parent in parents:
        status = await make(parent)
        if status in _IS_THERE:
            break
        if status != _CONFLICT:
            return False
        missing.append(parent)
    else:
        return False
    for parent in reversed(missing):
        if await make(parent) not in _IS_THERE:
            return False
    return True
