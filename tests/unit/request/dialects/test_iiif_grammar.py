"""IIIF's paths: tables of each part, the round trip, and paths that are none."""

import random
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgserve.request.dialects.dialect import UrlRefused
from imgserve.request.dialects.iiif import grammar
from imgserve.request.dialects.iiif.grammar import FORMATS, Request, generate, parse
from imgserve.request.dialects.iiif.parameters import (
    Box,
    Parameters,
    Percents,
    Pixels,
    Region,
    Scale,
    Sides,
    Size,
    Version,
)
from imgserve.request.dialects.iiif.refused import BadRequest, NotFound


def parameters(path: str, version: Version = 3) -> Parameters:
    return parse(path, version).parameters


def status(path: str, version: Version = 3) -> int:
    try:
        parse(path, version)
    except UrlRefused as error:
        return error.status
    return 200


@pytest.mark.parametrize(
    ("text", "region"),
    [
        ("full", "full"), ("square", "square"), ("0,0,1,1", Pixels(0, 0, 1, 1)),
        ("125,15,120,140", Pixels(125, 15, 120, 140)), ("007,0,10,9999999999", Pixels(7, 0, 10, 9_999_999_999)),
        ("125%2C15,120,140", Pixels(125, 15, 120, 140)), ("p%63t:1,2,3,4", Percents(1, 2, 3, 4)),
        ("pct:41.6,7.5,40,70", Percents(41.6, 7.5, 40, 70)), ("pct:0,0,100,100", Percents(0, 0, 100, 100)),
        ("pct:.5,0.50,33.333333333333336,200", Percents(0.5, 0.5, 33.333333333333336, 200)),
        ("", None), ("FULL", None), ("max", None), ("full ", None), ("0,0,0,1", None), ("0,0,1,0", None),
        ("0,0,1", None),
        ("0,0,1,1,1", None), ("-1,0,1,1", None), ("+1,0,1,1", None), ("0.5,0,1,1", None), (" 0,0,1,1", None),
        ("0,0,1,1\n", None), ("0,0,1,%31%0a", None), ("00000000000,0,1,1", None), ("pct:1,2,3", None),
        ("pct:-1,0,1,1", None), ("pct:0,0,0,1", None), ("pct:0,0,1,0.0", None), ("pct:1e1,0,1,1", None),
        ("pct:1.,0,1,1", None), ("pct:.,0,1,1", None), ("pct:1.2.3,0,1,1", None), ("pct:nan,0,1,1", None),
        ("pct:1_0,0,1,1", None), ("pct:0." + "1" * 26 + ",0,1,1", None), ("\u0661,0,1,1", None),
        ("%D9%A1,0,1,1", None), ("%ff", None), ("%", None), ("%00", None), ("%2525", None),
    ],
)  # fmt: skip
def test_region(text: str, region: Region | None) -> None:
    path = f"id/{text}/max/0/default.jpg"
    if region is None:
        assert status(path) == 400
    else:
        assert parameters(path) == Parameters(region=region)


SIZES_OF_BOTH: list[tuple[str, Size | None]] = [
    ("max", "max"), ("150,", Sides(150, None)), (",150", Sides(None, 150)), ("225,100", Sides(225, 100)),
    ("!225,100", Box(225, 100)), ("%21225,100", Box(225, 100)), ("pct:50", Scale(50)), ("pct:0.5", Scale(0.5)),
    ("pct:.5", Scale(0.5)), ("pct:150", Scale(150)), ("0150,", Sides(150, None)),
    ("", None), (",", None), ("0,", None), (",0", None), ("0,1", None), ("1,0", None), ("!0,1", None), ("!1,0", None),
    ("pct:0", None), ("pct:0.0", None), ("pct:", None), ("pct:-1", None), ("pct:+1", None), ("pct:1,1", None),
    ("pct:1e3", None), ("-1,", None), ("+1,", None), ("1.5,", None), ("1", None), ("1,1,1", None), ("!1,", None),
    ("!,1", None), ("!max", None), ("max,", None), ("MAX", None), ("1,\n", None), ("12345678901,", None),
    ("w,h", None), ("%ff", None), ("^", None), ("^^max", None), ("!^1,1", None), (",^1", None), ("^full", None),
]  # fmt: skip


@pytest.mark.parametrize("version", [3, 2])
@pytest.mark.parametrize(("text", "size"), SIZES_OF_BOTH)
def test_size(text: str, size: Size | None, version: Version) -> None:
    path = f"id/full/{text}/0/default.jpg"
    if size is None:
        assert status(path, version) == 400
    else:
        assert parameters(path, version) == Parameters(version, size=size)


@pytest.mark.parametrize("text", ["^max", "^150,", "^,150", "^225,100", "^!225,100", "^pct:120", "%5Emax", "%5e150,"])
def test_enlarging_is_of_3_alone(text: str) -> None:
    path = f"id/full/{text}/0/default.jpg"
    plain = text.removeprefix("^").removeprefix("%5E").removeprefix("%5e")
    wanted = msgspec.structs.replace(parameters(f"id/full/{plain}/0/default.jpg"), may_enlarge=True)
    assert parameters(path) == wanted
    assert status(path, 2) == 400


