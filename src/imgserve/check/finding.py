"""One thing that was looked at, and what came of it. Made by the other modules here, shown by ``report``."""

from typing import Literal

import msgspec

State = Literal["ok", "warning", "fault"]


class Finding(msgspec.Struct, frozen=True):
    """``about`` is a word or a setting, ``detail`` what was found, ``hint`` what mends it.

    ``fault``: the server cannot start, loses what it promised to keep, or is open to whoever comes. ``warning``: it
    works, but not as it should on a machine that others reach.
    """

    about: str
    state: State
    detail: str
    hint: str = ""


def ok(about: str, detail: str) -> Finding:
    return Finding(about, "ok", detail)


def warning(about: str, detail: str, hint: str) -> Finding:
    return Finding(about, "warning", detail, hint)


def fault(about: str, detail: str, hint: str) -> Finding:
    return Finding(about, "fault", detail, hint)
