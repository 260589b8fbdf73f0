"""An upload page's bytes to ``request.page.Page``. Called by the worker's loop; imported for the first page, since
most workers never see one.

A library would be preferred, but none reads a megabyte of any shape in bounded time: docs/decisions.md has the figures.
"""

import msgspec

from imgserve.imaging.faults import SMALLER_PAGE, PageUnreadable
from imgserve.imaging.worker.charsets import of_label
from imgserve.imaging.worker.html import charset as charsets
from imgserve.imaging.worker.html import entries
from imgserve.imaging.worker.html.controls import Found
from imgserve.imaging.worker.html.tokens import MOST_MARKUP, Tokens, TooMuchMarkup
from imgserve.imaging.worker.html.tree import Tree
from imgserve.request.page import Charset, Page


class _OtherCharset(Exception):
    """The page names another charset than it was read in; until then it had so much markup."""

    def __init__(self, charset: Charset, seen: int) -> None:
        super().__init__()
        self.charset = charset
        self.seen = seen


def read(body: bytes, media_type: str) -> Page:
    """Raises PageUnreadable."""
    text, charset, is_certain = charsets.decoded(body, media_type)
    try:
        try:
            found = _found(Tokens(text), charset, is_certain=is_certain)
        except _OtherCharset as other:
            charset = other.charset
            found = _found(Tokens(body.decode(charset, "replace"), other.seen), charset, is_certain=True)
    except TooMuchMarkup:
        raise PageUnreadable(
            f"The upload page has more than {MOST_MARKUP:,} tags and attributes",
            SMALLER_PAGE,
        ) from None
    has_password = any(control.kind == "password" for control in found.controls)
    return Page(found.base, charset, entries.forms(found, charset), bool(found.forms), has_password)


def encoded(page: Page) -> bytes:
    """As it goes to the parent."""
    return msgspec.msgpack.encode(page)


def _found(tokens: Tokens, charset: Charset, *, is_certain: bool) -> Found:
    def on_charset(label: str) -> None:
        nonlocal is_certain
        other = of_label(label)
        if is_certain or other is None:
            return
        if other != charset:
            raise _OtherCharset(other, tokens.seen)
        is_certain = True

    return Tree(tokens, on_charset).read()
