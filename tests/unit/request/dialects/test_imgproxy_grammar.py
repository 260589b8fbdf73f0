"""Paths of imgproxy: signature, options, source, presets, and what is refused."""

import base64
import hashlib
import hmac
from typing import Any

import msgspec
import pytest

from imgserve.request.dialects.dialect import Answer, Negotiable
from imgserve.request.dialects.imgproxy.config import Config
from imgserve.request.dialects.imgproxy.grammar import Grammar
from imgserve.request.dialects.imgproxy.parameters import Gravity, Parameters
from imgserve.request.dialects.imgproxy.refused import Forbidden, ImgproxyRefused, InvalidUrl, OptionForbidden
from imgserve.setting import Secret

NOW_S = 1_700_000_000.0
URL = "https://example.com/photos/cat.jpg"
ENCODED = base64.urlsafe_b64encode(URL.encode()).decode().rstrip("=")
OPEN = Grammar(Config(allow_security_options=True, allow_raw=True, watermark="mark"), allow_unsigned=True)
PLAIN = OPEN.parse(f"/_/{ENCODED}", Negotiable(), NOW_S).parameters


def parsed(options: str, grammar: Grammar = OPEN, negotiable: Negotiable = Negotiable()) -> Parameters:  # noqa: B008
    return grammar.parse(f"/_/{options}/{ENCODED}", negotiable, NOW_S).parameters


def changed(**fields: Any) -> Parameters:
    return msgspec.structs.replace(PLAIN, **fields)


def refused(path: str, grammar: Grammar = OPEN) -> type[ImgproxyRefused]:
    with pytest.raises(ImgproxyRefused) as caught:
        grammar.parse(path, Negotiable(), NOW_S)
    return caught.type


@pytest.mark.parametrize(
    ("options", "fields"),
    [
        ("w:300", {"width": 300}),
        ("width:+300", {"width": 300}),
        ("rs:fill:300:200:1:1:no:1:0.5", {
            "resizing_type": "fill", "width": 300, "height": 200, "enlarge": True, "extend": True,
            "extend_gravity": Gravity("no", 1.0, 0.5),
        }),
        ("rs::200", {"width": 200}),
        ("rs:fill-down", {"resizing_type": "fill-down"}),
        ("s:100:50:t", {"width": 100, "height": 50, "enlarge": True}),
        ("w:10/s::20", {"width": 10, "height": 20}),
        ("w:10/w:20", {"width": 20}),
        ("mw:10/mh:20", {"min_width": 10, "min_height": 20}),
        ("z:2", {"zoom_x": 2.0, "zoom_y": 2.0}),
        ("z:2:.5", {"zoom_x": 2.0, "zoom_y": 0.5}),
        ("dpr:1e0", {}),
        ("el:yes", {}),
        ("el:1/el:on", {}),
        ("ex:1", {"extend": True}),
        ("ex:0:no", {}),
        ("exar:1:fp:0:1", {"extend_aspect_ratio": True, "extend_aspect_ratio_gravity": Gravity("fp", 0.0, 1.0)}),
        ("g:no:10:20/g:so", {"gravity": Gravity("so", 10.0, 20.0)}),
        ("g:no:10:20/g:sm", {"gravity": Gravity("sm")}),
        ("c:0.5:100", {"crop_width": 0.5, "crop_height": 100.0, "crop_gravity": Gravity()}),
        ("c:10:20/g:soea:-3:0.25", {
            "crop_width": 10.0, "crop_height": 20.0, "gravity": Gravity("soea", -3.0, 0.25),
            "crop_gravity": Gravity("soea", -3.0, 0.25),
        }),
        ("c:10:20:sm/g:no", {
            "crop_width": 10.0, "crop_height": 20.0, "gravity": Gravity("no"), "crop_gravity": Gravity("sm"),
        }),
        ("c:0:0:no", {}),
        ("t:10", {"trim": 10.0}),
        ("t:10:f0c:1", {"trim": 10.0, "trim_color": "#ff00cc", "trim_equal_hor": True}),
        ("t:10:f0c:1/t:", {}),
        ("pd:10", {"padding": (10, 10, 10, 10)}),
        ("pd:10:20", {"padding": (10, 20, 10, 20)}),
        ("pd:10:20:30", {"padding": (10, 20, 30, 20)}),
        ("pd:1:::4", {"padding": (1, 1, 1, 4)}),
        ("rot:-90", {"rotate": 270}),
        ("rot:720", {}),
        ("fl:1", {"flip_horizontal": True}),
        ("fl::1", {"flip_vertical": True}),
        ("ar:0", {"auto_rotate": False}),
        ("bg:1a2", {"background": "#11aa22"}),
        ("bg:255:0:16", {"background": "#ff0010"}),
        ("bg:1a2/bg:", {}),
        ("bl:2.5/sh:0.7/pix:8", {"blur": 2.5, "sharpen": 0.7, "pixelate": 8}),
        ("pix:1", {}),
        ("sm:0/kcr:0", {"strip_metadata": False}),
        ("kcr:0", {"keep_copyright": False}),
        ("scp:0", {"strip_color_profile": False}),
        ("mb:1000", {"max_bytes": 1000}),
        ("skp:svg:jpg", {"skip_processing": ("jpeg", "svg")}),
        ("skp:svg/skp:jpg", {"skip_processing": ("jpeg", "svg")}),
        ("sp:gif", {"skip_processing": ("gif",)}),
        ("cb:anything", {}),
        ("ph:1/eth:1", {}),
        ("msr:0.5/mafr:1/maf:7/mrd:99/msfs:5", {
            "max_source_pixels": 500_000, "max_frame_pixels": 1_000_000, "max_frames": 7,
            "max_result_dimension": 99, "max_source_bytes": 5,
        }),
        ("ra:nearest/pg:3/da:1", {"kernel": "nearest", "page": 3}),
        ("q:50", {"qualities": (("avif", 50), ("jpeg", 50), ("webp", 50))}),
        ("fq:jpg:12:webp:34", {"qualities": (("avif", 63), ("jpeg", 12), ("webp", 34))}),
        ("q:9/fq:jpg:12", {"qualities": (("avif", 9), ("jpeg", 9), ("webp", 9))}),
        ("q:9/fq:jpg:12/q:0", {"qualities": (("avif", 63), ("jpeg", 12), ("webp", 79))}),
    ],
)  # fmt: skip
def test_options(options: str, fields: dict[str, Any]) -> None:
    assert parsed(options) == changed(**fields)


