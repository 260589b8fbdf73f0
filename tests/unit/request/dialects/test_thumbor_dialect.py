"""thumbor's dialect as the engine uses it: signatures, rights, limits, negotiation, statuses."""

import pytest

from imgserve.errors import ImgserveError
from imgserve.imaging.faults import PictureTooLarge, RenderTimeout, SourceUnreadable
from imgserve.request.dialects.dialect import Called, Dialect, Negotiable, Refusal
from imgserve.request.dialects.thumbor.config import Config
from imgserve.request.dialects.thumbor.dialect import Thumbor
from imgserve.request.dialects.thumbor.geometry import box_of
from imgserve.request.dialects.thumbor.options import Request
from imgserve.request.dialects.thumbor.parameters import Parameters
from imgserve.request.dialects.thumbor.refused import BadUrl
from imgserve.request.geometry import Part
from imgserve.request.imageinfo import ImageInfo, Size
from imgserve.request.operations.crop import Crop
from imgserve.request.operations.resize import Resize
from imgserve.setting import Secret
from imgserve.transfer.faults import SourceNotFound, SourceRefused, SourceUnavailable

KEYS = (Secret("MY_SECURE_KEY"), Secret("another"))
# By libthumbor 2.0.2: CryptoURL(key=…).generate(…).
TEXT = "300x200/smart/example.com/a.jpg"
SIGNED = "/vOFBg7Wjj0K4ffjHVTZ7ZmTKJvc=/" + TEXT


def thumbor(*, allow_unsigned: bool = False, config: Config | None = None) -> Thumbor:
    return Thumbor(config or Config(keys=KEYS), allow_unsigned=allow_unsigned)


def parsed(dialect: Thumbor, path: str, negotiable: Negotiable | None = None) -> Request:
    return dialect.parse(path, negotiable or Negotiable(), 0.0)


def test_it_is_a_dialect() -> None:
    dialect: Dialect[Parameters] = thumbor()
    assert dialect.name == "thumbor"


def test_settings_that_would_let_anyone_sign() -> None:
    assert Config(keys=KEYS).problems() == ()
    assert Config(keys=KEYS, signature_length=16).problems() == ()
    assert [problem.field for problem in Config(keys=KEYS, signature_length=15).problems()] == ["signature_length"]
    (problem,) = Config(keys=(*KEYS, Secret(""))).problems()
    assert (problem.field, problem.path) == ("keys", (2,))


@pytest.mark.parametrize("path", [SIGNED, SIGNED.replace("=", "%3D"), SIGNED.replace("=", "%3d")])
def test_a_signed_url(path: str) -> None:
    request = parsed(thumbor(), path)
    assert request.is_signed
    assert request.source == "example.com/a.jpg"
    assert request.parameters == Parameters(width=300, height=200, is_smart=True)


@pytest.mark.parametrize("number", [0, 1])
def test_any_key_may_have_signed(number: int) -> None:
    request = parsed(thumbor(), SIGNED)
    path = thumbor(config=Config(keys=KEYS[number:])).path(request)
    assert (path == SIGNED) is (number == 0)
    assert parsed(thumbor(), path) == request


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "/a.jpg",
        "/unsafe",
        "/unsafe/",
        SIGNED.replace("300", "301"),
        SIGNED.replace("=", ""),
        SIGNED.replace("a.jpg", "%61.jpg"),
        "/" + SIGNED,
        # A signature elsewhere in the path counts for nothing.
        f"/{SIGNED.split('/')[1]}/{SIGNED.split('/')[1]}/{TEXT}",
        f"/x{SIGNED}",
        "/unsafe" + SIGNED,
        "/unsafe/300x200/a.jpg",
        "/Unsafe/300x200/a.jpg",
        "/un%73afe/300x200/a.jpg",
    ],
)
def test_neither_signed_nor_allowed(path: str) -> None:
    with pytest.raises(BadUrl) as caught:
        parsed(thumbor(), path)
    assert thumbor().refusal(caught.value) == Refusal(400)


