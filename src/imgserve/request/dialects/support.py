"""A row of the table that says what a dialect offers of its original. For the reference pages and their tests."""

from typing import Literal

import msgspec


class Row(msgspec.Struct, frozen=True):
    """``option`` is as users write it, ``note`` one sentence, ``example`` a part of a path that a test can ask for."""

    option: str
    status: Literal["supported", "differs", "not offered"]
    note: str = ""
    example: str = ""