def test_a_format_keeps_what_it_needs() -> None:
    assert parsed("f:jpg") == changed(format="jpeg", qualities=(("jpeg", 80),), preferred=())
    assert parsed("f:png/q:3") == changed(format="png", qualities=(), preferred=())
    assert parsed("f:avif").qualities == (("avif", 63), ("jpeg", 80))


def test_a_watermark_needs_opacity_and_a_picture() -> None:
    mark = parsed("wm:0.5:soea:10:-0.2:0.25").watermark
    assert (mark.opacity, mark.position, mark.scale, mark.name) == (0.5, Gravity("soea", 10.0, -0.2), 0.25, "mark")
    assert parsed("wm:0:soea") == PLAIN
    without = Grammar(Config(), allow_unsigned=True)
    assert parsed("wm:1", without) == parsed("cb:", without)
    url = base64.urlsafe_b64encode(b"https://example.com/m.png").decode()
    assert parsed(f"wm:1/wmu:{url}", without).watermark.url == "https://example.com/m.png"


@pytest.mark.parametrize(
    "options",
    [
        "w:", "w:-1", "w:1.5", "w:1_0", "w:\u0661", "w: 1", "w:99999999999", "w:1:2", "h:x", "nothing:1", ":1", "W:1",
        "rs:cover", "rs:fit:1:2:3:4:5:6:7:8", "s:1:2:3:4:5:6:7:8", "z:0", "z:1:", "z:1:2:3", "dpr:0", "dpr:-1",
        "dpr:inf", "dpr:nan", "dpr:1e999", "dpr:0x10", "g:xx", "g:sm:1", "g:fp", "g:fp:0.5", "g:fp:0.5:1.1",
        "g:fp:-0.1:0",
        "g:no:1:2:3", "g:re", "ex:1:sm", "ex:1:no:1:2:3", "c:-1", "c:1:1:no:1:1:1", "t:x", "t:1:ff", "t:1:fff:1:1:1",
        "pd:-1", "pd:1:2:3:4:5", "rot:45", "fl:1:1:1", "bg:ff", "bg:1:2", "bg:256:0:0", "bg:1:2:3:4", "bl:-1", "wm:1.5",
        "wm:1:sm", "wm:1:ce:0:0:0", "wm:1:ce:0:0:1:1", "wm:", "q:101", "q:-1", "fq:jpg", "fq:xxx:1", "mb:-1", "f:psd",
        "f:jpg:1",
        "skp:psd", "exp:tomorrow", "exp:1", "fn:a:1:1", "fn:%%:1", "pr:none", "maf:0", "msr:-1", "wmt:abc", "gr:1",
        "w:" + "9" * 100_000, "dpr:" + "1" * 100_000,
    ],
)  # fmt: skip
def test_refused_options(options: str) -> None:
    assert refused(f"/_/{options}/{ENCODED}") is InvalidUrl


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (f"plain/{URL}", URL),
        ("plain/https:/example.com/a.jpg", "https://example.com/a.jpg"),
        ("plain/local:/a.jpg", "local:///a.jpg"),
        ("plain/local:///a.jpg", "local:///a.jpg"),
        ("plain/https%3A%2F%2Fexample.com%2Fa%2520b.jpg%3Fx=1", "https://example.com/a%20b.jpg?x=1"),
        ("plain/https://example.com/%40a.jpg@", "https://example.com/@a.jpg"),
        ("plain/%C3%A9.jpg", "é.jpg"),
        (ENCODED, URL),
        (ENCODED + "==", URL),
        (f"{ENCODED[:10]}/{ENCODED[10:20]}/{ENCODED[20:]}", URL),
        (f"/{ENCODED}", URL),
        (f"{ENCODED}.", URL),
    ],
)
def test_sources(source: str, expected: str) -> None:
    assert OPEN.parse(f"/_/w:1/{source}", Negotiable(), NOW_S).source == expected


