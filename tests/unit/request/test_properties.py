"""What holds for every input, tried on many. The seed is fixed: a failure is the same failure everywhere."""

import json
import string
from fractions import Fraction
from urllib.parse import quote

import msgspec
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from imgserve.request import tags
from imgserve.request.classic.destination import parse_destination
from imgserve.request.classic.parse import parse
from imgserve.request.classic.spelling import number_of, sentence_of
from imgserve.request.faults import RequestInvalid
from imgserve.request.imageinfo import ImageInfo, Size
from imgserve.request.job import JobRequest
from imgserve.request.json_text import ParseError
from imgserve.request.operations.rasterize import Rasterize
from imgserve.request.operations.resize import Resize
from imgserve.request.recipe import Operation
from imgserve.request.rendering import steps_of
from tests.support.sizes import sized
from tests.unit.request.samples import FORM_REQUEST, source

steady = settings(derandomize=True, deadline=None, max_examples=200, database=None)

names = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/"), min_size=1, max_size=20).filter(
    lambda name: name not in (".", "..")
)
ports = st.integers(1, 65535) | st.none()
words = st.text(string.ascii_letters + string.digits, min_size=1, max_size=8)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
typical = ["http://h/a.png", "ftp://u:p@h/{$basename}.{$ext}", "file:///o/{$width}", "http://h/up:{$x}", "s3://b", "::"]
urls = st.sampled_from(typical) | st.text(max_size=30)
arg_names = [
    "width",
    "height",
    "fit",
    "dpi",
    "format",
    "quality",
    "background",
    "field_name",
    "method",
    "enlarge",
    "if_small",
    "operations",
    "preset",
    "blur",
    "crop",
    "hue",
    "modulate",
    "flip",
    "sharpen",
    "round",
    "redact",
]
args = st.dictionaries(
    st.sampled_from(arg_names) | st.text(max_size=8),
    values | st.integers(1, 20_000) | st.sampled_from(["PUT", "png", "cover", "red", "16:9", "5%", True, {"sigma": 2}]),
    max_size=6,
)
good_args = st.fixed_dictionaries(
    {"width": st.integers(1, 16_384)},
    optional={"height": st.integers(1, 16_384), "quality": st.integers(1, 100), "background": st.just("red")},
)
accepted = st.fixed_dictionaries(
    {
        "operationType": st.sampled_from(["resize", "rasterize"]),
        "srcURL": st.sampled_from(["http://u:p@h/a", "file:///in/%C3%A9", "ftp://h//x.svg"]),
        "dstURL": st.sampled_from(["ftp://h/{$width}-{$basename}.webp", "file:///out/{$height}.png", "ftp://u@h/x"]),
        "args": good_args,
    },
    optional={"placeholder": st.sampled_from(["none", {"text": "é"}]), "on_failure": st.just("delete")},
)
requests = st.fixed_dictionaries(
    {},
    optional={
        "operationType": st.sampled_from(["resize", "rasterize"]) | values,
        "srcURL": urls | values,
        "dstURL": urls | values,
        "args": args | values,
        "placeholder": st.sampled_from(["none", "text"]) | values,
        "on_failure": st.sampled_from(["delete", "error_image"]) | values,
        "other": values,
    },
)


def refusal(body: bytes) -> ParseError | RequestInvalid | None:
    """How a door would refuse this body; any other exception is the test's to meet."""
    try:
        parse(body)
    except (ParseError, RequestInvalid) as error:
        return error
    return None


@steady
@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_any_bytes_are_refused_in_one_of_two_ways(body: bytes) -> None:
    assert refusal(body) is not None


@settings(steady, max_examples=sized(300, 1500))
@given(requests | values, st.booleans())
def test_any_json_is_parsed_or_refused(request: object, is_ascii: bool) -> None:
    body = json.dumps(request, ensure_ascii=is_ascii).encode(errors="surrogatepass")
    error = refusal(body)
    if isinstance(error, RequestInvalid):
        assert number_of(error) in range(101, 115)
        assert sentence_of(error).encode()


@steady
@given(accepted)
def test_what_is_accepted_survives_json(request: dict[str, object]) -> None:
    job = parse(json.dumps(request).encode())
    assert msgspec.json.decode(msgspec.json.encode(job), type=JobRequest) == job


@settings(steady, max_examples=sized(200, 600))
@given(accepted, requests)
def test_a_good_request_with_some_keys_replaced(request: dict[str, object], changes: dict[str, object]) -> None:
    error = refusal(json.dumps(request | changes).encode())
    assert not isinstance(error, ParseError)


