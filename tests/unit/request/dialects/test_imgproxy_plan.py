"""Recipes of imgproxy's options, against figures made by hand from its arithmetic."""

from typing import Any

import msgspec
import pytest

from imgserve.request.dialects.dialect import Negotiable
from imgserve.request.dialects.imgproxy.config import Config
from imgserve.request.dialects.imgproxy.dialect import Imgproxy
from imgserve.request.dialects.imgproxy.parameters import Parameters
from imgserve.request.dialects.imgproxy.refused import FormatUnsupported, ImgproxyRefused, PictureRefused
from imgserve.request.encode import faults_of
from imgserve.request.geometry import Part
from imgserve.request.imageinfo import ImageInfo, Size
from imgserve.request.imageref import ImageRef
from imgserve.request.operations.blur import Blur
from imgserve.request.operations.composite import Composite
from imgserve.request.operations.crop import Crop
from imgserve.request.operations.extend import Extend
from imgserve.request.operations.flatten import Flatten
from imgserve.request.operations.flip import Flip
from imgserve.request.operations.flop import Flop
from imgserve.request.operations.pixelate import Pixelate
from imgserve.request.operations.rasterize import Rasterize
from imgserve.request.operations.resize import Resize
from imgserve.request.operations.rotate import Rotate
from imgserve.request.operations.sharpen import Sharpen
from imgserve.request.operations.trim import Trim
from imgserve.request.recipe import Operation
from imgserve.request.rendering import steps_of

JPEG = ImageInfo("jpeg", 400, 200)
PNG = ImageInfo("png", 400, 200, has_alpha=True)
DIALECT = Imgproxy(Config(allow_security_options=True, watermark="mark", watermark_opacity=0.5), allow_unsigned=True)
ANY = Negotiable()


def parameters(options: str, negotiable: Negotiable = ANY) -> Parameters:
    return DIALECT.parse(f"/_/{options}/plain/http://example.com/a", negotiable, 0.0).parameters


def operations(options: str, info: ImageInfo = JPEG) -> tuple[Operation, ...]:
    return DIALECT.plan(parameters(options), info).recipe.operations


def behind_trim(options: str, kept: Size, info: ImageInfo) -> tuple[Operation, ...]:
    """Without the crop to what the trim keeps, which lies at the corner."""
    planned = DIALECT.trimmed(parameters(options), info, Part(0, 0, kept)).recipe.operations
    return planned[1:] if planned and planned[0] == crop(0, 0, kept.width_px, kept.height_px) else planned


def size(options: str, info: ImageInfo = JPEG) -> tuple[int, int]:
    recipe_operations = operations(options, info)
    if not recipe_operations:
        return round(info.width_px), round(info.height_px)
    last = steps_of(recipe_operations, info)[-1].size
    return last.width_px, last.height_px


def resize(width: int, height: int, **fields: Any) -> Resize:
    return Resize(width, height, fit="fill", if_small="enlarge", **fields)