@pytest.mark.parametrize(
    "path",
    [
        "", "/", "/_", "/_/", "_/w:1/plain/a", "/_/w:1", "/_/w:1/", "/_/w:1/plain/", "/_/w:1/plain/@png",
        "/_/plain/a@png@jpg",
        "/_/plain/a%2", "/_/plain/a%zz", "/_/plain/%ff", f"/_/{ENCODED}.png.jpg", "/_/a*b", "/_/.png", "/_/====",
        "/_/plain/a@psd", f"/_/{ENCODED}.psd", f"/_/fit/300/200/ce/0/{ENCODED}", f"/_/auto/w:1/{ENCODED}", "/_/gA",
        "/_/abcde", "/_/w:1/plain",
    ],
)  # fmt: skip
def test_refused_paths(path: str) -> None:
    assert refused(path) is InvalidUrl


@pytest.mark.parametrize("part", ["fn:{}", "w:{}", "pr:{}", "{}:1", "plain/{}", "{}"])
def test_bytes_that_are_no_text(part: str) -> None:
    assert refused(f"/_/{part.format(chr(0xDCFF))}/{ENCODED}") is InvalidUrl


def test_the_extension_is_the_last_format() -> None:
    for source in (f"{ENCODED}.webp", f"plain/{URL}@webp"):
        assert OPEN.parse(f"/_/f:png/{source}", Negotiable(), NOW_S).parameters.format == "webp"


def test_encoded_colons_of_options_are_mended() -> None:
    path = f"/_/w%3A10/h%3a20/plain/{URL}%3Ax"
    asked = OPEN.parse(path, Negotiable(), NOW_S)
    assert asked.parameters == changed(width=10, height=20)
    assert asked.source == URL + ":x"


def test_a_file_name_behind_the_source() -> None:
    grammar = Grammar(Config(url_includes_filename=True), allow_unsigned=True)
    for source in (f"{ENCODED}/cat.jpg", ENCODED, f"{ENCODED[:9]}/{ENCODED[9:]}/cat"):
        assert grammar.parse(f"/_/w:1/{source}", Negotiable(), NOW_S).source == URL
    assert grammar.parse(f"/_/w:1/plain/{URL}", Negotiable(), NOW_S).source == URL


def test_replacements() -> None:
    config = Config(url_replacements=("^mys3://([^/]+)=>s3://$1-bucket", r"\.jpe?g$=>.png", "bucket=>${0}s$$"))
    assert config.problems() == ()
    grammar = Grammar(config, allow_unsigned=True)
    asked = grammar.parse("/_/w:1/plain/mys3://a/b.jpg", Negotiable(), NOW_S)
    assert asked.source == "s3://a-buckets$/b.png"


