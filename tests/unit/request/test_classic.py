"""The original protocol's request, code by code."""

import json

import pytest

from imgserve.request.classic.codes import MEANING
from imgserve.request.classic.parse import parse
from imgserve.request.classic.spelling import number_of, sentence_of
from imgserve.request.encode import Encode
from imgserve.request.faults import RequestInvalid
from imgserve.request.job import Placeholder, resolve
from imgserve.request.json_text import ParseError
from imgserve.request.limits import Limits
from imgserve.request.operations.rasterize import Rasterize
from imgserve.request.operations.resize import Resize
from imgserve.request.recipe import LoadOptions, Recipe
from tests.unit.request.samples import FORM_REQUEST, FTP_REQUEST, PHOTO, codes, numbers, parsed, refused, request

SVG = "http://h/logo.svg"
PUT = "https://h/out.png"
SIZED = {"width": 20, "height": 10}


def test_the_ftp_example_of_2011() -> None:
    job = parse(json.dumps(FTP_REQUEST).encode())
    assert job.source.url == "http://upload.wikimedia.org/wikipedia/en/7/70/Ex.png"
    assert (job.source.scheme, job.source.host, job.source.port) == ("http", "upload.wikimedia.org", 80)
    (output,) = job.outputs
    assert output.recipe == Recipe((Resize(width=200, height=120, if_small="refuse"),), Encode(format="png"))
    assert (output.placeholder, output.on_failure) == (Placeholder(), "error_image")
    place = resolve(output, job.source, PHOTO, Limits()).placement.destination
    assert place.shown == place.url == "ftp://upload.wikimedia.org/wikipedia/en/7/70/200-Ex.png"
    assert (place.kind, place.host, place.port) == ("ftp", "upload.wikimedia.org", 21)


def test_the_form_example_of_2011() -> None:
    job = parse(json.dumps(FORM_REQUEST).encode())
    place = resolve(job.outputs[0], job.source, PHOTO, Limits()).placement.destination
    assert place.shown == "http://example.com/upload.html:200-Ex.png"
    assert (place.kind, place.url) == ("form", "http://example.com/upload.html")
    assert (place.name, place.field, place.path) == ("200-Ex.png", "image_file", "/upload.html")


@pytest.mark.parametrize(
    "body",
    [
        b"", b" ", b"{", b"[]", b"null", b"3", b'"text"', b"\xff", b'{"a": "\xff"}', b'{"a": NaN}', b'{"a": Infinity}',
        b'{"a": -Infinity}', b'{"args": {}, "args": {}}', b'{"args": {"width": 1, "width": 2}}', b"{} {}", b"{'a': 1}",
        b'{"a": ' + b"9" * 5000 + b"}", b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        '{"a": "é"}'.encode("latin-1"), "{}".encode("utf-16"),
    ],
)  # fmt: skip
def test_what_is_no_json_object_is_a_parse_error(body: bytes) -> None:
    with pytest.raises(ParseError):
        parse(body)


def test_an_empty_object_lacks_all_four_keys() -> None:
    with pytest.raises(RequestInvalid) as caught:
        parse(b"{}")
    assert numbers(caught.value) == [101] * 4
    for key in ("operationType", "srcURL", "dstURL", "args"):
        assert f"{key}: this key is missing" in caught.value.detail