def test_the_size_full_is_of_2_alone() -> None:
    assert parameters("id/full/full/0/default.jpg", 2) == Parameters(2, size="full")
    assert status("id/full/full/0/default.jpg", 3) == 400


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("0", (False, 0)), ("!0", (True, 0)), ("90", (False, 90)), ("!180", (True, 180)), ("22.5", (False, 22.5)),
        ("22.50", (False, 22.5)), ("0.0", (False, 0)), ("360", (False, 0)), ("!360.0", (True, 0)),
        ("359.9", (False, 359.9)),
        ("090", (False, 90)), (".5", (False, 0.5)), ("%2190", (True, 90)),
        ("360.1", None), ("361", None), ("-90", None), ("+90", None), ("", None), ("!", None), ("!!0", None),
        ("90!", None),
        ("9 0", None), ("1e2", None), ("90.", None), ("1.2.3", None), ("nan", None), ("inf", None), ("90,", None),
        ("90%0A", None), ("1" * 400, None),
    ],
)  # fmt: skip
def test_rotation(text: str, wanted: tuple[bool, float] | None) -> None:
    path = f"id/full/max/{text}/default.jpg"
    if wanted is None:
        assert status(path) == 400
    else:
        assert parameters(path) == Parameters(is_mirrored=wanted[0], rotation=wanted[1])


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("default.jpg", ("default", "jpeg")), ("color.png", ("default", "png")), ("gray.webp", ("gray", "webp")),
        ("bitonal.tif", ("bitonal", "tiff")), ("default.gif", ("default", "gif")),
        ("default.avif", ("default", "avif")),
        ("default%2Ejpg", ("default", "jpeg")),
        ("default", None), ("default.", None), (".jpg", None), ("default.jpeg", None), ("default.tiff", None),
        ("default.JPG", None), ("Default.jpg", None), ("native.jpg", None), ("grey.jpg", None), ("default.jp2", None),
        ("default.pdf", None), ("default.svg", None), ("default.jpg.png", None), ("default.jpg ", None),
        ("default.jpg%00", None), ("default..jpg", None), ("info.jpg", None),
    ],
)  # fmt: skip
def test_quality_and_format(text: str, wanted: Any) -> None:
    path = f"id/full/max/0/{text}"
    if wanted is None:
        assert status(path) == 400
    else:
        assert parameters(path) == Parameters(quality=wanted[0], format=wanted[1])


def test_formats_that_the_mount_does_not_offer() -> None:
    assert parse("id/full/max/0/default.png", 3, {"jpg", "png"}).parameters.format == "png"
    with pytest.raises(BadRequest, match="jpg, png"):
        parse("id/full/max/0/default.webp", 3, {"jpg", "png"})


@pytest.mark.parametrize(
    ("segment", "identifier", "source"),
    [
        ("abc", "abc", "abc"), ("a%2Fb", "a/b", "a/b"), ("a%2fb%20c", "a/b c", "a/b%20c"),
        ("67352ccc%2Dd1b0", "67352ccc-d1b0", "67352ccc-d1b0"),
        ("ark:%2F12025%2F654xz321", "ark:/12025/654xz321", "ark:/12025/654xz321"),
        ("urn:foo:a123,456", "urn:foo:a123,456", "urn:foo:a123,456"),
        ("urn:sici:1046-8188(199501)13:1%253C69;2-4", "urn:sici:1046-8188(199501)13:1%3C69;2-4",
         "urn:sici:1046-8188(199501)13:1%253C69;2-4"),
        ("a%3Fb%23c%40d", "a?b#c@d", "a%3Fb%23c@d"), ("%C3%A4.jpg", "ä.jpg", "%C3%A4.jpg"), ("a+b", "a+b", "a+b"),
        ("%252e%252e", "%2e%2e", "%252e%252e"), ("a..b", "a..b", "a..b"), ("...", "...", "..."),
        ("info.json", "info.json", "info.json"),
        ("[frob]", "[frob]", "%5Bfrob%5D"), ("products:a.jpg", "products:a.jpg", "products:a.jpg"),
        ("https:%2F%2Fexample.com%2F%3F54", "https://example.com/?54", "https://example.com/?54"),
        ("https:%2F%2Fe.com%2Fa%2520b", "https://e.com/a%20b", "https://e.com/a%20b"),
    ],
)  # fmt: skip
def test_identifiers(segment: str, identifier: str, source: str) -> None:
    request = parse(f"{segment}/info.json", 3)
    assert request == Request("info", identifier, Parameters())
    assert parse(segment, 2) == Request("redirect", identifier, Parameters(2))
    assert grammar.source_of(identifier) == source
    assert grammar.identifier_of(source) == identifier


