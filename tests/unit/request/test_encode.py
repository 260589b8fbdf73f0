"""Which format has which field of ``encode``: a fault where the format is named, else a warning."""

import json
from typing import get_args

import msgspec
import pytest

from imgserve.request.classic.parse import parse
from imgserve.request.encode import Encode, Format, faults_of, ignored_fields, of_format
from imgserve.request.faults import RequestInvalid
from imgserve.request.fields import read_field

# As the reference page has it: each field with a value of its own, and the formats that have it.
TABLE: dict[str, tuple[object, str]] = {
    "quality": (50, "jpeg webp avif"),
    "background": ("#000000", "jpeg png webp gif tiff avif"),
    "lossless": (True, "webp avif"),
    "near_lossless": (50, "webp"),
    "progressive": (True, "jpeg png gif"),
    "effort": ("best", "jpeg png webp gif tiff avif"),
    "chroma": ("444", "jpeg avif"),
    "colors": (16, "png gif"),
    "metadata": ("all", "jpeg png webp gif tiff avif"),
    "render_profile": ("speed", "jpeg png webp gif tiff avif"),
    "keep_position": (True, "jpeg png webp gif tiff avif"),
    "profile": ("p3", "jpeg png webp tiff avif"),
    "loop": (0, "gif webp"),
    "delay_ms": (50, "gif webp"),
    "max_bytes": (5000, "jpeg webp avif"),
}


@pytest.mark.parametrize("name", TABLE)
def test_each_format_has_the_fields_of_the_table(name: str) -> None:
    value, formats = TABLE[name]
    for one in get_args(Format):
        encode = Encode(one, **{name: value})  # type: ignore[arg-type]
        lacking = () if one in formats.split() else (name,)
        assert ignored_fields(encode, one) == lacking
        usual = msgspec.structs.replace(encode, **{name: getattr(Encode(), name)})
        assert of_format(encode, one) == (usual if lacking else encode)
        assert tuple(fault.path[0] for fault in faults_of(encode)) == lacking
        assert faults_of(msgspec.structs.replace(encode, format=None)) == []


@pytest.mark.parametrize(("bits", "formats"), [(8, get_args(Format)), (10, ("avif",)), (16, ("png", "tiff"))])
def test_depths(bits: int, formats: tuple[str, ...]) -> None:
    for one in get_args(Format):
        encode = Encode(one, bit_depth=bits)  # type: ignore[arg-type]
        assert ignored_fields(encode, one) == (() if one in formats else ("bit_depth",))


def test_all_fields_are_in_the_table() -> None:
    assert {field.name for field in msgspec.structs.fields(Encode)} == {"format", "bit_depth", *TABLE}


@pytest.mark.parametrize(
    ("encode", "sentence"),
    [
        (Encode("gif", progressive=True, chroma="444"), "chroma: gif does not have it; it is for jpeg, avif"),
        (Encode("webp", bit_depth=10), "bit_depth: webp has 8 bits"),
        (Encode("avif", bit_depth=16), "bit_depth: avif has 8 or 10 bits"),
        (Encode(lossless=True, max_bytes=100), "max_bytes: a lossless picture has no quality to lower; leave out one"),
        (Encode("webp", near_lossless=0, max_bytes=100), "max_bytes: a lossless picture has no quality to lower"),
        (Encode("png", colors=4, bit_depth=16), "bit_depth: a palette has 8 bits; leave out one of them"),
    ],
)
def test_sentences(encode: Encode, sentence: str) -> None:
    with pytest.raises(RequestInvalid, match=sentence):
        faults_of(encode).raise_any()


def test_numbers_of_a_few_values_are_written_without_quotes() -> None:
    assert read_field(Encode, "bit_depth", 16) == 16
    with pytest.raises(RequestInvalid, match=r"bit_depth: expected 8, 10 or 16, got 12"):
        read_field(Encode, "bit_depth", 12)
    with pytest.raises(RequestInvalid, match="write it without quotes: 16"):
        read_field(Encode, "bit_depth", "16")


def job(destination: str, **args: object) -> bytes:
    fields = {
        "operationType": "resize",
        "srcURL": "http://host.test/a.png",
        "dstURL": destination,
        "args": args | {"width": 10, "method": "PUT"},
    }
    return json.dumps(fields).encode()


def test_the_classic_protocol_takes_any_quality_but_no_other_field_of_another_format() -> None:
    assert parse(job("http://host.test/x", format="png", quality=70)).outputs[0].recipe.encode == Encode("png", 70)
    with pytest.raises(RequestInvalid, match=r"args\.lossless: png does not have it"):
        parse(job("http://host.test/x", format="png", lossless=True))
    named_by_extension = parse(job("http://host.test/x.png", lossless=True)).outputs[0].recipe.encode
    assert ignored_fields(named_by_extension, "png") == ("lossless",)
