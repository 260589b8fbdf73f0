"""Keys of parameters: equal for equal ones alone."""

from typing import NamedTuple

from imgserve.request.dialects.canonical import canonical
from imgserve.request.dialects.iiif.parameters import Box, Scale, Sides
from imgserve.request.dialects.imgproxy.parameters import Watermark
from imgserve.request.dialects.thumbor import grammar


class Pair(NamedTuple):
    one: int
    other: int


def of_thumbor(options: str) -> str:
    request = grammar.parse(f"{options}/a.jpg")
    assert request is not None
    return canonical(request.parameters)


def test_types_of_one_shape_differ() -> None:
    filters = ("grayscale()", "equalize()", "stretch()", "upscale()", "brightness(20)", "contrast(20)", "rotate(20)")
    texts = [of_thumbor(f"300x200/filters:{one}") for one in filters]
    texts += [canonical(value) for value in (Sides(9, 9), Box(9, 9), Scale(9), Pair(9, 9), (9, 9))]
    assert len(set(texts)) == len(texts)


def test_values_differ_and_equal_ones_do_not() -> None:
    assert canonical(Watermark(url="http://a/b")) != canonical(Watermark(url="http://a/c"))
    assert of_thumbor("300x200/filters:blur(3)") != of_thumbor("300x200/filters:blur(4)")
    assert of_thumbor("300x200/filters:blur(3)") == of_thumbor("300x200/filters:blur( 3 )")
