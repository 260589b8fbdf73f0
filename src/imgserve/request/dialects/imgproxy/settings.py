"""The values that the settings' texts stand for, and the check of all settings. For ``config`` and ``grammar``."""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple, get_args

from imgserve.request.dialects.imgproxy import presets
from imgserve.request.dialects.imgproxy.canonical import WITH_QUALITY
from imgserve.request.dialects.imgproxy.config import Config
from imgserve.request.dialects.imgproxy.options.output import FORMATS
from imgserve.request.dialects.imgproxy.options.table import OPTIONS
from imgserve.request.dialects.imgproxy.parameters import FormatWord
from imgserve.request.encode import Format
from imgserve.setting import Problem

PRESET = frozenset({"preset", "pr"})
_WRITABLE: tuple[Format, ...] = get_args(Format)
_ENFORCEABLE = ("avif", "webp")
_QUALITY = re.compile(r"([a-z]+)=([0-9]{1,3})")
_NAME = re.compile(r"[\w-]{1,32}", re.ASCII)
_HEX = re.compile(r"(?:[0-9a-fA-F]{2})+")
# $1, ${1}, ${name}, and $$ for a dollar, as Go writes them.
_GROUP = re.compile(r"\$(?:\$|\{(\w+)\}|(\w+))", re.ASCII)


class Replacement(NamedTuple):
    """Of what the pattern finds in a source's URL."""

    pattern: re.Pattern[str]
    template: str

    def applied(self, url: str) -> str:
        return self.pattern.sub(self.template, url)


def qualities(config: Config) -> dict[Format, int]:
    """Of each format with a quality. Raises ValueError for a text that is none."""
    own = {}
    for text in config.format_quality:
        match = _QUALITY.fullmatch(text)
        if match is None or match[1] not in FORMATS or not 1 <= int(match[2]) <= 100:
            raise ValueError(f"expected a format and a quality from 1 to 100, as webp=79, got {text[:80]!r}")
        own[FORMATS[match[1]]] = int(match[2])
    return {one: own.get(one, config.quality) for one in WITH_QUALITY}


def replacement(text: str) -> Replacement:
    """Raises ValueError."""
    pattern, arrow, template = text.partition("=>")
    if not pattern or not arrow:
        raise ValueError(f"expected REGULAR EXPRESSION=>REPLACEMENT, got {text[:80]!r}")
    python = _GROUP.sub(_group, template.replace("\\", r"\\"))
    try:
        compiled = re.compile(pattern)
        # The template is read only where the pattern matches.
        re.compile(f"{pattern}|").sub(python, "")
    except (re.error, IndexError) as error:
        raise ValueError(f"the replacement {text[:80]!r} cannot be used: {error}") from error
    return Replacement(compiled, python)


def _group(match: re.Match[str]) -> str:
    name = match[1] or match[2]
    return f"\\g<{name}>" if name else "$"


def formats(words: Sequence[str]) -> tuple[FormatWord, ...]:
    """Raises ValueError for a word that is no format."""
    for word in words:
        if word not in FORMATS:
            raise ValueError(f"expected formats of pictures, got {word[:80]!r}")
    return tuple(FORMATS[word] for word in words)


def writable(words: Sequence[str], among: Sequence[str] = _WRITABLE) -> tuple[Format, ...]:
    """Raises ValueError for a format that is not written here."""
    named = formats(words)
    for word in named:
        if word not in among:
            raise ValueError(f"expected formats of {', '.join(among)}, got {word!r}")
    return tuple(one for word in named for one in _WRITABLE if one == word)


def enforced(config: Config) -> frozenset[Format]:
    """Raises ValueError."""
    return frozenset(writable(config.enforced_formats, _ENFORCEABLE))


def problems(config: Config) -> tuple[Problem, ...]:
    """All but those of the presets' options, which ``grammar`` knows."""
    return tuple(_problems(config))


def _problems(config: Config) -> Iterator[Problem]:
    yield from _of_keys(config)
    for field, read in (
        ("format_quality", lambda: qualities(config)),
        ("preferred_formats", lambda: writable(config.preferred_formats)),
        ("enforced_formats", lambda: enforced(config)),
        ("skip_processing_formats", lambda: formats(config.skip_processing_formats)),
        ("url_replacements", lambda: [replacement(text) for text in config.url_replacements]),
        ("presets", lambda: presets.read(config.presets, config.arguments_separator)),
    ):
        try:
            read()
        except ValueError as error:
            yield Problem(field, str(error))
    if not config.preferred_formats:
        yield Problem("preferred_formats", "expected one format at least")
    for name in config.allowed_options:
        if name not in OPTIONS and name not in PRESET:
            yield Problem("allowed_options", f"there is no option {name[:80]!r}")
    if "/" in config.arguments_separator:
        yield Problem("arguments_separator", "expected a text without a slash")
    if config.watermark and not _NAME.fullmatch(config.watermark):
        yield Problem("watermark", "expected the name of a picture: at most 32 letters, digits, - and _")


def _of_keys(config: Config) -> Iterator[Problem]:
    """Never with a piece of a key. An empty one could not be read, which is a fault of its own."""
    if len(config.keys) != len(config.salts) and all(secret.text for secret in (*config.keys, *config.salts)):
        yield Problem("keys", "expected as many keys as salts")
    for field, secrets in (("keys", config.keys), ("salts", config.salts)):
        for index, secret in enumerate(secrets):
            if not _HEX.fullmatch(secret.text.strip()):
                yield Problem(field, "expected hexadecimal digits, an even number of them", (index,))
