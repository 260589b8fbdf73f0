"""The file of API keys: one key a line, with or without a name. Read at start and at reload; used by ``auth``."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from imgserve.errors import ImgserveError, cause_of

MIN_KEY_LENGTH = 16
_NAMED = re.compile(r"(?P<name>[\w.-]{1,32})(?::|\s+)(?P<key>\S{16,})", re.ASCII)
_NAME_ALONE = re.compile(r"[\w.-]{1,32}:", re.ASCII)


class KeyFileInvalid(ImgserveError):
    """The file of API keys cannot be used."""

    field = "key_file"


class Key(msgspec.Struct, frozen=True):
    """``digests`` are the SHA-256 of the accepted texts; the key itself is not stored. ``name`` is for the log.

    Keys of one name have one ``principal``, so that an old and a new one are valid together.
    """

    principal: str
    name: str
    digests: tuple[bytes, ...]


def are_several(keys: Sequence[Key]) -> bool:
    """Whether the keys are those of two principals or more."""
    return len({key.principal for key in keys}) > 1


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
    keys = {number: _key(line, path, number) for number, line in enumerate(lines, 1) if line and line[0] != "#"}
    if not keys:
        raise KeyFileInvalid(f"{path} holds no key, expected one a line")
    _check(keys, path)
    return tuple(keys.values())


def _key(line: str, path: str, number: int) -> Key:
    if _NAME_ALONE.fullmatch(line):
        raise KeyFileInvalid(f"line {number} of {path} has a name and no key, expected name:key")
    named = _NAMED.fullmatch(line)
    name, key = (named["name"], named["key"]) if named else (f"line-{number}", line)
    if len(key) < MIN_KEY_LENGTH or not key.isascii() or not key.isprintable() or " " in key:
        raise KeyFileInvalid(
            f"line {number} of {path}: each key must be at least {MIN_KEY_LENGTH} printable ASCII characters, no spaces"
        )
    # A key without a name may look like one with a name; its owner sends the whole line.
    digests = tuple(hashlib.sha256(text.encode()).digest() for text in dict.fromkeys((key, line)))
    return Key(name if named else f"#{digests[0].hex()[:16]}", name, digests)


def _check(keys: Mapping[int, Key], path: str) -> None:
    """A key of two principals would be the first one's, without a word. Names identify principals: "Shop" and "shop"
    would share neither quota nor jobs. Raises KeyFileInvalid.
    """
    by_digest: dict[bytes, tuple[int, str]] = {}
    by_name: dict[str, tuple[int, str]] = {}
    for number, key in keys.items():
        for digest in key.digests:
            line, principal = by_digest.setdefault(digest, (number, key.principal))
            if principal != key.principal:
                detail = f"lines {line} and {number} of {path} hold the same key"
                raise KeyFileInvalid(detail, "give each principal a key of its own")
        line, principal = by_name.setdefault(key.principal.lower(), (number, key.principal))
        if principal != key.principal:
            names = f'"{principal}" and "{key.principal}", which differ by case only'
            hint = "spell them alike if they are one principal, else choose another name"
            raise KeyFileInvalid(f"lines {line} and {number} of {path} name {names}", hint)
