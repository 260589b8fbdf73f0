"""thumbor's dialect: the functions of this package behind the interface that all dialects have."""

from typing import ClassVar
from urllib.parse import unquote

from msgspec.structs import replace

from imgserve.errors import ImgserveError
from imgserve.request.dialects.dialect import Called, Described, Header, Negotiable, Planned, Refusal
from imgserve.request.dialects.thumbor import answers, grammar, meta, plan
from imgserve.request.dialects.thumbor.config import Config
from imgserve.request.dialects.thumbor.geometry import Trimmed, box_of
from imgserve.request.dialects.thumbor.imagor_dialect import Imagor
from imgserve.request.dialects.thumbor.options import Request
from imgserve.request.dialects.thumbor.parameters import Parameters, Side
from imgserve.request.dialects.thumbor.refused import BadUrl
from imgserve.request.dialects.thumbor.signature import is_signature, signature
from imgserve.request.encode import Format
from imgserve.request.geometry import Part
from imgserve.request.imageinfo import ImageInfo
from imgserve.request.recipe import LoadOptions

UNSAFE = "unsafe"
# thumbor asks in this order whether the client accepts one.
_PREFERRED: tuple[Format, ...] = ("webp", "avif")


def of(config: Config, *, allow_unsigned: bool = False) -> "Thumbor | Imagor":
    """The dialect of a mount."""
    return (Imagor if config.imagor else Thumbor)(config, allow_unsigned=allow_unsigned)


class Thumbor:
    """``default_scheme``: that of a source, or of a watermark, without one, where the mount has no base URL."""

    name = "thumbor"
    load = LoadOptions(strict=False, dpi=plan.SVG_DPI)
    default_scheme: ClassVar[str] = "http"

    def __init__(self, config: Config, *, allow_unsigned: bool = False) -> None:
        self._config = config
        self._allow_unsigned = allow_unsigned

    def parse(self, raw_path: str, negotiable: Negotiable, now_s: float, *, needs_signature: bool = True) -> Request:
        """Raises BadUrl."""
        signed = grammar.signed_part(raw_path)
        if signed is None:
            raise BadUrl("expected /SIGNATURE/OPTIONS/SOURCE or /unsafe/OPTIONS/SOURCE")
        is_signed = needs_signature and self._check(*signed)
        request = grammar.parse(signed[1])
        if request is None:
            raise BadUrl("expected a source in UTF-8 behind the options")
        return replace(request, is_signed=is_signed, parameters=self._limited(request.parameters, negotiable))

    def plan(self, parameters: Parameters, info: ImageInfo) -> Planned:
        """Raises BadUrl."""
        return plan.plan(parameters, info, self._config)

    def trimmed(self, parameters: Parameters, info: ImageInfo, kept: Part) -> Planned:
        """Raises BadUrl."""
        planned, trimmed = self.plan(parameters, info), self._trimmed(parameters, info, kept)
        made = plan.operations(parameters, kept.size, self._config, has_alpha=info.may_be_transparent, trimmed=trimmed)
        operations = (*planned.recipe.operations, box_of(kept), *made.operations)
        return Planned(replace(planned.recipe, operations=operations))

    def described(self, asked: Request, info: ImageInfo, called: Called, kept: Part | None = None) -> Described:
        """Raises BadUrl."""
        trimmed = None if kept is None else self._trimmed(asked.parameters, info, kept)
        size = None if kept is None else kept.size
        return Described(meta.described(asked, info, self._config, size, trimmed), "application/json")

    def refusal(self, error: ImgserveError) -> Refusal:
        return answers.refusal(error)

    def headers(self, asked: Request, info: ImageInfo, planned: Planned) -> tuple[Header, ...]:
        """None of its own."""
        return ()

    def answer_headers(self, asked: Request, media_type: str) -> tuple[Header, ...]:
        """None of its own."""
        return ()

    def preflight(self) -> tuple[Header, ...]:
        return ()

    def path(self, request: Request, *, is_signed: bool = True) -> str:
        """The path of a request, with a slash before it, signed by the first key. The opposite of ``parse``."""
        text = grammar.generate(request)
        if not is_signed:
            return f"/{UNSAFE}/{text}"
        return f"/{signature(self._config.keys[0].text, text, self._config)}/{text}"

    def _trimmed(self, parameters: Parameters, info: ImageInfo, kept: Part) -> Trimmed:
        return Trimmed(plan.start_of(parameters, info, self._config), kept.left, kept.top)

    def _check(self, word: str, text: str) -> bool:
        """Whether the URL is signed. Raises BadUrl: it is not, and has to be, or another key has signed it."""
        if word == UNSAFE:
            if not self._allow_unsigned:
                raise BadUrl("the URL is not signed, and the mount does not allow unsigned ones")
            return False
        if not is_signature(unquote(word), (text,), self._config):
            raise BadUrl("the signature is not that of any key and this URL")
        return True

    def _limited(self, asked: Parameters, negotiable: Negotiable) -> Parameters:
        """With the settings' largest sides, and the formats that may be chosen, if the URL names none."""
        is_open = asked.format is None
        return replace(
            asked,
            width=_cut(asked.width, self._config.max_width),
            height=_cut(asked.height, self._config.max_height),
            accepted=tuple(one for one in _PREFERRED if is_open and one in negotiable.formats),
        )


def _cut(side: Side, most: int) -> Side:
    return side if side == "orig" or not most else min(side, most)
