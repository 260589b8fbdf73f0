"""The tags of a destination, such as ``{$width}``: text behind the authority in, filled text out. For ``destination``.

Values are percent-encoded, so that a source's name can add neither a path, a query parameter nor another tag.
"""

import re
from difflib import get_close_matches
from urllib.parse import quote

import msgspec

from imgserve.request.faults import Fault
from imgserve.request.imageinfo import Size
from imgserve.request.source import Source, encoded_name

SIZES = ("width", "height")
EXTENSIONS = ("ext", "extension")
TAGS = (*SIZES, "basename", *EXTENSIONS)
BEGIN = "{$"

_MOST_NAMED = 10
_LONGEST_GUESSED = 24
_TAG = re.compile(r"\{\$([^{}]*)(\}?)")
_MISSPELT = re.compile(
    r"[$%]?\{\s*([\w-]+)\s*\}"
    r"|\{\{\s*\$?([\w-]+)\s*\}\}"
    r"|[$%]\(\s*([\w-]+)\s*\)"
    r"|\{\s+\$([\w-]+)\s*\}"
    r"|(?:%7B(?:\$|%24)|\{%24)([\w-]+)(?:%7D|\})",  # percent-encoded by a client
    re.ASCII | re.IGNORECASE,
)
# How similar a word in other braces must be to a tag to count as one (difflib's ratio).
_NEAR = 0.8
_RESERVED = re.compile(r"%(?![0-9A-Fa-f]{2})|[^%A-Za-z0-9\-._~!'()*,@$]")


class TagValues(msgspec.Struct, frozen=True):
    """The value of each tag, percent-encoded. ``ext`` is the value of ``{$extension}`` too."""

    width: str
    height: str
    basename: str
    ext: str

    def of(self, tag: str) -> str:
        """The value of a known tag. An unknown one gets harmless text: ``faults_in`` reports it."""
        return str(msgspec.structs.asdict(self).get(tag, self.ext))


NO_SIZE = Size(1, 1)
"""For a template without tags of the size."""

EXAMPLE = TagValues("1", "1", "name", "png")
"""For a template without tags, or without a source."""


def values_of(source: Source, size: Size) -> TagValues:
    """The values for one result: its size, and the source's last path segment split at its last dot."""
    basename, ext = split_name(encoded_name(source))
    return TagValues(str(size.width_px), str(size.height_px), _encode(basename), _encode(ext))


def trial_of(source: Source | None) -> TagValues:
    """The values to check a template with before the size of its result is known."""
    return EXAMPLE if source is None else values_of(source, NO_SIZE)


def split_name(name: str) -> tuple[str, str]:
    """A file name split at its last dot: ``("photo.old", "png")``; without a dot the extension is empty."""
    basename, dot, extension = name.rpartition(".")
    return (basename, extension) if dot else (name, "")


def faults_in(text: str) -> tuple[Fault, ...]:
    """One for each tag that is unknown or not closed. No piece of the URL is repeated, since it may be secret."""
    wrong = {match[0] for match in _TAG.finditer(text) if match[1] not in TAGS or not match[2]}
    notes = {_note(tag) for tag in sorted(wrong)[:_MOST_NAMED]}
    notes |= {f"a tag is written {{${tag}}}, did you mean that?" for tag in _misspelt(text)}
    return tuple(Fault("tag_unknown", note=note) for note in sorted(notes))


def _misspelt(text: str) -> frozenset[str]:
    """The tags that are written as in other template languages: ``${width}``, ``{{width}}``, ``%(width)s``."""
    words = {next(word for word in match.groups() if word).lower() for match in _MISSPELT.finditer(text)}
    near = [get_close_matches(word, TAGS, n=1, cutoff=_NEAR) for word in words if len(word) <= _LONGEST_GUESSED]
    return frozenset(tag for tags in near for tag in tags)


def used_in(text: str) -> frozenset[str]:
    return frozenset(match[1] for match in _TAG.finditer(text) if match[1] in TAGS)


def fill(text: str, values: TagValues) -> str:
    """One pass: a value that looks like a tag is not filled again."""
    return _TAG.sub(lambda match: values.of(match[1]), text)


def _note(tag: str) -> str:
    listed = ", ".join("{$" + tag + "}" for tag in TAGS)
    if not tag.endswith("}"):
        return f"a tag is not closed; the tags are {listed}"
    close = get_close_matches(tag[2:-1].lower(), TAGS, n=1) if len(tag) <= _LONGEST_GUESSED else []
    return f"an unknown tag, did you mean {{${close[0]}}}?" if close else f"an unknown tag; the tags are {listed}"


def _encode(value: str) -> str:
    return _RESERVED.sub(lambda match: quote(match[0], safe=""), value)
