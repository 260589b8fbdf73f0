"""Character references (https://html.spec.whatwg.org/multipage/parsing.html#character-reference-state).

In and out: text. Python's ``html.unescape`` replaces each of them, but it does not know the rule for attributes, where
``&copy=1`` is no reference, it drops control characters, and it takes a number of any length.
"""

import re
from html import unescape
from html.entities import html5

_REFERENCE = re.compile(r"&(#[0-9]+;?|#[xX][0-9a-fA-F]+;?|[A-Za-z][A-Za-z0-9]{0,40};?)")
_UNKNOWN = "\ufffd"
_MOST_DIGITS = 7


def in_text(text: str) -> str:
    return _REFERENCE.sub(_character, text) if "&" in text else text


def in_attribute(value: str) -> str:
    return _REFERENCE.sub(_character_in_attribute, value) if "&" in value else value


def _character(match: "re.Match[str]") -> str:
    return _numbered(match[1]) if match[1][0] == "#" else unescape(match[0])


def _character_in_attribute(match: "re.Match[str]") -> str:
    name = match[1]
    is_plain_text = name[-1] != ";" and match.string[match.end() : match.end() + 1] == "="
    return _numbered(name) if name[0] == "#" else match[0] if is_plain_text else html5.get(name, match[0])


def _numbered(name: str) -> str:
    is_hexadecimal = name[1] in "xX"
    digits = name[1 + is_hexadecimal :].rstrip(";").lstrip("0") or "0"
    if len(digits) > _MOST_DIGITS:
        return _UNKNOWN
    number = int(digits, 16 if is_hexadecimal else 10)
    return unescape(f"&#{number};") or chr(number)
