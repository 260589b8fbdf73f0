"""The charset of a page, and the charset that its forms are sent in (https://encoding.spec.whatwg.org/).

In: bytes and labels. Out: a ``request.page.Charset``, which is Python's name of a codec, or the decoded text.
"""

import codecs
import re

from imgserve.imaging.worker.charsets import WHITE_SPACE, of_label
from imgserve.imaging.worker.html.tokens import Tokens
from imgserve.request.page import Charset

_PRESCAN_BYTES = 1024
_LABEL = re.compile(r"""charset[\t\n\f\r ]*=[\t\n\f\r ]*(?:"([^"]*)"|'([^']*)'|([^\t\n\f\r ;"']+))""", re.IGNORECASE)
# The value of a form's _charset_ field.
_WEB_NAMES: dict[Charset, str] = {
    "utf-8": "UTF-8", "cp866": "IBM866", "koi8-r": "KOI8-R", "koi8-u": "KOI8-U", "mac-roman": "macintosh",
    "mac-cyrillic": "x-mac-cyrillic", "cp874": "windows-874", "gbk": "GBK", "big5hkscs": "Big5", "euc_jp": "EUC-JP",
    "iso2022_jp": "ISO-2022-JP", "cp932": "Shift_JIS", "cp949": "EUC-KR",
}  # fmt: skip


def web_name(charset: Charset) -> str:
    if charset in _WEB_NAMES:
        return _WEB_NAMES[charset]
    return charset.replace("cp", "windows-") if charset.startswith("cp") else charset.replace("iso", "ISO-")


def decoded(body: bytes, media_type: str) -> tuple[str, Charset, bool]:
    """The page's text, its charset, and whether that is certain: a byte order mark or the header names it. Else a meta
    element within the first 1,024 bytes counts, until ``tree`` finds another one."""
    if body.startswith(codecs.BOM_UTF8):
        return body.decode("utf-8-sig", "replace"), "utf-8", True
    if body.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return body.decode("utf-16", "replace"), "utf-8", True
    label = _label_in(media_type).strip().lower()
    if label in ("utf-16", "utf-16le", "utf-16be", "unicode"):
        return body.decode("utf-16-be" if label.endswith("be") else "utf-16-le", "replace"), "utf-8", True
    charset = of_label(label) if label else None
    if charset is not None:
        return body.decode(charset, "replace"), charset, True
    charset = _prescanned(body[:_PRESCAN_BYTES]) or "utf-8"
    return body.decode(charset, "replace"), charset, False


def _label_in(content: str) -> str:
    match = _LABEL.search(content)
    return (match[1] or match[2] or match[3] or "") if match else ""


def _prescanned(start: bytes) -> Charset | None:
    tokens = Tokens(start.decode("latin-1"))
    while (tag := tokens.next_tag()) is not None:
        if tag.name == "meta" and not tag.is_end and (label := of_meta(tag.attributes)):
            return of_label(label)
    return None


def of_meta(attributes: dict[str, str]) -> str:
    """The label in a meta element; empty without one."""
    if "charset" in attributes:
        return attributes["charset"]
    is_type = attributes.get("http-equiv", "").strip(WHITE_SPACE).lower() == "content-type"
    return _label_in(attributes.get("content", "")) if is_type else ""
