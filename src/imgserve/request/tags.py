"""The tags of a destination, such as ``{$width}``: text behind the authority in, filled text out. For ``destination``.

Values are percent-encoded, so that a source's name can add neither a path, a query parameter nor another tag.
"""

import re
from collections.abc import Mapping
from functools import cache, lru_cache
from urllib.parse import quote

import msgspec

from imgserve.request.faults import Fault
from imgserve.request.guesses import nearest
from imgserve.request.imageinfo import Size
from imgserve.request.source import Source, encoded_name

Vocabulary = Mapping[str, str]
"""The tags of a protocol, each with its field of ``TagValues``."""

CLASSIC: Vocabulary = {
    "width": "width", "height": "height", "basename": "basename", "ext": "source_ext", "extension": "source_ext",
}  # fmt: skip
NATIVE: Vocabulary = {name: name for name in ("width", "height", "basename", "name", "ext", "source_ext", "job")}
SIZES = frozenset({"width", "height"})
OF_RESULT = SIZES | {"ext", "job"}
"""Fields that are known once the job has its id, and its source has been read."""
BEGIN = "{$"

_MOST_NAMED = 10
_LONGEST_MISSPELT, _MOST_MISSPELT = 24, 30
_TAG = re.compile(r"\{\$([^{}]*)(\}?)")
_MISSPELT = re.compile(
    r"[$%]?\{\s*([\w-]+)\s*\}"
    r"|\{\{\s*\$?([\w-]+)\s*\}\}"
    r"|[$%]\(\s*([\w-]+)\s*\)"
    r"|\{\s+\$([\w-]+)\s*\}"
    r"|(?:%7B(?:\$|%24)|\{%24)([\w-]+)(?:%7D|\})",  # percent-encoded by a client
    re.ASCII | re.IGNORECASE,
)
# One of them is in each tag, however it is misspelt. Most destinations have none.
_SIGNS = ("{", "(", "%7")
# Shorter words with another letter are words of their own, such as {game} beside {name}.
_SHORTEST_MISSPELT = 5
_RESERVED = re.compile(r"%(?![0-9A-Fa-f]{2})|[^%A-Za-z0-9\-._~!'()*,@$]")


class TagValues(msgspec.Struct, frozen=True):
    """The values of tags, percent-encoded. ``ext`` is that of the result's format; ``name`` is the output's.

    A field is empty where there is no value.
    """

    width: str
    height: str
    basename: str
    source_ext: str
    ext: str = ""
    name: str = ""
    job: str = ""


NO_SIZE = Size(1, 1)
"""For a template without tags of the size."""

OPEN_EXT = "-"
"""The extension of a result whose format is not known yet: no format has it."""

EXAMPLE = TagValues("1", "1", "name", "png", OPEN_EXT, "0", "0" * 32)
"""For a template without tags, or without a source."""


def values_of(source: Source, size: Size, ext: str = "", name: str = "", job: str = "") -> TagValues:
    """The values for one result: its size, and the source's last path segment split at its last dot."""
    return TagValues(str(size.width_px), str(size.height_px), *_parts_of_name(source), ext, name, job)


@lru_cache(maxsize=256)  # each job needs those of its source three times
def _parts_of_name(source: Source) -> tuple[str, str]:
    basename, source_ext = split_name(encoded_name(source))
    return _encode(basename), _encode(source_ext)


def trial_of(source: Source | None, name: str = EXAMPLE.name) -> TagValues:
    """The values to check a template with before its source is read."""
    if source is None:
        return msgspec.structs.replace(EXAMPLE, name=name)
    return values_of(source, NO_SIZE, EXAMPLE.ext, name, EXAMPLE.job)


def split_name(name: str) -> tuple[str, str]:
    """A file name split at its last dot: ``("photo.old", "png")``; without a dot the extension is empty."""
    basename, dot, extension = name.rpartition(".")
    return (basename, extension) if dot else (name, "")


def faults_in(text: str, vocabulary: Vocabulary = CLASSIC) -> tuple[Fault, ...]:
    """One for each tag that is unknown or not closed. No piece of the URL is repeated, since it may be secret."""
    if not any(sign in text for sign in _SIGNS):
        return ()
    wrong = {match[0] for match in _TAG.finditer(text) if match[1] not in vocabulary or not match[2]}
    notes = {_note(tag, vocabulary) for tag in sorted(wrong)[:_MOST_NAMED]}
    notes |= {f"a tag is written {{${tag}}}, did you mean that?" for tag in _misspelt(text, vocabulary)}
    return tuple(Fault("tag_unknown", note=note) for note in sorted(notes))


def _misspelt(text: str, vocabulary: Vocabulary) -> frozenset[str]:
    """The tags that are written as in other template languages: ``${width}``, ``{{width}}``, ``%(width)s``."""
    found = {next(word for word in match.groups() if word).lower() for match in _MISSPELT.finditer(text)}
    words = sorted(word for word in found if len(word) <= _LONGEST_MISSPELT)[:_MOST_MISSPELT]
    return frozenset(tag for word in words if (tag := _meant_by(word, tuple(vocabulary))))


def _meant_by(word: str, names: tuple[str, ...]) -> str:
    """The tag of this name, or of one that differs in one letter or two neighbours; empty if there is none."""
    if word in names:
        return word
    for cut in _cuts(word):
        name = _names_by_cut(names).get(cut, "")
        if name and (len(name) != len(word) or len(word) >= _SHORTEST_MISSPELT):
            return name
    return ""


def _cuts(word: str) -> list[str]:
    """The word, and the word without each of its letters in turn: near words share one of these."""
    return [word, *(word[:index] + word[index + 1 :] for index in range(len(word)))]


@cache
def _names_by_cut(names: tuple[str, ...]) -> Mapping[str, str]:
    return {cut: name for name in reversed(names) for cut in _cuts(name)}


def used_in(text: str, vocabulary: Vocabulary = CLASSIC) -> frozenset[str]:
    """The fields of ``TagValues`` that the text takes."""
    if BEGIN not in text:
        return frozenset()
    return frozenset(vocabulary[match[1]] for match in _TAG.finditer(text) if match[1] in vocabulary)


def fill(text: str, values: TagValues, vocabulary: Vocabulary = CLASSIC) -> str:
    """One pass: a value that looks like a tag is not filled again.

    An unknown tag gets harmless text: ``faults_in`` reports it.
    """
    return _TAG.sub(lambda match: str(getattr(values, vocabulary.get(match[1], "source_ext"))), text)


def _note(tag: str, vocabulary: Vocabulary) -> str:
    listed = ", ".join("{$" + name + "}" for name in vocabulary)
    if not tag.endswith("}"):
        return f"a tag is not closed; the tags are {listed}"
    near = nearest(tag[2:-1], vocabulary)
    return f"an unknown tag, did you mean {{${near}}}?" if near else f"an unknown tag; the tags are {listed}"


def _encode(value: str) -> str:
    return _RESERVED.sub(lambda match: quote(match[0], safe=""), value)
