"""An SVG's root element, found by patterns, not by a parser. Called by detect, sizing and draw.

In: the bytes of the file. Out: the position of the root's start tag, and its attributes as they are written.
"""

import re
from typing import NamedTuple

from imgserve.imaging.worker.svg import xmltext

_QUOTED, _UNREAD = rb"\"[^\"]*+\"|'[^']*+'", rb"<!--.*?-->|<\?.*?\?>"
_IN_DOCTYPE = rb"%b|%b|<(?!!--|\?)|" % (_QUOTED, _UNREAD)
# Before the root: a byte order mark, white space, comments, instructions, a document type with its internal subset.
_PROLOG = re.compile(
    rb"(?:\xef\xbb\xbf)?(?:[ \t\r\n]++|%b|(?i:<!DOCTYPE)(?:%b\[(?:%b[^\"'\]<]++)*+\]|[^\"'\[<>]++)*+>)*+"
    % (_UNREAD, _IN_DOCTYPE, _IN_DOCTYPE),
    re.DOTALL,
)
_ROOT_NAME = re.compile(rb"<(?:[A-Za-z_][\w.-]*:)?svg(?=[\s/>])")
_ATTRIBUTE = re.compile(rb"\s+([^\s=/>\"'<]+)\s*=\s*(\"[^\"<]*\"|'[^'<]*')")
_TAG_END = re.compile(rb"\s*/?>")


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
        """Everything to the end of the start tag, without its ``>``, with these attributes in place of its own."""
        written = [b" %s=%s" % (name, _quoted(value)) for name, value in {**self.attributes, **changes}.items()]
        return b"".join([self.data[: self.names_end], *written])


def _quoted(value: bytes) -> bytes:
    return b"'%s'" % value if b'"' in value else b'"%s"' % value


def find_root(data: bytes) -> Root | None:
    """The root element if the document is an SVG, else None. Reads no further than its start tag."""
    data = xmltext.as_utf8(data)
    prolog = _PROLOG.match(data)
    name = _ROOT_NAME.match(data, prolog.end() if prolog else 0)
    if name is None:
        return None
    attributes: dict[bytes, bytes] = {}
    end = name.end()
    while (attribute := _ATTRIBUTE.match(data, end)) is not None:
        attributes[attribute[1]] = attribute[2][1:-1]
        end = attribute.end()
    return Root(data, name.end(), end, attributes) if _TAG_END.match(data, end) else None
