"""Converts an XML document in any encoding that browsers know to UTF-8. Called by markup and sizing.

libxml2 and expat know few encodings by themselves, and in the sandbox they cannot load others. So they get UTF-8 only,
and every codec is loaded at import, before the sandbox closes. The encoding is detected as in XML 1.0, appendix F; a
label stands for the codec of the WHATWG Encoding Standard, section 4.2.
"""

import codecs
import re

from imgserve.imaging.worker import charsets
from imgserve.request.page import CHARSETS

_MARKS: tuple[tuple[bytes, str], ...] = (
    (b"\xff\xfe\0\0", "utf-32-le"),
    (b"\0\0\xfe\xff", "utf-32-be"),
    (b"\xef\xbb\xbf", "utf-8"),
    (b"\xff\xfe", "utf-16-le"),
    (b"\xfe\xff", "utf-16-be"),
    (b"<\0\0\0", "utf-32-le"),
    (b"\0\0\0<", "utf-32-be"),
    (b"<\0", "utf-16-le"),
    (b"\0<", "utf-16-be"),
)
_DECLARATION = re.compile(rb"\s*<\?xml\s[^>]{0,200}?encoding\s*=\s*[\"']\s*([A-Za-z][\w.:-]{0,40})\s*[\"'][^>]{0,200}>")
_DECLARATION_IN_TEXT = re.compile(r"\s*<\?xml\s[^>]{0,500}>")
_UTF_8 = frozenset({"utf-8", "utf8"})

for _name in (*CHARSETS, *(name for _, name in _MARKS)):
    codecs.lookup(_name)
    b"<\0\0\0".decode(_name, errors="replace")  # loads the tables of its first use


def as_utf8(data: bytes) -> bytes:
    """The document in UTF-8, without a declaration that would be wrong; unchanged if its encoding is unknown."""
    encoding, declared_until = _encoding(data)
    if encoding is None or (encoding == "utf-8" and not declared_until):
        return data
    if encoding == "utf-8":
        return data[declared_until:]
    text = data[declared_until:].decode(encoding, errors="replace").removeprefix("\ufeff")
    if not declared_until and (declaration := _DECLARATION_IN_TEXT.match(text)):
        text = text[declaration.end() :]
    return text.encode(errors="replace")


def unknown_encoding(data: bytes) -> str | None:
    """The declared name of an encoding that is unknown here."""
    declared = _DECLARATION.match(data)
    return declared[1].decode() if declared and _encoding(data)[0] is None else None


def _encoding(data: bytes) -> tuple[str | None, int]:
    """Python's name for it (None: unknown), and the end of a declaration that must be removed."""
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return encoding, 0
    declared = _DECLARATION.match(data)
    if declared is None:
        return "utf-8", 0
    label = declared[1].decode().lower()
    if label in _UTF_8:
        return "utf-8", 0
    charset = charsets.of_label(label)
    return "gb18030" if charset == "gbk" else charset, declared.end()
