"""Colours, file extensions, code table, field messages."""

import pytest
from msgspec.inspect import FloatType
from PIL import ImageColor

from imgserve.request import color, formats
from imgserve.request.classic.codes import MEANING
from imgserve.request.faults import RequestInvalid, shown
from imgserve.request.fields import fields_of, read_field
from imgserve.request.operations.rasterize import Rasterize
from imgserve.request.recipe import LoadOptions
from imgserve.request.values import one_of


@pytest.mark.parametrize(
    ("text", "expected"),
    [("#abc", "#aabbcc"), ("#A1B2C3", "#a1b2c3"), ("Navy", "#000080"), ("#ab", None), ("#abcde", None), ("#ggg", None),
     ("#abcd", "#aabbccdd"), ("#A1B2C380", "#a1b2c380"), ("#abcf", "#aabbcc"), ("#a1b2c3ff", "#a1b2c3"),
     ("#fff", "#ffffff"),
     ("Transparent", "#00000000"), ("#a1b2c3d", None),
     ("", None), ("rebeccapurple", None), ("#aabbcc ", None), ("aabbcc", None), ("#aabbcc\n", None)],
)  # fmt: skip
def test_colors(text: str, expected: str | None) -> None:
    assert color.canonical(text) == expected


@pytest.mark.parametrize("text", ["#abc", "#aabbcc", "#abcd", "#aabbccdd", "#abcf", "transparent", "navy", "puce"])
def test_a_colour_that_must_be_opaque(text: str) -> None:
    canonical = color.canonical(text)
    assert color.opaque(text) == (canonical if canonical and len(canonical) == 7 else None)


def test_basic_names_have_the_values_of_css() -> None:
    assert len(color.BASIC_NAMES) == 16
    for name, value in color.BASIC_NAMES.items():
        assert ImageColor.getrgb(name) == ImageColor.getrgb(value)


@pytest.mark.parametrize(
    ("extension", "written", "raster", "may_be_one"),
    [
        ("jpg", "jpeg", True, True), ("jpeg", "jpeg", True, True), ("jpe", "jpeg", True, True),
        ("jfif", "jpeg", True, True),
        ("png", "png", True, True), ("webp", "webp", True, True), ("gif", "gif", True, True),
        ("tif", "tiff", True, True),
        ("tiff", "tiff", True, True), ("avif", "avif", True, True), ("svg", None, False, True),
        ("svgz", None, False, True),
        ("heic", None, True, True), ("pdf", None, False, False), ("", None, False, True), ("200", None, False, True),
        ("php", None, False, True), ("ashx", None, False, True), ("jpg:large", None, False, True),
        ("jpg!thumb", None, False, True), ("1", None, False, True), ("txt", None, False, False),
        ("gz", None, False, False), ("docx", None, False, False), ("mp4", None, False, False),
    ],
)  # fmt: skip
def test_extensions(extension: str, written: str | None, raster: bool, may_be_one: bool) -> None:
    assert formats.FORMAT_OF_EXTENSION.get(extension) == written
    assert (extension in formats.RASTER, extension not in formats.OTHER_KINDS) == (raster, may_be_one)


def test_nothing_that_is_read_counts_as_another_kind() -> None:
    readable = set(formats.FORMAT_OF_EXTENSION) | formats.VECTOR | formats.UNREADABLE_RASTER
    assert not readable & formats.OTHER_KINDS


def test_the_code_table_is_whole_and_in_order() -> None:
    assert list(MEANING) == [*range(101, 117), *range(201, 208), 301, 302]
    assert all(meaning and not meaning.endswith(".") for meaning in MEANING.values())


def test_ranges_are_read_from_the_structs() -> None:
    assert set(fields_of(Rasterize)) == {"width", "height", "fit", "scale"}
    assert fields_of(LoadOptions)["dpi"] == FloatType(ge=1, le=2400)
    assert read_field(LoadOptions, "dpi", 300) == 300
    with pytest.raises(RequestInvalid, match=r"dpi: expected a number from 1 to 2400, got 0\.5"):
        read_field(LoadOptions, "dpi", 0.5)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("abc", '"abc"'), ("x" * 41, "a text of 41 characters"), ("http://u:p@h/", "a text of 13 characters"),
        ("ftp://h/x", "a text of 9 characters"),
        ("me@home", "a text of 7 characters"), ("a\n", "a text of 2 characters"), (True, "true"),
        (None, "null"), (1.5, "1.5"),
        (10**50, "a number of 51 digits"), ({}, "an object"), ([], "a list"),
    ],
)  # fmt: skip
def test_values_are_shown_shortened(value: object, expected: str) -> None:
    assert shown(value) == expected


def test_one_of() -> None:
    assert one_of(("a",)) == '"a"'
    assert one_of(("a", "b", "c")) == '"a", "b" or "c"'