def crop(left: int, top: int, width: int, height: int) -> Crop:
    return Crop(left=left, top=top, width=width, height=height)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("cb:1", (400, 200)),
        ("w:100", (100, 50)),
        ("h:50", (100, 50)),
        ("rs:fit:100:100", (100, 50)),
        ("rs:fill:100:100", (100, 100)),
        ("rs:force:100:100", (100, 100)),
        ("rs:force:100", (100, 200)),
        ("rs:auto:100:40", (100, 40)),
        ("rs:auto:100:300", (100, 50)),
        ("w:800", (400, 200)),
        ("w:800/el:1", (800, 400)),
        ("rs:fill:800:800", (400, 200)),
        ("rs:fill:800:800:1", (800, 800)),
        ("rs:fill-down:800:800", (200, 200)),
        ("rs:fill-down:800:800:1", (800, 800)),
        ("rs:fill-down:100:100", (100, 100)),
        ("rs:fill-down:100:40/mw:200", (100, 40)),
        ("w:100/dpr:2", (200, 100)),
        ("w:300/dpr:2", (400, 200)),
        ("w:800/dpr:0.5", (400, 200)),
        ("w:100/z:2", (200, 100)),
        ("rs:force:100:100/z:2:0.5", (200, 50)),
        ("w:100/mw:200", (100, 100)),
        ("w:100/mh:100", (100, 100)),
        ("rs:fit:300:300:0:1", (300, 300)),
        ("rs:fit:500:500:0:1", (500, 500)),
        ("rs:fit:500:500:0:1/dpr:2", (500, 500)),
        ("rs:fit:500:500:0:1/dpr:0.5", (250, 250)),
        ("rs:fit:100:100/exar:1", (100, 100)),
        ("rs:fit:800:800/exar:1", (400, 400)),
        ("w:100/exar:1", (100, 50)),
        ("w:100/pd:10:20", (140, 70)),
        ("w:100/pd:10/dpr:2", (240, 140)),
        ("c:0.5:0", (200, 200)),
        ("c:100:50", (100, 50)),
        ("c:100.9:50", (100, 50)),
        ("c:1000:50", (400, 50)),
        ("c:0.001:0.001", (1, 1)),
        ("c:200:200/w:100", (100, 100)),
        ("c:0:0/car:1", (200, 200)),
        ("c:100:50/car:1", (50, 50)),
        ("c:100:50/car:1:1", (100, 100)),
        ("c:300:100/car:1:1", (200, 200)),
        ("rot:90", (200, 400)),
        ("rot:90/w:100", (100, 200)),
        ("rot:180/w:100", (100, 50)),
        ("w:100/mrd:80", (80, 40)),
        ("w:100/pd:10/mrd:60", (60, 35)),
        ("rs:fit:300:600:0:1/mrd:300", (150, 300)),
        ("rs:fit:300:600/exar:1/mrd:300", (150, 300)),
        ("rs:force:1:0", (1, 200)),
        ("w:1/h:0", (1, 1)),
    ],
)
def test_sizes(options: str, expected: tuple[int, int]) -> None:
    assert size(options) == expected


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("cb:1", ()),
        ("w:400/h:200", ()),
        ("w:100", (resize(100, 50),)),
        ("w:100/ra:nearest", (resize(100, 50, kernel="nearest"),)),
        ("rs:fill:100:100", (resize(200, 100), crop(50, 0, 100, 100))),
        ("rs:fill:100:100/g:we", (resize(200, 100), crop(0, 0, 100, 100))),
        ("rs:fill:100:100/g:ea:10/dpr:1.5", (resize(300, 150), crop(135, 0, 150, 150))),
        ("rs:fill:100:100/g:ea:0.1", (resize(200, 100), crop(80, 0, 100, 100))),
        ("rs:fill:100:100/g:fp:0.9:0", (resize(200, 100), crop(100, 0, 100, 100))),
        ("rs:fill:100:100/g:sm", (resize(200, 100), Crop(width=100, height=100, gravity="attention"))),
        ("c:100:100", (crop(150, 50, 100, 100),)),
        ("c:101:100", (crop(150, 50, 101, 100),)),
        ("c:99:99", (crop(151, 51, 99, 99),)),
        ("c:99:99:fp:0.5:0.5", (crop(151, 51, 99, 99),)),
        # 46.5 from the top of the stored picture; turned by three quarters one after the other it would be 46.500...1.
        ("c:2:2:fp:0.2325:0.5/rot:270", (crop(199, 45, 2, 2), Rotate(270.0))),
        ("c:100:100:nowe:7:9/w:50", (crop(7, 9, 100, 100), resize(50, 50))),
        ("c:100:100:nowe:7:9/w:50/dpr:2", (crop(7, 9, 100, 100),)),
        ("c:100:100/g:so:0:5", (crop(150, 95, 100, 100),)),
        ("c:100:100:sm", (Crop(width=100, height=100, gravity="attention"),)),
        ("rot:90", (Rotate(90.0),)),
        ("rot:180/fl:1", (Flip(),)),
        ("rot:180/fl:1:1", ()),
        ("fl:1", (Flop(),)),
        ("fl:0:1", (Flip(),)),
        ("fl:1:1", (Rotate(180.0),)),
        ("rot:90/fl:1", (Rotate(90.0), Flop())),
        ("rot:90/w:100", (resize(200, 100), Rotate(90.0))),
        ("rot:90/c:50:40:nowe:1:2", (crop(2, 149, 40, 50), Rotate(90.0))),
        ("fl:1/c:50:40:nowe:1:2", (crop(349, 2, 50, 40), Flop())),
        ("fl:0:1/c:50:40:nowe:1:2", (crop(1, 158, 50, 40), Flip())),
        ("bl:5/sh:1/pix:8", (Blur(5.0), Sharpen(1.0, flat=0.0, jagged=3.0), Pixelate(8, mirror=True))),
        ("bl:0.1/sh:0.1", ()),
        ("bl:999/sh:999/pix:9999", (Blur(250.0), Sharpen(10.0, flat=0.0, jagged=3.0), Pixelate(400, mirror=True))),
        ("pd:10:20", (Extend(left=20, top=10, width=440, height=220, background="#ffffff"),)),
        ("pd:10:20/f:png", (Extend(left=20, top=10, width=440, height=220),)),
        ("pd:10:20/bg:ff0000", (Extend(left=20, top=10, width=440, height=220, background="#ff0000"),)),
        ("rs:fit:300:300:0:1:no/f:png", (resize(300, 150), Extend(left=0, top=0, width=300, height=300))),
        ("rs:fit:300:300:0:1:so:0:10/pd:1/f:png", (
            resize(300, 150), Extend(left=1, top=141, width=302, height=302),
        )),
        ("rs:fit:300:300:0:1/f:png", (resize(300, 150), Extend(left=0, top=76, width=300, height=300))),
        ("bg:ff0000", ()),
        ("t:", ()),
    ],
)  # fmt: skip
def test_operations(options: str, expected: tuple[Operation, ...]) -> None:
    if options.startswith("pd:10:20") and "f:png" not in options:
        options += "/f:jpg"
    assert operations(options) == expected


