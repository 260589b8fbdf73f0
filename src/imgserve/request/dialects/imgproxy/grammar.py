"""Paths of imgproxy: a raw path in, what is asked for out, and back. Pure; for ``dialect`` and for tools that sign.

The grammar: https://docs.imgproxy.net/usage/processing. A path is read in linear time, left to right, once.
"""

from collections.abc import Sequence

from imgserve.request.dialects import signing
from imgserve.request.dialects.dialect import Answer, Asked, Negotiable
from imgserve.request.dialects.imgproxy import path, presets, settings
from imgserve.request.dialects.imgproxy.arguments import LEAST_FACTOR, MOST_FACTOR, shown
from imgserve.request.dialects.imgproxy.canonical import canonical
from imgserve.request.dialects.imgproxy.config import Config
from imgserve.request.dialects.imgproxy.options.geometry import RESIZING_TYPES
from imgserve.request.dialects.imgproxy.options.options import Arguments, Options, set_in
from imgserve.request.dialects.imgproxy.options.output import MEGAPIXEL, format_named
from imgserve.request.dialects.imgproxy.options.table import OPTIONS, SECURITY
from imgserve.request.dialects.imgproxy.parameters import Parameters, Watermark
from imgserve.request.dialects.imgproxy.presets import Word
from imgserve.request.dialects.imgproxy.refused import Forbidden, ImgproxyRefused, InvalidUrl, OptionForbidden
from imgserve.request.dialects.imgproxy.rounding import rounded
from imgserve.request.dialects.imgproxy.written import written, written_answer
from imgserve.setting import Problem

_NO_WISHES = Negotiable()


