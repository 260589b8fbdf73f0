"""One thing that was looked at, and what came of it. Made by the other modules here, shown by ``report``."""

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Literal

import msgspec

from imgserve.errors import user_name

State = Literal["ok", "warning", "unknown", "fault"]


class Finding(msgspec.Struct, frozen=True):
    """``about`` is a word or a setting, ``detail`` what was found, ``hint`` what mends it.

    ``fault``: the server cannot start, loses what it promised to keep, or is open to whoever comes. ``warning``: it
    works, but not as it should on a machine that others reach. ``unknown``: this user may not see it.
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


def unknown(about: str, detail: str, hint: str) -> Finding:
    return Finding(about, "unknown", detail, hint)


def tried(about: str, look: Callable[[], Iterable[Finding]], owner: str) -> Iterator[Finding]:
    """The findings of ``look``. Where this user may not look, the finding names the user who may."""
    try:
        yield from look()
    except PermissionError as error:
        detail = f"{error.filename or 'it'} cannot be seen by the user {user_name(os.geteuid())}"
        yield unknown(about, detail, as_whom(owner))


def as_whom(owner: str) -> str:
    return f"run imgserve check as {owner}, or as root"


def owner_of(place: Path) -> str:
    """The user whose directory it is; words where that cannot be seen."""
    try:
        return user_name(place.stat().st_uid)
    except OSError:
        return "the server's user"


def is_anothers(place: Path) -> bool:
    """Whether this user's permissions say nothing about those of the server's user."""
    try:
        return os.geteuid() not in (0, place.stat().st_uid)
    except FileNotFoundError:
        return False
    except PermissionError:
        return True