def test_the_urls_order_changes_nothing() -> None:
    assert operations("pd:5/bl:3/w:100/c:200:100") == operations("c:200:100/w:100/bl:3/pd:5")


@pytest.mark.parametrize(
    ("orientation", "expected"),
    [
        (1, crop(10, 20, 100, 50)),
        (2, crop(10, 20, 100, 50)),
        (6, crop(10, 20, 100, 50)),
        (8, crop(10, 20, 100, 50)),
    ],
)
def test_crops_are_meant_upright(orientation: int, expected: Crop) -> None:
    info = ImageInfo("jpeg", 400, 200, orientation=orientation)
    assert operations("c:100:50:nowe:10:20", info) == (expected,)


def test_without_orientation_the_picture_is_as_stored() -> None:
    info = ImageInfo("jpeg", 200, 400, orientation=6)
    planned = DIALECT.plan(parameters("ar:0/w:100"), info)
    assert planned.recipe.operations == (resize(100, 50),)
    assert not planned.recipe.load.orient
    assert DIALECT.plan(parameters("w:100"), info).recipe.operations == (resize(100, 200),)
    assert DIALECT.plan(parameters("ar:0/w:100"), JPEG).recipe == DIALECT.plan(parameters("w:100"), JPEG).recipe


class TestTransparency:
    def test_a_background_is_laid_beneath_what_is_transparent(self) -> None:
        assert operations("bg:0f0", PNG) == (Flatten("#00ff00"),)
        assert operations("bg:0f0/pd:1", PNG) == (
            Extend(left=1, top=1, width=402, height=202, background="#00ff00"),
            Flatten("#00ff00"),
        )

    def test_a_jpeg_is_white_beneath(self) -> None:
        planned = DIALECT.plan(parameters("f:jpg"), PNG)
        assert planned.recipe.operations == ()
        assert planned.recipe.encode.background == "#ffffff"
        assert operations("f:jpg/wm:1", PNG)[0] == Flatten("#ffffff")
        assert operations("f:jpg/wm:1", JPEG)[0] != Flatten("#ffffff")


