"""Tags as other template languages write them, and the tag of an extension that is not there."""

import json

import pytest

from imgserve.request.classic import parse as classic
from imgserve.request.classic.spelling import number_of, sentence_of
from imgserve.request.faults import RequestInvalid


def refused(dst: str, src: str = "file:///r/photo.png", **args: object) -> str:
    job = {"operationType": "resize", "srcURL": src, "dstURL": dst, "args": {"width": 3, **args}}
    try:
        classic.parse(json.dumps(job).encode())
    except RequestInvalid as invalid:
        return f"{number_of(invalid)} {sentence_of(invalid)}"
    return ""


OTHERS = ["${%s}", "{%s}", "{{%s}}", "{{ %s }}", "{{$%s}}", "%%{%s}", "$(%s)", "%%(%s)s"]
ENCODED = ["%%7B$%s%%7D", "%%7b%%24%s%%7d", "{%%24%s}", "{ $%s }"]


@pytest.mark.parametrize("tag", ["width", "height", "basename", "ext", "extension"])
@pytest.mark.parametrize(
    "spelling", ["${%s}", "{%s}", "{{%s}}", "{{ %s }}", "{{$%s}}", "%%{%s}", "$(%s)", "%%(%s)s", *ENCODED]
)
def test_a_tag_in_another_spelling_is_told_how_it_is_written(tag: str, spelling: str) -> None:
    for word in (tag, tag.upper()):
        told = refused("file:///o/a-" + spelling % word + ".png")
        assert told.startswith(f"114 dstURL: a tag is written {{${tag}}}, did you mean that?")


@pytest.mark.parametrize(
    ("word", "tag"),
    [
        ("widht", "width"),
        ("heigth", "height"),
        ("basname", "basename"),
        ("extention", "extension"),
        ("widths", "width"),
    ],
)
def test_a_misspelt_one_too(word: str, tag: str) -> None:
    assert refused(f"file:///o/${{{word}}}.png").startswith(f"114 dstURL: a tag is written {{${tag}}}, did")


def test_each_is_told_once_beside_the_unknown_ones() -> None:
    told = refused("file:///o/${width}/{width}/{$height}/{$size}/{$basename")
    assert told.startswith("114 ")
    assert told.count("a tag is written {$width}") == 1
    assert "an unknown tag" in told
    assert "a tag is not closed" in told


@pytest.mark.parametrize(
    "text",
    ["${PWD}", "{id}", "{0}", "$width", "%7Bwidth%7D", "(width)", "{}", "{a.width}", "w{$width}x", "{wide}", "{eht}"],
)
def test_what_is_no_tag_stays_as_it_is(text: str) -> None:
    assert refused(f"file:///o/{text}.png") == ""


@pytest.mark.parametrize(
    ("dst", "args"),
    [
        ("file:///o/{$basename}.{$ext}", {}),
        ("file:///o/{$basename}.{$extension}", {"format": "png"}),
        ("ftp://h/o/{$ext}/a.png", {}),
        ("http://h/{$basename}.{$ext}", {"method": "PUT"}),
        ("http://h/up:{$basename}.{$ext}", {"field_name": "file"}),
    ],
)
def test_an_extension_that_is_not_there(dst: str, args: dict[str, object]) -> None:
    told = refused(dst, "http://h/pictures/photo?x=.png", **args)
    assert told.startswith("105 dstURL: {$ext} is empty")
    assert ".jpg" in told
    assert refused(dst, "http://h/pictures/photo.png", **args) == ""
