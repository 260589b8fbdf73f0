"""Sources, destinations, the form's split, and the filling of tags."""

import pytest

from imgserve.request import tags
from imgserve.request.classic.destination import parse_destination
from imgserve.request.classic.spelling import number_of
from imgserve.request.destination import Destination, DestinationTemplate
from imgserve.request.faults import RequestInvalid
from imgserve.request.imageinfo import Size
from imgserve.request.source import source_key
from tests.unit.request.samples import source

SIZE = Size(200, 120)
FORM: dict[str, object] = {"field_name": "f"}
PUT: dict[str, object] = {"method": "PUT"}


def place(dst: str, src: str = "http://h/Ex.png", args: dict[str, object] | None = None) -> Destination:
    return parse_destination(dst, args or {}).fill(tags.values_of(source(src), SIZE))


def test_source_parts() -> None:
    one = source("ftp://user:s3cret@Example.com:2121//pub/a%20b.png")
    assert (one.scheme, one.host, one.port, one.path) == ("ftp", "example.com", 2121, "//pub/a%20b.png")
    assert "s3cret" in one.url
    assert "s3cret" not in repr(one)
    local = source("file:///in/a%20b%2525.png")
    assert (local.scheme, local.host, local.port, local.path) == ("file", "", 0, "/in/a b%25.png")


def test_source_and_destination_of_one_place_share_a_key() -> None:
    assert source_key(source("file:///a%2Db.png")) == place("file://localhost/a-b.png").key


@pytest.mark.parametrize(
    ("src", "basename", "ext"),
    [
        ("http://h/a/Ex.png?x=/y.gif#/z.jpg", "Ex", "png"), ("http://h/a.b.tar.GZ", "a.b.tar", "GZ"),
        ("http://h/Ex", "Ex", ""),
        ("http://h/", "", ""), ("http://h/.png", "", "png"), ("http://h/a%20b%2Epng", "a%20b", "png"),
        ("http://h/a b+c.png", "a%20b%2Bc", "png"), ("http://h/a;type=d&x=1.png", "a%3Btype%3Dd%26x%3D1", "png"),
        ("http://h/a:b.png", "a%3Ab", "png"), ("http://h/100%.png", "100%25", "png"),
        ("file:///i/é%23.png", "%C3%A9%23", "png"),
        ("http://h/{$width}.png", "%7B$width%7D", "png"),
    ],
)  # fmt: skip
def test_values_come_from_the_last_path_segment(src: str, basename: str, ext: str) -> None:
    assert tags.values_of(source(src), SIZE) == tags.TagValues("200", "120", basename, ext)


@pytest.mark.parametrize(
    ("dst", "shown"),
    [
        ("ftp://h/{$width}x{$height}/{$basename}.{$ext}", "ftp://h/200x120/Ex.png"),
        ("ftp://h/{$extension}.{$ext}", "ftp://h/png.png"),
        ("ftp://u{$width}:p{$ext}@h/{$width}.png", "ftp://u{$width}:p{$ext}@h/200.png"),
        ("file:///o/{x}{$width}{$width}.png", "file:///o/{x}200200.png"),
        ("FILE:///o/a%7E é.png", "FILE:///o/a%7E é.png"),
    ],
)
def test_shown_is_as_written_with_tags_filled(dst: str, shown: str) -> None:
    assert place(dst).shown == shown


def test_values_stay_encoded_in_urls_and_are_decoded_once_in_names() -> None:
    src = "http://h/a%20%2541b.png"
    put = place("https://h/{$basename}.png?n={$basename}", src, PUT)
    assert put.url == put.shown == "https://h/a%20%2541b.png?n=a%20%2541b"
    assert place("ftp://h/{$basename}.png", src).path == "/a%20%2541b.png"
    assert place("file:///o/{$basename}.png", src).path == "/o/a %41b.png"
    form = place("http://h/up?n={$basename}:{$basename}.png", src, FORM)
    assert (form.name, form.url) == ("a %41b.png", "http://h/up?n=a%20%2541b")


def test_a_value_adds_no_colon_to_a_form() -> None:
    form = place("http://h/up:{$basename}.png", "http://h/a:b.png", FORM)
    assert (form.shown, form.name) == ("http://h/up:a%3Ab.png", "a:b.png")


