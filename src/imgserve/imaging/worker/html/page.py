"""Reads an upload page's bytes into a ``request.page.Page``. Called by ``__main__``, which imports it with the first
page, since most workers never see one.

No library reads a megabyte of any shape in bounded time: docs/decisions.md has the figures.
"""

from imgserve.imaging.worker.charsets import of_label
from imgserve.imaging.worker.html import charset as charsets
from imgserve.imaging.worker.html import entries, tree
from imgserve.imaging.worker.html.controls import Contents
from imgserve.imaging.worker.html.tokens import Tokens
from imgserve.request.page import Charset, Page


class _OtherCharset(Exception):
    """The page names another charset, its first argument, than it was read in; the second is the markup so far."""


def read(body: bytes, media_type: str) -> Page:
    """Raises PageUnreadable."""
    text, charset, is_certain = charsets.decoded(body, media_type)
    try:
        contents = _contents(Tokens(text), charset, is_certain=is_certain)
    except _OtherCharset as other:
        charset, seen = other.args
        contents = _contents(Tokens(body.decode(charset, "replace"), seen), charset, is_certain=True)
    has_password = any(control.kind == "password" for control in contents.controls)
    return Page(contents.base, charset, entries.forms(contents, charset), bool(contents.forms), has_password)


def _contents(tokens: Tokens, charset: Charset, *, is_certain: bool) -> Contents:
    def on_charset(label: str) -> None:
        nonlocal is_certain
        other = of_label(label)
        if is_certain or other is None:
            return
        if other != charset:
            raise _OtherCharset(other, tokens.seen)
        is_certain = True

    return tree.read(tokens, on_charset)
