"""The names of sources in GETs: what a mount's settings turn them into, and that no spelling leaves a prefix."""

from collections.abc import Sequence
from urllib.parse import unquote

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from imgserve.request import url
from imgserve.request.destination import Destination, DestinationTemplate
from imgserve.request.dialects.sources import Sources, canonical_url, problems_of, sources_at
from imgserve.request.faults import RequestInvalid
from imgserve.request.protocols import DestinationKind
from imgserve.request.source import parse_source
from imgserve.request.tags import EXAMPLE

CDN = "https://cdn.test/pictures/"
NAMED = {"products": "https://bucket.test/shop", "local": "file:///srv/pictures/", "s": "s3://bucket/dir"}
ALL = Sources.of([CDN, "*.img.test", "https://*.deep.test:8443/a", "ftp://ftp.test/pub", "bare.test:81"], NAMED)
BASED = Sources.of(base_url="https://base.test/dir")
LOCAL = Sources.of(base_url="file:///srv/pictures")


def judged(sources: Sources, name: str) -> str:
    return sources.judge(name).url


def fault(sources: Sources, name: str) -> str:
    with pytest.raises(RequestInvalid) as raised:
        sources.judge(name)
    (one,) = raised.value.faults
    assert name == "" or name not in raised.value.sentence()
    return one.code


@pytest.mark.parametrize(
    ("name", "canonical"),
    [
        ("https://cdn.test/pictures/a.jpg", "https://cdn.test/pictures/a.jpg"),
        ("HTTPS://CDN.TEST:0443/pictures/a.jpg?w=1&x#f", "https://cdn.test/pictures/a.jpg?w=1&x"),
        ("https://cdn%2Etest/pictures/a b.jpg", "https://cdn.test/pictures/a%20b.jpg"),
        ("https://cdn.test/x/../pictures/./a.jpg", "https://cdn.test/pictures/a.jpg"),
        ("https://cdn.test./pictures/a%2Fb", "https://cdn.test./pictures/a%2Fb"),
        ("https://cdn.test/pictures/a?b=/../..", "https://cdn.test/pictures/a?b=/../.."),
        ("https://cdn.test/pictures/100%25.jpg", "https://cdn.test/pictures/100%25.jpg"),
        ("https://cdn.test/pictures/..a/...", "https://cdn.test/pictures/..a/..."),
        ("https://cdn.test/pictures/ä", "https://cdn.test/pictures/%C3%A4"),
        ("http://a.img.test/x", "http://a.img.test/x"), ("https://a.b.img.test/", "https://a.b.img.test/"),
        ("https://x.deep.test:8443/a/b", "https://x.deep.test:8443/a/b"),
        ("ftp://ftp.test/pub/a.jpg", "ftp://ftp.test/pub/a.jpg"),
        ("http://bare.test:81/x", "http://bare.test:81/x"), ("https://bare.test:81/x", "https://bare.test:81/x"),
        ("products:a.jpg", "https://bucket.test/shop/a.jpg"), ("products:/a.jpg", "https://bucket.test/shop/a.jpg"),
        ("products://a/b.jpg?v=1", "https://bucket.test/shop/a/b.jpg?v=1"), ("products:", "https://bucket.test/shop/"),
        ("products:x/../a.jpg", "https://bucket.test/shop/a.jpg"), ("products:@x", "https://bucket.test/shop/@x"),
        ("local:///a b.jpg", "file:///srv/pictures/a%20b.jpg"), ("s:a/b.png", "s3://bucket/dir/a/b.png"),
    ],
)  # fmt: skip
def test_allowed(name: str, canonical: str) -> None:
    source = ALL.judge(name)
    assert source == parse_source(canonical)


