"""imagor's dialect as the engine uses it: signatures, rights, statuses, and its answer of /meta/."""

import json

import msgspec
import pytest

from imgserve.errors import ImgserveError
from imgserve.imaging.faults import PictureTooLarge, RenderTimeout, SourceUnreadable
from imgserve.request.dialects.dialect import Called, Dialect, Negotiable, Refusal
from imgserve.request.dialects.thumbor import (
    dialect,
)
from imgserve.request.dialects.thumbor.config import Config
from imgserve.request.dialects.thumbor.geometry import box_of
from imgserve.request.dialects.thumbor.imagor_dialect import Imagor as ImagorDialect
from imgserve.request.dialects.thumbor.parameters import Parameters
from imgserve.request.dialects.thumbor.refused import BadUrl, FormatUnknown, NotSigned, SizeTooLarge, UrlExpired
from imgserve.request.faults import Fault, RequestInvalid
from imgserve.request.geometry import Part
from imgserve.request.imageinfo import Size
from imgserve.setting import Secret
from imgserve.transfer.faults import SourceNotFound, SourceTooLarge
from tests.unit.request.dialects.imagor_samples import (
    FILM,
    JPEG,
    cut,
)

KEYS = (Secret("1234"),)


CALLED = Called("", "")


def imagor(config: Config | None = None, *, allow_unsigned: bool = True) -> ImagorDialect:
    made = dialect.of(config or Config(keys=KEYS, imagor=True), allow_unsigned=allow_unsigned)
    assert isinstance(made, ImagorDialect)
    return made


def test_it_is_a_dialect_with_thumbors_name() -> None:
    one: Dialect[Parameters] = imagor()
    assert one.name == "thumbor"
    assert isinstance(dialect.of(Config()), dialect.Thumbor)


# imagor's own test has these signatures, imagorpath/params_test.go.
TEXT = "meta/10x11:12x13/fit-in/-300x-200/5x6/left/top/smart/filters:some_filter()/img"


@pytest.mark.parametrize(
    ("path", "config"),
    [
        (f"/VTAq7YIRbEXgtwAcsTMhAjvBuT8=/{TEXT}", Config(keys=KEYS, imagor=True)),
        (f"//VTAq7YIRbEXgtwAcsTMhAjvBuT8%3D/{TEXT}", Config(keys=KEYS, imagor=True)),
        (f"/VTAq7YIRbEXgtwAcsTMhAjvBuT8=/{TEXT.replace('(', '%28')}", Config(keys=KEYS, imagor=True)),
        (
            f"/XBCO7esuLsNQuSF2v9ie36pESRGx2rzLjhUxXWnV/{TEXT}",
            Config(keys=KEYS, imagor=True, digest="sha256", signature_length=40),
        ),
    ],
)
def test_signed(path: str, config: Config) -> None:
    request = imagor(config, allow_unsigned=False).parse(path, Negotiable(), 0.0)
    assert request.is_signed
    assert request.source == "img"
    assert imagor(config).parse(imagor(config).path(request), Negotiable(), 0.0) == request


@pytest.mark.parametrize("options", ["300x0", "0x300", "-0x0", "0x0/1x0:0x0", "fit-in", "trim:top-left:1"])
def test_the_path_of_a_single_option(options: str) -> None:
    path = f"/unsafe/{options}/a.jpg"
    assert imagor().path(imagor().parse(path, Negotiable(), 0.0), is_signed=False) == path


@pytest.mark.parametrize("path", ["/unsafe/300x200/a.jpg", "/300x200/a.jpg", f"/VTAq7YIRbEXgtwAcsTMhAjvBuT9=/{TEXT}"])
def test_not_signed(path: str) -> None:
    one = imagor(allow_unsigned=False)
    with pytest.raises(NotSigned) as caught:
        one.parse(path, Negotiable(), 0.0)
    refusal = one.refusal(caught.value)
    assert (refusal.status, refusal.media_type) == (403, "application/json")
    assert json.loads(refusal.body) == {"message": "The URL cannot be answered", "status": 403}


@pytest.mark.parametrize(
    "path", ["/", "/unsafe", "/unsafe/filters:blur(3)/", "/unsafe/%FF", "/unsafe/filters:raw()/a.jpg"]
)
def test_bad_urls(path: str) -> None:
    with pytest.raises(BadUrl):
        imagor().parse(path, Negotiable(), 0.0)


def test_raw_where_the_settings_allow_it() -> None:
    config = Config(keys=KEYS, imagor=True, allow_raw=True)
    assert imagor(config).parse("/unsafe/filters:raw()/a.jpg", Negotiable(), 0.0).answer.kind == "raw"


