"""Character references (https://html.spec.whatwg.org/multipage/parsing.html#character-reference-state).

In and out: text. Python's table has the names; its ``html.unescape`` knows no difference between text and attributes,
where ``&copy=1`` is no reference, and takes a number of any length.
"""

import re
from html.entities import html5

_REFERENCE = re.compile(r"&(#[0-9]+;?|#[xX][0-9a-fA-F]+;?|[A-Za-z][A-Za-z0-9]{0,40};?)")
_SHORTEST, _LONGEST = 2, 6  # of the names that count without a semicolon
_UNKNOWN = "\ufffd"
_MOST_DIGITS = 7
_LAST = 0x10FFFF


def in_text(text: str) -> str:
    return _REFERENCE.sub(_replaced, text) if "&" in text else text


def in_attribute(value: str) -> str:
    return _REFERENCE.sub(_replaced_in_attribute, value) if "&" in value else value


def _replaced(found: "re.Match[str]") -> str:
    name = found[1]
    if name[0] == "#":
        return _numbered(name)
    if name in html5:
        return html5[name]
    longest = min(len(name), _LONGEST)
    length = next((length for length in range(longest, _SHORTEST - 1, -1) if name[:length] in html5), 0)
    return html5[name[:length]] + name[length:] if length else found[0]


def _replaced_in_attribute(found: "re.Match[str]") -> str:
    name = found[1]
    if name[0] == "#":
        return _numbered(name)
    if name not in html5:
        return found[0]
    is_part = name[-1] != ";" and found.string[found.end() : found.end() + 1] == "="
    return found[0] if is_part else html5[name]


def _numbered(name: str) -> str:
    is_hexadecimal = name[1] in "xX"
    digits = name[2 if is_hexadecimal else 1 :].rstrip(";").lstrip("0")
    number = int(digits or "0", 16 if is_hexadecimal else 10) if len(digits) <= _MOST_DIGITS else 0
    if number == 0 or number > _LAST or 0xD800 <= number <= 0xDFFF:
        return _UNKNOWN
    if 0x80 <= number <= 0x9F:  # pages mean the characters of Windows-1252 by these
        return bytes([number]).decode("cp1252", "ignore") or chr(number)
    return chr(number)
