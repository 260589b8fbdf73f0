"""URLs that are read for a caller with a right of its own: any signature, an old one too, may stand in them."""

import pytest

from imgserve.request.dialects.dialect import Dialect, Negotiable, UrlRefused
from imgserve.request.dialects.imgproxy.config import Config as ImgproxyConfig
from imgserve.request.dialects.imgproxy.dialect import Imgproxy
from imgserve.request.dialects.thumbor.config import Config as ThumborConfig
from imgserve.request.dialects.thumbor.dialect import Thumbor
from imgserve.setting import Secret

IMGPROXY = Imgproxy(ImgproxyConfig(keys=(Secret("aa"),), salts=(Secret("bb"),)), allow_unsigned=False)
THUMBOR = Thumbor(ThumborConfig(keys=(Secret("MY_SECURE_KEY"),)))
SOURCE = "http://cdn.test/a.jpg"


@pytest.mark.parametrize("word", ["unsafe", "AfrOrF3gWeDA6VOlDG4TzxMv39O7MXnF4CXpKUwGqRM"])
@pytest.mark.parametrize(
    ("dialect", "rest"), [(IMGPROXY, f"rs:fit:30:20/plain/{SOURCE}"), (THUMBOR, f"30x20/{SOURCE}")]
)
def test_a_signature_that_is_not_needed_may_be_wrong(word: str, dialect: Dialect[object], rest: str) -> None:
    path = f"/{word}/{rest}"
    with pytest.raises(UrlRefused):
        dialect.parse(path, Negotiable(), 0.0)
    asked = dialect.parse(path, Negotiable(), 0.0, needs_signature=False)
    assert asked.source == SOURCE
    assert not asked.is_signed


@pytest.mark.parametrize(
    ("dialect", "path"), [(IMGPROXY, "/x/rs:fit:what/plain/a"), (IMGPROXY, "/rs:fit:30:20/plain/a"), (THUMBOR, "/x")]
)
def test_the_rest_must_be_of_the_grammar(dialect: Dialect[object], path: str) -> None:
    with pytest.raises(UrlRefused):
        dialect.parse(path, Negotiable(), 0.0, needs_signature=False)
