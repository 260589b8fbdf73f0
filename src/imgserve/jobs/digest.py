"""The digest of a request, by which a repeated POST finds the job whose answer was lost.

It is taken of a fixed spelling, so that all versions agree: a request of version 1's fields alone is spelt as version 1
did, whatever the Structs hold today. A newer field is spelt where it has a value of its own. The native protocol has no
version 1: its requests are spelt without all fields that have their default.
"""

import hashlib
from functools import cache

import msgspec
from msgspec.structs import astuple, replace

from imgserve.request.destination import DestinationTemplate
from imgserve.request.encode import Encode, Format, Quality
from imgserve.request.geometry import Gravity
from imgserve.request.job import JobRequest, OnFailure, OutputRequest, Placeholder
from imgserve.request.operations.rasterize import Rasterize
from imgserve.request.operations.resize import Resize
from imgserve.request.recipe import Dpi, LoadOptions, Recipe
from imgserve.request.source import Source

_encode = msgspec.json.Encoder(order="deterministic").encode
_NESTED = (tuple, msgspec.Struct)
_IF_SMALL = {"enlarge": True, "refuse": False}
_DPI = LoadOptions().dpi  # version 1 knew others for rasterize only


class _Resize1(msgspec.Struct, frozen=True, tag_field="operation", tag="resize"):
    width: int | None
    height: int | None
    fit: str
    gravity: Gravity
    enlarge: bool


class _Rasterize1(msgspec.Struct, frozen=True, tag_field="operation", tag="rasterize"):
    width: int | None
    height: int | None
    fit: str
    dpi: Dpi


class _Output1(msgspec.Struct, frozen=True):
    format: Format | None
    quality: Quality | None
    background: str


class _Load1(msgspec.Struct, frozen=True):
    strict: bool


class _Recipe1(msgspec.Struct, frozen=True):
    operations: tuple[_Resize1 | _Rasterize1]
    output: _Output1
    load: _Load1


class _Request(msgspec.Struct, frozen=True):
    source: Source
    outputs: tuple["_OutputRequest", ...]


class _OutputRequest(msgspec.Struct, frozen=True):
    recipe: _Recipe1 | Recipe
    destination: DestinationTemplate
    placeholder: Placeholder
    on_failure: OnFailure


def digest_of(principal: str, request: JobRequest) -> bytes:
    """Identifies principal and request, by any version. Equal requests have equal digests."""
    if request.protocol == "classic":
        spelt: object = _Request(request.source, tuple(_output(output) for output in request.outputs))
    else:
        spelt = _plain(_without_name(request))
    return hashlib.blake2b(_encode((principal, spelt)), digest_size=16).digest()


def digest_of_key(principal: str, key: str) -> bytes:
    """Identifies principal and Idempotency-Key."""
    return hashlib.blake2b(_encode((principal, "Idempotency-Key", key)), digest_size=16).digest()


def _without_name(request: JobRequest) -> JobRequest:
    """An upload counts by its bytes. The name of its file is another one each time."""
    source = request.source
    return replace(request, source=replace(source, url="")) if source.is_upload else request


def _plain(value: object) -> object:
    """A Struct as an object of the fields that differ from their defaults.

    msgspec compares with defaults by identity, so that equal requests could be written differently.
    """
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    if not isinstance(value, msgspec.Struct):
        return value
    defaults, spelt = _defaults(type(value))
    spelt = spelt.copy()
    for (name, default), own in zip(defaults, astuple(value), strict=True):
        if own != default:
            spelt[name] = _plain(own) if isinstance(own, _NESTED) else own
    return spelt


@cache
def _defaults(struct: type[msgspec.Struct]) -> tuple[tuple[tuple[str, object], ...], dict[str, object]]:
    """The stored names and defaults of the fields, NODEFAULT for one that has none; and what all such objects have."""
    fields, config = msgspec.structs.fields(struct), struct.__struct_config__
    defaults = (
        (field.encode_name, field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory())
        for field in fields
    )
    return tuple(defaults), {config.tag_field: config.tag} if config.tag_field else {}


def _output(output: OutputRequest) -> _OutputRequest:
    recipe = _version_1(output.recipe) or output.recipe
    return _OutputRequest(recipe, output.destination, output.placeholder, output.on_failure)


def _version_1(recipe: Recipe) -> _Recipe1 | None:
    """The recipe as version 1 spelt it; None if it says more."""
    encode, load = recipe.encode, recipe.load
    operation = _operation_1(recipe.operations[0], load.dpi) if len(recipe.operations) == 1 else None
    options = Encode(encode.format, encode.quality, encode.background)
    is_plain = (encode, load) == (options, LoadOptions(load.strict, load.dpi))
    if operation is None or not is_plain:
        return None
    return _Recipe1((operation,), _Output1(encode.format, encode.quality, encode.background), _Load1(load.strict))


def _operation_1(operation: object, dpi: float) -> _Resize1 | _Rasterize1 | None:
    match operation:
        case Rasterize(width=width, height=height, fit=fit):
            return _Rasterize1(width, height, fit, dpi) if operation == Rasterize(width, height, fit) else None
        case Resize(width=width, height=height, gravity=gravity, if_small=if_small) if if_small in _IF_SMALL:
            is_plain = operation == Resize(width, height, gravity=gravity, if_small=if_small)
            if not is_plain or dpi != _DPI:
                return None
            return _Resize1(width, height, "cover", gravity or "center", _IF_SMALL[if_small])
        case _:
            return None
