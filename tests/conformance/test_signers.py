"""URLs as sites make them today, by libthumbor and by the clients of imgproxy: the dialects accept them as signed.

Each is parsed by the mount's dialect, its signature is that of the client here, and one letter more is refused.
"""

import json
import subprocess
from collections.abc import Mapping
from itertools import product
from typing import Any
from urllib.parse import unquote

import imgproxy
import mkimgproxy
import pyimgproxy
import pytest
from libthumbor import CryptoURL

from imgserve.client import ImgproxyUrls, ThumborUrls
from imgserve.request.dialects.dialect import Asked, Negotiable, UrlRefused
from imgserve.request.dialects.imgproxy.config import Config as ImgproxyConfig
from imgserve.request.dialects.imgproxy.dialect import Imgproxy
from imgserve.request.dialects.imgproxy.parameters import Gravity
from imgserve.request.dialects.imgproxy.parameters import Parameters as ImgproxyParameters
from imgserve.request.dialects.signing import KeyPair, imgproxy_signature
from imgserve.request.dialects.thumbor.config import Config as ThumborConfig
from imgserve.request.dialects.thumbor.dialect import of
from imgserve.setting import Secret
from tests.support.npm import NODE, PACKAGES
from tests.support.sizes import PATIENCE_S

KEY, SALT = "943b421c9eb07c830af81030552c8600", "520f986b998545b4785e0defbc4f3c12"
PAIR = KeyPair(bytes.fromhex(KEY), bytes.fromhex(SALT))
HOST = "https://images.example.com"
PLAIN, ODD = "https://example.com/photo.jpg", "https://example.com/a photo?size=1&name=Bär.jpg"
SOURCES = [PLAIN, ODD, "s3://shop/photo.jpg"]
KEYS = ImgproxyConfig(keys=(Secret(KEY),), salts=(Secret(SALT),), allow_security_options=True, allow_raw=True)


def accepted(url: str) -> Asked[ImgproxyParameters]:
    """What imgproxy's dialect reads in a URL of a client."""
    path = url.removeprefix(HOST)
    signature, _, rest = path.removeprefix("/").partition("/")
    assert signature == imgproxy_signature(PAIR, f"/{rest}")
    dialect = Imgproxy(KEYS, allow_unsigned=False)
    with pytest.raises(UrlRefused):
        dialect.parse(f"{path}a", Negotiable(), 0.0)
    asked = dialect.parse(path, Negotiable(), 0.0)
    assert asked.is_signed
    return asked


@pytest.mark.parametrize("source", SOURCES)
def test_pip_imgproxy(source: str) -> None:
    made = imgproxy.ImgProxy(
        source, HOST, KEY, SALT, resizing_type="fill", width=300, height=200, gravity="sm", enlarge=True,
        extension="webp", advanced=["q:70", "blur:2"],
    )  # fmt: skip
    asked = accepted(str(made))
    picture = asked.parameters
    assert (asked.source, picture.resizing_type, picture.width, picture.height) == (source, "fill", 300, 200)
    assert (picture.gravity, picture.enlarge, picture.format, picture.blur) == (Gravity("sm"), True, "webp", 2.0)
    assert picture.quality_of("webp") == 70


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("extension", [None, "png"])
def test_pip_mkimgproxy(source: str, extension: str | None) -> None:
    """It writes an empty segment before the source."""
    url = mkimgproxy.ImgProxy(KEY, SALT, HOST).generate(source, {"rs": "fit:300:200", "rot": 90}, extension)
    asked = accepted(url)
    picture = asked.parameters
    assert (asked.source, picture.width, picture.height, picture.rotate) == (source, 300, 200, 90)
    assert picture.format == extension


@pytest.mark.parametrize("source", SOURCES)
def test_pip_pyimgproxy(source: str) -> None:
    image = pyimgproxy.ImgProxy(HOST, KEY, SALT).image(source)
    made = image.resize("fill", 300, 200, enlarge=True).gravity("no").quality(70).cachebuster("7").auto_rotate(False)
    asked = accepted(made.url)
    picture = asked.parameters
    assert (asked.source, picture.resizing_type, picture.width, picture.enlarge) == (source, "fill", 300, True)
    assert (picture.gravity, picture.auto_rotate, picture.quality_of("jpeg")) == (Gravity("no"), False, 70)
    own = ImgproxyUrls(HOST, KEY, SALT, is_plain=source != ODD)
    words = ["resize:fill:300:200:True", "gravity:no", "quality:70", "cachebuster:7", "auto_rotate:False"]
    assert made.url == own.of_words(source, words)