@pytest.mark.parametrize(
    "name",
    [
        # Another host, port, scheme or directory.
        "https://cdn.test.evil.test/pictures/a", "https://xcdn.test/pictures/a", "https://cdn.test:8443/pictures/a",
        "http://cdn.test/pictures/a", "https://cdn.test/picturesque/a", "https://cdn.test/", "https://cdn.test/a",
        "https://cdn.test@evil.test/pictures/a", "https://evil.test/https://cdn.test/pictures/a",
        "https://cdn.test\\@evil.test/pictures/a", "https://evil.test#@cdn.test/pictures/a",
        "https://evil.test?@cdn.test/pictures/a", "https://evil.test/?https://cdn.test/pictures/",
        "https://img.test/x", "https://ximg.test/x", "https://a.img.test.evil/x", "https://a.img.test:8080/x",
        "https://deep.test:8443/a/b", "https://x.deep.test:8443/b", "https://x.deep.test/a/b", "http://bare.test/x",
        "ftp://ftp.test/a.jpg", "ftps://ftp.test/pub/a.jpg", "file:///srv/pictures/a.jpg", "s3://bucket/other/a.jpg",
        # A user name: the settings name none.
        "https://user@cdn.test/pictures/a", "https://u:p@cdn.test/pictures/a",
        # Up and out.
        "https://cdn.test/pictures/../a", "https://cdn.test/pictures/%2e%2E/a", "https://cdn.test/pictures/..%2fa",
        "https://cdn.test/pictures/..%5Ca", "https://cdn.test/pictures/..;x/a", "https://cdn.test/pictures/x/..%2f..",
        "https://cdn.test/pictures/%252e%252e/a", "https://cdn.test/pictures/%25252e%25252e%25252fa",
        "https://cdn.test/pictures/..%252fa", "https://cdn.test/pictures/..%c0%afa/%2e%2e%2f",
        "https://cdn.test/pictures/%2525252525252525", "https://cdn.test/pictures/%00", "https://cdn.test/pictures/%250a",
        "https://cdn.test/pictures/a%2f%2e%2e%2f%2e%2e%2fb",
        "https://cdn.test/pictures/..%255ca", "https://cdn.test/pictures/..%253bx/a",
        "ftp://ftp.test/pub/%2Fetc/x.jpg", "ftp://ftp.test/pub/a%2fb",
        "products:../a.jpg", "products:%2e%2e/a.jpg", "products:..%2Fa", "products:..\\..\\a", "products:x/../../a",
        "products:/../a",
        # No name of the settings, no base URL.
        "a.jpg", "/a.jpg", "//cdn.test/pictures/a", "other:a.jpg", "PRODUCTS:a.jpg", "data:image/png;base64,AAAA",
        "upload:1", "products", "cdn.test/pictures/a", "cdn.test:443/pictures/a", "../a", ":a",
    ],
)  # fmt: skip
def test_refused(name: str) -> None:
    assert fault(ALL, name) == "source_refused"


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("", "source_invalid"), ("x" * 8_193, "source_invalid"), ("products:" + "x" * 8_180, "source_invalid"),
        ("https://", "source_invalid"), ("https:/cdn.test/pictures/a", "source_invalid"), ("http:a", "source_invalid"),
        ("https://cdn.test/pictures/\x00", "source_invalid"), ("https://cdn.test/pictures/a\nb", "source_invalid"),
        ("https://cdn.tést/pictures/a", "source_invalid"), ("https://cdn.test%00.evil/pictures/a", "source_invalid"),
        ("https://cdn.test%2f.evil.test/", "source_invalid"), ("local:../a", "source_refused"),
        ("local:%2e%2e/a", "source_refused"), ("local:..%2fa", "source_refused"), ("local:a%00.jpg", "source_refused"),
        ("s:../a", "source_invalid"), ("s:%2e%2e/a", "source_invalid"), ("s:a%2f..%2fb", "source_invalid"),
        ("local:a?b", "source_invalid"),
        ("gs://bucket/a", "source_scheme_unknown"), ("gopher://cdn.test/a", "source_scheme_unknown"),
        ("upload://1", "source_scheme_unknown"),
    ],
)  # fmt: skip
def test_invalid(name: str, code: str) -> None:
    assert fault(ALL, name) == code


