"""The native job: its JSON in, a ``JobRequest`` or all of its faults out, and back. For the APIs; no I/O.

``parse_job(dump_job(job)) == job``. Names, types and ranges of the fields are those of ``job_body``.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import cast

import msgspec

from imgserve.errors import FieldRef, Sentence
from imgserve.request import tags
from imgserve.request.destination import Destination, DestinationTemplate
from imgserve.request.encode import Format
from imgserve.request.faults import Fault, Faults, RequestInvalid
from imgserve.request.fields import as_object, check_names, fields_of, read_field, read_fields, required_in
from imgserve.request.formats import FORMAT_OF_EXTENSION, WELL_KNOWN
from imgserve.request.instant import instant_text
from imgserve.request.job import JobRequest, OutputRequest, Placeholder, PlaceholderStyle, same_places
from imgserve.request.job_body import (
    BESIDE_RECIPE,
    MAX_OUTPUTS,
    OPTIONS_OF_JOB,
    OPTIONS_OF_OUTPUT,
    JobBody,
    OutputBody,
    PlaceholderBody,
)
from imgserve.request.native import NO_PRESETS, OPERATIONS, dump_recipe, parse_recipe
from imgserve.request.native_destination import dump_destination, parse_destination
from imgserve.request.native_source import SourceBody, dump_source, parse_any_source
from imgserve.request.native_webhook import WebhookBody, dump_webhook, parse_webhook
from imgserve.request.recipe import Recipe
from imgserve.request.sent import Inline, Upload, dump_inline
from imgserve.request.source import Source, sent_source
from imgserve.request.tags import TagValues

MAX_WAIT_S = 7 * 86_400.0
# Bounds the time and the reply that a job full of faults can cost.
MOST_FAULTS = 200

_DESTINATION = FieldRef(("destination",))
_FORMAT = FieldRef(("encode", "format"))
_CERTAIN = WELL_KNOWN | {"", tags.OPEN_EXT}
_UNWRITABLE: Sentence = ("the extension is no format that can be written; give .jpg or the like, or name ", _FORMAT)

# The types are inspected here: it takes 15 ms, which a first request would hold the event loop for.
for _struct in (JobBody, OutputBody, SourceBody, WebhookBody, *OPERATIONS.values()):
    required_in(_struct)


class _Rules(msgspec.Struct, frozen=True):
    """For the outputs of one job. ``source`` None: it is at fault."""

    source: Source | None
    presets: Mapping[str, Recipe]
    presets_only: bool


def parse_job(
    value: object, presets: Mapping[str, Recipe] = NO_PRESETS, *, presets_only: bool = False, now: float,
    has_parts: bool = False,
) -> JobRequest:  # fmt: skip
    """A checked request. ``now``: in seconds since the epoch. ``has_parts``: the source may be a part of the request.

    Raises RequestInvalid with all faults, PresetsOnly.
    """
    fields, faults = as_object(value), Faults()
    check_names(fields, tuple(fields_of(JobBody)), (), faults)
    for name in required_in(JobBody):
        if name not in fields:
            faults.append(Fault("field_missing", (name,), "this field is missing"))
    source, inline = _source(fields, faults, has_parts=has_parts)
    rules = _Rules(source, presets, presets_only)
    outputs = faults.attempt(("outputs",), _outputs, fields["outputs"], rules) if "outputs" in fields else None
    options = read_fields(_picked(fields, OPTIONS_OF_JOB), JobBody, faults)
    if "webhook" in fields:
        options["webhook"] = faults.attempt(("webhook",), parse_webhook, fields["webhook"])
    if options.get("not_before", 0.0) > now + MAX_WAIT_S:
        faults.append(Fault("field_invalid", ("not_before",), "expected a time at most 7 days ahead"))
    faults.raise_any()
    assert source is not None
    assert outputs is not None
    return JobRequest(source, outputs, protocol="v1", inline=inline, **options)


def _source(fields: Mapping[str, object], faults: Faults, *, has_parts: bool) -> tuple[Source | None, bytes | None]:
    """The source, and the bytes of one that is a ``data:`` URL."""
    if "source" not in fields:
        return None, None
    source = faults.attempt(("source",), parse_any_source, fields["source"], has_parts=has_parts)
    if isinstance(source, Inline):
        return sent_source(), source.data
    return (sent_source(source.part) if isinstance(source, Upload) else source), None


def _outputs(value: object, rules: _Rules) -> tuple[OutputRequest, ...]:
    """Raises RequestInvalid, as the functions below do."""
    if not isinstance(value, list):
        raise RequestInvalid(Fault("field_invalid", expected="a list of outputs", got=value))
    faults = Faults()
    if not 1 <= len(value) <= MAX_OUTPUTS:
        faults.append(Fault("output_count", (), f"expected from 1 to {MAX_OUTPUTS} outputs, got {len(value)}"))
    outputs: list[OutputRequest | None] = []
    for index, one in enumerate(value[:MAX_OUTPUTS]):
        outputs.append(faults.attempt((index,), _output, one, index, rules))
        if len(faults) >= MOST_FAULTS:
            faults.append(Fault("field_invalid", (), "the rest is not checked: mend these first"))
            break
    faults.extend(_doubled_names(value[:MAX_OUTPUTS]))
    faults.extend(same_places(None if output is None else _early_place(output, rules.source) for output in outputs))
    faults.raise_any()
    return tuple(output for output in outputs if output is not None)


def _output(value: object, index: int, rules: _Rules) -> OutputRequest:
    fields, faults = as_object(value), Faults()
    recipe = faults.attempt(
        (), parse_recipe, fields, rules.presets, presets_only=rules.presets_only, beside=BESIDE_RECIPE
    )
    options = read_fields(_picked(fields, OPTIONS_OF_OUTPUT), OutputBody, faults)
    options.setdefault("name", str(index))
    values = tags.trial_of(rules.source, options["name"])
    template = None
    if "destination" in fields:
        template = faults.attempt(("destination",), parse_destination, fields["destination"], values)
    else:
        faults.append(Fault("field_missing", ("destination",), "this field is missing"))
    placeholder = faults.attempt((), _placeholder, fields.get("placeholder", {})) or PlaceholderBody()
    if template is not None:
        faults.extend(_impossible(template, options.get("on_failure"), placeholder))
        own = faults.attempt((), _format, _extension(template, rules.source, values), recipe)
    faults.raise_any()
    assert recipe is not None
    assert template is not None
    recipe = msgspec.structs.replace(recipe, encode=msgspec.structs.replace(recipe.encode, format=own))
    picture = Placeholder(placeholder.style, placeholder.color, placeholder.text)
    return OutputRequest(recipe, template, picture, if_exists=placeholder.if_exists, **options)


def _placeholder(value: object) -> PlaceholderBody:
    checked = read_field(OutputBody, "placeholder", value)
    return checked if isinstance(checked, PlaceholderBody) else PlaceholderBody(cast(PlaceholderStyle, checked))


def _impossible(template: DestinationTemplate, on_failure: object, placeholder: PlaceholderBody) -> Iterator[Fault]:
    """The fields that this destination cannot keep."""
    if on_failure == "delete" and not template.can_delete:
        yield Fault("field_invalid", ("on_failure",), "a form or presigned URL cannot delete; use error_image")
    if placeholder.if_exists == "keep" and not template.can_ask:
        note = "a form or presigned URL cannot tell what lies there; use replace"
        yield Fault("field_invalid", ("placeholder", "if_exists"), note)


def _extension(template: DestinationTemplate, source: Source | None, values: TagValues) -> str:
    """The extension that a destination's format goes by, in lower case; empty if there is none."""
    if source is None and "source_ext" in template.uses:
        return ""
    extension = template.fill(values).extension.lower()
    if extension in _CERTAIN or "basename" not in template.uses:
        return extension
    # The rest of a source's name may hold dots that begin no extension.
    plain = msgspec.structs.replace(values, basename=tags.EXAMPLE.basename)
    return template.fill(plain).extension.lower()


