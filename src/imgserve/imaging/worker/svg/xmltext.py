"""An XML document in any encoding that browsers know, as UTF-8. Called by svgmarkup and sizing.

libxml2 and expat know few encodings by themselves, and in the sandbox they cannot load others. So they get UTF-8 only,
and every codec is loaded here, before the lock. The encoding is detected as in XML 1.0,
appendix F; a label stands for the codec of the WHATWG Encoding Standard, section 4.2.
"""

import codecs
import re
from encodings.aliases import aliases

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
_UTF_8 = frozenset({"utf_8", "utf8", "unicode_1_1_utf_8"})
# A document of bytes that claims this is wrong about itself; programs write it when they save a string of UTF-16.
_NOT_OF_BYTES = frozenset({"utf_16", "utf_16_le", "utf_16_be", "u16", "utf16", "utf_32", "utf32", "ucs_2", "ucs_4",
    "iso_10646_ucs_2", "iso_10646_ucs_4", "unicode", "utf_16le", "utf_16be"})  # fmt: skip
_SUPERSET = {
    "ascii": "cp1252", "latin_1": "cp1252", "iso8859_9": "cp1254", "iso8859_11": "cp874", "tis_620": "cp874",
    "shift_jis": "cp932", "gb2312": "gb18030", "gbk": "gb18030", "euc_kr": "cp949", "big5": "big5hkscs",
    "cp950": "big5hkscs",
}  # fmt: skip
_OTHER_LABELS = {
    "ansi": "cp1252", "x_cp1250": "cp1250", "x_cp1251": "cp1251", "x_cp1252": "cp1252", "dos_874": "cp874",
    "windows_874": "cp874", "windows_31j": "cp932", "x_sjis": "cp932", "x_gbk": "gb18030", "x_euc_jp": "euc_jp",
    "windows_936": "gb18030", "gb_2312_80": "gb18030", "gb_2312": "gb18030", "x_x_big5": "big5hkscs",
    "cn_big5": "big5hkscs", "koi8": "koi8_r", "koi": "koi8_r", "koi8_ru": "koi8_u", "x_mac_roman": "mac_roman",
    "x_mac_cyrillic": "mac_cyrillic", "x_mac_ukrainian": "mac_cyrillic", "windows_949": "cp949",
    "iso_8859_8_i": "iso8859_8", "iso_8859_8_e": "iso8859_8", "iso_8859_6_i": "iso8859_6", "sun_eu_greek": "iso8859_7",
}  # fmt: skip
_CODECS = frozenset({
    "cp866", "cp874", "cp932", "cp949", "gb18030", "big5hkscs", "euc_jp", "iso2022_jp", "koi8_r", "koi8_u", "mac_roman",
    "mac_cyrillic", *(f"iso8859_{part}" for part in (2, 3, 4, 5, 6, 7, 8, 10, 13, 14, 15, 16)),
    *(f"cp{page}" for page in range(1250, 1259)),
})  # fmt: skip

for _name in (*_CODECS, *(name for _, name in _MARKS)):
    codecs.lookup(_name)
    b"<\0\0\0".decode(_name, errors="replace")  # loads the tables of its first use


def as_utf8(data: bytes) -> bytes:
    """The document in UTF-8, without a declaration that would be wrong; unchanged where its encoding is not known."""
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
    """The declared name of an encoding that nobody here can read."""
    if _encoding(data)[0] is not None:
        return None
    declared = _DECLARATION.match(data)
    return declared[1].decode() if declared else None


def _encoding(data: bytes) -> tuple[str | None, int]:
    """Python's name for it (None: not known), and where a declaration ends that has to go."""
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return encoding, 0
    declared = _DECLARATION.match(data)
    if declared is None:
        return "utf-8", 0
    label = declared[1].decode().lower().replace("-", "_").replace(".", "_").replace(":", "_")
    if label in _UTF_8:
        return "utf-8", 0
    if label in _NOT_OF_BYTES:
        return "utf-8", declared.end()
    return _codec(label), declared.end()


def _codec(label: str) -> str | None:
    name = _OTHER_LABELS.get(label) or aliases.get(label, label)
    name = _SUPERSET.get(name, name)
    return name if name in _CODECS else None