REFUSED: list[tuple[int, dict[str, object]]] = [
    (101, {"foo": 1}),
    (101, {"webhook": "https://h/"}),
    (101, {"srcUrl": "http://h/a.png"}),
    (101, {"": 1}),
    (102, {"operationType": "shrink"}),
    (102, {"operationType": "Resize"}),
    (102, {"operationType": None}),
    (102, {"operationType": ["resize"]}),
    (103, {"args": []}),
    (103, {"args": None}),
    (103, {"args": "width=1"}),
    (104, {"srcURL": ""}),
    (104, {"srcURL": None}),
    (104, {"srcURL": 3}),
    (104, {"srcURL": "example.com/a.png"}),
    (104, {"srcURL": "example.com:80/a.png"}),
    (104, {"srcURL": "http:///a.png"}),
    (104, {"srcURL": "http://"}),
    (104, {"srcURL": "http://h:99999/a.png"}),
    (104, {"srcURL": "http://h/a\u0000.png"}),
    (104, {"srcURL": "http://h/a\r\nHost: x.png"}),
    (104, {"srcURL": "http://bücher.example/a.png"}),
    (104, {"srcURL": "file://elsewhere/a.png"}),
    (104, {"srcURL": "file:///a/%2e%2e/b.png"}),
    (104, {"srcURL": "ftp://h/dir/"}),
    (104, {"srcURL": "http://h/" + "a" * 8200}),
    (105, {"dstURL": "file:///" + "a" * 8200}),
    (105, {"srcURL": "http://h/" + "a" * 1000, "dstURL": "file:///" + "{$basename}" * 9 + ".png"}),
    (105, {"dstURL": ""}),
    (105, {"srcURL": "http://h/noextension", "dstURL": "file:///out/a.{$ext}"}),
    (105, {"dstURL": {}}),
    (105, {"dstURL": "/tmp/a.png"}),
    (105, {"dstURL": "ftp://"}),
    (105, {"dstURL": "ftp://{$basename}.example.com/a.png"}),
    (105, {"dstURL": "file:///out/"}),
    (105, {"dstURL": "file:///out/a%00.png"}),
    (105, {"dstURL": "file:///out/a%2Fb.png"}),
    (105, {"dstURL": "file:///out/../b.png"}),
    (105, {"dstURL": "http://h/up", "args": SIZED | {"field_name": "f"}}),
    (105, {"dstURL": "http://h:8080/up", "args": SIZED | {"field_name": "f"}}),
    (105, {"dstURL": "http://h/up:a/b.png", "args": SIZED | {"field_name": "f"}}),
    (105, {"dstURL": "http://h/up:a%2Fb.png", "args": SIZED | {"field_name": "f"}}),
    (105, {"dstURL": "http://h/up:..", "args": SIZED | {"field_name": "f"}}),
    (105, {"dstURL": "http://h/up:", "args": SIZED | {"field_name": "f"}}),
    (105, {"srcURL": "http://h/a%2Fb.png", "dstURL": "file:///out/{$basename}.png"}),
    (105, {"srcURL": "http://h/a%00b.png", "dstURL": "file:///out/{$basename}.png"}),
    (105, {"srcURL": "http://h/...png", "dstURL": "file:///out/{$basename}/a.png"}),
    (105, {"srcURL": "http://h/...png", "dstURL": "ftp://h/out/{$basename}/a.png"}),
    (106, {"args": {}}),
    (107, {"args": SIZED | {"strict": "no"}}),
    (106, {"args": {"quality": 3}}),
    (106, {"operationType": "rasterize", "srcURL": SVG, "dstURL": "file:///a.png", "args": {"dpi": 3}}),
    (107, {"args": {"width": "abc"}}),
    (107, {"args": {"width": 0}}),
    (107, {"args": {"width": -5}}),
    (107, {"args": {"width": 16385}}),
    (107, {"args": {"width": 200.0}}),
    (107, {"args": {"width": True}}),
    (107, {"args": {"width": None}}),
    (107, {"args": {"width": 10**400}}),
    (107, {"args": SIZED | {"enlarge": 1}}),
    (107, {"args": SIZED | {"enlarge": "true"}}),
    (107, {"args": SIZED | {"gravity": "up"}}),
    (107, {"args": SIZED | {"gravity": []}}),
    (107, {"args": SIZED | {"fit": "within"}}),
    (107, {"args": SIZED | {"background": "puce"}}),
    (107, {"args": SIZED | {"background": "#12345"}}),
    (107, {"args": SIZED | {"quality": 0}}),
    (107, {"args": SIZED | {"quality": 101}}),
    (107, {"args": SIZED | {"format": "bmp"}}),
    (107, {"args": SIZED | {"format": "jpeg"}}),
    (107, {"args": SIZED | {"mask": True}}),
    (107, {"args": SIZED | {"dpi": "72"}}),
    (107, {"args": SIZED | {"colour": "red"}}),
    (107, {"operationType": "rasterize", "srcURL": SVG, "dstURL": "file:///a.png", "args": SIZED | {"enlarge": True}}),
    (107, {"operationType": "rasterize", "srcURL": SVG, "dstURL": "file:///a.png", "args": SIZED | {"fit": "cover"}}),
    (107, {"operationType": "rasterize", "srcURL": SVG, "dstURL": "file:///a.png", "args": SIZED | {"dpi": 0.5}}),
    (107, {"operationType": "rasterize", "srcURL": SVG, "dstURL": "file:///a.png", "args": SIZED | {"dpi": 2401}}),
    (107, {"placeholder": "blurred"}),
    (107, {"placeholder": None}),
    (107, {"placeholder": {"style": "x"}}),
    (107, {"placeholder": {"color": "x"}}),
    (107, {"placeholder": {"text": "x" * 201}}),
    (107, {"placeholder": {"text": "a\u0000"}}),
    (107, {"placeholder": {"text": "\ud800"}}),
    (107, {"placeholder": {"if_exists": "keep"}}),
    (107, {"on_failure": "retry"}),
    (107, {"on_failure": None}),
    (107, {"on_failure": "delete", "dstURL": "http://h/up:a.png", "args": SIZED | {"field_name": "f"}}),
    (107, {"on_failure": "delete", "dstURL": PUT + "?X-Amz-Signature=1", "args": SIZED | {"method": "PUT"}}),
    (107, {"on_failure": "delete", "dstURL": PUT + "?sv=1&sig=1", "args": SIZED | {"method": "PUT"}}),
    (108, {"srcURL": "http://h/a.pdf", "dstURL": "file:///out/a.png"}),
    (108, {"srcURL": "http://h/a.TXT?x=a.png", "dstURL": "file:///out/a.png"}),
    (108, {"operationType": "rasterize", "srcURL": "http://h/a.json", "dstURL": "file:///out/a.png"}),
    (108, {"operationType": "rasterize", "srcURL": "http://h/a.PNG", "dstURL": "file:///out/a.png"}),
    (104, {"srcURL": "ftpes://h/dir/"}),
    (104, {"srcURL": "ftps://h/a.png?x"}),
    (109, {"srcURL": "ftpss://h/a.png"}),
    (109, {"srcURL": "sftp://"}),
    (109, {"srcURL": "gs://bucket/a.png"}),
    (109, {"srcURL": "gopher:whatever \u0000"}),
    (109, {"srcURL": "data:image/png;base64,AAAA"}),
    (105, {"dstURL": "FTPES://h/%0d%0a.png"}),
    (105, {"dstURL": "ftps://h/dir/"}),
    (110, {"dstURL": "SFTP://h/a.png"}),
    (110, {"dstURL": "gs://bucket/{$nonsense}"}),
    (110, {"dstURL": "javascript:alert(1)"}),
    (111, {"dstURL": PUT}),
    (111, {"dstURL": "http://h:x:y:z"}),
    (112, {"dstURL": PUT, "args": SIZED | {"method": "POST"}}),
    (112, {"dstURL": PUT, "args": SIZED | {"method": None}}),
    (112, {"dstURL": PUT, "args": SIZED | {"field_name": 3}}),
    (112, {"dstURL": PUT, "args": SIZED | {"field_name": ""}}),
    (112, {"dstURL": PUT, "args": SIZED | {"field_file": "a\r\nb"}}),
    (112, {"dstURL": "http://h/up:a.png", "args": SIZED | {"method": "PUT", "field_name": "f"}}),
    (112, {"dstURL": "http://h/up:a.png", "args": SIZED | {"field_file": "a", "field_name": "b"}}),
    (112, {"dstURL": "http://h/up:a.png", "args": SIZED | {"field_name": "b", "form_success": "200"}}),
    (112, {"dstURL": "http://h/up:a.png", "args": SIZED | {"field_name": "b", "form_success": True}}),
    (112, {"dstURL": "http://h/a.png", "args": SIZED | {"method": "PUT", "form_success": "redirect"}}),
    (111, {"dstURL": "http://h/a.png", "args": SIZED | {"form_success": "redirect"}}),
    (113, {"dstURL": "file:///out/a.bmp"}),
    (113, {"dstURL": "file:///out/a.{$width}"}),
    (113, {"dstURL": "http://h/up:a.svg", "args": SIZED | {"field_name": "f"}}),
    (113, {"srcURL": SVG, "dstURL": "file:///out/a.{$ext}"}),
    (113, {"srcURL": "http://h/image.ashx", "dstURL": "file:///out/a.{$ext}"}),
    (113, {"srcURL": "http://h/photo.jpg:large", "dstURL": "file:///out/a.{$extension}"}),
    (114, {"dstURL": "file:///out/{$foo}.png"}),
    (114, {"dstURL": "file:///out/{$Width}.png"}),
    (114, {"dstURL": "file:///out/{$width.png"}),
    (114, {"dstURL": "file:///out/{$}.png"}),
]  # fmt: skip


