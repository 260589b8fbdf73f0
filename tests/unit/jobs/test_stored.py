"""The JSON of rows: it stays as it is, whatever the code calls its Structs and fields."""

import json
from collections.abc import Iterator

import msgspec
import pytest
from msgspec import inspect

from imgserve.jobs import stored
from imgserve.request import tags
from imgserve.request.classic.destination import parse_destination
from imgserve.request.encode import Encode
from imgserve.request.imageinfo import ImageInfo, Size
from imgserve.request.job import JobRequest, Placeholder, Placement, ResolvedOutput
from imgserve.request.operations.rasterize import Rasterize
from imgserve.request.operations.resize import Resize
from imgserve.request.recipe import LoadOptions, Operation, Recipe
from imgserve.request.rendering import Rendering
from imgserve.request.source import Source, parse_source
from imgserve.request.warning import OutputWarning
from imgserve.request.webhook import Webhook

SOURCE = parse_source("ftp://u:p@host.test/dir/a%20b.png")
SOURCE_ROW = (
    b'{"url":"ftp://u:p@host.test/dir/a%20b.png","scheme":"ftp","host":"host.test","port":21,'
    b'"path":"/dir/a%20b.png","$format":1}'
)
INFO_ROW = (
    b'{"format":"gif","width_px":12.0,"height_px":9.5,"frames":3,"orientation":1,"has_alpha":false,"$format":1,'
    b'"size_bytes":null}'
)
OUTPUT_ROW = (
    b'{"recipe":{"operations":[{"operation":"resize","width":64,"gravity":"north",'
    b'"if_small":"enlarge"}],"output":{"format":"webp","quality":70},"load":{"strict":false}},'
    b'"size":{"width_px":64,"height_px":48},"destination":{"kind":"form","shown":"http://host.test/up:a.webp",'
    b'"url":"http://host.test/up","host":"host.test","port":80,"path":"/up",'
    b'"key":"http://host.test:80/up#file:a.webp","name":"a.webp","field":"file","form_success":"redirect",'
    b'"has_no_type":false},"placeholder":{"style":"solid","color":"#8c8c8c","text":"Image being processed"},'
    b'"on_failure":"delete","$format":1,"if_exists":"replace","name":""}'
)


def output(operation: Operation) -> ResolvedOutput:
    args = {"field_name": "file", "form_success": "redirect"}
    recipe = Recipe((operation,), Encode("webp", 70), LoadOptions(strict=False))
    place = parse_destination("http://host.test/up:a.webp", args).fill(tags.EXAMPLE)
    return ResolvedOutput(Rendering(recipe, Size(64, 48), "webp"), Placement(place, Placeholder("solid"), "delete"))


# Every field that rows may hold, by Struct. A field that is renamed in the code keeps its name here by
# ``msgspec.field(name=...)``; a new one has a default, so that older rows can be read.
FIELDS = {
    "Access": "headers credential",
    "Blur": "operation sigma radius",
    "Composite":
        "operation image gravity left right top bottom width height scale opacity blend tile spacing_x spacing_y angle"
        " offset_x offset_y fade",
    "Contrast": "operation factor",
    "Convolve": "operation mask normalize offset channels",
    "Crop": "operation left top width height gravity focal aspect",
    "Curve": "operation all red green blue",
    "Destination": "kind shown url host port path key name field form_success has_no_type access public_url",
    "DestinationTemplate": "kind shown field form_success has_no_type protocol access",
    "Equalize": "operation",
    "Extend": "operation top right bottom left width height gravity mode background",
    "Flatten": "operation background",
    "Flip": "operation",
    "Flop": "operation",
    "Focal": "x y",
    "Gamma": "operation gamma",
    "Grayscale": "operation method",
    "ImageInfo": "format width_px height_px frames orientation has_alpha",
    "ImageRef": "url name",
    "JobRequest": "source outputs whole_arg protocol priority not_before deadline_s metadata webhook inline",
    "Linear": "operation multiply add",
    "LoadOptions": "strict dpi orient page frames",
    "Encode": "format quality background lossless near_lossless progressive effort render_profile chroma bit_depth"
    " colors metadata keep_position profile loop delay_ms max_bytes",
    "Modulate": "operation brightness saturation hue lightness",
    "Negate": "operation",
    "Noise": "operation amount seed",
    "Normalize": "operation lower upper",
    "OutputRequest": "recipe destination placeholder on_failure name if_exists",
    "OutputWarning": "code detail",
    "Pixelate": "operation size mirror",
    "Placeholder": "style color text",
    "Rasterize": "operation width height fit scale",
    "Recipe": "operations output load",
    "Redact": "operation regions mode color",
    "Region": "left top width height",
    "Resize": "operation width height fit gravity focal if_small kernel dpr background linear_light",
    "Rotate": "operation angle background",
    "Round": "operation radius rx ry corners circle background",
    "Saturate": "operation factor",
    "Sharpen": "operation sigma flat jagged",
    "Size": "width_px height_px",
    "Source": "url scheme host port path access digest",
    "Threshold": "operation value",
    "Tint": "operation color",
    "Trim": "operation threshold background corner even_x even_y distance matte median",
    "Webhook": "url events secret headers",
    "_InfoRow": "format width_px height_px frames orientation has_alpha $format size_bytes",
    "_OutputRow": "recipe size destination placeholder on_failure $format if_exists name",
    "_SourceRow": "url scheme host port path access digest $format",
}  # fmt: skip


