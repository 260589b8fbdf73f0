"""The IIIF dialect as the engine has it: what the official validator and viewers ask, statuses and headers."""

from urllib.parse import urljoin

import msgspec
import pytest

from imgserve.errors import ImgserveError
from imgserve.request.dialects.dialect import Answer, Asked, Called, Described, Dialect, Header, Negotiable, UrlRefused
from imgserve.request.dialects.iiif.config import Config
from imgserve.request.dialects.iiif.dialect import Iiif
from imgserve.request.dialects.iiif.grammar import Request
from imgserve.request.dialects.iiif.parameters import Parameters
from imgserve.request.dialects.iiif.support import SUPPORT
from imgserve.request.faults import Fault, RequestInvalid
from imgserve.request.geometry import NothingLeft, SourceTooSmall
from imgserve.request.imageinfo import ImageInfo, Size
from imgserve.request.limits import Limits
from imgserve.request.rendering import resolve

ID = "67352ccc-d1b0-11e1-89ae-279075081939"
BASE = "https://images.test/iiif"
# The picture of the official validator.
INFO = ImageInfo("png", 1_000, 1_000)
MOUNT = Iiif(Config(), allow_unsigned=True, place=BASE)
STRICT = Iiif(Config(upscaling=False), allow_unsigned=True)


def ask(dialect: Iiif, path: str) -> Asked[Parameters]:
    return dialect.parse(path, Negotiable(), 0.0)


def outcome(dialect: Iiif, path: str) -> int | tuple[int, int] | str:
    """The status of a refusal, the size of the picture, or the kind of the answer."""
    try:
        asked = ask(dialect, path)
        if asked.answer.kind != "picture":
            return asked.answer.kind
        size = resolve(dialect.plan(asked.parameters, INFO).recipe, INFO, Limits()).size
    except UrlRefused as error:
        refused = dialect.refusal(error)
        assert (b"access-control-allow-origin", b"*") in refused.headers
        return refused.status
    assert size is not None
    return size.width_px, size.height_px


TRAPS: list[tuple[str, int | tuple[int, int] | str]] = [
    # Identifiers.
    (f"/3/{ID}", "redirect"), (f"/3/{ID}/info.json", "info"), (f"/2/{ID}/info.json", "info"),
    (f"/3/{ID.replace('-', '%2D')}/full/max/0/default.jpg", (1_000, 1_000)),
    ("/3/a/b/full/max/0/default.jpg", 404), ("/2/a/b/full/full/0/default.jpg", 404),
    ("/3/[frob]/full/max/0/default.jpg", (1_000, 1_000)), ("/3/..%2f..%2fetc/full/max/0/default.jpg", 404),
    # Regions.
    (f"/3/{ID}/square/max/0/default.jpg", (1_000, 1_000)), (f"/3/{ID}/pct:10,20,9,9/max/0/default.jpg", (90, 90)),
    (f"/3/{ID}/113,213,70,70/max/0/default.jpg", (70, 70)), (f"/3/{ID}/0,0,0,1/max/0/default.jpg", 400),
    (f"/3/{ID}/1000,0,10,10/max/0/default.jpg", 400),
    # size_noup: above the region only with ^.
    (f"/3/{ID}/full/1500,1500/0/default.jpg", 400), (f"/3/{ID}/full/,1500/0/default.jpg", 400),
    (f"/3/{ID}/full/1500,/0/default.jpg", 400), (f"/3/{ID}/full/pct:200/0/default.jpg", 400),
    (f"/3/{ID}/full/!2000,3000/0/default.jpg", 400),
    # size_up.
    (f"/3/{ID}/full/^1500,1500/0/default.jpg", (1_500, 1_500)), (f"/3/{ID}/full/^,1500/0/default.jpg", (1_500, 1_500)),
    (f"/3/{ID}/full/^1500,/0/default.jpg", (1_500, 1_500)), (f"/3/{ID}/full/^pct:200/0/default.jpg", (2_000, 2_000)),
    (f"/3/{ID}/full/^!2000,500/0/default.jpg", (500, 500)), (f"/3/{ID}/full/^!2000,3000/0/default.jpg", (2_000, 2_000)),
    (f"/2/{ID}/full/,1500/0/default.jpg", (1_500, 1_500)),
    # size_nofull, and that of 2.1.
    (f"/3/{ID}/full/full/0/default.jpg", 400), (f"/2/{ID}/full/full/0/default.jpg", (1_000, 1_000)),
    # Distortion is never refused, and the tiles of viewers are off by less than a pixel.
    (f"/3/{ID}/full/300,700/0/default.jpg", (300, 700)), (f"/3/{ID}/0,0,999,777/250,195/0/default.jpg", (250, 195)),
    (f"/3/{ID}/full/!300,400/0/default.jpg", (300, 300)), (f"/3/{ID}/full/pct:50/0/default.jpg", (500, 500)),
    # Rotation.
    (f"/3/{ID}/0,0,100,50/max/90/default.jpg", (50, 100)), (f"/3/{ID}/full/max/!180/default.jpg", (1_000, 1_000)),
    (f"/3/{ID}/full/max/45/default.png", (1_414, 1_414)), (f"/3/{ID}/full/max/360/default.jpg", (1_000, 1_000)),
    (f"/3/{ID}/full/max/361/default.jpg", 400), (f"/3/{ID}/full/max/-90/default.jpg", 400),
    # Quality and format.
    (f"/3/{ID}/full/max/0/color.jpg", (1_000, 1_000)), (f"/3/{ID}/full/max/0/gray.jpg", (1_000, 1_000)),
    (f"/3/{ID}/full/max/0/bitonal.png", (1_000, 1_000)), (f"/2/{ID}/full/full/0/native.jpg", 400),
    (f"/3/{ID}/full/max/0/default.jp2", 400), (f"/3/{ID}/full/max/0/default.pdf", 400),
    # Random garbage, with bytes that some HTTP parsers refuse.
    (f"/3/{ID}/<@[\\]^/max/0/default.jpg", 400), (f"/3/{ID}/full/`=>;:_/0/default.jpg", 400),
    (f"/3/{ID}/full/max/A^b>/default.jpg", 400), (f"/3/{ID}/full/max/0/[z@`=<.jpg", 400),
    (f"/3/{ID}/full/max/0/default.>\\_", 400),
    # The version.
    (f"/1/{ID}/full/full/0/native.jpg", 404), (f"/{ID}/full/max/0/default.jpg", 404), ("/", 404), ("", 404),
    ("//3/x", 404),
    ("/3", 404), ("/3/", 404), ("/%33/x", 404),
]  # fmt: skip


