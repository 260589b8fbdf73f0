"""Presets and the words of an option: text in, names and arguments out. For ``grammar`` and ``check``."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from imgserve.request.dialects.imgproxy.refused import InvalidUrl

DEFAULT = "default"


class Word(NamedTuple):
    """One option as it is written."""

    name: str
    arguments: tuple[str, ...]


class PresetInvalid(ValueError):
    """A preset of the settings that cannot be read. The message says what was expected."""


def split(segments: Iterable[str], separator: str) -> tuple[Word, ...]:
    """The options up to the first segment without a separator."""
    words = []
    for segment in segments:
        name, *arguments = segment.split(separator)
        if not arguments:
            break
        words.append(Word(name, tuple(arguments)))
    return tuple(words)


def read(texts: Iterable[str], separator: str) -> Mapping[str, tuple[Word, ...]]:
    """Presets by name. Empty texts and comments are none. Raises PresetInvalid."""
    presets = {}
    for text in (one.strip() for one in texts):
        if not text or text.startswith("#"):
            continue
        name, equals, value = (part.strip() for part in text.partition("="))
        if not name or not equals or not value or "=" in value:
            raise PresetInvalid(f"expected NAME=OPTION:ARGUMENT/OPTION:ARGUMENT, got {text[:80]!r}")
        segments = value.split("/")
        words = split(segments, separator)
        if len(words) < len(segments):
            raise PresetInvalid(f'preset "{name}": expected options only, got {segments[len(words)][:80]!r}')
        presets[name] = words
    return presets


def unknown(name: str) -> InvalidUrl:
    return InvalidUrl(f"there is no preset {name[:40]!a}")