class TestSignature:
    config = Config(keys=(Secret("6b31"), Secret("6b32")), salts=(Secret("7331"), Secret("7332")))
    grammar = Grammar(config, allow_unsigned=False)

    @staticmethod
    def signed(rest: str, key: bytes = b"k1", salt: bytes = b"s1") -> str:
        digest = hmac.new(key, salt + rest.encode(), hashlib.sha256).digest()
        return f"/{base64.urlsafe_b64encode(digest).decode().rstrip('=')}{rest}"

    def test_each_pair_may_have_signed(self) -> None:
        rest = f"/w:10/{ENCODED}"
        for path in (self.signed(rest), self.signed(rest, b"k2", b"s2"), self.grammar.sign(rest)):
            assert self.grammar.parse(path, Negotiable(), NOW_S).is_signed

    def test_wrong_ones_are_403(self) -> None:
        rest = f"/w:10/{ENCODED}"
        right = self.signed(rest)
        mixed = self.signed(rest, b"k1", b"s2")
        padded = right.replace("/w", "=/w", 1)
        for path in (mixed, padded, f"/unsafe{rest}", f"/w:5{rest}", right.replace("w:10", "w:11"), f"/{rest}"):
            assert refused(path, self.grammar) is Forbidden

    def test_the_mended_path_is_signed(self) -> None:
        path = self.signed("/w:10/plain/https://example.com/a.jpg")
        broken = path.replace("w:10", "w%3A10").replace("https://", "https:/")
        assert self.grammar.parse(broken, Negotiable(), NOW_S).is_signed

    def test_trusted_words_and_sizes(self) -> None:
        config = msgspec.structs.replace(self.config, trusted_signatures=("word",), signature_size=5)
        grammar = Grammar(config, allow_unsigned=False)
        assert grammar.parse(f"/word/w:10/{ENCODED}", Negotiable(), NOW_S).is_signed
        assert len(grammar.sign(f"/w:10/{ENCODED}").split("/")[1]) == 7
        assert refused(self.signed(f"/w:10/{ENCODED}"), grammar) is Forbidden

    def test_unsigned_ones_only_if_allowed(self) -> None:
        without_keys = Grammar(Config(), allow_unsigned=False)
        assert refused(f"/unsafe/w:10/{ENCODED}", without_keys) is Forbidden
        both = Grammar(self.config, allow_unsigned=True)
        assert not both.parse(f"/unsafe/w:10/{ENCODED}", Negotiable(), NOW_S).is_signed
        assert both.parse(self.signed(f"/w:10/{ENCODED}"), Negotiable(), NOW_S).is_signed
        assert refused(f"/w:10/h:20/{ENCODED}", both) is Forbidden

    def test_the_signature_comes_before_the_options(self) -> None:
        assert refused(f"/unsafe/nothing:10/{ENCODED}", self.grammar) is Forbidden


class TestPresets:
    config = Config(
        presets=("default=q:33", "thumb=rs:fill:100:100/g:sm", "# none=w:1", "", "blurry=bl:5/pr:thumb",
        "loop=w:7/pr:loop:a",
                 "a=h:9/pr:loop", "outer=pr:inner", "inner=w:3/pr:inner"),
    )  # fmt: skip
    grammar = Grammar(config, allow_unsigned=True)

    def test_the_default_is_for_all(self) -> None:
        assert parsed("w:1", self.grammar).qualities == (("avif", 33), ("jpeg", 33), ("webp", 33))
        assert parsed("q:44", self.grammar).qualities == (("avif", 44), ("jpeg", 44), ("webp", 44))

    def test_presets_in_order_with_options(self) -> None:
        picture = parsed("w:1/pr:thumb:blurry/h:7", self.grammar)
        assert (picture.width, picture.height, picture.blur, picture.gravity.type) == (100, 7, 5.0, "sm")

    def test_a_preset_within_itself_is_passed_over(self) -> None:
        picture = parsed("pr:loop", self.grammar)
        assert (picture.width, picture.height) == (7, 9)
        assert parsed("pr:outer", self.grammar).width == 3

    def test_only_presets(self) -> None:
        grammar = Grammar(msgspec.structs.replace(self.config, only_presets=True), allow_unsigned=True)
        assert grammar.parse(f"/_/thumb:blurry/{ENCODED}", Negotiable(), NOW_S).parameters.blur == 5.0
        assert refused(f"/_/w:100/{ENCODED}", grammar) is InvalidUrl
        assert refused(f"/_/thumb/w:100/{ENCODED}", grammar) is InvalidUrl

    def test_allowed_options_are_as_written_and_for_urls_alone(self) -> None:
        grammar = Grammar(msgspec.structs.replace(self.config, allowed_options=("w", "pr")), allow_unsigned=True)
        assert parsed("w:1/pr:thumb", grammar).height == 100
        assert refused(f"/_/width:1/{ENCODED}", grammar) is InvalidUrl