@pytest.mark.parametrize(
    ("sources", "name", "canonical"),
    [
        (BASED, "a.jpg", "https://base.test/dir/a.jpg"), (BASED, "/a.jpg", "https://base.test/dir/a.jpg"),
        (BASED, ".evil.test/a", "https://base.test/dir/.evil.test/a"),
        (BASED, "@evil.test/a", "https://base.test/dir/@evil.test/a"),
        (BASED, ":80/a", "https://base.test/dir/:80/a"),
        (BASED, "//evil.test/a", "https://base.test/dir/evil.test/a"),
        (BASED, "evil.test:80/a", "https://base.test/dir/evil.test:80/a"),
        (BASED, "ark:/12148/x", "https://base.test/dir/ark:/12148/x"), (BASED, "a?v=1", "https://base.test/dir/a?v=1"),
        (BASED, "https://base.test/dir/a", None), (BASED, "../a", None), (BASED, "%2e%2e/a", None),
        (BASED, "..%2fa", None), (BASED, "x/../../dirt/a", None), (BASED, "https://evil.test/a", None),
        (LOCAL, "a.jpg", "file:///srv/pictures/a.jpg"), (LOCAL, "//etc/passwd", "file:///srv/pictures/etc/passwd"),
        (LOCAL, "../a", None), (LOCAL, "x/%2e%2e/%2e%2e/a", None), (LOCAL, "..%2f..%2fetc/passwd", None),
        (Sources.of(["h.test"], default_scheme="http"), "h.test/a", "http://h.test/a"),
        (Sources.of(["h.test:81"], default_scheme="http"), "h.test:81/a", "http://h.test:81/a"),
        (Sources.of(["h.test"], default_scheme="http"), "https://h.test/a", "https://h.test/a"),
        (Sources.of(["h.test"], default_scheme="http"), "evil.test/h.test", None),
        (Sources.of(["h.test"], default_scheme="http"), "h.test@evil.test/", None),
        (Sources.of(is_open=True), "https://any.test/x/../a", "https://any.test/a"),
        (Sources.of(is_open=True), "https://u:p@any.test/a%2e%2e", "https://u:p@any.test/a%2e%2e"),
        (Sources.of(is_open=True), "a.jpg", None), (Sources.of(), "https://any.test/a", None),
        (Sources.of(["https://[2001:DB8::1]:8080/"]), "https://[2001:db8::1]:8080/a", "https://[2001:db8::1]:8080/a"),
        (Sources.of(["[2001:db8::1]"]), "http://[2001:db8::1]/a", "http://[2001:db8::1]/a"),
        (Sources.of(["[2001:db8::1]"]), "http://[2001:db8::1%25eth0]/a", "http://[2001:db8::1]/a"),
        (Sources.of(["1.0.0.1"]), "http://1.1/a", "http://1.0.0.1/a"),
    ],
)  # fmt: skip
def test_base_and_others(sources: Sources, name: str, canonical: str | None) -> None:
    if canonical is None:
        with pytest.raises(RequestInvalid):
            sources.judge(name)
    else:
        assert judged(sources, name) == canonical


PIECES = [
    "..",
    ".",
    "/",
    "%2e",
    "%2E",
    "%2f",
    "%5c",
    "\\",
    ";",
    "%25",
    "2e",
    "2f",
    "a",
    "?",
    "#",
    "@",
    ":",
    "//",
    "%3f",
]


@given(st.lists(st.sampled_from(PIECES), max_size=10).map("".join))
@example("%25252e%25252e/a")
def test_no_spelling_leaves_its_prefix(rest: str) -> None:
    """Also at a host that decodes several times, takes backslashes for slashes and drops parameters of segments."""
    for sources, name, beginning in (
        (ALL, f"{CDN}{rest}", ["cdn.test", "pictures"]),
        (ALL, f"products:{rest}", ["bucket.test", "shop"]),
        (BASED, rest, ["base.test", "dir"]),
    ):
        try:
            source = sources.judge(name)
        except RequestInvalid:
            continue
        path = url.parse(source.url).path
        for _ in range(6):
            assert [source.host, *walked(path)][:2] == beginning
            path = unquote(path)


def walked(path: str) -> Sequence[str]:
    names: list[str] = []
    for segment in path.replace("\\", "/").split("/"):
        match segment.partition(";")[0]:
            case "" | ".":
                pass
            case "..":
                names = names[:-1]
            case name:
                names.append(name)
    return names


@given(st.lists(st.sampled_from(PIECES), max_size=10).map("".join))
def test_a_canonical_url_stays(rest: str) -> None:
    try:
        canonical = judged(Sources.of(is_open=True), f"https://Any.test/{rest}")
    except RequestInvalid:
        return
    assert judged(Sources.of(is_open=True), canonical) == canonical


FIELDS = ("sources", "named_sources", "base_url")


@pytest.mark.parametrize(
    ("allowed", "named", "base", "field", "path"),
    [
        (["https://u@h/"], {}, "", "sources", (0,)), ([CDN, "https://h/?x"], {}, "", "sources", (1,)),
        (["a b"], {}, "", "sources", (0,)), (["*"], {}, "", "sources", (0,)), (["*."], {}, "", "sources", (0,)),
        (["https://a.*.test/"], {}, "", "sources", (0,)), (["s3://*.bucket/"], {}, "", "sources", (0,)),
        (["file://*.h.test/"], {}, "", "sources", (0,)),
        ([""], {}, "", "sources", (0,)), (["gs://bucket/"], {}, "", "sources", (0,)),
        (["https://h/../%2e%2e%2f"], {}, "", "sources", (0,)), (["h.test:99999"], {}, "", "sources", (0,)),
        ([], {"http": CDN}, "", "named_sources", ("http",)), ([], {"a b": CDN}, "", "named_sources", ("a b",)),
        ([], {"a": "h.test"}, "", "named_sources", ("a",)), ([], {"a": "https://*.h/"}, "", "named_sources", ("a",)),
        ([], {"a": ""}, "", "named_sources", ("a",)), ([], {}, "h.test", "base_url", ()),
        ([], {}, "https://h.test/?url=", "base_url", ()),
    ],
)  # fmt: skip
def test_settings_that_cannot_work(
    allowed: list[str], named: dict[str, str], base: str, field: str, path: tuple[str | int, ...]
) -> None:
    (problem,) = problems_of(allowed, named, base, FIELDS)
    assert (problem.field, problem.path) == (field, path)
    assert problem.sentence.startswith("expected ")