class Grammar:
    """The grammar under these settings. Raises ValueError, but not without ``problems``."""

    def __init__(self, config: Config, *, allow_unsigned: bool) -> None:
        self._config = config
        self._allow_unsigned = allow_unsigned
        self._pairs = config.key_pairs()
        self._presets = presets.read(config.presets, config.arguments_separator)
        self._qualities = settings.qualities(config)
        self._enforced = settings.enforced(config)
        self._replacements = [settings.replacement(text) for text in config.url_replacements]
        self._picture = _defaults(config)

    def parse(
        self, raw_path: str, negotiable: Negotiable, now_s: float, *, needs_signature: bool = True
    ) -> Asked[Parameters]:
        """Raises ImgproxyRefused."""
        signature, rest = path.signed(path.mended(raw_path))
        is_signed = self._is_signed(signature, rest, is_needed=needs_signature and not self._allow_unsigned)
        options, segments = self._options(rest.split("/")[1:], self._begun(negotiable, now_s))
        source = path.source(segments, includes_filename=self._config.url_includes_filename)
        if source.extension and not options.is_raw:
            options = set_in(options, format=format_named(source.extension))
        if options.is_raw and not self._config.allow_raw:
            raise InvalidUrl("raw is off in the settings")
        picture = self._canonical(options, negotiable)
        most = options.picture.max_source_bytes
        return Asked(self._replaced(source.url), picture, _answer(options), is_signed, max_source_bytes=most)

    def parameters(self, words: Sequence[Word], negotiable: Negotiable = _NO_WISHES) -> Parameters:
        """The picture of options alone, as a preset may write them. Raises InvalidUrl."""
        options = self._applied(self._begun(negotiable, 0.0), words, is_url=False, used=())
        return self._canonical(options, negotiable)

    def generate(self, asked: Asked[Parameters], negotiable: Negotiable = _NO_WISHES) -> str:
        """A path that is parsed to the same. Raises ValueError where URLs may only name presets."""
        if self._config.only_presets:
            raise ValueError("a path of presets is made of their names")
        if asked.answer.kind == "raw":
            most = asked.max_source_bytes
            options = ["raw:1", *([f"msfs:{most}"] if most != self._config.max_src_file_size else [])]
        else:
            options = written(asked.parameters, self.parameters((), negotiable))
        options += written_answer(asked.answer, is_attachment=self._config.return_attachment)
        segments = [option.replace(":", self._config.arguments_separator) for option in options]
        return self.sign("/" + "/".join((*segments, path.encoded(asked.source))))

    def sign(self, rest: str) -> str:
        """The whole path, signed by the first key; without a key the word for no signature stands there."""
        if not self._pairs:
            return f"/unsafe{rest}"
        return f"/{signing.imgproxy_signature(self._pairs[0], rest, self._config.signature_size)}{rest}"

    def check_presets(self) -> None:
        """Raises ImgproxyRefused with the preset's name."""
        for name, words in self._presets.items():
            try:
                self._applied(Options(self._picture), words, is_url=False, used=(name,))
            except ImgproxyRefused as error:
                raise type(error)(f'preset "{name}": {error.detail}') from error

    def _is_signed(self, signature: str, rest: str, *, is_needed: bool) -> bool:
        """Raises Forbidden for a signature that is needed and wrong."""
        trusted = self._config.trusted_signatures
        if signing.imgproxy_verified(signature, rest, self._pairs, self._config.signature_size, trusted):
            return True
        if ":" in signature:
            raise Forbidden("the signature seems to be an option: put one before it, or a word for none")
        if is_needed:
            raise Forbidden("the signature is wrong")
        return False

    def _begun(self, negotiable: Negotiable, now_s: float) -> Options:
        """The client's hints, then the preset for every URL."""
        options = Options(self._picture, is_attachment=self._config.return_attachment, now_s=now_s)
        dpr = negotiable.dpr if negotiable.dpr is not None and LEAST_FACTOR <= negotiable.dpr <= MOST_FACTOR else 1.0
        if negotiable.dpr is not None:
            options = set_in(options, dpr=dpr)
        if negotiable.width_px:
            options = set_in(options, width=rounded(negotiable.width_px / dpr))
        if presets.DEFAULT in self._presets:
            options = self._preset(options, (presets.DEFAULT,), used=())
        return options

    def _options(self, segments: list[str], options: Options) -> tuple[Options, list[str]]:
        """With the options of the path, and the segments of its source."""
        separator = self._config.arguments_separator
        if self._config.only_presets:
            return self._preset(options, tuple(segments[0].split(separator)), used=()), segments[1:]
        if segments[0] in RESIZING_TYPES:
            raise InvalidUrl("the path is of imgproxy 2, whose grammar is not known any more")
        words = presets.split(segments, separator)
        return self._applied(options, words, is_url=True, used=()), segments[len(words) :]

    def _applied(self, options: Options, words: Sequence[Word], *, is_url: bool, used: tuple[str, ...]) -> Options:
        """``used``: the presets that these words are of, the outermost first."""
        for name, arguments in words:
            self._check(name, is_url=is_url)
            if name in settings.PRESET:
                options = self._preset(options, arguments, used)
            else:
                options = OPTIONS[name](options, arguments)
        return options

    def _check(self, name: str, *, is_url: bool) -> None:
        if name not in OPTIONS and name not in settings.PRESET:
            raise InvalidUrl(f"there is no option {shown(name)}")
        if is_url and self._config.allowed_options and name not in self._config.allowed_options:
            raise InvalidUrl(f"the option {name} is not among allowed_options")
        if name in SECURITY and not self._config.allow_security_options:
            raise OptionForbidden(f"the option {name} needs allow_security_options")

    def _preset(self, options: Options, names: Arguments, used: tuple[str, ...]) -> Options:
        """A preset within itself is passed over."""
        for name in names:
            if name not in self._presets:
                raise presets.unknown(name)
            if name not in used:
                options = self._applied(options, self._presets[name], is_url=False, used=(*used, name))
        return options

    def _replaced(self, url: str) -> str:
        for replacement in self._replacements:
            url = replacement.applied(url)
        return url

    def _canonical(self, options: Options, negotiable: Negotiable) -> Parameters:
        return canonical(options, self._qualities, negotiable.formats, self._enforced)


def problems(config: Config) -> tuple[Problem, ...]:
    """All that is wrong with the settings."""
    wrong = settings.problems(config)
    if wrong:
        return wrong
    try:
        Grammar(config, allow_unsigned=False).check_presets()
    except ImgproxyRefused as error:
        return (Problem("presets", error.detail),)
    return ()


def _answer(options: Options) -> Answer:
    return Answer(
        kind="raw" if options.is_raw else "picture",
        filename=options.filename,
        is_attachment=options.is_attachment,
        expires_at_s=options.expires_at_s or None,
    )


def _defaults(config: Config) -> Parameters:
    """The picture of a URL without options. Raises ValueError."""
    return Parameters(
        auto_rotate=config.auto_rotate,
        strip_metadata=config.strip_metadata,
        keep_copyright=config.keep_copyright,
        strip_color_profile=config.strip_color_profile,
        preferred=settings.writable(config.preferred_formats),
        skip_processing=tuple(sorted(settings.formats(config.skip_processing_formats))),
        rasterize_svg=config.always_rasterize_svg,
        watermark=Watermark(name=config.watermark, factor=config.watermark_opacity),
        max_source_bytes=config.max_src_file_size,
        max_source_pixels=int(config.max_src_resolution * MEGAPIXEL),
        max_frames=config.max_animation_frames,
        max_frame_pixels=int(config.max_animation_frame_resolution * MEGAPIXEL),
        max_result_dimension=config.max_result_dimension,
    )