def structs_in(kind: inspect.Type) -> Iterator[inspect.StructType]:
    """The Structs of a type, inner ones too."""
    if isinstance(kind, inspect.StructType):
        yield kind
        for field in kind.fields:
            yield from structs_in(field.type)
    elif isinstance(kind, inspect.UnionType):
        for part in kind.types:
            yield from structs_in(part)
    elif isinstance(kind, inspect.VarTupleType):
        yield from structs_in(kind.item_type)
    elif isinstance(kind, inspect.Metadata):
        yield from structs_in(kind.type)


def test_stored_fields_keep_their_names() -> None:
    roots = (stored._SourceRow, stored._InfoRow, stored._OutputRow, Source, ImageInfo, JobRequest, OutputWarning)
    fields = {}
    for kind in (kind for root in roots for kind in structs_in(inspect.type_info(root))):
        tag = [kind.tag_field] if kind.tag_field else []
        fields[kind.cls.__name__] = " ".join([*tag, *(field.encode_name for field in kind.fields)])
    assert fields == FIELDS


RESIZED = output(Resize(width=64, gravity="north", if_small="enlarge"))
INFO = ImageInfo("gif", 12.0, 9.5, 3)
WEBHOOK = Webhook("https://hook.test/in", ("output.failed",), "shop", (("X-Shop", "7"),))


def test_rows_are_spelt_so() -> None:
    warnings = (OutputWarning("font_missing", "é"),)
    assert stored.encode_warnings(warnings) == '[{"code":"font_missing","detail":"é"}]'.encode()
    assert stored.decode_warnings(stored.encode_warnings(warnings)) == warnings
    assert stored.encode_source(SOURCE) == SOURCE_ROW
    assert stored.encode_info(INFO) == INFO_ROW
    assert stored.encode_output(RESIZED) == OUTPUT_ROW
    assert stored.encode_webhook(WEBHOOK) == (
        b'{"url":"https://hook.test/in","events":["output.failed"],"secret":"shop","headers":[["X-Shop","7"]]}'
    )
    assert stored.encode_webhook(Webhook("https://hook.test/in")) == b'{"url":"https://hook.test/in"}'
    assert stored.encode_webhook(None) is None
    assert stored.decode_webhook(stored.encode_webhook(WEBHOOK) or b"") == WEBHOOK


@pytest.mark.parametrize("placed", [RESIZED, output(Rasterize(height=48, fit="fill"))])
def test_what_is_stored_is_read_again(placed: ResolvedOutput) -> None:
    assert stored.decode_source(stored.encode_source(SOURCE)) == SOURCE
    assert stored.decode_info(stored.encode_info(INFO, 12)) == INFO
    assert stored.source_bytes_of(stored.encode_info(INFO, 12)) == 12
    assert stored.decode_output(stored.encode_output(placed)) == placed


def without_number(row: bytes) -> bytes:
    fields = json.loads(row)
    del fields["$format"]
    return json.dumps(fields).encode()


def test_rows_of_earlier_versions_have_no_number() -> None:
    assert stored.decode_source(without_number(SOURCE_ROW)) == SOURCE
    assert stored.decode_info(without_number(INFO_ROW)) == INFO
    assert stored.source_bytes_of(INFO_ROW.replace(b',"size_bytes":null', b"")) is None
    assert stored.decode_output(without_number(OUTPUT_ROW)) == RESIZED


def test_a_higher_number_is_not_read_but_what_it_owes_is() -> None:
    newer = OUTPUT_ROW.replace(b'"$format":1', b'"$format":2')
    with pytest.raises(msgspec.ValidationError):
        stored.decode_output(newer)
    with pytest.raises(msgspec.ValidationError):
        stored.decode_source(SOURCE_ROW.replace(b'"$format":1', b'"$format":2'))
    salvaged = stored.for_failure(newer)
    assert salvaged is not None
    assert salvaged.placement.destination == RESIZED.placement.destination
    assert (salvaged.rendering.size, salvaged.rendering.format) == (RESIZED.rendering.size, "webp")
    assert salvaged.placement.on_failure == "delete"


def test_a_row_without_format_is_not_read() -> None:
    """Not even for a failure picture; one that asks for a deletion still has its destination."""
    bare = OUTPUT_ROW.replace(b'"format":"webp"', b'"format":null')
    with pytest.raises(msgspec.ValidationError, match="names no format"):
        stored.decode_output(bare)
    salvaged = stored.for_failure(bare)
    assert salvaged is not None
    assert salvaged.placement == msgspec.structs.replace(RESIZED.placement, placeholder=Placeholder())
    assert stored.for_failure(bare.replace(b'"delete"', b'"error_image"')) is None
