"""One row of ``imgserve check``. The other modules here make them, ``report`` prints them."""

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Literal

import msgspec

from imgserve.errors import user_name

State = Literal["ok", "warning", "unknown", "fault"]


class Finding(msgspec.Struct, frozen=True):
    """``about`` is a word or a setting; ``hint`` is the remedy.

    ``fault``: the server cannot start, loses what it promised to keep, or is open to everybody. ``warning``: it works,
    but not as it should on a machine that others reach. ``unknown``: this user may not see it.
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


def unknown(about: str, detail: str, owner: str, otherwise: str = "") -> Finding:
    """``owner`` is the user who may look; ``otherwise`` the remedy if that is the wrong user."""
    users = owner if owner == "root" else f"{owner}, or as root"
    return Finding(about, "unknown", detail, f"run imgserve check as {users}{otherwise and f'; {otherwise}'}")


def tried(about: str, look: Callable[[], Iterable[Finding]], owner: str) -> Iterator[Finding]:
    """The findings of ``look``. Where this user may not look, the finding names ``owner``, who may."""
    try:
        yield from look()
    except PermissionError as error:
        detail = f"{error.filename or 'it'} cannot be seen by the user {user_name(os.geteuid())}"
        yield unknown(about, detail, owner)


def owner_of(place: Path) -> str:
    """The user that a directory belongs to; words where that cannot be seen."""
    try:
        return user_name(place.stat().st_uid)
    except OSError:
        return "the server's user"