class TestFormats:
    @pytest.mark.parametrize(
        ("options", "info", "expected"),
        [
            ("cb:1", JPEG, "jpeg"),
            ("cb:1", PNG, "png"),
            ("cb:1", ImageInfo("gif", 9, 9), "gif"),
            ("cb:1", ImageInfo("webp", 9, 9), "jpeg"),
            ("cb:1", ImageInfo("webp", 9, 9, has_alpha=True), "png"),
            ("bg:fff", ImageInfo("webp", 9, 9, has_alpha=True), "jpeg"),
            ("pd:1", ImageInfo("webp", 9, 9), "png"),
            ("ex:1", ImageInfo("webp", 9, 9), "png"),
            ("exar:1", ImageInfo("webp", 9, 9), "jpeg"),
            ("pd:1", JPEG, "jpeg"),
            ("cb:1", ImageInfo("heic", 9, 9), "jpeg"),
            ("cb:1", ImageInfo("webp", 9, 9, frames=5), "jpeg"),
            ("maf:9", ImageInfo("webp", 9, 9, frames=5), "gif"),
            ("f:webp", JPEG, "webp"),
            ("f:tiff", JPEG, "tiff"),
            ("f:avif", JPEG, "avif"),
            ("f:avif", ImageInfo("jpeg", 16, 16), "avif"),
            ("f:avif", ImageInfo("jpeg", 16, 15), "jpeg"),
            ("f:avif", ImageInfo("png", 16, 15, has_alpha=True), "png"),
            ("f:avif/pd:0:8", ImageInfo("jpeg", 16, 15), "png"),
            ("f:avif/pd:0:8/bg:fff", ImageInfo("jpeg", 16, 15), "jpeg"),
            ("f:avif/w:15", JPEG, "jpeg"),
        ],
    )
    def test_formats(self, options: str, info: ImageInfo, expected: str) -> None:
        assert DIALECT.plan(parameters(options), info).recipe.encode.format == expected

    def test_the_client_chooses(self) -> None:
        both = Negotiable(frozenset({"avif", "webp"}))
        chosen = [
            DIALECT.plan(parameters(options, both), info).recipe.encode.format
            for options, info in (
                ("cb:1", JPEG),
                ("f:png", JPEG),
                ("maf:9", ImageInfo("gif", 9, 9, frames=5)),
                ("w:10", JPEG),
            )
        ]
        assert chosen == ["avif", "png", "webp", "jpeg"]

    def test_enforced_ones(self) -> None:
        dialect = Imgproxy(Config(enforced_formats=("webp",)), allow_unsigned=True)
        asked = dialect.parse("/_/f:png/plain/http://a/b", Negotiable(frozenset({"webp"})), 0.0)
        assert dialect.plan(asked.parameters, JPEG).recipe.encode.format == "webp"

    @pytest.mark.parametrize("word", ["bmp", "ico", "heic", "jxl", "svg"])
    def test_those_that_are_not_written(self, word: str) -> None:
        with pytest.raises(FormatUnsupported):
            DIALECT.plan(parameters(f"f:{word}"), JPEG)

    def test_settings_of_the_result(self) -> None:
        encode = DIALECT.plan(parameters("f:webp/q:50/sm:0/scp:0/mb:5000"), JPEG).recipe.encode
        assert (encode.quality, encode.metadata, encode.profile, encode.max_bytes) == (50, "all", "source", 5000)
        encode = DIALECT.plan(parameters("cb:1"), JPEG).recipe.encode
        assert (encode.quality, encode.metadata, encode.profile, encode.progressive) == (80, "copyright", "srgb", False)
        assert DIALECT.plan(parameters("kcr:0"), JPEG).recipe.encode.metadata == "none"
        assert DIALECT.plan(parameters("f:avif"), JPEG).recipe.encode.quality == 63
        assert DIALECT.plan(parameters("f:avif/w:15"), JPEG).recipe.encode.quality == 80
        assert DIALECT.plan(parameters("f:png/q:50/mb:500"), JPEG).recipe.encode.quality is None
        assert DIALECT.plan(parameters("mb:1"), JPEG).recipe.encode.max_bytes == 100
        assert DIALECT.plan(parameters("f:webp/webpo:lossless/mb:500"), JPEG).recipe.encode.lossless
        assert DIALECT.plan(parameters("pngo:1:1:16"), PNG).recipe.encode.colors == 16
        near = DIALECT.plan(parameters("f:webp/webpo:near_lossless/q:60/mb:500"), JPEG).recipe.encode
        assert (near.near_lossless, near.lossless, near.max_bytes) == (60, False, None)

    @pytest.mark.parametrize(
        ("options", "progressive", "chroma"),
        [
            ("jpgo:1", True, "auto"), ("jpgo:0:1", False, "444"), ("pngo:1", False, "auto"),
            ("f:png/pngo:1", True, "auto"), ("f:png/jpgo:1:1", False, "auto"), ("f:gif/jpgo:1/pngo:1", False, "auto"),
        ],
    )  # fmt: skip
    def test_options_of_one_format(self, options: str, progressive: bool, chroma: str) -> None:
        encode = DIALECT.plan(parameters(options), JPEG).recipe.encode
        assert (encode.progressive, encode.chroma) == (progressive, chroma)
        assert faults_of(encode) == []

    def test_a_still_has_one_frame_whatever_their_limit(self) -> None:
        assert [parameters(one).max_frames for one in ("da:1/maf:9", "maf:9/da:1", "da:1/da:0/maf:9")] == [1, 1, 9]