@pytest.mark.parametrize(("path", "wanted"), TRAPS)
def test_what_the_validator_asks(path: str, wanted: int | tuple[int, int] | str) -> None:
    assert outcome(MOUNT, path) == wanted


@pytest.mark.parametrize("size", ["^max", "^1500,", "^,1500", "^!2000,2000", "^pct:120", "^500,", "^pct:50"])
def test_without_upscaling(size: str) -> None:
    assert outcome(STRICT, f"/3/{ID}/full/{size}/0/default.jpg") == 501
    assert outcome(STRICT, f"/3/{ID}/full/^garbage/0/default.jpg") == 400
    assert outcome(STRICT, f"/2/{ID}/full/1500,/0/default.jpg") == 400


def test_a_mount_of_one_version() -> None:
    only = Iiif(Config(extra_formats=()), allow_unsigned=True, version=2)
    assert outcome(only, f"/{ID}/full/full/0/default.jpg") == (1_000, 1_000)
    assert outcome(only, f"/{ID}/full/full/0/default.webp") == 400
    assert only.canonical_path(ask(only, f"/{ID}/full/500,500/0/default.jpg"), INFO) == f"/{ID}/full/500,/0/default.jpg"
    assert only.path(Request("info", "a/b", Parameters(2))) == "/a%2Fb/info.json"


def test_unsigned_urls_must_be_allowed() -> None:
    dialect: Dialect[Parameters] = Iiif(Config())
    with pytest.raises(UrlRefused) as raised:
        dialect.parse(f"/3/{ID}/info.json", Negotiable(), 0.0)
    assert dialect.refusal(raised.value).status == 403


@pytest.mark.parametrize(
    ("path", "called", "wanted"),
    [
        (f"/3/{ID}", f"{BASE}/3/{ID}", f"{BASE}/3/{ID}/info.json"),
        ("/2/a%2Fb", f"{BASE}/2/a%2Fb", f"{BASE}/2/a%2Fb/info.json"),
        ("/3/ark:%2F1%2Fx", f"{BASE}/3/ark:%2F1%2Fx", f"{BASE}/3/ark:%2F1%2Fx/info.json"),
        ("/3/a:b,c;d@e", f"{BASE}/3/a:b,c;d@e", f"{BASE}/3/a:b,c;d@e/info.json"),
        ('/3/<">\\', f"{BASE}/3/x", f"{BASE}/3/%3C%22%3E%5C/info.json"),
    ],
)
def test_the_redirect(path: str, called: str, wanted: str) -> None:
    """Relative to the URL that the client called, whatever a proxy makes of paths."""
    asked = ask(MOUNT, path)
    assert asked.answer == Answer("redirect", location=asked.answer.location)
    assert urljoin(called, asked.answer.location) == wanted
    assert asked.answer.location.isascii()


def test_round_trip() -> None:
    for kind in ("picture", "info", "redirect"):
        request = Request(kind, "products:a b/ä?.jpg", Parameters(3))
        asked = ask(MOUNT, MOUNT.path(request))
        assert asked.source == "products:a%20b/%C3%A4%3F.jpg"
        assert (asked.answer.kind, asked.parameters, asked.is_signed) == (kind, request.parameters, False)