def _format(extension: str, recipe: Recipe | None) -> Format | None:
    """The format that is named, else that of the destination's extension, else None: the source's.

    ``recipe`` None: it is at fault, and may have named any.
    """
    named = recipe.encode.format if recipe else None
    if extension in ("", tags.OPEN_EXT):
        return named
    own = FORMAT_OF_EXTENSION.get(extension)
    if named is None:
        if own is None and (recipe is not None or extension in WELL_KNOWN):
            raise RequestInvalid(Fault("format_not_writable", _DESTINATION.path, _UNWRITABLE))
        return own
    if own != named and extension in WELL_KNOWN:
        meaning = f", which means {own}" if own else ", which is another kind of file"
        note = (f"{named} contradicts the extension of ", _DESTINATION, meaning)
        raise RequestInvalid(Fault("field_invalid", _FORMAT.path, note))
    return named


def _doubled_names(outputs: Iterable[object]) -> Iterator[Fault]:
    """For the names in the JSON, so that other faults of an output hide none of these."""
    first: dict[str, int] = {}
    for index, output in enumerate(outputs):
        name = output.get("name", str(index)) if isinstance(output, dict) else None
        other = first.setdefault(name, index) if isinstance(name, str) else index
        if other != index:
            note = ("expected a name of its own; ", FieldRef((other,)), " has this one, given or by its index")
            yield Fault("field_invalid", (index, "name"), note)


def _early_place(output: OutputRequest, source: Source | None) -> Destination | None:
    """The place, if it is known before the source is read."""
    awaited = tags.OF_RESULT if source else tags.OF_RESULT | {"basename", "source_ext"}
    if not output.destination.uses.isdisjoint(awaited):
        return None
    return output.destination.fill(tags.trial_of(source, output.name))


def _picked(fields: Mapping[str, object], names: Iterable[str]) -> dict[str, object]:
    return {name: fields[name] for name in names if name in fields}


def dump_job(request: JobRequest) -> dict[str, object]:
    """The job as ``parse_job`` reads it, without fields that have their default."""
    dumped: dict[str, object] = {
        "source": dump_source(request.source) if request.inline is None else dump_inline(request.inline),
        "outputs": [_dump_output(output, request.source) for output in request.outputs],
    }
    options = {name: getattr(request, name) for name in OPTIONS_OF_JOB}
    if request.not_before is not None:
        options["not_before"] = instant_text(request.not_before)
    if request.webhook is not None:
        dumped["webhook"] = dump_webhook(request.webhook)
    usual = msgspec.structs.asdict(JobRequest(request.source, ()))
    return dumped | {name: value for name, value in options.items() if value != usual[name]}


def _dump_output(output: OutputRequest, source: Source) -> dict[str, object]:
    extension = _extension(output.destination, source, tags.trial_of(source, output.name))
    encode = output.recipe.encode
    if FORMAT_OF_EXTENSION.get(extension) == encode.format:
        encode = msgspec.structs.replace(encode, format=None)  # the extension says so
    picture = output.placeholder
    placeholder = PlaceholderBody(picture.style, picture.color, picture.text, output.if_exists)
    dumped = {
        "name": output.name,
        **dump_recipe(msgspec.structs.replace(output.recipe, encode=encode)),
        "destination": dump_destination(output.destination),
        "placeholder": msgspec.to_builtins(placeholder),
        "on_failure": output.on_failure,
    }
    return {name: value for name, value in dumped.items() if value}