class TestAnimations:
    GIF = ImageInfo("gif", 40, 20, frames=5)

    def test_one_frame_unless_more_are_allowed(self) -> None:
        assert DIALECT.plan(parameters("cb:1"), self.GIF).recipe.load.frames == "first"
        assert DIALECT.plan(parameters("maf:3"), self.GIF).recipe.load.frames == 3
        assert DIALECT.plan(parameters("maf:5"), self.GIF).recipe.load.frames == "auto"
        assert DIALECT.plan(parameters("maf:5/da:1"), self.GIF).recipe.load.frames == "first"
        assert DIALECT.plan(parameters("f:png"), self.GIF).recipe.load.frames == "auto"
        assert DIALECT.plan(parameters("pg:2/f:png"), self.GIF).recipe.load.page == 2

    def test_they_are_not_trimmed(self) -> None:
        assert DIALECT.plan(parameters("t:5/maf:5"), self.GIF).trim is None
        assert DIALECT.plan(parameters("t:5/maf:5/f:png"), self.GIF).trim is not None

    def test_pixels(self) -> None:
        big = ImageInfo("gif", 1000, 1000, frames=5)
        DIALECT.plan(parameters("maf:5/msr:5"), big)
        DIALECT.plan(parameters("msr:1"), big)
        DIALECT.plan(parameters("maf:5/msr:1/mafr:1"), big)
        for options in ("maf:5/msr:4.9", "msr:0.9", "maf:5/mafr:0.9"):
            with pytest.raises(PictureRefused):
                DIALECT.plan(parameters(options), big)