def test_headers_of_a_picture() -> None:
    asked = ask(MOUNT, f"/3/{ID.replace('-', '%2D')}/full/500,/0/color.jpg")
    planned = MOUNT.plan(asked.parameters, INFO)
    profile = '<http://iiif.io/api/image/3/level2.json>;rel="profile"'
    canonical = f'<{BASE}/3/{ID}/full/500,500/0/default.jpg>;rel="canonical"'
    cors: Header = (b"access-control-allow-origin", b"*")
    assert MOUNT.headers(asked, INFO, planned) == (cors, (b"link", f"{profile},{canonical}".encode()))
    older = ask(MOUNT, "/2/a%2Fb%3E%22,;/full/500,500/0/color.jpg")
    (_, (_, links)) = MOUNT.headers(older, INFO, planned)
    assert b"<http://iiif.io/api/image/2/level2.json>" in links
    assert b"<https://images.test/iiif/2/a%2Fb%3E%22%2C%3B/full/500,/0/default.jpg>" in links


def described(raw_path: str, *accept: bytes, info: ImageInfo = INFO) -> Described:
    return MOUNT.described(ask(MOUNT, raw_path), info, Called(BASE, raw_path, accept))


def test_info() -> None:
    raw_path = f"/3/{ID.replace('-', '%2D')}/info.json"
    document = described(raw_path, b"application/json", info=ImageInfo("svg", 99.5, 10.2))
    body = msgspec.json.decode(document.body)
    assert body["id"] == f"{BASE}/3/{ID.replace('-', '%2D')}"
    assert (body["width"], body["height"]) == (100, 10)
    assert document.media_type == "application/json"
    assert dict(document.headers) == {
        b"access-control-allow-origin": b"*",
        b"vary": b"Accept",
        b"link": b'<http://iiif.io/api/image/3/level2.json>;rel="profile"',
    }
    assert described(raw_path).media_type.startswith("application/ld+json;profile=")


def test_info_of_2_names_its_context_in_a_header() -> None:
    context = b'<http://iiif.io/api/image/2/context.json>;rel="http://www.w3.org/ns/json-ld#context"'
    assert context in dict(described(f"/2/{ID}/info.json").headers)[b"link"]
    linked = described(f"/2/{ID}/info.json", b"application/ld+json")
    assert context not in dict(linked.headers)[b"link"]
    assert msgspec.json.decode(linked.body)["@id"] == f"{BASE}/2/{ID}"


def test_preflight() -> None:
    assert (b"access-control-allow-origin", b"*") in MOUNT.preflight()


class Coded(ImgserveError):
    def __init__(self, code: str, status: int, retry_after_s: float | None = None) -> None:
        super().__init__("a secret place")
        self.code, self.status, self.retry_after_s = code, status, retry_after_s


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (RequestInvalid(Fault("source_refused")), 404), (RequestInvalid(Fault("source_invalid")), 404),
        (RequestInvalid(Fault("source_scheme_unknown")), 404), (RequestInvalid(Fault("result_too_large")), 400),
        (RequestInvalid(Fault("result_too_large"), Fault("source_invalid")), 400), (Coded("source_refused", 422), 404),
        (Coded("source_not_found", 422), 404), (Coded("source_lost", 422), 404),
        (Coded("source_unavailable", 422), 502),
        (Coded("source_unreadable", 422), 422), (Coded("picture_too_large", 422), 422), (SourceTooSmall("x"), 422),
        (NothingLeft("x"), 400), (Coded("worker_died", 502), 500), (Coded("render_timeout", 422), 503),
        (Coded("no_worker", 503), 503), (Coded("on_demand_full", 429), 429), (Coded("internal", 500), 500),
        (Coded("never heard of", 422), 500),
    ],
)  # fmt: skip
def test_statuses_of_errors(error: ImgserveError, status: int) -> None:
    refusal = MOUNT.refusal(error)
    assert refusal.status == status
    assert refusal.body == f"{error.title}\n".encode()
    assert refusal.headers == ((b"access-control-allow-origin", b"*"),)


def test_a_busy_server_says_when() -> None:
    assert (b"retry-after", b"3") in MOUNT.refusal(Coded("no_worker", 503, 2.1)).headers


@pytest.mark.parametrize("example", [row.example for row in SUPPORT if row.example])
def test_examples_of_the_table(example: str) -> None:
    info = ImageInfo("jpeg", 120, 90)
    asked = ask(MOUNT, "/" + example.format(id="a.jpg"))
    assert asked.source == "a.jpg"
    if asked.answer.kind == "picture":
        assert resolve(MOUNT.plan(asked.parameters, info).recipe, info, Limits()).size is not None
    assert described("/3/a.jpg/info.json", info=info).body


def test_what_is_not_offered_is_refused() -> None:
    rows = {row.option for row in SUPPORT if row.status == "not offered" and row.option.startswith("format ")}
    assert rows == {"format jp2, pdf"}
    assert outcome(MOUNT, "/3/a/full/max/0/default.jp2") == outcome(MOUNT, "/3/a/full/max/0/default.pdf") == 400


def test_the_server_limits_sizes() -> None:
    small = Iiif(Config(), allow_unsigned=True, limits=Limits(output_side_px=200))
    asked = ask(small, f"/3/{ID}/full/max/0/default.jpg")
    assert resolve(small.plan(asked.parameters, INFO).recipe, INFO, Limits()).size == Size(200, 200)
