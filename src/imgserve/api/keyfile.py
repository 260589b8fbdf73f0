"""The file of API keys: one key a line, with or without a name. Read at start and reload; used by ``auth``."""

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path

import msgspec

from imgserve.errors import ImgserveError, cause_of

MIN_KEY_LENGTH = 16
_NAMED = re.compile(r"(?P<name>[\w.-]{1,32})(?::|\s+)(?P<key>\S{16,})", re.ASCII)
_NAME_ALONE = re.compile(r"[\w.-]{1,32}:", re.ASCII)


class KeyFileInvalid(ImgserveError):
    code = "key_file_invalid"
    title = "The file of API keys cannot be used"


class Key(msgspec.Struct, frozen=True):
    """``digests`` (SHA-256) are those of the accepted texts; the key itself is not stored. ``name`` is for the log.

    ``principal``: keys of one name are one principal's, the old one and the new.
    """

    principal: str
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
    keys = {number: _key(line, path, number) for number, line in enumerate(lines, 1) if line and line[0] != "#"}
    if not keys:
        raise KeyFileInvalid(f"{path} holds no key, expected one a line")
    _check_owners(keys, path)
    _check_names(keys, path)
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


def _check_owners(keys: Mapping[int, Key], path: str) -> None:
    """A key of two principals would be the first one's, without a word. Raises KeyFileInvalid."""
    lines_of: dict[bytes, list[int]] = {}
    for number, key in keys.items():
        for digest in key.digests:
            lines_of.setdefault(digest, []).append(number)
    for numbers in lines_of.values():
        if len({keys[number].principal for number in numbers}) > 1:
            raise KeyFileInvalid(f"{_lines(numbers)} of {path} hold the same key", "give each caller a key of its own")


def _check_names(keys: Mapping[int, Key], path: str) -> None:
    """Names identify principals: "Shop" and "shop" would share neither quota nor jobs. Raises KeyFileInvalid."""
    lines_of: dict[str, dict[str, int]] = {}
    for number, key in keys.items():
        lines_of.setdefault(key.principal.lower(), {}).setdefault(key.principal, number)
    for numbers in lines_of.values():
        if len(numbers) > 1:
            names = " and ".join(f'"{name}"' for name in numbers)
            raise KeyFileInvalid(
                f"{_lines(list(numbers.values()))} of {path} name {names}, which differ by case only",
                "spell them alike if they are one caller, else choose another name",
            )


def _lines(numbers: list[int]) -> str:
    return f"lines {', '.join(map(str, numbers[:-1]))} and {numbers[-1]}"