@pytest.mark.parametrize("operation", ["resize", "rasterize"])
@pytest.mark.parametrize(
    "name", ["image.ashx", "img.php", "photo.jpg:large", "photo.jpg!thumb", "5.1", "a.b.unknown", "x"]
)
def test_what_may_be_a_picture_is_judged_by_its_bytes(name: str, operation: str) -> None:
    assert refused(operationType=operation, srcURL=f"http://h/{name}", dstURL="file:///out/a.png") is None


@pytest.mark.parametrize(("code", "changes"), REFUSED)
def test_each_code_has_its_requests(code: int, changes: dict[str, object]) -> None:
    invalid = refused(**changes)
    assert invalid is not None
    assert set(numbers(invalid)) == {code}
    assert number_of(invalid) == code
    assert sentence_of(invalid)


@pytest.mark.parametrize("key", ["operationType", "srcURL", "dstURL", "args"])
def test_each_key_is_required(key: str) -> None:
    body = {name: value for name, value in FTP_REQUEST.items() if name != key}
    with pytest.raises(RequestInvalid) as caught:
        parse(json.dumps(body).encode())
    assert (number_of(caught.value), caught.value.detail) == (101, f"{key}: this key is missing")


def test_every_code_of_the_text_is_met_here() -> None:
    met = {code for code, _ in REFUSED}
    assert met == {code for code in MEANING if code < 115}