class TestTrim:
    def test_the_size_is_known_afterwards(self) -> None:
        planned = DIALECT.plan(parameters("t:10:ff0000:1/w:100"), JPEG)
        assert planned.trim == Trim(threshold=10.0, background="#ff0000", even_x=True, median=True)
        assert planned.recipe.operations == ()
        assert behind_trim("t:10/w:100", Size(50, 25), JPEG) == ()
        assert behind_trim("t:10/w:100", Size(200, 50), JPEG) == (resize(100, 25),)
        assert DIALECT.plan(parameters("t:10"), JPEG).trim == Trim(threshold=10.0, median=True)
        assert DIALECT.plan(parameters("t:-1"), JPEG).trim == Trim(threshold=0.0, median=True)
        assert DIALECT.plan(parameters("t:9"), PNG).trim == Trim(threshold=9.0, matte="#ff00ff", median=True)

    def test_it_comes_before_the_orientation(self) -> None:
        info = ImageInfo("jpeg", 200, 400, orientation=6)
        planned = DIALECT.plan(parameters("t:10/w:50"), info)
        assert not planned.recipe.load.orient
        assert behind_trim("t:10/w:50", Size(300, 100), info) == (resize(150, 50), Rotate(90.0))
        assert DIALECT.plan(parameters("t:10"), JPEG).recipe.load.orient

    def test_without_a_change_the_plan_is_the_same(self) -> None:
        options = "rs:fill:50:50/g:no/pd:3"
        assert behind_trim(f"t:10/{options}", Size(400, 200), JPEG) == operations(options)

    def test_the_whole_recipe_of_a_known_part(self) -> None:
        picture = parameters("t:10/w:50/f:avif")
        planned = DIALECT.trimmed(picture, JPEG, Part(3, 4, Size(100, 80)))
        assert planned.recipe.operations == (crop(3, 4, 100, 80), resize(50, 40))
        assert planned.recipe.encode.format == "avif"
        assert planned.trim is None
        thin = DIALECT.trimmed(picture, JPEG, Part(3, 4, Size(100, 10)))
        assert thin.recipe.encode.format == "jpeg"
        assert DIALECT.trimmed(picture, JPEG, Part(0, 0, Size(400, 200))).recipe.operations == (resize(50, 25),)

    def test_a_part_of_a_drawing(self) -> None:
        planned = DIALECT.trimmed(parameters("t:10/w:5/f:png"), ImageInfo("svg", 40, 20), Part(5, 0, Size(10, 20)))
        assert planned.recipe.operations == (
            Rasterize(width=40, height=20, fit="fill"),
            crop(5, 0, 10, 20),
            resize(5, 10),
        )

    def test_a_part_of_a_turned_picture(self) -> None:
        info = ImageInfo("jpeg", 200, 400, orientation=6)
        planned = DIALECT.trimmed(parameters("t:10"), info, Part(300, 0, Size(100, 200)))
        assert planned.recipe.operations == (crop(300, 0, 100, 200), Rotate(90.0))
        assert not planned.recipe.load.orient

    def test_a_trimmed_drawing_has_pixels(self) -> None:
        info = ImageInfo("svg", 40, 20)
        drawn = Rasterize(width=40, height=20, fit="fill")
        assert behind_trim("t:10/w:100/f:png", Size(40, 20), info) == (drawn,)


class TestSvg:
    SVG = ImageInfo("svg", 40.4, 20.2)

    def test_it_passes_through(self) -> None:
        for options in ("w:100", "f:svg"):
            assert DIALECT.plan(parameters(options), self.SVG).is_source
        assert not DIALECT.plan(parameters("f:png"), self.SVG).is_source

    def test_it_is_drawn_at_any_size(self) -> None:
        assert operations("f:png", self.SVG) == (Rasterize(width=40, height=20, fit="fill"),)
        assert operations("f:png/w:1000", self.SVG) == (Rasterize(width=1000, height=500, fit="fill"),)
        assert operations("f:png/c:10:10:nowe:5:5/w:100", self.SVG) == (
            Rasterize(width=400, height=200, fit="fill"),
            crop(50, 50, 100, 100),
        )
        assert operations("f:png/rot:90/w:40", self.SVG) == (
            Rasterize(width=80, height=40, fit="fill"),
            Rotate(90.0),
        )

    def test_always_drawn_by_setting(self) -> None:
        dialect = Imgproxy(Config(always_rasterize_svg=True), allow_unsigned=True)
        picture = dialect.parse("/_/w:10/plain/http://a/b", ANY, 0.0).parameters
        assert dialect.plan(picture, self.SVG).recipe.encode.format == "png"
        picture = dialect.parse("/_/skp:svg/plain/http://a/b", ANY, 0.0).parameters
        assert dialect.plan(picture, self.SVG).is_source

    def test_a_large_one_is_drawn_smaller(self) -> None:
        assert size("f:png/msr:0.01", ImageInfo("svg", 400, 100)) == (200, 50)

    def test_one_without_size(self) -> None:
        with pytest.raises(PictureRefused):
            DIALECT.plan(parameters("f:png"), ImageInfo("svg", 0, 0))