def test_settings_that_work() -> None:
    assert not list(problems_of([CDN, "*.img.test", "h", "https://h", "file:///srv"], NAMED, CDN, FIELDS))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("file:///srv/pictures/a.jpg", "file:///srv//pictures/%61.jpg"),
        ("file:///srv/pictures/a%20b.jpg", "file:///srv/pictures/a b.jpg"),
        ("s3://bucket/dir/a.jpg", "s3://bucket/dir/%61.jpg"),
    ],
)
def test_one_file_or_object_has_one_url_which_is_its_key_as_a_destination(one: str, other: str) -> None:
    assert canonical_url(one) == canonical_url(other) == url.parse(other).key


def destination(text: str, kind: DestinationKind = "put", public_url: str = "") -> Destination:
    made = DestinationTemplate(kind, text).fill(EXAMPLE)
    return msgspec.structs.replace(made, public_url=public_url) if public_url else made


@pytest.mark.parametrize(
    ("place", "names"),
    [
        (destination("file:///srv//out/%61 b.png", "file"), ["file:///srv/out/a%20b.png"]),
        (destination("s3://bucket/dir/a.png", "s3"), ["s3://bucket/dir/a.png"]),
        (
            destination("s3://bucket/dir/a.png", "s3", "https://cdn.test:443/dir/a.png"),
            ["s3://bucket/dir/a.png", "https://cdn.test/dir/a.png"],
        ),
        (destination("https://H.test:443/%61.png"), ["https://h.test/%61.png", "https://h.test/a.png"]),
        (
            destination("http://ann:pw@h.test:81/a.png?v=1&X-Amz-Signature=x&Expires=9"),
            ["http://ann:pw@h.test:81/a.png?v=1&X-Amz-Signature=x&Expires=9", "http://h.test:81/a.png?v=1"],
        ),
        (destination("ftp://ann:pw@h.test/a.png", "ftp"), ["ftp://ann:pw@h.test/a.png", "ftp://h.test/a.png"]),
        (destination("http://h.test/form.html:a.png", "form"), []),
        (destination("http://h.test/form.html:a.png", "form", "nowhere"), []),
    ],
)
def test_the_names_by_which_gets_may_know_a_destination(place: Destination, names: list[str]) -> None:
    assert sources_at(place) == set(names)
    assert all(Sources.of(is_open=True).judge(name).url == name for name in names)


@pytest.mark.parametrize(
    ("sources", "url", "is_admitted"),
    [
        (ALL, "https://cdn.test/pictures/a", True), (ALL, "https://cdn.test/other/a", False),
        (ALL, "https://bucket.test/shop/a", True), (ALL, "https://bucket.test/shops/a", False),
        (ALL, "https://a.img.test/", True), (ALL, "https://img.test/", False),
        (ALL, "https://a.img.test.evil.test/", False), (ALL, "https://cdn.test/pictures/%2e%2e/a", False),
        (ALL, "https://u@cdn.test/pictures/a", False), (BASED, "https://base.test/dir/a?signature=b", True),
        (BASED, "https://base.test/a", False), (BASED, "a", False),
        (Sources.of(is_open=True), "https://any.test/", True),
        # The same place with TLS, and never without.
        (BASED, "http://base.test/dir/a", False), (Sources.of(["http://h.test/a"]), "https://h.test/a/b", True),
        (Sources.of(["http://h.test/a"]), "https://h.test/b", False),
        (Sources.of(["http://h.test:81"]), "https://h.test:81/a", False),
        (Sources.of(["http://h.test"]), "https://h.test:444/a", False),
    ],
)  # fmt: skip
def test_where_redirects_may_lead(sources: Sources, url: str, is_admitted: bool) -> None:
    assert sources.admits(url) is is_admitted