@pytest.mark.parametrize(
    "segment",
    [
        "", ".", "..", "%2e", "%2E%2e", "..%2Fa", "a%2F..%2Fb", "a%2f..", "a%5C..%5Cb", "a%2F.%2Fb", "%2Fetc%2Fpasswd",
        "a%2F%2Fb", "a%2F", "%00", "a%00b", "a%0Ab", "a%7F", "%C2%85", "%ff", "%", "%2", "%zz",
        "\u00e4", "a\x00b", "a\nb",
        "https:%2F%2Fe.com%2F..%2Fa", "file:%2F%2F%2Fetc%2F..%2Fpasswd",
    ],
)  # fmt: skip
def test_what_is_no_identifier(segment: str) -> None:
    for rest in ("", "/info.json", "/full/max/0/default.jpg"):
        with pytest.raises(NotFound):
            parse(segment + rest, 3)


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("id", 200), ("id/info.json", 200), ("id/full/max/0/default.jpg", 200), ("info.json/info.json", 200),
        # A part too many: an identifier whose slash is not encoded.
        ("a/b/full/max/0/default.jpg", 404), ("a/b/info.json", 404), ("a/b/c/d/info.json", 404), ("a/b/c/d/e/f/g", 404),
        ("id/full/max/0/default.jpg/", 404), ("id/", 404), ("id/info.json/", 404), ("/full/max/0/default.jpg", 404),
        ("", 404), ("//", 404),
        # A part too few.
        ("id/x", 400), ("id/full/max", 400), ("id/full/max/0", 400), ("id/info.xml", 400), ("id/INFO.JSON", 400),
        ("x" * 8_193, 400), ("/".join("x" * 4_000), 404),
    ],
)  # fmt: skip
def test_number_of_parts(path: str, answer: int) -> None:
    assert status(path) == answer
    assert status(path, 2) == (400 if path == "id/full/max/0/default.jpg" and answer != 200 else answer)


def test_random_garbage_is_400() -> None:
    """The validator's letters: 0x30 to 0x7A without those that end a part of a path, unencoded."""
    letters = [chr(code) for code in range(48, 123) if chr(code) not in "?#/"]
    source = random.Random(14)
    for _ in range(2_000):
        garbage = "".join(source.choices(letters, k=source.choice((3, 4, 6))))
        for path in (
            f"id/{garbage}/max/0/default.jpg",
            f"id/full/{garbage}/0/default.jpg",
            f"id/full/max/!{garbage}/default.jpg",
            f"id/full/max/0/{garbage}.jpg",
            f"id/full/max/0/default.{garbage}",
        ):
            if not (garbage.isdecimal() and "!" in path):
                assert status(path) == 400, path


WHOLE = st.integers(1, 9_999_999_999)
DECIMAL = st.decimals(min_value="0.0001", max_value=1_000, places=4).map(float) | st.integers(1, 400).map(float)
PARTS = st.builds(Pixels, WHOLE, WHOLE, WHOLE, WHOLE) | st.builds(Percents, DECIMAL, DECIMAL, DECIMAL, DECIMAL)
SIDES = st.builds(Sides, WHOLE, WHOLE | st.none()) | st.builds(Sides, st.none(), WHOLE)
SIZES = st.just("max") | SIDES | st.builds(Box, WHOLE, WHOLE) | st.builds(Scale, DECIMAL)
PICTURES = st.builds(
    Parameters,
    st.just(3),
    st.sampled_from(["full", "square"]) | PARTS,
    SIZES,
    st.booleans(),
    st.booleans(),
    st.decimals(min_value=0, max_value="359.999999", places=6).map(float),
    st.sampled_from(["default", "gray", "bitonal"]),
    st.sampled_from(sorted(FORMATS.values())),
)
OF_2 = st.builds(
    lambda asked, is_full: msgspec.structs.replace(
        asked, version=2, may_enlarge=False, size="full" if is_full else asked.size
    ),
    PICTURES,
    st.booleans(),
)
NAMES = st.text(st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="/\\"), min_size=1, max_size=20)
IDENTIFIERS = st.lists(NAMES.filter(lambda name: name not in (".", "..")), min_size=1, max_size=3).map("/".join)


@given(IDENTIFIERS, PICTURES | OF_2)
def test_round_trip(identifier: str, asked: Parameters) -> None:
    request = Request("picture", identifier, asked)
    assert parse(generate(request), asked.version) == request
    assert hash(asked) == hash(parse(generate(request), asked.version).parameters)
    for kind in ("info", "redirect"):
        other = Request(kind, identifier, Parameters(asked.version))
        assert parse(generate(other), asked.version) == other


@given(IDENTIFIERS)
def test_a_source_names_its_identifier(identifier: str) -> None:
    source = grammar.source_of(identifier)
    assert grammar.identifier_of(source) == identifier
    assert parse(quote(identifier, safe="") + "/info.json", 3).identifier == identifier


@given(st.text(max_size=40), st.sampled_from([2, 3]))
def test_any_text_is_parsed_or_refused(text: str, version: Version) -> None:
    assert status(text, version) in (200, 400, 404)
