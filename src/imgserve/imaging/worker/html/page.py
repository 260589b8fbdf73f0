"""Reads an upload page's bytes into a ``request.page.Page``. Called by ``__main__``, which imports it with the first
page, since most workers never see one.

No library reads a megabyte of any shape in bounded time: docs/decisions.md has the figures.
"""

from imgserve.imaging.worker.html import charset as charsets
from imgserve.imaging.worker.html import entries, tree
from imgserve.imaging.worker.html.builder import OtherCharset
from imgserve.imaging.worker.html.tokens import Tokens
from imgserve.request.page import Page


def read(body: bytes, media_type: str) -> Page:
    """Raises PageUnreadable."""
    text, charset, is_certain = charsets.decoded(body, media_type)
    try:
        contents = tree.read(Tokens(text), None if is_certain else charset)
    except OtherCharset as other:
        charset, seen = other.args
        contents = tree.read(Tokens(body.decode(charset, "replace"), seen), None)
    has_password = any(control.kind == "password" for control in contents.controls)
    return Page(contents.base, charset, entries.forms(contents, charset), bool(contents.forms), has_password)
