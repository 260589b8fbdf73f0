"""URLs of pictures that a mounted dialect answers: a source and options in, a signed URL out. Nothing is sent.

For programs, for the helpers of templates (``django``, ``jinja``) and for ``imgserve sign``. The dialect's own grammar
reads each option first, so one that the server would refuse or ignore raises OptionInvalid.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, Protocol, Self, Unpack
from urllib.parse import unquote

import msgspec

from imgserve.client.errors import OptionInvalid
from imgserve.client.url_options import ImgproxyOptions, ThumborOptions, imgproxy_words, thumbor_words
from imgserve.request.dialects.imgproxy import path, presets
from imgserve.request.dialects.imgproxy.config import Config as ImgproxyConfig
from imgserve.request.dialects.imgproxy.grammar import Grammar
from imgserve.request.dialects.imgproxy.parameters import Parameters as ImgproxyParameters
from imgserve.request.dialects.imgproxy.refused import ImgproxyRefused
from imgserve.request.dialects.imgproxy.settings import PRESET
from imgserve.request.dialects.thumbor import grammar, imagor_grammar
from imgserve.request.dialects.thumbor.config import Config as ThumborConfig
from imgserve.request.dialects.thumbor.options import Request
from imgserve.request.dialects.thumbor.signature import signature
from imgserve.setting import Secret

_UNSAFE = "unsafe"
_BASE = re.compile(r"(?:(?:https?:)?//[^/?#\s]+)?(?:/[^?#\s]*)?")
# In the order of a path. Any other option is a filter.
_THUMBOR_ORDER = ("meta", "trim", "box", "fit", "stretch", "size", "padding", "halign", "valign", "smart")
_THUMBOR_WORDS = {
    "meta": re.compile("meta"),
    "trim": re.compile(r"trim(?::.*)?"),
    "box": re.compile(r"[\d.]+x[\d.]+:[\d.]+x[\d.]+"),
    "fit": re.compile(r"(?:adaptive-)?(?:full-)?fit-in"),
    "stretch": re.compile("stretch"),
    "size": re.compile(r"-?(?:\d+|orig)?x-?(?:\d+|orig)?"),
    "halign": re.compile("left|center|right"),
    "valign": re.compile("top|middle|bottom"),
    "smart": re.compile("smart"),
}
# ``center``, ``0x0``, ``0x0:0x0``.
_MAY_CHANGE_NOTHING = ("halign", "valign", "size", "box")
_FILTER = re.compile(r"\w+\(.*\)", re.DOTALL)


class Urls(Protocol):
    """What templates need of either."""

    def url(self, *arguments: Any, **options: Any) -> str: ...

    def srcset(self, *arguments: Any, **options: Any) -> str: ...


class ImgproxyUrls:
    """URLs of imgproxy's grammar.

    ``base`` is the public URL of the mount; without it URLs are paths. ``key`` and ``salt`` are hexadecimal, as
    imgproxy's own; without them URLs are not signed. ``is_plain``: the source is readable, and not in base64.
    ``only_presets``: the mount takes names of presets and nothing else.

    Raises OptionInvalid.
    """

    def __init__(
        self,
        base: str = "",
        key: str = "",
        salt: str = "",
        *,
        signature_size: int = 32,
        only_presets: bool = False,
        is_plain: bool = False,
    ) -> None:
        config = ImgproxyConfig(
            keys=(Secret(key),) if key else (),
            salts=(Secret(salt),) if salt else (),
            signature_size=signature_size,
            only_presets=only_presets,
            # The mount knows what it allows.
            allow_raw=True,
            allow_security_options=True,
        )
        self._set(base, config, is_plain=is_plain)

    @classmethod
    def of(cls, config: ImgproxyConfig, base: str = "", *, is_plain: bool = False) -> Self:
        """Under the settings of a mount. Raises OptionInvalid."""
        urls = cls.__new__(cls)
        urls._set(base, config, is_plain=is_plain)
        return urls

    def _set(self, base: str, config: ImgproxyConfig, *, is_plain: bool) -> None:
        for problem in config.problems():
            raise OptionInvalid(f"{problem.field.removesuffix('s')}: {problem.sentence}")
        self._base, self._config, self._is_plain = _checked(base), config, is_plain
        self._grammar = Grammar(config, allow_unsigned=True)

    def url(self, source: str, **options: Unpack[ImgproxyOptions]) -> str:
        """Raises OptionInvalid."""
        return self.of_words(source, imgproxy_words(options, self._config.arguments_separator))

    def srcset(self, source: str, widths: Iterable[int], **options: Unpack[ImgproxyOptions]) -> str:
        """The value of a ``srcset``: a URL for each width. With ``width`` and ``height`` all have that shape.

        Raises OptionInvalid.
        """
        words = imgproxy_words(options, self._config.arguments_separator)
        return self.srcset_of_words(source, widths, words)

    def of_words(self, source: str, words: Sequence[str]) -> str:
        """``words`` as a path has them: ``rs:fill:300:200``. Raises OptionInvalid."""
        self._read(words)
        if self._config.only_presets:
            separator = self._config.arguments_separator
            words = [separator.join(word.partition(separator)[2] for word in words)]
        if not source:
            raise OptionInvalid("expected a source, got an empty text")
        segment = path.plain(source) if self._is_plain else path.encoded(source)
        return self._base + self._grammar.sign("/" + "/".join((*words, segment)))

    def srcset_of_words(self, source: str, widths: Iterable[int], words: Sequence[str]) -> str:
        """Raises OptionInvalid."""
        if self._config.only_presets:
            raise OptionInvalid("expected a mount that takes widths, and this one takes names of presets only")
        shape, separator = self._read(words), self._config.arguments_separator

        def sized(width: int, height: int) -> str:
            size = [f"width{separator}{width}"] + [f"height{separator}{height}"] * bool(height)
            return self.of_words(source, [*words, *size])

        return _srcset(widths, (shape.width, shape.height), sized)

    def _read(self, words: Sequence[str]) -> ImgproxyParameters:
        """What the options ask for. Presets that only the server knows are passed over. Raises OptionInvalid."""
        known = []
        for text in words:
            name, separator, arguments = text.partition(self._config.arguments_separator)
            is_preset = name in PRESET
            if not separator or not name or "/" in text or "?" in text:
                raise OptionInvalid(f"expected an option such as width:300, got {text!r}")
            if self._config.only_presets and not is_preset:
                raise OptionInvalid(f"{name}: expected preset alone, since the mount takes nothing else")
            word = presets.Word(name, tuple(arguments.split(self._config.arguments_separator)))
            if is_preset and not self._config.presets:
                continue
            known.append(word)
            try:
                self._grammar.parameters([word])
            except ImgproxyRefused as error:
                raise OptionInvalid(f"{name}: {error.detail}") from error
        return self._grammar.parameters(known)


class ThumborUrls:
    """URLs of thumbor's grammar, or imagor's.

    ``base`` is the public URL of the mount; without it URLs are paths. Without a ``key`` they are not signed.
    ``imagor``, ``digest`` and ``signature_length`` are as in the settings of the mount.

    Raises OptionInvalid.
    """

    def __init__(
        self,
        base: str = "",
        key: str = "",
        *,
        imagor: bool = False,
        digest: Literal["sha1", "sha256", "sha512"] = "sha1",
        signature_length: int = 0,
    ) -> None:
        keys = (Secret(key),) if key else ()
        self._set(base, ThumborConfig(keys=keys, imagor=imagor, digest=digest, signature_length=signature_length))

    @classmethod
    def of(cls, config: ThumborConfig, base: str = "") -> Self:
        """Under the settings of a mount. Raises OptionInvalid."""
        urls = cls.__new__(cls)
        urls._set(base, config)
        return urls

    def _set(self, base: str, config: ThumborConfig) -> None:
        self._base, self._config = _checked(base), config
        self._parse = imagor_grammar.parse if config.imagor else grammar.parse
        self._generate = imagor_grammar.generate if config.imagor else grammar.generate

    def url(self, source: str, **options: Unpack[ThumborOptions]) -> str:
        """Raises OptionInvalid."""
        return self.of_words(source, thumbor_words(options))

    def srcset(self, source: str, widths: Iterable[int], **options: Unpack[ThumborOptions]) -> str:
        """The value of a ``srcset``: a URL for each width. With ``width`` and ``height`` all have that shape.

        Raises OptionInvalid.
        """
        return self.srcset_of_words(source, widths, thumbor_words(options))

    def of_words(self, source: str, words: Sequence[str]) -> str:
        """``words`` as a path has them, in any order: ``300x200``, ``smart``, ``blur(3)``. Raises OptionInvalid."""
        return self._signed(self._read(source, words))

    def srcset_of_words(self, source: str, widths: Iterable[int], words: Sequence[str]) -> str:
        """Raises OptionInvalid."""
        request = self._read(source, words)
        shape = request.parameters

        def sized(width: int, height: int) -> str:
            parameters = msgspec.structs.replace(shape, width=width, height=height)
            return self._signed(msgspec.structs.replace(request, parameters=parameters))

        if "orig" in (shape.width, shape.height):
            raise OptionInvalid("expected a width and a height in numbers, or none, beside the widths of a srcset")
        return _srcset(widths, (int(shape.width), int(shape.height)), sized)

    def _signed(self, request: Request) -> str:
        text = self._generate(request)
        word = signature(self._config.keys[0].text, text, self._config) if self._config.keys else _UNSAFE
        return f"{self._base}/{word}/{text}"

    def _read(self, source: str, words: Sequence[str]) -> Request:
        """Raises OptionInvalid."""
        if not source:
            raise OptionInvalid("expected a source, got an empty text")
        parts: dict[str, str] = {}
        drawn = []
        for word in (one for text in words for one in self._filters_of(text)):
            if _FILTER.fullmatch(word):
                self._check_filter(word)
                drawn.append(word)
                continue
            kind = self._kind(word, parts)
            if kind in parts:
                raise OptionInvalid(f"expected one of {parts[kind]} and {word}, got both")
            parts[kind] = word
        segments = [parts[kind] for kind in _THUMBOR_ORDER if kind in parts]
        options = self._parsed([*segments, *([grammar.FILTERS + ":".join(drawn)] if drawn else [])])
        return msgspec.structs.replace(options, source=source)

    def _filters_of(self, text: str) -> list[str]:
        """The filters of ``filters:blur(3):quality(80)``; any other word alone."""
        if not text.startswith(grammar.FILTERS):
            return [text]
        return [f"{one.removesuffix(')')})" for one in text.removeprefix(grammar.FILTERS).split("):")]

    def _kind(self, word: str, before: Mapping[str, str]) -> str:
        """Raises OptionInvalid."""
        for kind, pattern in _THUMBOR_WORDS.items():
            if not pattern.fullmatch(word):
                continue
            if kind == "box" and "box" in before and self._config.imagor:
                return "padding"
            if self._parsed([word]).parameters != self._parsed([]).parameters or kind in _MAY_CHANGE_NOTHING:
                return kind
        expected = "fit-in, 300x200, smart, 10x10:90x90 or quality(80)"
        raise OptionInvalid(f"expected an option such as {expected}, got {word!r}")

    def _check_filter(self, text: str) -> None:
        """thumbor ignores a filter that it does not know. Raises OptionInvalid for one that changes nothing."""
        read, bare = self._parsed([grammar.FILTERS + text]), self._parsed([])
        if read == bare:
            raise OptionInvalid(f"expected a filter that the mount knows, with its arguments, got {text!r}")

    def _parsed(self, segments: Sequence[str]) -> Request:
        request = self._parse("/".join([*segments, "-"]))
        if request is None or unquote(request.source) != "-":
            raise OptionInvalid(f"expected options of the grammar, got {'/'.join(segments)!r}")
        return request


def _checked(base: str) -> str:
    """Raises OptionInvalid."""
    if not _BASE.fullmatch(base):
        raise OptionInvalid(f"expected the URL of the mount, such as https://images.example.com, got {base!r}")
    return base.rstrip("/")


def _srcset(widths: Iterable[int], shape: tuple[int, int], sized: Callable[[int, int], str]) -> str:
    """``shape``: width and height; 0 for none. Raises OptionInvalid."""
    wanted, (width, height) = list(widths), shape
    if not wanted or any(isinstance(one, bool) or not isinstance(one, int) or one < 1 for one in wanted):
        raise OptionInvalid("expected widths of at least 1 pixel, such as 320, 640, 1280")
    if height and not width:
        raise OptionInvalid("expected a width beside the height: together they are the shape of all pictures")
    urls = [sized(one, max(1, round(height * one / width)) if height else 0) for one in wanted]
    return ", ".join(f"{url} {one}w" for url, one in zip(urls, wanted, strict=True))
