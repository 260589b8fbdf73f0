"""The file of API keys: one key a line, with or without a name. Read at start and reload; used by ``auth``."""

import hashlib
import re
from pathlib import Path

import msgspec

from imgserve.errors import ImgserveError, cause_of

MIN_KEY_LENGTH = 16
_NAMED = re.compile(r"(?P<name>[\w.-]{1,32})(?::|\s+)(?P<key>\S{16,})", re.ASCII)


class KeyFileInvalid(ImgserveError):
    code = "key_file_invalid"
    title = "The file of API keys cannot be used"


class Key(msgspec.Struct, frozen=True):
    """``digests`` (SHA-256) are of what opens the door: the key itself is not kept. ``name`` is for the log.

    ``caller``: keys of one name are one caller's, the old one and the new.
    """

    caller: str
    name: str
    digests: tuple[bytes, ...]


def read_keys(path: str) -> tuple[Key, ...]:
    """One key a line, after a name and ``:`` or a blank if it has one; empty lines and ``#`` lines do not count.

    Raises KeyFileInvalid.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        cause, remedy = cause_of(error)
        raise KeyFileInvalid(f"{path} cannot be read: {cause}", remedy) from error
    except UnicodeDecodeError as error:
        raise KeyFileInvalid(f"{path} is not UTF-8, expected a key a line") from error
    lines = [line.strip() for line in text.splitlines()]
    keys = tuple(_key(line, path, number) for number, line in enumerate(lines, 1) if line and not line.startswith("#"))
    if not keys:
        raise KeyFileInvalid(f"{path} holds no key, expected one a line")
    return keys


def _key(line: str, path: str, number: int) -> Key:
    named = _NAMED.fullmatch(line)
    name, key = (named["name"], named["key"]) if named else (f"line-{number}", line)
    if len(key) < MIN_KEY_LENGTH or not key.isascii() or not key.isprintable() or " " in key:
        raise KeyFileInvalid(
            f"line {number} of {path}: each key must be at least {MIN_KEY_LENGTH} printable ASCII characters, no spaces"
        )
    # A key without a name may look like one with a name; its owner sends the whole line.
    digests = tuple(hashlib.sha256(text.encode()).digest() for text in dict.fromkeys((key, line)))
    return Key(name if named else f"#{digests[0].hex()[:16]}", name, digests)