# Options as the JavaScript libraries name them, and some fields of what they ask for.
OPTIONS: list[tuple[dict[str, Any], Mapping[str, object]]] = [
    ({"resizing_type": "fill", "width": 300, "height": 200, "enlarge": 1}, {"width": 300, "enlarge": True}),
    ({"resize": {"resizing_type": "fill-down", "width": 30, "height": 20}}, {"resizing_type": "fill-down"}),
    ({"size": {"width": 30, "height": 20}}, {"height": 20}),
    ({"gravity": {"type": "noea", "x_offset": 0.1, "y_offset": 20}}, {"gravity": Gravity("noea", 0.1, 20.0)}),
    ({"gravity": {"type": "sm"}}, {"gravity": Gravity("sm")}),
    ({"crop": {"width": 100, "height": 0.5, "gravity": {"type": "no"}}}, {"crop_width": 100, "crop_height": 0.5}),
    ({"padding": {"top": 1, "right": 2, "bottom": 3, "left": 4}}, {"padding": (1, 2, 3, 4)}),
    ({"extend": {"extend": 1, "gravity": {"type": "nowe", "x_offset": 1, "y_offset": 5}}}, {"extend": True}),
    ({"trim": {"threshold": 10, "color": "ff00ff"}}, {"trim": 10, "trim_color": "#ff00ff"}),
    ({"background": "ff0000"}, {"background": "#ff0000"}),
    ({"background": {"r": 255, "g": 0, "b": 1}}, {"background": "#ff0001"}),
    ({"blur": 2, "sharpen": 0.5, "pixelate": 3}, {"blur": 2, "sharpen": 0.5, "pixelate": 3}),
    ({"rotate": 90, "auto_rotate": False}, {"rotate": 90, "auto_rotate": False}),
    ({"dpr": 2, "zoom": 1.5}, {"dpr": 2, "zoom_x": 1.5}),
    ({"format": "webp", "quality": 70, "max_bytes": 4000}, {"format": "webp", "max_bytes": 4000}),
    ({"format_quality": [{"format": "webp", "quality": 60}]}, {}),
    ({"skip_processing": ["svg", "gif"]}, {"skip_processing": ("gif", "svg")}),
    ({"strip_metadata": False, "strip_color_profile": False}, {"strip_metadata": False}),
    ({"cache_buster": "7", "expires": 4102444800}, {}),
    ({"min_width": 10, "min_height": 20}, {"min_width": 10, "min_height": 20}),
    ({"max_src_resolution": 20}, {"max_source_pixels": 20_000_000}),
]
PROGRAM = """
const { generateUrl } = require("@imgproxy/imgproxy-js-core");
const { generateImageUrl } = require("@imgproxy/imgproxy-node");
const { key, salt, endpoint, cases } = JSON.parse(require("fs").readFileSync(0, "utf8"));
const made = cases.map(({ source, options, displayAs }) => ({
  signed: generateImageUrl({ endpoint, url: { value: source, displayAs }, options, key, salt }),
  rest: generateUrl(
    { value: displayAs === "plain" ? source : Buffer.from(source).toString("base64url"), type: displayAs }, options
  ),
}));
console.log(JSON.stringify(made));
"""


def test_the_javascript_of_imgproxy() -> None:
    # It leaves a plain source as it is, which has to be one that a path can hold.
    cases = list(product([(PLAIN, "plain"), (PLAIN, "base64"), (ODD, "base64")], OPTIONS))
    given = [{"source": source, "options": options, "displayAs": form} for (source, form), (options, _) in cases]
    text = json.dumps({"key": KEY, "salt": SALT, "endpoint": HOST, "cases": given})
    run = subprocess.run(
        [NODE, "-e", PROGRAM], input=text, cwd=PACKAGES, capture_output=True, text=True, timeout=PATIENCE_S, check=True
    )
    for ((source, _), (options, expected)), made in zip(cases, json.loads(run.stdout), strict=True):
        assert made["signed"].endswith(made["rest"])
        asked = accepted(made["signed"])
        found = {name: getattr(asked.parameters, name) for name in expected}
        assert (asked.source, found) == (source, expected), options


THUMBOR_OPTIONS: list[dict[str, Any]] = [
    {"width": 300, "height": 200},
    {"width": 300, "height": 200, "smart": True, "halign": "left", "valign": "top"},
    {"width": 300, "flip": True},
    {"height": 200, "flop": True},
    {"flip": True, "flop": True},
    {"width": 300, "height": 200, "fit_in": True, "filters": ["quality(70)", "fill(blue)"]},
    {"width": 300, "height": 200, "full_fit_in": True},
    {"width": 300, "height": 200, "adaptive_fit_in": True},
    {"width": 300, "height": 200, "adaptive_full_fit_in": True},
    {"crop": ((10, 20), (300, 400))},
    {"trim": True},
    {"trim": ("bottom-right", 10)},
    {"meta": True, "width": 300, "height": 200},
    {"filters": ["watermark(https://example.com/mark.png,-10,10,50)"]},
]


@pytest.mark.parametrize("options", THUMBOR_OPTIONS, ids=str)
@pytest.mark.parametrize("source", ["example.com/photo.jpg", PLAIN, "example.com/a%20photo%3Fsize=1.jpg"])
def test_libthumbor(source: str, options: dict[str, Any]) -> None:
    dialect = of(ThumborConfig(keys=(Secret("a key"),)))
    signed = CryptoURL(key="a key").generate(image_url=source, **options)
    request = dialect.parse(signed, Negotiable(), 0.0)
    assert (request.source, request.is_signed) == (unquote(source), True)
    with pytest.raises(UrlRefused):
        dialect.parse(f"{signed}a", Negotiable(), 0.0)
    # The client takes the same options, and means the same by them.
    own = ThumborUrls("", "a key").url(unquote(source), **options)
    assert dialect.parse(own, Negotiable(), 0.0) == request
    if set(options) <= {"width", "height", "smart", "halign", "valign", "crop"}:
        assert own == signed


def test_unsafe_urls_of_libthumbor() -> None:
    dialect = of(ThumborConfig(), allow_unsigned=True)
    path = CryptoURL(key="").generate(image_url="example.com/a.jpg", width=3, unsafe=True)
    assert not dialect.parse(f"/{path}", Negotiable(), 0.0).is_signed