@steady
@given(names, names, st.integers(1, 400), st.integers(1, 400))
def test_tags_carry_any_name_unharmed(basename: str, ext: str, width: int, height: int) -> None:
    assume("." not in ext)
    encoded = quote(f"{basename}.{ext}", safe="")
    # A segment that curl's parser takes for "." or ".." names no file.
    assume(encoded not in (".", "..") and set(encoded) != {"."})
    filled = tags.values_of(source(f"http://h/{encoded}"), Size(width, height))
    place = parse_destination("file:///out/{$width}-{$basename}-{$height}.{$extension}", {}).fill(filled)
    assert place.path == f"/out/{width}-{basename}-{height}.{ext}"


@steady
@given(words, ports, st.lists(words, max_size=3), st.text("abc:?&=%{}", max_size=12), words, names)
def test_page_and_name_come_apart_as_they_were_joined(
    host: str, port: int | None, path: list[str], query: str, userinfo: str, name: str
) -> None:
    assume(not host.isdigit())
    assume(not set(host) <= set("0123456789abcdefABCDEFxX"))  # such a host is an IPv4 number to curl
    authority = f"http://{userinfo}:{userinfo}@{host}" + ("" if port is None else f":{port}")
    page = f"{authority}/{'/'.join(path)}?{query}"
    joined = f"{page}:{quote(name, safe='')}"
    place = parse_destination(joined, {"field_name": "f"}).fill(tags.EXAMPLE)
    assert place.name == name
    assert place.url == page.replace("{", "%7B").replace("}", "%7D")
    assert place.shown == joined
    assert (place.host, place.port, place.path) == (host.lower(), port or 80, f"/{'/'.join(path)}")


@steady
@given(st.integers(1, 16_384), st.integers(1, 20_000), st.integers(1, 20_000), st.booleans(), st.booleans())
def test_the_other_side_is_within_half_a_pixel(side: int, width: int, height: int, wide: bool, is_svg: bool) -> None:
    exact = Fraction(side * height, width) if wide else Fraction(side * width, height)
    assume(exact <= 16_384)
    given_width, given_height = (side, None) if wide else (None, side)
    operation: Operation = Resize(width=given_width, height=given_height, if_small="enlarge")
    if is_svg:
        operation = Rasterize(width=given_width, height=given_height)
    [step] = steps_of([operation], ImageInfo("svg" if is_svg else "png", width, height))
    size = step.size
    same, other = (size.width_px, size.height_px) if wide else (size.height_px, size.width_px)
    assert same == side
    assert abs(other - exact) <= Fraction(1, 2) or (other == 1 and exact < 1)


@steady
@given(st.permutations(list(FORM_REQUEST)), st.permutations(["width", "height", "field_name", "quality"]))
def test_the_order_of_keys_does_not_matter(keys: list[str], names_of_args: list[str]) -> None:
    given_args: dict[str, object] = {"width": 20, "height": 10, "field_name": "f", "quality": 5}
    straight = FORM_REQUEST | {"args": given_args}
    turned = {key: straight[key] for key in keys} | {"args": {name: given_args[name] for name in names_of_args}}
    assert parse(json.dumps(turned).encode()) == parse(json.dumps(straight).encode())


@settings(steady, max_examples=sized(200, 500))
@given(
    st.sampled_from(["http", "https", "ftp", "ftps", "FTPES", "file", "sftp", "s3", "", "HTTP"]),
    st.text("ab:@/#?%{}$[]\\ .é\n", max_size=6),
    st.text("ab:@/#?%{}$[]\\ .é\n", max_size=10),
    st.sampled_from([{}, {"field_name": "f"}, {"method": "PUT"}, {"field_name": "f", "method": "PUT"}, {"width": "x"}]),
)
def test_no_secret_is_ever_repeated(scheme: str, before: str, after: str, extra: dict[str, object]) -> None:
    secret = "hunter2secret"
    url = f"{scheme}://user:{before}{secret}{after}@h/{{$x}}.bmp"
    body = {"operationType": "resize", "srcURL": url, "dstURL": url, "args": {"height": url} | extra, "on_failure": url}
    error = refusal(json.dumps(body | {url: url, "placeholder": {url: url}}).encode())
    assert isinstance(error, RequestInvalid)
    assert secret not in error.detail + sentence_of(error)
    assert secret not in repr(error)