def test_security_options_are_403() -> None:
    grammar = Grammar(Config(), allow_unsigned=True)
    for option in ("msr:1", "msfs:1", "maf:1", "mafr:1", "mrd:1", "max_src_resolution:1"):
        assert refused(f"/_/{option}/{ENCODED}", grammar) is OptionForbidden


def test_answers() -> None:
    asked = OPEN.parse(f"/_/fn:cat/att:1/exp:{NOW_S + 5:.0f}/{ENCODED}", Negotiable(), NOW_S)
    assert asked.answer == Answer(filename="cat", is_attachment=True, expires_at_s=int(NOW_S) + 5)
    assert OPEN.parse(f"/_/fn:w6k:t/{ENCODED}", Negotiable(), NOW_S).answer.filename == "é"
    assert OPEN.parse(f"/_/exp:0/{ENCODED}", Negotiable(), NOW_S).answer.expires_at_s is None
    assert OPEN.parse(f"/_/exp:{NOW_S:.0f}/{ENCODED}", Negotiable(), NOW_S).answer.expires_at_s == NOW_S
    assert refused(f"/_/exp:{NOW_S - 1:.0f}/{ENCODED}") is InvalidUrl


def test_raw_is_off_unless_said() -> None:
    asked = OPEN.parse(f"/_/raw:1/w:10/{ENCODED}.nonsense", Negotiable(), NOW_S)
    assert asked.answer.kind == "raw"
    assert asked.parameters == Parameters()
    assert refused(f"/_/raw:1/{ENCODED}", Grammar(Config(), allow_unsigned=True)) is InvalidUrl


def test_the_client_chooses_where_the_url_does_not() -> None:
    both = Negotiable(frozenset({"avif", "webp", "png"}))
    assert parsed("w:1", negotiable=both).accepted == ("avif", "webp")
    assert parsed("f:jpg", negotiable=both) == parsed("f:jpg")
    grammar = Grammar(Config(enforced_formats=("webp",)), allow_unsigned=True)
    assert parsed("f:jpg", grammar, both).enforced == ("webp",)
    assert parsed("f:jpg", grammar, both).accepted == ()
    assert parsed("f:jpg", grammar).enforced == ()
    assert parsed("w:1", grammar, both).accepted == ("avif", "webp")


def test_hints_give_way_to_options() -> None:
    hints = Negotiable(dpr=2.0, width_px=301)
    assert parsed("h:1", negotiable=hints) == changed(height=1, dpr=2.0, width=151)
    assert parsed("w:7/dpr:1", negotiable=hints) == changed(width=7)


@pytest.mark.parametrize(
    ("config", "field"),
    [
        (Config(keys=(Secret("6b"),)), "keys"),
        (Config(keys=(Secret("no"),), salts=(Secret("6b"),)), "keys"),
        (Config(presets=("a=w:x",)), "presets"),
        (Config(presets=("a=w",)), "presets"),
        (Config(presets=("a",)), "presets"),
        (Config(presets=("=w:1",)), "presets"),
        (Config(presets=("a=pr:b",)), "presets"),
        (Config(presets=("a=mrd:5",)), "presets"),
        (Config(format_quality=("jpeg=0",)), "format_quality"),
        (Config(format_quality=("jpeg",)), "format_quality"),
        (Config(preferred_formats=("heic",)), "preferred_formats"),
        (Config(preferred_formats=()), "preferred_formats"),
        (Config(enforced_formats=("png",)), "enforced_formats"),
        (Config(skip_processing_formats=("psd",)), "skip_processing_formats"),
        (Config(url_replacements=("abc",)), "url_replacements"),
        (Config(url_replacements=("(=>x",)), "url_replacements"),
        (Config(url_replacements=("a=>$1",)), "url_replacements"),
        (Config(allowed_options=("nothing",)), "allowed_options"),
        (Config(arguments_separator="/"), "arguments_separator"),
        (Config(watermark="no name"), "watermark"),
    ],
)
def test_problems_of_settings(config: Config, field: str) -> None:
    (problem,) = config.problems()
    assert problem.field == field


def test_the_usual_settings_have_no_problem() -> None:
    assert Config().problems() == ()


def test_no_key_in_a_problem() -> None:
    (problem,) = Config(keys=(Secret("topsecret"),), salts=(Secret("6b"),)).problems()
    assert "topsecret" not in problem.sentence