def test_expired() -> None:
    with pytest.raises(UrlExpired):
        imagor().parse("/unsafe/filters:expire(1)/a.jpg", Negotiable(), 5.0)
    path = "/unsafe/filters:expire(5000)/a.jpg"
    assert imagor().parse(path, Negotiable(), 5.0).answer.expires_at_s == 5
    with pytest.raises(UrlExpired) as caught:
        imagor().parse(path, Negotiable(), 5.5)
    assert imagor().refusal(caught.value).status == 410


def test_what_no_picture_can_be() -> None:
    one = imagor()
    for path, kind, status in (
        ("/unsafe/10000x1/a.jpg", SizeTooLarge, 422),
        ("/unsafe/filters:format(jxl)/a.jpg", FormatUnknown, 406),
        ("/unsafe/filters:" + ":".join(["invert()"] * 33) + "/a.jpg", BadUrl, 400),
    ):
        request = one.parse(path, Negotiable(), 0.0)
        with pytest.raises(kind) as caught:
            one.plan(request.parameters, JPEG)
        assert one.refusal(caught.value).status == status


@pytest.mark.parametrize(
    ("path", "media_type", "name"),
    [
        ("filters:attachment(cat.jpg)/a.png", "image/jpeg", "cat.jpg"),
        ("filters:attachment(cat.png)/a.png", "image/jpeg", "cat.jpg"),
        ("filters:attachment()/shop/a%20b.png", "image/webp", "a b.webp"),
        ("meta/filters:attachment(cat)/a.png", "application/json", "cat.json"),
        ("filters:attachment(a%22b)/a.png", "image/png", "a%22b.png"),
    ],
)
def test_a_picture_is_saved_under_the_name_that_is_asked_for(path: str, media_type: str, name: str) -> None:
    one = imagor()
    asked = one.parse(f"/unsafe/{path}", Negotiable(), 0.0)
    disposition = f'attachment; filename="{name}"'.encode()
    assert one.answer_headers(asked, media_type) == ((b"content-disposition", disposition),)


def test_a_picture_is_shown_unless_it_is_to_be_saved() -> None:
    one = imagor()
    assert one.answer_headers(one.parse("/unsafe/a.jpg", Negotiable(), 0.0), "image/jpeg") == ()


class Busy(ImgserveError):
    code = "on_demand_full"
    status = 503
    retry_after_s = 1.2


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (SourceUnreadable("x"), 406),
        (PictureTooLarge("x"), 422),
        (SourceTooLarge("x"), 422),
        (RequestInvalid(Fault("result_too_large")), 422),
        (RequestInvalid(Fault("source_refused")), 400),
        (SourceNotFound("x"), 404),
        (RenderTimeout("x"), 408),
        (ImgserveError("x"), 500),
        (Busy("x"), 429),
    ],
)
def test_statuses(error: ImgserveError, status: int) -> None:
    refusal: Refusal = imagor().refusal(error)
    assert refusal.status == json.loads(refusal.body)["status"] == status
    assert refusal.headers == (((b"retry-after", b"2"),) if status == 429 else ())


def test_meta() -> None:
    one = imagor()
    request = one.parse("/unsafe/meta/fit-in/50x50/a.jpg", Negotiable(), 0.0)
    assert json.loads(one.described(request, msgspec.structs.replace(JPEG, orientation=6), CALLED).body) == {
        "format": "jpeg",
        "content_type": "image/jpeg",
        "width": 50,
        "height": 38,
        "orientation": 1,
        "pages": 1,
        "bands": 3,
        "exif": {},
    }
    request = one.parse("/unsafe/meta/filters:format(webp)/a.gif", Negotiable(), 0.0)
    film = json.loads(one.described(request, FILM, CALLED).body)
    assert (film["format"], film["content_type"], film["pages"]) == ("webp", "image/webp", 5)
    request = one.parse("/unsafe/meta/filters:format(png)/a.gif", Negotiable(), 0.0)
    assert json.loads(one.described(request, FILM, CALLED).body)["pages"] == 1


def test_a_trim_that_left_a_part() -> None:
    one = imagor()
    request = one.parse("/unsafe/meta/trim/0.5x0:1x1/a.jpg", Negotiable(), 0.0)
    kept = Part(100, 50, Size(600, 400))
    assert one.trimmed(request.parameters, JPEG, kept).recipe.operations == (box_of(kept), cut(300, 0, 300, 400))
    assert json.loads(one.described(request, JPEG, CALLED, kept).body)["width"] == 300


def test_formats_that_the_client_accepts() -> None:
    negotiable = Negotiable(frozenset({"webp", "avif", "png"}))
    assert imagor().parse("/unsafe/a.jpg", negotiable, 0.0).parameters.accepted == ("avif", "webp")
    assert imagor().parse("/unsafe/filters:format(png)/a.jpg", negotiable, 0.0).parameters.accepted == ()
