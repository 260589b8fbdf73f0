"""The charset that a label stands for in a page or an SVG (https://encoding.spec.whatwg.org/#names-and-labels).

Called by ``html.charset`` and ``svg.xmltext``. Python's own lookup would import a codec for each label, which is
impossible in the sandbox.
"""

import re
from encodings.aliases import aliases
from typing import cast

from imgserve.request.page import CHARSETS, Charset

_SEPARATORS = re.compile(r"[^a-z0-9_]+")
_RUN_TOGETHER = re.compile(r"iso_?8859_?(\d+)\Z")
WHITE_SPACE = "\t\n\f\r "  # HTML's
# Labels that Python does not know. UTF-16 and UTF-32 count as UTF-8: a document that names them is not in them.
_OTHERS = {
    **dict.fromkeys((
        "unicode_1_1_utf_8", "unicode11utf8", "unicode20utf8", "unicode", "u16", "utf16", "utf_16", "utf_16le",
        "utf_16be", "utf_16_le", "utf_16_be", "utf32", "utf_32", "ucs_2", "ucs_4", "iso_10646_ucs_2", "iso_10646_ucs_4",
    ), "utf_8"),
    "ansi": "cp1252", "user_defined": "cp1252", "dos_874": "cp874", "windows_874": "cp874", "koi": "koi8_r",
    "koi8": "koi8_r", "koi8_ru": "koi8_u", "mac": "mac_roman", "csmacintosh": "mac_roman",
    "mac_ukrainian": "mac_cyrillic", "iso_8859_6_i": "iso8859_6", "sun_eu_greek": "iso8859_7",
    "iso_8859_8_i": "iso8859_8", "iso_8859_8_e": "iso8859_8", "logical": "iso8859_8", "visual": "iso8859_8",
    "gb_2312": "gbk", "gb_2312_80": "gbk", "csgb2312": "gbk", "windows_936": "gbk", "cn_big5": "big5", "x_big5": "big5",
    "windows_31j": "cp932", "cseucpkdfmtjapanese": "euc_jp", "cseuckr": "cp949", "ks_c_5601_1989": "cp949",
    "ksc_5601": "cp949", "iso_ir_149": "cp949", "windows_949": "cp949",
}  # fmt: skip
# Charsets that hold more on the web than in Python: Latin-1 means Windows-1252 there.
_WIDER = {
    "ascii": "cp1252", "latin_1": "cp1252", "iso8859_9": "cp1254", "iso8859_11": "cp874", "tis_620": "cp874",
    "shift_jis": "cp932", "gb2312": "gbk", "euc_kr": "cp949", "big5": "big5hkscs", "cp950": "big5hkscs",
}  # fmt: skip


def of_label(label: str) -> Charset | None:
    """None for an unknown label."""
    key = _RUN_TOGETHER.sub(r"iso8859_\1", _SEPARATORS.sub("_", label.strip(WHITE_SPACE).lower()))
    key = key if key in aliases else key.removeprefix("x_")
    name = _OTHERS.get(key) or aliases.get(key, key)
    name = _WIDER.get(name, name)
    charset = name if name in CHARSETS else name.replace("_", "-")
    return cast(Charset, charset) if charset in CHARSETS else None