def test_unsigned_urls_where_the_mount_allows_them() -> None:
    dialect = thumbor(allow_unsigned=True)
    assert not parsed(dialect, "/unsafe/300x200/a.jpg").is_signed
    assert parsed(dialect, SIGNED).is_signed
    # Without a key no signature is right, and there are none that anyone could make.
    for path in ("/%FF/a.jpg", "/AAAA/a.jpg", SIGNED, "/QVGlZZRmXrUN2bEuANMBL8z0muk=/" + TEXT):
        with pytest.raises(BadUrl):
            parsed(thumbor(config=Config(), allow_unsigned=True), path)


def test_a_source_that_is_no_utf_8() -> None:
    with pytest.raises(BadUrl, match="UTF-8"):
        parsed(thumbor(allow_unsigned=True), "/unsafe/300x200/%FF.jpg")


def test_larger_sides_are_cut_to_the_settings() -> None:
    dialect = thumbor(allow_unsigned=True, config=Config(max_width=400, max_height=300))
    parameters = parsed(dialect, "/unsafe/1000x1000/a.jpg").parameters
    assert (parameters.width, parameters.height) == (400, 300)
    assert parsed(dialect, "/unsafe/origx10/a.jpg").parameters.width == "orig"
    assert parsed(dialect, "/unsafe/400x300/a.jpg").parameters == parameters


@pytest.mark.parametrize(
    ("options", "formats", "accepted"),
    [
        ("300x200", frozenset({"avif", "webp", "jpeg"}), ("webp", "avif")),
        ("300x200", frozenset({"avif"}), ("avif",)),
        ("300x200", frozenset(), ()),
        ("filters:format(png)", frozenset({"avif", "webp"}), ()),
    ],
)
def test_formats_that_the_client_accepts(options: str, formats: frozenset[str], accepted: tuple[str, ...]) -> None:
    negotiable = Negotiable(formats)  # type: ignore[arg-type]
    request = parsed(thumbor(allow_unsigned=True), f"/unsafe/{options}/a.jpg", negotiable)
    assert request.parameters.accepted == accepted


CALLED = Called("", "")


def test_plan_operations_and_description() -> None:
    dialect = thumbor(allow_unsigned=True)
    request = parsed(dialect, "/unsafe/meta/400x300/a.jpg")
    info = ImageInfo("jpeg", 800, 600)
    resize = Resize(400, 300, fit="fill", if_small="enlarge", linear_light=False)
    planned = dialect.plan(request.parameters, info)
    assert planned.recipe.operations == (resize,)
    assert b'"width":400' in dialect.described(request, info, CALLED).body
    assert dialect.headers(request, info, planned) == ()


def test_a_trim_that_left_a_part() -> None:
    dialect = thumbor(allow_unsigned=True)
    request = parsed(dialect, "/unsafe/meta/trim/100x150:300x250/a.jpg")
    info = ImageInfo("jpeg", 600, 800, orientation=6)
    crop = Crop(left=50, top=50, width=200, height=100)
    kept = Part(50, 100, Size(600, 400))
    assert dialect.trimmed(request.parameters, info, kept).recipe.operations == (box_of(kept), crop)
    described = dialect.described(request, info, CALLED, kept).body
    assert b'{"type":"crop","left":50,"top":100,"right":650,"bottom":500}' in described


class Busy(ImgserveError):
    code = "on_demand_full"
    status = 503
    retry_after_s = 1.2


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (SourceRefused("x"), Refusal(400)),
        (SourceUnreadable("x"), Refusal(400)),
        (PictureTooLarge("x"), Refusal(400)),
        (SourceNotFound("x"), Refusal(404)),
        (SourceUnavailable("x"), Refusal(404)),
        (RenderTimeout("x"), Refusal(503)),
        (ImgserveError("x"), Refusal(500)),
        (Busy("x"), Refusal(503, headers=((b"retry-after", b"2"),))),
    ],
)
def test_statuses_have_no_bodies(error: ImgserveError, expected: Refusal) -> None:
    assert thumbor().refusal(error) == expected