def test_a_value_is_not_filled_twice() -> None:
    assert place("file:///o/{$basename}.png", "http://h/{$width}.png").path == "/o/{$width}.png"


@pytest.mark.parametrize(
    ("dst", "url", "path", "name"),
    [
        ("http://h/up.html:x.png", "http://h/up.html", "/up.html", "x.png"),
        ("http://h:8080:x.png", "http://h:8080", "/", "x.png"),
        ("http://h:x.png", "http://h", "/", "x.png"),
        ("http://u:p@h/a:b?c=d:e:x.png", "http://u:p@h/a:b?c=d:e", "/a:b", "x.png"),
        ("https://[::1]:81/up:x%3Ay é.png", "https://[::1]:81/up", "/up", "x:y é.png"),
        ("http://h/up#f:x.png", "http://h/up", "/up", "x.png"),
    ],
)
def test_the_last_colon_parts_page_and_name(dst: str, url: str, path: str, name: str) -> None:
    form = place(dst, args=FORM)
    assert (form.kind, form.url, form.path, form.name, form.field) == ("form", url, path, name, "f")


def test_what_counts_as_success_is_the_places_own() -> None:
    assert place("http://h/up:x.png", args=FORM).form_success == "any"
    assert place("http://h/up:x.png", args=FORM | {"form_success": "redirect"}).form_success == "redirect"


@pytest.mark.parametrize(
    "dst",
    ["http://h/up", "http://h:80/up", "http://h", "http://h:80", "http://h/up:", "http://h/up:a/b", "http://h/up:%2F",
     "http://h/up:.", "http://h/up:%2E%2e", "http://h/up:a%00", "http://h/up:a%0D%0Ab.png", "http://h/up:%ff", "http://h:x:y.png",
     "http://u:p/w@h/up:a.png", "http://h/up:\ud800"],
)  # fmt: skip
def test_forms_that_cannot_be_split(dst: str) -> None:
    with pytest.raises(RequestInvalid) as caught:
        place(dst, args=FORM)
    assert number_of(caught.value) == 105


def test_put_is_never_split() -> None:
    put = place("https://User:pw@H/a:b.png?X-Amz-Signature=f%2fo", args=PUT)
    assert (put.kind, put.path, put.name, put.field) == ("put", "/a:b.png", "", "")
    assert put.url == "https://User:pw@H/a:b.png?X-Amz-Signature=f%2fo"
    assert put.key == "https://h:443/a:b.png"
    assert "pw" not in repr(put)


def test_forms_of_one_page_differ_by_name_and_field() -> None:
    one = place("http://h/up:a.png", args=FORM).key
    assert one == place("http://x:y@H:80/up:%61.png", args=FORM).key
    assert one != place("http://h/up:b.png", args=FORM).key
    assert one != place("http://h/up:a.png", args={"field_name": "g"}).key


@pytest.mark.parametrize(
    ("dst", "src", "args"),
    [
        ("file:///o/{$basename}.png", "http://h/a%2Fb.png", {}),
        ("ftp://h/{$basename}.png", "http://h/a%2Fb.png", {}),
        ("http://h/up:{$basename}.png", "http://h/a%2Fb.png", FORM),
        ("file:///o/{$basename}.png", "http://h/a%00b.png", {}),
        ("file:///o/{$basename}", "http://h/", {}),
        ("file:///o/{$basename}/x.png", "http://h/...png", {}),
        ("file:///o/.{$basename}/x.png", "http://h/..png", {}),
        ("https://h/{$basename}/x.png", "http://h/...png", PUT),
        ("http://h/up:{$basename}", "http://h/%2E", FORM),
    ],
)
def test_values_that_are_no_file_name(dst: str, src: str, args: dict[str, object]) -> None:
    template = parse_destination(dst, args)
    with pytest.raises(RequestInvalid) as caught:
        template.fill(tags.values_of(source(src), SIZE))
    assert number_of(caught.value) == 105


def test_a_put_keeps_an_encoded_slash() -> None:
    assert place("https://h/{$basename}.png", "http://h/a%2Fb.png", PUT).path == "/a%2Fb.png"


def test_templates_hide_what_they_hold() -> None:
    assert repr(DestinationTemplate("ftp", "ftp://u:pw@h/x")) == "DestinationTemplate(ftp)"
