"""Fonts of the operator's own directories (``font_dirs``), for text in SVGs. Called by vips, before the first text.

fontconfig takes directories from a file alone
(https://www.freedesktop.org/software/fontconfig/fontconfig-user.html). The file is there until the fonts are listed,
which is before the sandbox closes; fontconfig is told not to look for changes, since it would not find the file again.
"""

import contextlib
import os
from collections.abc import Iterator, Sequence
from html import escape

_SYSTEMS = "/etc/fonts/fonts.conf"
_TEMPORARY = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108 - the file is made anew, for this user alone


class NoPlace(Exception):
    """No directory for temporary files can be written."""


@contextlib.contextmanager
def listed(directories: Sequence[str]) -> Iterator[None]:
    """The block lists all fonts, by drawing text. Raises NoPlace."""
    if not directories:
        yield
        return
    path = _written(_configuration(directories))
    try:
        os.putenv("FONTCONFIG_FILE", path)
        yield
    finally:
        os.unlink(path)  # noqa: PTH108 - the worker stays light


def _written(text: str) -> str:
    for directory in _TEMPORARY:
        path = f"{directory}/imgserve-fonts-{os.getpid()}-{os.urandom(8).hex()}"
        with contextlib.suppress(OSError):
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(text)
            return path
    raise NoPlace(f"font_dirs needs a directory for a temporary file: make one of {', '.join(_TEMPORARY)} writable")


def _configuration(directories: Sequence[str]) -> str:
    places = "".join(f"<dir>{escape(directory, quote=False)}</dir>" for directory in directories)
    return (
        '<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd"><fontconfig>'
        f'<include ignore_missing="yes">{_SYSTEMS}</include>{places}'
        "<config><rescan><int>0</int></rescan></config></fontconfig>"
    )
