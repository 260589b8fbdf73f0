"""URLs made by the client, read back by the dialects of the server."""

import string
import typing
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgserve.client import ImgproxyUrls, OptionInvalid, ThumborUrls
from imgserve.client.url_options import ImgproxyOptions
from imgserve.request.dialects.dialect import Negotiable
from imgserve.request.dialects.imgproxy.config import Config as ImgproxyConfig
from imgserve.request.dialects.imgproxy.dialect import Imgproxy
from imgserve.request.dialects.imgproxy.options.table import OPTIONS
from imgserve.request.dialects.imgproxy.parameters import Gravity
from imgserve.request.dialects.thumbor.config import Config as ThumborConfig
from imgserve.request.dialects.thumbor.dialect import of
from imgserve.request.dialects.thumbor.parameters import Edges, Padding, Trimming
from imgserve.setting import Secret

BASE = "https://images.example.com/i"
KEY, SALT = "943b421c9eb07c830af81030552c86009268de4e", "520f986b998545b4785e0defbc4f3c1203f22de2"
SOURCE = "https://example.com/pictures/a picture?size=1&x=ä.jpg"
IMGPROXY = Imgproxy(ImgproxyConfig(keys=(Secret(KEY),), salts=(Secret(SALT),)), allow_unsigned=False)
THUMBOR = of(ThumborConfig(keys=(Secret("a key"),)))


def path_of(url: str) -> str:
    """Behind the mount."""
    assert url.startswith(f"{BASE}/")
    assert not urlsplit(url).query
    return url.removeprefix(BASE)


def urls() -> ImgproxyUrls:
    return ImgproxyUrls(BASE + "/", KEY, SALT)


def test_imgproxy_reads_what_was_asked() -> None:
    url = urls().url(
        SOURCE,
        resize=("fill", 300, 200),
        gravity="sm",
        min_width=50,
        padding=(1, 2, None, 4),
        quality=70,
        enlarge=True,
        zoom=1.5,
        filename="drei Bären",
        cachebuster=None,  # type: ignore[arg-type]  # a template's variable that has no value
    )
    asked = IMGPROXY.parse(path_of(url), Negotiable(), 0.0)
    picture = asked.parameters
    assert (asked.source, asked.is_signed, asked.answer.filename) == (SOURCE, True, "drei Bären")
    assert (picture.resizing_type, picture.width, picture.height) == ("fill", 300, 200)
    assert (picture.gravity, picture.min_width, picture.padding) == (Gravity("sm"), 50, (1, 2, 1, 4))
    assert (picture.quality_of("jpeg"), picture.enlarge, picture.zoom_x) == (70, True, 1.5)
    assert "cachebuster" not in url


@pytest.mark.parametrize("is_plain", [False, True])
def test_both_spellings_of_a_source_are_read(is_plain: bool) -> None:
    made = ImgproxyUrls(BASE, KEY, SALT, is_plain=is_plain).url(SOURCE, width=3)
    assert IMGPROXY.parse(path_of(made), Negotiable(), 0.0).source == SOURCE
    assert ("/plain/https://example.com/pictures/a%20picture%3Fsize" in made) is is_plain


def test_presets_need_not_be_known_here() -> None:
    assert "/preset:card:sharp/" in urls().url(SOURCE, preset=("card", "sharp"))
    only = ImgproxyUrls("", KEY, SALT, only_presets=True).url("a", preset=("card", "sharp"))
    config = ImgproxyConfig(
        keys=(Secret(KEY),), salts=(Secret(SALT),), only_presets=True, presets=("card=w:30", "sharp=sh:1")
    )
    picture = Imgproxy(config, allow_unsigned=False).parse(only, Negotiable(), 0.0).parameters
    assert (picture.width, picture.sharpen) == (30, 1.0)


def test_every_option_of_the_dialect_has_its_name() -> None:
    names = {name.replace("-", "_") for name in OPTIONS} | {"preset"}
    offered = set(typing.get_type_hints(ImgproxyOptions))
    assert offered <= names
    assert {id(OPTIONS[name.replace("min_", "min-")]) for name in offered - {"preset"}} == set(
        map(id, OPTIONS.values())
    )


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"width": "wide"}, "width: expected an integer from 0 to 2147483647, got 'wide'"),
        ({"widht": 3}, "widht: there is no option 'widht'"),
        ({"cachebuster": "a/b"}, "cachebuster: expected letters, digits"),
        ({"resize": ("cover", 3, 3)}, "resize: expected fit, fill"),
    ],
)
def test_imgproxy_options_that_the_server_would_refuse(options: dict[str, typing.Any], sentence: str) -> None:
    with pytest.raises(OptionInvalid, match=sentence):
        urls().url(SOURCE, **options)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"key": "zz", "salt": SALT}, "key: expected hexadecimal digits"),
        ({"key": KEY}, "key: expected as many keys as salts"),
        ({"base": "images.example.com"}, "expected the URL of the mount"),
        ({"base": "https://images.example.com/?a"}, "expected the URL of the mount"),
    ],
)
def test_keys_and_bases_that_cannot_work(arguments: dict[str, typing.Any], sentence: str) -> None:
    with pytest.raises(OptionInvalid, match=sentence) as caught:
        ImgproxyUrls(**arguments)
    assert KEY not in str(caught.value)


