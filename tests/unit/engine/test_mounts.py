"""Which mount a URL belongs to, when it comes in a call and not as a request."""

import pytest

from imgserve.engine.config import MountConfig
from imgserve.engine.mounts import Mount, located
from imgserve.request.dialects.iiif.config import Config as IiifConfig
from imgserve.request.dialects.iiif.dialect import Iiif
from imgserve.request.dialects.sources import Sources
from imgserve.request.faults import RequestInvalid


def mount(name: str, path: str, public_url: str = "") -> Mount:
    config = MountConfig(path=path, public_url=public_url)
    return Mount(name, Iiif(IiifConfig()), Sources(), config, frozenset())


ALL = (mount("root", "/"), mount("t", "/t"), mount("inner", "/t/u/"), mount("public", "/i", "https://cdn.test/pics/"))


@pytest.mark.parametrize(
    ("text", "name", "raw_path"),
    [
        ("/a/b", "root", "/a/b"), ("/t/a", "t", "/a"), ("/tt/a", "root", "/tt/a"), ("/t/u/a", "inner", "/a"),
        ("/t/ua", "t", "/ua"), ("http://h.test/t/a?b=/c#d", "t", "/a"), ("HTTPS://u@h.test:1/t//a", "t", "//a"),
        ("/t/a%2Fb%20c", "t", "/a%2Fb%20c"), ("/t/ä b", "t", "/%C3%A4%20b"), ("/t/http://h.test/a", "t", "/http://h.test/a"),
        ("https://cdn.test/pics/a", "public", "/a"), ("https://cdn.test/i/a", "public", "/a"),
        ("https://cdn.test/picsa", "root", "/picsa"), ("https://h.test/", "root", "/"),
    ],
)  # fmt: skip
def test_a_url_and_its_mount(text: str, name: str, raw_path: str) -> None:
    found, rest = located(ALL, text)
    assert (found.name, rest) == (name, raw_path)


@pytest.mark.parametrize("text", ["", "t/a", "h.test/t/a", "https://h.test", "/t", "/\ud800"])
def test_no_url_of_a_mount(text: str) -> None:
    with pytest.raises(RequestInvalid) as caught:
        located(ALL[1:], text)
    assert "/t, /i" in caught.value.detail


@pytest.mark.parametrize(
    ("url", "credential"),
    [("https://h.test/a", "shop"), ("s3://bucket/a", "shop"), ("file:///a", ""), ("ftp://h.test/a", "")],
)
def test_the_credential_goes_with_sources_that_can_take_one(url: str, credential: str) -> None:
    config = MountConfig(path="/", credential="shop")
    mounted = Mount("root", Iiif(IiifConfig()), Sources(is_open=True), config)
    assert mounted.source_of(url).sends.credential == credential


def test_nothing_is_mounted() -> None:
    with pytest.raises(RequestInvalid, match="no dialect is mounted"):
        located((), "/a")
