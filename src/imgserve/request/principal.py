"""The principal of a request: a key's owner, this machine's programs, the operator, or a mount that answers GETs.

``api/auth`` identifies it.
"""

import msgspec

# The id of the operator's jobs, which come over the control socket; no key has such a name.
OPERATOR_ID = "@operator"


def id_of_mount(name: str) -> str:
    """The id of the pictures that a mounted dialect shows. No key has such a name."""
    return f"@get.{name}"


class Principal(msgspec.Struct, frozen=True):
    """``id`` identifies the principal; ``name`` is for the log and holds no part of a key.

    ``has_quota``: others may ask too, so it must leave them room.
    """

    id: str
    name: str
    has_quota: bool = False
