"""Resolving an output once the source's header is known."""

import subprocess
import sys

import msgspec
import pytest

from imgserve.jobs.stored import decode_output, encode_output
from imgserve.request.classic.spelling import number_of
from imgserve.request.faults import RequestInvalid
from imgserve.request.geometry import NotSvg, SourceTooSmall
from imgserve.request.imageinfo import ImageInfo, Size
from imgserve.request.job import ResolvedOutput, resolve
from imgserve.request.limits import Limits
from imgserve.request.recipe import Recipe
from imgserve.request.source import Source
from tests.unit.request.samples import DRAWING, PHOTO, parsed


def fixed(info: ImageInfo, **changes: object) -> ResolvedOutput:
    job = parsed(**changes)
    return resolve(job.outputs[0], job.source, info, Limits())


def test_tags_carry_the_size_of_the_result() -> None:
    output = fixed(PHOTO, dstURL="file:///o/{$width}x{$height}.webp", args={"width": 320}, on_failure="delete")
    assert output.rendering.size == Size(320, 240)
    assert output.placement.destination.path == "/o/320x240.webp"
    assert (output.rendering.format, output.placement.on_failure) == ("webp", "delete")


@pytest.mark.parametrize("found", ["jpeg", "png", "webp", "gif", "tiff", "avif"])
def test_without_extension_and_format_the_source_decides(found: str) -> None:
    info = msgspec.convert({"format": found, "width_px": 640, "height_px": 480}, ImageInfo)
    assert fixed(info, dstURL="file:///o/a").rendering.format == found


def test_an_svg_without_extension_and_format_is_113() -> None:
    changes: dict[str, object] = {"srcURL": "http://h/logo", "dstURL": "file:///o/a"}
    with pytest.raises(RequestInvalid) as caught:
        fixed(DRAWING, **changes)
    assert number_of(caught.value) == 113
    assert "use encode.format" in caught.value.detail
    args = {"width": 20, "format": "png"}
    assert fixed(DRAWING, args=args, **changes).rendering.format == "png"


def test_the_header_can_refuse() -> None:
    with pytest.raises(SourceTooSmall):
        fixed(ImageInfo("png", 199, 480))
    with pytest.raises(NotSvg):
        fixed(PHOTO, operationType="rasterize", srcURL="http://h/x", dstURL="file:///o/a.png")


def test_webp_has_a_limit_of_its_own() -> None:
    args = {"width": 16384, "height": 10}
    info = ImageInfo("png", 20_000, 20_000)
    with pytest.raises(RequestInvalid) as caught:
        fixed(info, dstURL="file:///o/a.webp", args=args)
    assert number_of(caught.value) == 107
    assert fixed(info, dstURL="file:///o/a.png", args=args).rendering.size == Size(16384, 10)


def test_the_frames_of_a_result_count_together() -> None:
    film = ImageInfo("gif", 2000, 2000, 100)
    args = {"width": 1000, "height": 500}
    assert fixed(film, dstURL="file:///o/a.webp", args=args).rendering.size == Size(1000, 500)
    with pytest.raises(RequestInvalid, match="100 frames of 1000 x 501 px, expected at most 50000000") as caught:
        fixed(film, dstURL="file:///o/a.webp", args=args | {"height": 501})
    assert number_of(caught.value) == 107
    assert fixed(film, dstURL="file:///o/a.jpg", args=args | {"height": 501}).rendering.size == Size(1000, 501)


def test_strict_is_on_unless_it_is_said_otherwise() -> None:
    assert fixed(PHOTO).rendering.recipe.load.strict
    assert not fixed(PHOTO, args={"width": 20, "strict": False}).rendering.recipe.load.strict


@pytest.mark.parametrize("operation", ["resize", "rasterize"])
def test_the_queue_can_keep_it_as_json(operation: str) -> None:
    job = parsed(
        operationType=operation, srcURL="ftp://u:p@h/%C3%A9.svg", dstURL="file:///o/{$basename}.png",
        args={"width": 20}, placeholder={"text": "ä\n"},
    )  # fmt: skip
    output = resolve(job.outputs[0], job.source, DRAWING, Limits())
    assert decode_output(encode_output(output)) == output
    assert msgspec.json.decode(msgspec.json.encode(job.source), type=Source) == job.source
    assert isinstance(output.rendering.recipe, Recipe)


def test_what_the_worker_loads_knows_no_libcurl() -> None:
    names = "operations.resize operations.rasterize rendering recipe limits imageinfo geometry formats color faults"
    names += " fields classic.codes"
    load = "".join(f"import imgserve.request.{name}\n" for name in names.split())
    program = f"import sys\n{load}print('pycurl' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "False"


TRIMMED = {"width": 20, "trim": True}


def test_a_size_that_depends_on_pixels_needs_no_placeholder_and_no_tag() -> None:
    resolved = fixed(PHOTO, dstURL="file:///o/a.png", args=TRIMMED, placeholder="none")
    assert resolved.rendering.size is None
    assert decode_output(encode_output(resolved)) == resolved


@pytest.mark.parametrize(
    ("place", "args"),
    [
        ("file:///o/{$height}.png", {}),
        ("ftp://h/{$height}.png", {}),
        ("http://h/{$height}.png", {"method": "PUT"}),
        ("http://h/up:{$width}.png", {"field_name": "f"}),
    ],
)
def test_a_tag_of_a_size_that_depends_on_pixels_is_refused(place: str, args: dict[str, object]) -> None:
    with pytest.raises(RequestInvalid) as caught:
        fixed(PHOTO, dstURL=place, args=TRIMMED | args)
    assert number_of(caught.value) == 107
    assert {(fault.code, fault.path) for fault in caught.value.faults} == {
        ("size_unknown", ("placeholder",)), ("size_unknown", ("destination",)),
    }  # fmt: skip
    assert 'use placeholder.style = "none"' in caught.value.detail


@pytest.mark.parametrize("fit", ["cover", "contain", "fill"])
def test_a_size_that_is_fixed_behind_a_trim_is_known(fit: str) -> None:
    args = {"width": 20, "height": 10, "trim": True, "fit": fit}
    assert fixed(PHOTO, dstURL="file:///o/{$height}.png", args=args).rendering.size == Size(20, 10)
    for open_again in ({"fit": "inside"}, {"if_small": "keep_shape"}, {"extend": 1, "fit": "outside"}):
        assert fixed(PHOTO, dstURL="file:///o/a.png", args=args | open_again, placeholder="none").rendering.size is None
