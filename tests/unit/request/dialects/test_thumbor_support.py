"""The tables of what is offered tell the truth: each example changes what is asked for, or is ignored."""

import pytest

from imgserve.request.dialects.dialect import Negotiable
from imgserve.request.dialects.support import Row
from imgserve.request.dialects.thumbor import dialect
from imgserve.request.dialects.thumbor.config import Config
from imgserve.request.dialects.thumbor.filters import THUMBOR
from imgserve.request.dialects.thumbor.grammar import ExtractFocal
from imgserve.request.dialects.thumbor.imagor_filters import IMAGOR as IMAGOR_FILTERS
from imgserve.request.dialects.thumbor.options import Request
from imgserve.request.dialects.thumbor.support import IMAGOR, SUPPORT
from imgserve.request.imageinfo import ImageInfo

NO_EFFECT = ("strip_exif", "strip_icc", "compression")
SOURCES = {"extract_focal": "http://t.example/unsafe/1x2:3x4/example.com/a.jpg"}


def asked(config: Config, row: Row) -> tuple[Request, Request]:
    """The example's request, and that of its source alone."""
    one = dialect.of(config, allow_unsigned=True)
    source = SOURCES.get(row.option, "example.com/a.jpg")
    paths = (f"/unsafe/{row.example}/{source}", f"/unsafe/{source}")
    requests = [one.parse(path, Negotiable(), 0.0) for path in paths]
    one.plan(requests[0].parameters, ImageInfo("jpeg", 640, 480))
    return requests[0], requests[1]


def is_changed(requests: tuple[Request, Request]) -> bool:
    example, plain = requests
    return (example.source, example.parameters, example.answer) != (plain.source, plain.parameters, plain.answer)


@pytest.mark.parametrize("row", [row for row in SUPPORT if row.example], ids=lambda row: row.option)
def test_thumbor(row: Row) -> None:
    is_offered = row.status != "not offered" and row.option not in NO_EFFECT
    assert is_changed(asked(Config(), row)) is is_offered


@pytest.mark.parametrize("row", [row for row in IMAGOR if row.example], ids=lambda row: row.option)
def test_imagor(row: Row) -> None:
    assert is_changed(asked(Config(imagor=True, allow_raw=True), row)) is (row.status != "not offered")


def test_every_filter_has_a_row() -> None:
    assert {*THUMBOR, ExtractFocal.word} <= {row.option for row in SUPPORT if row.status != "not offered"}
    own = set(IMAGOR_FILTERS) - set(THUMBOR)
    assert own <= {row.option.removesuffix("()") for row in IMAGOR if row.status != "not offered"}