def test_skipped_formats() -> None:
    assert DIALECT.plan(parameters("skp:jpg/w:10"), JPEG).is_source
    assert DIALECT.plan(parameters("skp:jpg/f:jpg"), JPEG).is_source
    assert not DIALECT.plan(parameters("skp:jpg/f:png"), JPEG).is_source
    assert not DIALECT.plan(parameters("skp:png"), JPEG).is_source
    with pytest.raises(PictureRefused):
        DIALECT.plan(parameters("skp:jpg/msr:0.01"), JPEG)


class TestWatermark:
    @pytest.mark.parametrize(
        ("options", "fields"),
        [
            ("wm:1", {"gravity": "center"}),
            ("wm:1:soea", {"gravity": "southeast"}),
            ("wm:1:soea:10:-5", {"gravity": "southeast", "offset_x": -10, "offset_y": 5}),
            ("wm:1:nowe:0.1:20", {"gravity": "northwest", "offset_x": 40, "offset_y": 20}),
            ("wm:1:no:0:7", {"gravity": "north", "offset_y": 7}),
            ("wm:1:ce:0:0:0.25", {"gravity": "center", "width": 100, "height": 50}),
            ("wm:1:ce:10:-0.1", {"gravity": "center", "offset_x": 10, "offset_y": -20}),
            ("wm:1:ea:3:4", {"gravity": "east", "offset_x": -3, "offset_y": 4}),
            ("wm:1:ce:0:0:0.00875", {"gravity": "center", "width": 4, "height": 2}),
            ("wm:1:ce:0:0:0.001", {"gravity": "center", "width": 1, "height": 1}),
            ("wm:1:re:10:20", {"gravity": "center", "tile": True, "spacing_x": 10, "spacing_y": 20}),
        ],
    )
    def test_places(self, options: str, fields: dict[str, Any]) -> None:
        assert operations(options) == (Composite(ImageRef(name="mark"), opacity=0.5, **fields),)

    def test_offsets_grow_with_dpr(self) -> None:
        (*_, drawn) = operations("w:100/dpr:2/wm:1:soea:10:10")
        assert drawn == Composite(ImageRef(name="mark"), gravity="southeast", opacity=0.5, offset_x=-20, offset_y=-20)

    def test_it_is_drawn_over_the_padding(self) -> None:
        assert isinstance(operations("pd:10/wm:1")[-1], Composite)


def test_a_webp_shrinks_to_its_largest_side() -> None:
    wide = ImageInfo("png", 16384, 100)
    assert operations("f:webp", wide) == (resize(16383, 100),)
    assert operations("f:png", wide) == ()


@pytest.mark.parametrize("options", ["w:20000/el:1", "pd:9000", "w:2147483647/el:1/dpr:1e9/z:1e9", "mw:2147483647"])
def test_no_side_beyond_the_limit(options: str) -> None:
    with pytest.raises(ImgproxyRefused):
        operations(options)


def test_the_plan_is_a_value() -> None:
    planned = DIALECT.plan(parameters("c:100:100/rs:fill:50:40/wm:1:soea:3:3/pd:3/rot:90"), PNG)
    recipe = planned.recipe
    assert msgspec.json.decode(msgspec.json.encode(recipe), type=type(recipe)) == recipe
