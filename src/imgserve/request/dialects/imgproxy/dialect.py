"""The dialect imgproxy, as the engine knows it: its grammar, plan and answers in one object."""

import msgspec

from imgserve.errors import ImgserveError
from imgserve.request.dialects.dialect import Asked, Called, Described, Header, Negotiable, Planned, Refusal
from imgserve.request.dialects.imgproxy import answers
from imgserve.request.dialects.imgproxy import plan as planning
from imgserve.request.dialects.imgproxy.config import Config
from imgserve.request.dialects.imgproxy.grammar import Grammar
from imgserve.request.dialects.imgproxy.output import SVG_DPI
from imgserve.request.dialects.imgproxy.parameters import Parameters
from imgserve.request.geometry import Part
from imgserve.request.imageinfo import ImageInfo
from imgserve.request.recipe import LoadOptions

# At which imgproxy stops to look for a file that is small enough, and sends what it has.
_LEAST_QUALITY = 10


class Imgproxy:
    """Under these settings. Raises ValueError for settings with ``problems``."""

    name = "imgproxy"
    load = LoadOptions(dpi=SVG_DPI)

    def __init__(self, config: Config, *, allow_unsigned: bool) -> None:
        self._grammar = Grammar(config, allow_unsigned=allow_unsigned)

    def parse(
        self, raw_path: str, negotiable: Negotiable, now_s: float, *, needs_signature: bool = True
    ) -> Asked[Parameters]:
        """Raises ImgproxyRefused."""
        return self._grammar.parse(raw_path, negotiable, now_s, needs_signature=needs_signature)

    def generate(self, asked: Asked[Parameters], negotiable: Negotiable | None = None) -> str:
        """A signed path that is parsed to the same."""
        return self._grammar.generate(asked, negotiable or Negotiable())

    def plan(self, parameters: Parameters, info: ImageInfo) -> Planned:
        """Raises ImgproxyRefused."""
        return msgspec.structs.replace(planning.plan(parameters, info), quality_if_too_large=_LEAST_QUALITY)

    def trimmed(self, parameters: Parameters, info: ImageInfo, kept: Part) -> Planned:
        """Raises ImgproxyRefused."""
        return planning.trimmed(parameters, info, kept)

    def refusal(self, error: ImgserveError) -> Refusal:
        return answers.refusal(error)

    def headers(self, asked: Asked[Parameters], info: ImageInfo, planned: Planned) -> tuple[Header, ...]:
        """None of its own: its headers are those of each answer."""
        return ()

    def answer_headers(self, asked: Asked[Parameters], media_type: str) -> tuple[Header, ...]:
        return answers.headers(asked, media_type)

    def preflight(self) -> tuple[Header, ...]:
        return ()

    def described(
        self, asked: Asked[Parameters], info: ImageInfo, called: Called, kept: Part | None = None
    ) -> Described:
        raise AssertionError("no URL of imgproxy asks for a description")
