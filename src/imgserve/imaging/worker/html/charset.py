"""The charset of a page, and the charset that its forms are sent in (https://encoding.spec.whatwg.org/).

In: bytes and labels. Out: Python's name of a codec that ``request.page.Charset`` lists, or the decoded text.
"""

import codecs
import re
from typing import cast

from imgserve.imaging.worker.html.tokens import Tokens, TooMuchMarkup
from imgserve.request.page import CHARSETS, Charset

_PRESCAN_BYTES = 1024
_LABEL = re.compile(r"""charset[\t\n\f\r ]*=[\t\n\f\r ]*(?:"([^"]*)"|'([^']*)'|([^\t\n\f\r ;"']+))""", re.IGNORECASE)
_RUN_TOGETHER = re.compile(r"iso_?8859_?(\d+)")
_LONGEST_LABEL = 40  # Python remembers each that it has looked for
_WHITE_SPACE = "\t\n\f\r "
# Labels that Python does not know, or takes for less than the web does: there Latin-1 means Windows-1252.
_OTHERS: dict[str, Charset] = {
    "unicode-1-1-utf-8": "utf-8", "unicode11utf8": "utf-8", "unicode20utf8": "utf-8", "x-unicode20utf8": "utf-8",
    "utf-16": "utf-8", "utf-16le": "utf-8", "utf-16be": "utf-8", "unicode": "utf-8", "x-user-defined": "cp1252",
    "ansi_x3.4-1968": "cp1252", "x-cp1250": "cp1250", "x-cp1251": "cp1251", "x-cp1252": "cp1252", "x-cp1253": "cp1253",
    "x-cp1254": "cp1254", "x-cp1255": "cp1255", "x-cp1256": "cp1256", "x-cp1257": "cp1257", "x-cp1258": "cp1258",
    "dos-874": "cp874", "windows-874": "cp874", "tis-620": "cp874", "iso-8859-11": "cp874", "iso8859-11": "cp874",
    "iso-8859-8-i": "iso8859-8", "iso-8859-8-e": "iso8859-8", "logical": "iso8859-8", "visual": "iso8859-8",
    "koi": "koi8-r", "koi8": "koi8-r", "koi8-ru": "koi8-u", "mac": "mac-roman", "x-mac-roman": "mac-roman",
    "x-mac-cyrillic": "mac-cyrillic", "x-mac-ukrainian": "mac-cyrillic", "x-gbk": "gbk", "gb2312": "gbk",
    "chinese": "gbk", "gb_2312": "gbk", "gb_2312-80": "gbk", "csgb2312": "gbk", "iso-ir-58": "gbk", "euc-cn": "gbk",
    "big5": "big5hkscs", "cn-big5": "big5hkscs", "x-x-big5": "big5hkscs", "csbig5": "big5hkscs",
    "shift_jis": "cp932", "shift-jis": "cp932", "sjis": "cp932", "x-sjis": "cp932", "ms_kanji": "cp932",
    "windows-31j": "cp932", "csshiftjis": "cp932", "x-euc-jp": "euc_jp", "euc-kr": "cp949", "ks_c_5601-1987": "cp949",
    "ks_c_5601-1989": "cp949", "ksc5601": "cp949", "ksc_5601": "cp949", "korean": "cp949", "windows-949": "cp949",
    "iso-ir-149": "cp949", "cseuckr": "cp949", "csmacintosh": "mac-roman", "cseucpkdfmtjapanese": "euc_jp",
    "sun_eu_greek": "iso8859-7",
}  # fmt: skip
_WIDER: dict[str, Charset] = {
    "ascii": "cp1252", "iso8859-1": "cp1252", "iso8859-9": "cp1254", "gb2312": "gbk", "shift_jis": "cp932",
    "euc_kr": "cp949", "big5": "big5hkscs", "cp950": "big5hkscs",
}  # fmt: skip
# The value of a form's _charset_ field.
_WEB_NAMES: dict[Charset, str] = {
    "utf-8": "UTF-8", "cp866": "IBM866", "koi8-r": "KOI8-R", "koi8-u": "KOI8-U", "mac-roman": "macintosh",
    "mac-cyrillic": "x-mac-cyrillic", "cp874": "windows-874", "gbk": "GBK", "big5hkscs": "Big5", "euc_jp": "EUC-JP",
    "iso2022_jp": "ISO-2022-JP", "cp932": "Shift_JIS", "cp949": "EUC-KR",
}  # fmt: skip


def of_label(label: str) -> Charset | None:
    """The charset that a page means by a label; None for no label of the web's. UTF-16 in a label means UTF-8."""
    label = label.strip(_WHITE_SPACE).lower()
    if label in _OTHERS:
        return _OTHERS[label]
    if len(label) > _LONGEST_LABEL:
        return None
    try:
        name = codecs.lookup(_RUN_TOGETHER.sub(r"iso-8859-\1", label)).name
    except (LookupError, ValueError):
        return None
    name = _WIDER.get(name, name)
    return cast(Charset, name) if name in CHARSETS else None


def web_name(charset: Charset) -> str:
    if charset in _WEB_NAMES:
        return _WEB_NAMES[charset]
    return charset.replace("cp", "windows-") if charset.startswith("cp") else charset.replace("iso", "ISO-")


def decoded(body: bytes, media_type: str) -> tuple[str, Charset, bool]:
    """The page's text, the charset that it counts as, and whether that is certain: a byte order mark or the header has
    said it. Else a meta element within the first 1,024 bytes may, and any other, where ``tree`` meets it, overrules."""
    if body.startswith(codecs.BOM_UTF8):
        return body.decode("utf-8-sig", "replace"), "utf-8", True
    if body.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return body.decode("utf-16", "replace"), "utf-8", True
    found = _LABEL.search(media_type)
    label = (found[1] or found[2] or found[3] or "").strip().lower() if found else ""
    if label in ("utf-16", "utf-16le", "utf-16be", "unicode"):
        return body.decode("utf-16-be" if label.endswith("be") else "utf-16-le", "replace"), "utf-8", True
    charset = of_label(label) if label else None
    if charset is not None:
        return body.decode(charset, "replace"), charset, True
    charset = _prescanned(body[:_PRESCAN_BYTES]) or "utf-8"
    return body.decode(charset, "replace"), charset, False


def in_content(content: str) -> str:
    """The label in a meta element's ``content``."""
    found = _LABEL.search(content)
    return (found[1] or found[2] or found[3] or "") if found else ""


def _prescanned(start: bytes) -> Charset | None:
    tokens = Tokens(start.decode("latin-1"))
    try:
        while (tag := tokens.next_tag()) is not None:
            if tag.name == "meta" and not tag.is_end and (label := of_meta(tag.attributes)):
                return of_label(label)
    except TooMuchMarkup:
        pass
    return None


def of_meta(attributes: dict[str, str]) -> str:
    """The label that a meta element names, if any."""
    if "charset" in attributes:
        return attributes["charset"]
    is_type = attributes.get("http-equiv", "").strip(_WHITE_SPACE).lower() == "content-type"
    return in_content(attributes.get("content", "")) if is_type else ""
