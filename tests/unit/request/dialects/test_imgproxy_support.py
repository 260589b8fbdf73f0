"""The table of options tells the truth: each example is planned, or refused."""

import pytest

from imgserve.request.dialects.dialect import Negotiable
from imgserve.request.dialects.imgproxy.config import Config
from imgserve.request.dialects.imgproxy.dialect import Imgproxy
from imgserve.request.dialects.imgproxy.options.table import OPTIONS
from imgserve.request.dialects.imgproxy.refused import InvalidUrl
from imgserve.request.dialects.imgproxy.support import SUPPORT
from imgserve.request.dialects.support import Row
from imgserve.request.imageinfo import ImageInfo

DIALECT = Imgproxy(
    Config(allow_security_options=True, allow_raw=True, watermark="mark", presets=("example=w:9",)),
    allow_unsigned=True,
)


@pytest.mark.parametrize("row", SUPPORT, ids=lambda row: row.option)
def test_examples(row: Row) -> None:
    path = f"/_/{row.example}/plain/https://example.com/a.jpg"
    if row.status == "not offered":
        with pytest.raises(InvalidUrl, match="no option"):
            DIALECT.parse(path, Negotiable(), 0.0)
        return
    asked = DIALECT.parse(path, Negotiable(), 0.0)
    DIALECT.plan(asked.parameters, ImageInfo("jpeg", 640, 480))


def test_every_option_has_a_row() -> None:
    names = {
        name for row in SUPPORT if row.status != "not offered" for name in row.option.replace(";", ",").split(", ")
    }
    assert names == {*OPTIONS, "preset", "pr"} - {"sp"}
