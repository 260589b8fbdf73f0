"""A request for one picture: the JSON of ``/v1/render`` or ``/v1/info`` in, checked source and recipe out. No I/O."""

from collections.abc import Mapping

import msgspec

from imgserve.request.faults import Fault, Faults, RequestInvalid, beneath
from imgserve.request.fields import as_object, check_names
from imgserve.request.native import NO_PRESETS, parse_recipe
from imgserve.request.native_source import AnySource, parse_any_source
from imgserve.request.recipe import Recipe


class PictureRequest(msgspec.Struct, frozen=True):
    source: AnySource
    recipe: Recipe


def parse_render(
    value: object, presets: Mapping[str, Recipe] = NO_PRESETS, *, presets_only: bool = False, has_parts: bool = False
) -> PictureRequest:
    """A source beside a recipe. ``has_parts``: the source may be a part of the request.

    Raises RequestInvalid with all faults, PresetsOnly.
    """
    fields, faults = as_object(value), Faults()
    source = faults.attempt((), _source_in, fields, has_parts=has_parts)
    recipe = faults.attempt((), parse_recipe, fields, presets, presets_only=presets_only, beside=("source",))
    faults.raise_any()
    assert source is not None
    assert recipe is not None
    return PictureRequest(source, recipe)


def parse_info(value: object, *, has_parts: bool = False) -> AnySource:
    """A source alone. Raises RequestInvalid."""
    fields, faults = as_object(value), Faults()
    check_names(fields, ("source",), (), faults)
    source = faults.attempt((), _source_in, fields, has_parts=has_parts)
    faults.raise_any()
    assert source is not None
    return source


def _source_in(fields: Mapping[str, object], *, has_parts: bool) -> AnySource:
    if "source" not in fields:
        raise RequestInvalid(Fault("field_missing", ("source",), "this field is missing"))
    with beneath("source"):
        return parse_any_source(fields["source"], has_parts=has_parts)
