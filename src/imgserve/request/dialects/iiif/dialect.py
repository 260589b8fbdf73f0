"""IIIF's dialect: the functions of this package behind the interface that all dialects have."""

from imgserve.errors import ImgserveError
from imgserve.request.dialects.dialect import Answer, Asked, Called, Described, Header, Negotiable, Planned, Refusal
from imgserve.request.dialects.iiif import answers, canonical, grammar, info_json, plan
from imgserve.request.dialects.iiif.bounds import Bounds
from imgserve.request.dialects.iiif.config import Config
from imgserve.request.dialects.iiif.parameters import Parameters, Version
from imgserve.request.dialects.iiif.refused import NotFound, NotOffered, Unsigned
from imgserve.request.geometry import Part
from imgserve.request.imageinfo import ImageInfo
from imgserve.request.limits import Limits
from imgserve.request.recipe import DEFAULT_LOAD

_DEFAULT_LIMITS = Limits()
_VERSIONS: dict[str, Version] = {"2": 2, "3": 3}


class Iiif:
    """``version`` None: the mount has both, beneath ``/3/`` and ``/2/``. ``limits``: the server's.

    ``place``: the mount's path or public URL, without a slash at its end, for canonical URIs.
    """

    name = "iiif"
    load = DEFAULT_LOAD

    def __init__(
        self,
        config: Config,
        *,
        allow_unsigned: bool = False,
        version: Version | None = None,
        limits: Limits = _DEFAULT_LIMITS,
        place: str = "",
    ) -> None:
        self._place = place
        self._config = config
        self._allow_unsigned = allow_unsigned
        self._version = version
        self._bounds = Bounds.of(config, limits)
        self._formats = frozenset(config.formats)

    def parse(
        self, raw_path: str, negotiable: Negotiable, now_s: float, *, needs_signature: bool = True
    ) -> Asked[Parameters]:
        """Raises Unsigned, BadRequest, NotFound, NotOffered."""
        if needs_signature and not self._allow_unsigned:
            raise Unsigned("IIIF has no signatures: set allow_unsigned, beside a list of sources")
        version, path = self._divided(raw_path)
        request = grammar.parse(path, version, self._formats)
        if request.parameters.may_enlarge and not self._config.upscaling:
            raise NotOffered("the size begins with ^, and the setting upscaling is off")
        location = ""
        if request.kind == "redirect":
            # Relative, so that it also holds behind a proxy that maps paths. "./": a colon must not make a scheme.
            location = f"./{grammar.as_called(path)}/{grammar.INFO}"
        return Asked(grammar.source_of(request.identifier), request.parameters, Answer(request.kind, location=location))

    def plan(self, parameters: Parameters, info: ImageInfo) -> Planned:
        """Raises BadRequest, NotOffered, SourceTooSmall."""
        return plan.plan(parameters, info, self._bounds, upscales=self._config.upscaling)

    def refusal(self, error: ImgserveError) -> Refusal:
        return answers.refusal(error)

    def trimmed(self, parameters: Parameters, info: ImageInfo, kept: Part) -> Planned:
        raise AssertionError("IIIF trims nothing")

    def headers(self, asked: Asked[Parameters], info: ImageInfo, planned: Planned) -> tuple[Header, ...]:
        """Raises as ``plan`` does."""
        return answers.image_headers(asked.parameters.version, f"{self._place}{self.canonical_path(asked, info)}")

    def answer_headers(self, asked: Asked[Parameters], media_type: str) -> tuple[Header, ...]:
        return ()

    def preflight(self) -> tuple[Header, ...]:
        return answers.PREFLIGHT

    def canonical_path(self, asked: Asked[Parameters], info: ImageInfo) -> str:
        """Behind the mount's path, with a slash before it. Raises as ``plan`` does."""
        parameters = asked.parameters
        rendered = plan.render(parameters, plan.whole_of(info), self._bounds, upscales=self._config.upscaling)
        identifier = grammar.encoded(grammar.identifier_of(asked.source))
        rest = canonical.canonical(parameters, rendered, self._bounds)
        return f"{self._prefix(parameters.version)}/{identifier}/{rest}"

    def described(
        self, asked: Asked[Parameters], info: ImageInfo, called: Called, kept: Part | None = None
    ) -> Described:
        """Raises SourceTooSmall."""
        version, path = self._divided(called.raw_path)
        # As the client wrote it: clients compare it with what they asked for.
        base_uri = f"{called.base_url}{self._prefix(version)}/{path.removesuffix(f'/{grammar.INFO}')}"
        body = info_json.info_json(version, base_uri, plan.whole_of(info), self._config, self._bounds)
        media_type = info_json.media_type(version, called.accept)
        return Described(body, media_type, answers.info_headers(version, media_type))

    def path(self, request: grammar.Request) -> str:
        """The path of a request, with a slash before it. The opposite of ``parse``."""
        return f"{self._prefix(request.parameters.version)}/{grammar.generate(request)}"

    def _divided(self, raw_path: str) -> tuple[Version, str]:
        """Version, and the path from the identifier on. Raises NotFound."""
        path = raw_path.removeprefix("/")
        if self._version is not None:
            return self._version, path
        word, _, rest = path.partition("/")
        if word not in _VERSIONS:
            raise NotFound("expected 3 or 2, the version of the API, before the identifier")
        return _VERSIONS[word], rest

    def _prefix(self, version: Version) -> str:
        return "" if self._version is not None else f"/{version}"