ACCEPTED: list[dict[str, object]] = [
    {},
    {"args": {"width": 1}},
    {"args": {"height": 16384}},
    {"args": SIZED | {"gravity": "attention", "enlarge": True, "fit": "cover", "quality": 100, "format": "png"}},
    {"args": SIZED | {"field_name": 3, "method": "whatever", "field_file": None}},
    {"dstURL": "file:///out/a.PNG", "args": SIZED | {"format": "png"}},
    {"dstURL": "file:///out/a.JFIF", "args": SIZED | {"format": "jpeg"}},
    {"dstURL": "file:///out/a", "args": SIZED},
    {"dstURL": "file:///out/a%20b é.png"},
    {"dstURL": "ftp://user:p%40ss@h//absolute/{$extension}/{$basename}.png"},
    {"dstURL": PUT, "args": SIZED | {"method": "PUT"}},
    {"dstURL": PUT, "args": SIZED | {"method": "PUT"}, "on_failure": "delete"},
    {"dstURL": PUT + "?X-Amz-Signature=1&X-Amz-Expires=5", "args": SIZED | {"method": "PUT"}},
    {"dstURL": "https://h/a:b.png", "args": SIZED | {"method": "PUT"}},
    {"dstURL": "http://h:8080:x.png", "args": SIZED | {"field_file": "f"}},
    {"dstURL": "http://h:x.png", "args": SIZED | {"field_file": "f", "field_name": "f"}},
    {"dstURL": "http://h/up:x.png", "args": SIZED | {"field_name": "f", "form_success": "redirect"}},
    {"dstURL": "http://h/up?t=1:a%3Ab.png", "args": SIZED | {"field_name": "f"}},
    {"srcURL": "http://h/noextension", "dstURL": "file:///out/a.png"},
    {"srcURL": "http://h/a.heic", "dstURL": "file:///out/a.png"},
    {"srcURL": "HTTPS://H/a.JPEG?x=1#frag", "dstURL": "file:///out/{$basename}.{$ext}"},
    {"srcURL": SVG, "dstURL": "file:///out/a.png"},
    {"operationType": "rasterize", "srcURL": SVG, "dstURL": "file:///out/a.png", "args": {"width": 5, "dpi": 300}},
    {"operationType": "rasterize", "srcURL": "file:///in/logo", "dstURL": "file:///out/a.png"},
    {"placeholder": "none", "on_failure": "delete"},
    {"placeholder": {"style": "solid", "color": "navy", "text": "zwei\nZeilen"}, "on_failure": "keep_placeholder"},
    {"placeholder": {}},
]  # fmt: skip


@pytest.mark.parametrize("changes", ACCEPTED)
def test_accepted_requests(changes: dict[str, object]) -> None:
    assert codes(**changes) == []


@pytest.mark.parametrize(
    ("destination", "asked", "expected"),
    [
        ("file:///o/a.jpe", None, "jpeg"),
        ("file:///o/a.TIF", None, "tiff"),
        ("file:///o/a.{$ext}", None, "png"),
        ("file:///o/a.", "webp", "webp"),
        ("file:///o/a", "webp", "webp"),
        ("file:///o.gif/a", None, None),
        ("ftp://h/a.avif", "avif", "avif"),
    ],
)
def test_the_extension_decides_the_format(destination: str, asked: str | None, expected: str | None) -> None:
    args = SIZED if asked is None else SIZED | {"format": asked}
    assert parsed(dstURL=destination, args=args).outputs[0].recipe.encode.format == expected


def test_values_arrive_where_they_belong() -> None:
    rasterize = {"width": 3, "height": 4, "fit": "fill", "dpi": 300, "background": "#ABC", "quality": 7}
    output = parsed(
        operationType="rasterize", srcURL=SVG, dstURL="file:///o/a.webp", args=rasterize,
        placeholder={"color": "Red", "text": "t"}, on_failure="delete",
    ).outputs[0]  # fmt: skip
    assert output.recipe == Recipe(
        (Rasterize(width=3, height=4, fit="fill"),),
        Encode(format="webp", quality=7, background="#aabbcc"),
        LoadOptions(dpi=300.0),
    )
    assert output.placeholder == Placeholder(color="#ff0000", text="t")
    assert output.on_failure == "delete"
    assert parsed(placeholder="solid").outputs[0].placeholder == Placeholder(style="solid")


def test_the_order_of_keys_and_args_does_not_matter() -> None:
    turned = dict(reversed(list(request(args={"height": 120, "width": 200}).items())))
    assert parse(json.dumps(turned).encode()) == parse(json.dumps(FTP_REQUEST).encode())
