"""URLs: the cut by our own rule, libcurl's judgement, keys."""

import tracemalloc

import pytest

from imgserve.request import url


@pytest.mark.parametrize(
    ("text", "scheme"),
    [
        ("http://h", "http"), ("HTTP://h", "http"), ("s3:anything", "s3"), ("a+b.c-d://x", "a+b.c-d"),
        ("http:80/x", "http"), ("z39.50r://h", "z39.50r"), ("localhost:8000/x", None), ("example.com:80", None),
        ("example.com/x", None), ("//h/x", None), ("", None), (":x", None), ("1a://x", None), (" http://h", None),
    ],
)  # fmt: skip
def test_scheme_by_text(text: str, scheme: str | None) -> None:
    assert url.scheme_of(text) == scheme


@pytest.mark.parametrize(
    ("text", "authority", "rest"),
    [
        ("http://h/up:a.png", "http://h", "/up:a.png"),
        ("http://h:8080:a.png", "http://h:8080", ":a.png"),
        ("http://h:a.png", "http://h", ":a.png"),
        ("http://h:8080.png", "http://h", ":8080.png"),
        ("http://u:p@h:80?q:a.png", "http://u:p@h:80", "?q:a.png"),
        ("http://u:p@h:a@b.png", "http://u:p@h", ":a@b.png"),
        ("http://[::1]:81:a.png", "http://[::1]:81", ":a.png"),
        ("http://[::1]/up#f:a.png", "http://[::1]", "/up#f:a.png"),
        ("file:///a/b", "file://", "/a/b"),
        ("file://localhost/a", "file://localhost", "/a"),
        ("http://h", "http://h", ""),
    ],
)
def test_cut(text: str, authority: str, rest: str) -> None:
    assert url.cut(text) == (authority, rest)


@pytest.mark.parametrize("text", ["http:/h/x", "http:h", "http:///x", "http://u:p@[h:x", "http://u@/x", "http://é/x"])
def test_what_cannot_be_cut(text: str) -> None:
    with pytest.raises(url.UrlInvalid):
        url.cut(text)


def test_parts() -> None:
    parsed = url.parse("HTTPS://Us%40er:pw@EX.com:8443/a/./b/../c%2fd é?q=1&r={x}#frag")
    assert (parsed.scheme, parsed.host, parsed.port) == ("https", "ex.com", 8443)
    assert (parsed.path, parsed.query) == ("/a/c%2fd%20%C3%A9", "q=1&r=%7Bx%7D")
    assert parsed.text == "HTTPS://Us%40er:pw@EX.com:8443/a/./b/../c%2fd%20%C3%A9?q=1&r=%7Bx%7D"
    assert "pw" not in repr(parsed)


PORTS = [
    ("http://h", 80), ("https://h", 443), ("ftp://h/x", 21), ("file:///x", 0), ("ftps://h/x", 990), ("ftpes://h/x", 21),
    ("ftpes://h:990/x", 990), ("ftps://h:21/x", 21), ("s3://pics/x", 0),
]  # fmt: skip


@pytest.mark.parametrize(("text", "port"), PORTS)
def test_default_ports(text: str, port: int) -> None:
    assert url.parse(text).port == port


@pytest.mark.parametrize(
    "text",
    [
        "http://h:x/", "http://h:99999/", "http://a@b@c/", "http://h\\x/", "http://h/a\n", "http://h/\x7f", "http://h/\ud800",
        "http://u%0d%0a@h/", "file://host/a", "file:///a?b", "file:///a#b", "ftp://h/a?b", "ftp://h/a#b",
        "s3:///a", "s3://Pics/a", "s3://pi/a", "s3://a..b/a", "s3://10.0.0.1/a", "s3://pics:9000/a", "s3://u:p@pics/a",
        "s3://pics//a", "s3://pics/a//b", "s3://pics/../a", "s3://pics/%2e/a", "s3://pics/%ff", "s3://pics/a%0a",
        "s3://pics/a?b", "s3://pics/a#b", "s3://pics/" + "a" * 1_025,
        "ftp://h/a;type=a", "ftp://h/a;TYPE=d", "ftp://h/a%0d%0aDELE%20x", "ftp://h/a%2F..%2Fb", "http://h h/",
    ],
)  # fmt: skip
def test_refused(text: str) -> None:
    with pytest.raises(url.UrlInvalid):
        url.parse(text)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("http://h/a", "HTTP://H:80/a"),
        ("http://h/a", "http://user:pw@h./b/../a#f"),
        ("http://h/%7Ea%c3%a9", "http://h/~a%C3%A9"),
        ("http://127.0.0.1/a", "http://2130706433/a"),
        ("https://h/a?X-Amz-Date=1&v=2&X-Goog-Signature=3", "https://h/a?v=2"),
        ("https://h/a?sig=1&se=2&Expires=3&Signature=4", "https://h/a"),
        ("ftp://h//abs/a", "ftp://u@h/%2fabs/a"),
        ("ftps://h:21/a", "ftpes://u:p@h/a"),
        ("ftp://h/a", "ftpes://h/a"),
        ("file:///a//b", "file://localhost/a/b"),
        ("s3://pics/a b/%7e.png", "S3://pics/a%20b%2F~.png"),
    ],
)
def test_one_place_has_one_key(one: str, other: str) -> None:
    assert url.parse(one).key == url.parse(other).key


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("http://h/a", "https://h/a"), ("http://h/a", "http://h:81/a"), ("http://h/a", "http://h/A"),
        ("http://h/a?v=1", "http://h/a?v=2"), ("http://h/a%2Fb", "http://h/a/b"), ("ftp://h/a", "ftp://h//a"),
        ("s3://pics/a", "s3://pics/A"), ("s3://pics/a", "https://pics/a"), ("s3://pics/a%3Fb", "s3://pics/a"),
        ("ftps://h/a", "ftp://h/a"), ("http://h/a?design=1", "http://h/a"), ("http://h/a%3Fb", "http://h/a?b"),
    ],
)  # fmt: skip
def test_two_places_have_two_keys(one: str, other: str) -> None:
    assert url.parse(one).key != url.parse(other).key


def test_decode_once() -> None:
    assert url.decode_name("a%2541%C3%A9") == "a%41é"
    assert url.decode_path("/a%20b/%2541") == "/a b/%41"
    for text in ("%ff", "\ud800"):
        with pytest.raises(url.UrlInvalid):
            url.decode_name(text)


def test_names_for_ftp_are_no_longer_than_those_of_files() -> None:
    assert url.parse(f"ftp://h/{'x' * url.MAX_REMOTE_NAME_BYTES}/{'%C3%BC' * 300}").host == "h"
    for name in ("x" * (url.MAX_REMOTE_NAME_BYTES + 1), "%C3%BC" * 400):
        with pytest.raises(url.UrlInvalid, match="at most 765 bytes"):
            url.parse(f"ftp://h/{name}/a.png")
    assert url.parse(f"http://h/{'x' * 4_096}").host == "h"


def test_long_texts_are_not_kept() -> None:
    """A text that is no URL may be as long as a whole request."""
    tracemalloc.start()
    for number in range(50):
        assert url.scheme_of(f"data:{number}," + "x" * 100_000) == "data"
    kept_bytes, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept_bytes < 1_000_000
