"""An SVG's root element, found by text and not by a parser. Called by detect, svgsize and svg.

In: the bytes of the file. Out: where the root's start tag lies and what its attributes say, as they are written.
"""

import re
from typing import NamedTuple

from imgserve.imaging.worker.svg import xmltext

_SPACE = re.compile(rb"[ \t\r\n]*")
_ROOT_NAME = re.compile(rb"<(?:[A-Za-z_][\w.-]*:)?svg(?=[\s/>])")
_ATTRIBUTE = re.compile(rb"\s+([^\s=/>\"'<]+)\s*=\s*(\"[^\"<]*\"|'[^'<]*')")
_TAG_END = re.compile(rb"\s*/?>")
_SUBSET_TOKEN = re.compile(rb"[\"'\[\]>]|<!--|<\?")
_CLOSED_BY = {b'"': b'"', b"'": b"'", b"<!--": b"-->", b"<?": b"?>"}


class Root(NamedTuple):
    """The root's start tag. ``data`` is the document in UTF-8; ``names_end`` is behind ``<svg``."""

    data: bytes
    names_end: int
    tag_end: int
    attributes: dict[bytes, bytes]

    @property
    def name(self) -> bytes:
        """With its prefix."""
        return self.data[self.data.rindex(b"<", 0, self.names_end) + 1 : self.names_end]

    def start_with(self, changes: dict[bytes, bytes]) -> bytes:
        """All up to the end of the start tag, which is left open, with these attributes in place of its own."""
        written = [b" %s=%s" % (name, _quoted(value)) for name, value in {**self.attributes, **changes}.items()]
        return b"".join([self.data[: self.names_end], *written])


def _quoted(value: bytes) -> bytes:
    return b"'%s'" % value if b'"' in value else b'"%s"' % value


def find_root(data: bytes) -> Root | None:
    """The root element if the document is an SVG, else None. Reads no further than its start tag."""
    data = xmltext.as_utf8(data)
    at = 3 if data.startswith(b"\xef\xbb\xbf") else 0
    while True:
        at = _behind_space(data, at)
        if data.startswith(b"<?", at):
            at = _behind(data, b"?>", at)
        elif data.startswith(b"<!--", at):
            at = _behind(data, b"-->", at)
        elif data[at : at + 9].upper() == b"<!DOCTYPE":
            at = _behind_doctype(data, at + 9)
        else:
            return _read_tag(data, at)
        if at < 0:
            return None


def _behind_space(data: bytes, at: int) -> int:
    space = _SPACE.match(data, at)
    return space.end() if space else at


def _behind(data: bytes, mark: bytes, at: int) -> int:
    found = data.find(mark, at + 2)
    return found + len(mark) if found >= 0 else -1


def _behind_doctype(data: bytes, at: int) -> int:
    is_in_subset = False
    while (token := _SUBSET_TOKEN.search(data, at)) is not None:
        mark = token.group()
        at = token.end()
        if mark in _CLOSED_BY:
            at = data.find(_CLOSED_BY[mark], at)
            if at < 0:
                return -1
            at += len(_CLOSED_BY[mark])
        elif mark == b">" and not is_in_subset:
            return at
        elif mark != b">":
            is_in_subset = mark == b"["
    return -1


def _read_tag(data: bytes, at: int) -> Root | None:
    name = _ROOT_NAME.match(data, at)
    if name is None:
        return None
    attributes: dict[bytes, bytes] = {}
    end = name.end()
    while (attribute := _ATTRIBUTE.match(data, end)) is not None:
        attributes[attribute[1]] = attribute[2][1:-1]
        end = attribute.end()
    return Root(data, name.end(), end, attributes) if _TAG_END.match(data, end) else None
