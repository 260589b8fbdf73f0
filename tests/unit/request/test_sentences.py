"""What a refused request is told: all faults, one sentence each."""

import pytest

from imgserve.request.classic.spelling import number_of, sentence_of
from imgserve.request.encode import Encode
from imgserve.request.recipe import Recipe
from tests.unit.request.samples import codes, numbers, refused, refused_with

PUT = "https://h/out.png"
SIZED = {"width": 20, "height": 10}
SPOKEN = "http://, https://, ftp://, ftps://, ftpes://, file:// or s3://"
NOT_YET = "not available in this version yet"
INSTEAD = "give .jpg, or no extension and args.format"
CONTRADICTS = "contradicts the extension of dstURL"


def test_all_faults_are_told_and_the_lowest_code_speaks() -> None:
    invalid = refused(
        foo=1, operationType="rasterize", srcURL="http://h/a.png", dstURL="file:///out/{$x}.bmp",
        args={"width": "abc", "mask": 1}, on_failure="x", placeholder="x",
    )  # fmt: skip
    assert invalid is not None
    assert numbers(invalid) == [101, 107, 107, 107, 107, 108, 114]
    assert number_of(invalid) == 101
    for name in ("foo", "args.width", "args.mask", "on_failure", "placeholder.style", "srcURL", "dstURL"):
        assert f"{name}: " in sentence_of(invalid)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"args": {"width": "abc"}}, 'args.width: expected an integer from 1 to 16384, got "abc"'),
        (
            {"args": {"width": "320"}},
            'args.width: expected an integer from 1 to 16384, got "320"; write it without quotes: 320',
        ),
        ({"args": {"width": 200.5}}, "args.width: expected an integer from 1 to 16384, got 200.5"),
        ({"args": {"width": "x" * 99}}, "args.width: expected an integer from 1 to 16384, got a text of 99 characters"),
        ({"args": {"width": {}}}, "args.width: expected an integer from 1 to 16384, got an object"),
        (
            {"args": SIZED | {"background": "123"}},
            'args.background: expected a colour as #rgb[a], #rrggbb[aa] or a basic CSS name, got "123"',
        ),
        (
            {"args": SIZED | {"enlarge": "true"}},
            'args.enlarge: expected true or false, got "true"; write it without quotes: true',
        ),
        ({"args": SIZED | {"enlarge": 1}}, "args.enlarge: expected true or false, got 1"),
        ({"args": SIZED | {"widht": 1}}, 'args.widht: unknown, did you mean "width"?'),
        (
            {"dstURL": "http://h/up:a/b", "args": SIZED | {"field_name": "f"}},
            "dstURL: expected <page URL>:<file name>, got a slash in the file name or no file name at all",
        ),
        ({"args": SIZED | {"mask": 1}}, "args.mask: not available in this version yet"),
        ({"srcUrl": ""}, 'srcUrl: unknown, did you mean "srcURL"?'),
        ({"webhook": ""}, "webhook: not available in this version yet"),
        ({"operationType": "x"}, 'operationType: expected "resize" or "rasterize", got "x"'),
        ({"srcURL": "file://srv/a.png"}, "srcURL: a file's URL has three slashes and the whole path: file:///directory/name"),
        ({"dstURL": "file://srv/a.png"}, "dstURL: a file's URL has three slashes and the whole path: file:///directory/name"),
        ({"srcURL": "sftp://h/x"}, f"srcURL: this version does not speak sftp yet; use {SPOKEN}"),
        ({"dstURL": "file:///{$basname}.png"}, "dstURL: an unknown tag, did you mean {$basename}?"),
        ({"args": SIZED | {"if_small": "keeep"}},
         'args.if_small: expected "enlarge", "keep", "keep_shape" or "refuse", got "keeep", did you mean "keep"?'),
        (
            {"srcURL": "http://h/a.HEIC", "dstURL": "file:///out/{$basename}.{$ext}"},
            f"dstURL: the source's extension is HEIC, and HEIC cannot be written; {INSTEAD}",
        ),
        (
            {"srcURL": "http://h/a.s3cret", "dstURL": "file:///out/a.{$extension}"},
            f"dstURL: the source's extension is not a format that can be written; {INSTEAD}",
        ),
        (
            {"srcURL": "http://h/photo.jpg%3Alarge", "dstURL": "file:///out/{$basename}.{$ext}"},
            f"dstURL: the source's extension is not a format that can be written; {INSTEAD}",
        ),
        (
            {"srcURL": "http://h/a.heic", "dstURL": "file:///out/{$ext}.bmp"},
            "dstURL: the extension is not a format that can be written; expected one of jpg, jpeg, jpe, jfif, png, "
            f"webp, gif, tif, tiff, avif; {INSTEAD}",
        ),
        ({"args": SIZED | {"format": "jpeg"}}, f"args.format: jpeg {CONTRADICTS}, which means png"),
        (
            {"args": {"operations": [], "scale": 2}},
            "args.scale: expected args.operations or it, not both; an operation of a list has such fields",
        ),
        ({"args": SIZED | {"scale": 2}}, "args.scale: belongs to operationType = \"rasterize\""),
        (
            {"args": SIZED | {"watermark": {"image": "gopher://h/logo.png"}}},
            f"args.watermark.image: the protocol is unknown; use {SPOKEN}",
        ),
    ],
)  # fmt: skip
def test_sentences(changes: dict[str, object], sentence: str) -> None:
    invalid = refused(**changes)
    assert invalid is not None
    assert sentence_of(invalid) == sentence


@pytest.mark.parametrize("image", ["logo.png", "gopher://h/logo.png", "http://"])
def test_the_url_of_a_watermark_is_an_arg(image: str) -> None:
    assert codes(args=SIZED | {"watermark": {"image": image}}) == [107]
    composite = {"operation": "composite", "image": image}
    assert codes(args={"operations": [composite]}, srcURL="nothing") == [104, 107]


def test_a_presets_format_is_told_by_the_presets_name() -> None:
    presets = {"card": Recipe((), Encode(format="webp"))}
    invalid = refused_with(presets, {"dstURL": "file:///a.png", "args": {"preset": "card"}})
    assert invalid is not None
    assert sentence_of(invalid) == f"args.preset: webp {CONTRADICTS}, which means png"
    invalid = refused_with(presets, {"dstURL": "file:///a.png", "args": {"preset": "card", "format": "gif"}})
    assert invalid is not None
    assert sentence_of(invalid) == f"args.format: gif {CONTRADICTS}, which means png"


def test_a_bad_tag_hides_no_other_fault_of_the_url() -> None:
    assert codes(dstURL="http://h/{$x}", args=SIZED | {"field_name": "f"}) == [105, 114]


def test_args_that_are_no_object_lack_nothing_more() -> None:
    assert codes(dstURL=PUT, args=[]) == [103]


def test_a_flood_of_unknown_names_is_summed_up() -> None:
    flood = {f"name{number}": number for number in range(5000)}
    invalid = refused(args=SIZED | flood, **flood)
    assert invalid is not None
    assert len(invalid.faults) == 22
    assert "4990 more fields are unknown" in sentence_of(invalid)
    assert "4990 more keys are unknown" in sentence_of(invalid)


def test_a_url_beyond_the_limit_is_looked_at_no_further() -> None:
    assert codes(dstURL="file:///" + "{$x}" * 3000) == [105]