def sized(srcset: str) -> list[tuple[int, int, str]]:
    """Width and height that each URL asks imgproxy for, and its descriptor."""
    pairs = [part.split(" ") for part in srcset.split(", ")]
    pictures = [IMGPROXY.parse(path_of(url), Negotiable(), 0.0).parameters for url, _ in pairs]
    return [
        (picture.width, picture.height, descriptor) for picture, (_, descriptor) in zip(pictures, pairs, strict=True)
    ]


def test_srcset_keeps_the_shape() -> None:
    made = urls().srcset(SOURCE, [320, 641], resize="fill:300:200")
    assert sized(made) == [(320, 213, "320w"), (641, 427, "641w")]
    assert sized(urls().srcset(SOURCE, (320,), quality=50)) == [(320, 0, "320w")]


@pytest.mark.parametrize("widths", [[], [0], [True], ["320"]])
def test_widths_are_positive_numbers(widths: list[typing.Any]) -> None:
    with pytest.raises(OptionInvalid, match="expected widths of at least 1 pixel"):
        urls().srcset(SOURCE, widths)


def test_a_height_alone_has_no_shape() -> None:
    with pytest.raises(OptionInvalid, match="expected a width beside the height"):
        urls().srcset(SOURCE, [320], height=20)
    with pytest.raises(OptionInvalid, match="expected a width beside the height"):
        ThumborUrls().srcset(SOURCE, [320], height=20)


def test_thumbor_reads_what_was_asked() -> None:
    url = ThumborUrls(BASE, "a key").url(
        SOURCE,
        trim=("bottom-right", 10),
        crop=((1, 2), (30, 40)),
        fit_in=True,
        width=300,
        height="orig",
        flip=True,
        halign="left",
        smart=True,
        filters=["quality(70)", "fill(blue)"],
    )
    request = THUMBOR.parse(path_of(url), Negotiable(), 0.0)
    asked = request.parameters
    assert (request.source, request.is_signed) == (SOURCE, True)
    assert (asked.trim, asked.crop, asked.fit) == (Trimming("bottom-right", 10), Edges(1, 2, 30, 40), "fit-in")
    assert (asked.width, asked.height, asked.is_flopped, asked.is_flipped) == (300, "orig", True, False)
    assert (asked.halign, asked.is_smart, asked.quality, len(asked.filters)) == ("left", True, 70, 1)


def test_imagor_has_more_words() -> None:
    config = ThumborConfig(keys=(Secret("a key"),), imagor=True, digest="sha256", signature_length=40)
    made = ThumborUrls(BASE, "a key", imagor=True, digest="sha256", signature_length=40).url(
        "example.com/a.jpg", crop=(0, 0, 0.5, 1), stretch=True, width=30, padding=(1, 2, 3, 4), filters=["hue(90)"]
    )
    asked = of(config).parse(path_of(made), Negotiable(), 0.0).parameters
    assert (asked.crop, asked.is_stretched, asked.width) == (Edges(0, 0, 0.5, 1), True, 30)
    assert asked.imagor is not None
    assert (asked.imagor.padding, len(asked.filters)) == (Padding(1, 2, 3, 4), 1)


def test_words_come_in_any_order() -> None:
    made = ThumborUrls(BASE, "a key")
    words = ["smart", "filters:quality(70):blur(3)", "300x200", "fit-in"]
    assert made.of_words("a", words) == made.of_words("a", ["fit-in", "300x200", "smart", "quality(70)", "blur(3)"])


def test_thumbor_srcset_keeps_the_shape() -> None:
    made = ThumborUrls().srcset("a.jpg", [320, 640], width=3, height=2, smart=True)
    assert made == "/unsafe/320x213/smart/a.jpg 320w, /unsafe/640x427/smart/a.jpg 640w"
    with pytest.raises(OptionInvalid, match="in numbers"):
        ThumborUrls().srcset("a.jpg", [320], width="orig", height=2)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["300y200"], "expected an option such as"),
        (["300x200", "20x"], "expected one of 300x200 and 20x, got both"),
        (["blurr(3)"], "expected a filter that the mount knows"),
        (["blur()"], "expected a filter that the mount knows"),
        (["trim:left"], "expected options of the grammar"),
    ],
)
def test_thumbor_options_that_the_server_would_ignore(words: list[str], sentence: str) -> None:
    with pytest.raises(OptionInvalid, match=sentence):
        ThumborUrls().of_words("a.jpg", words)


@pytest.mark.parametrize("made", [ImgproxyUrls(), ThumborUrls()])
def test_a_source_is_needed(made: ImgproxyUrls | ThumborUrls) -> None:
    with pytest.raises(OptionInvalid, match="expected a source"):
        made.url("")


TEXTS = st.text(st.sampled_from(string.ascii_letters + string.digits + "/:@%?#&=+ .ä漢\"'()<>,"), min_size=1)


@given(source=TEXTS)
def test_any_source_comes_back(source: str) -> None:
    for made in (urls(), ImgproxyUrls(BASE, KEY, SALT, is_plain=True)):
        assert IMGPROXY.parse(path_of(made.url(source, width=3)), Negotiable(), 0.0).source in (source, _mended(source))
    url = ThumborUrls(BASE, "a key").url(source, width=3, filters=["quality(70)"])
    assert THUMBOR.parse(path_of(url), Negotiable(), 0.0).source == source


def _mended(source: str) -> str:
    """The plain spelling is for sources that a proxy may have taken a slash of: ``http:/a`` is ``http://a``."""
    scheme, colon, rest = source.partition(":/")
    return f"{scheme}{colon}/{rest}" if colon and not rest.startswith("/") else source
