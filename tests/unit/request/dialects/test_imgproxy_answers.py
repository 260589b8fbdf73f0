"""Statuses, bodies and headers of imgproxy's answers."""

import pytest

from imgserve.engine.ondemand_slots import OnDemandFull
from imgserve.errors import ImgserveError
from imgserve.imaging.faults import PictureTooLarge, RenderTimeout, SourceUnreadable, WorkerDied
from imgserve.request.dialects.dialect import Answer, Asked
from imgserve.request.dialects.imgproxy.config import Config
from imgserve.request.dialects.imgproxy.dialect import Imgproxy
from imgserve.request.dialects.imgproxy.parameters import Parameters
from imgserve.request.dialects.imgproxy.refused import (
    Forbidden,
    FormatUnsupported,
    InvalidUrl,
    OptionForbidden,
    PictureRefused,
)
from imgserve.request.faults import Fault, RequestInvalid
from imgserve.transfer.faults import SourceNotFound, SourceRefused, SourceTooLarge, SourceUnavailable, TransfersBusy

DIALECT = Imgproxy(Config(), allow_unsigned=True)
SECRET = "s3cret"


def late() -> SourceUnavailable:
    error = SourceUnavailable(SECRET)
    error.is_late = True
    return error


def answered(status: int) -> SourceUnavailable:
    """A source whose host answered with a status."""
    error = SourceUnavailable(SECRET)
    error.answered = status
    return error


@pytest.mark.parametrize(
    ("error", "status", "body"),
    [
        (InvalidUrl(SECRET), 404, b"Invalid URL"),
        (Forbidden(SECRET), 403, b"Forbidden"),
        (OptionForbidden(SECRET), 403, b"Invalid URL"),
        (FormatUnsupported(SECRET), 422, b"Invalid URL"),
        (PictureRefused(SECRET), 422, b"Invalid source image"),
        (SourceRefused(SECRET), 404, b"Invalid source URL"),
        (SourceNotFound(SECRET), 404, b"Source is unreachable"),
        (SourceUnavailable(SECRET), 404, b"Source is unreachable"),
        (answered(403), 403, b"Source is unreachable"),
        (answered(410), 410, b"Source is unreachable"),
        (answered(500), 502, b"Source is unreachable"),
        (answered(301), 404, b"Source is unreachable"),
        (late(), 504, b"Source is unreachable"),
        (SourceTooLarge(SECRET), 422, b"Invalid source image"),
        (PictureTooLarge(SECRET), 422, b"Invalid source image"),
        (RequestInvalid(Fault("result_too_large", note=SECRET)), 422, b"Invalid source image"),
        (SourceUnreadable(SECRET), 422, b"Broken or unsupported image"),
        (RenderTimeout(SECRET), 503, b"Timeout"),
        (OnDemandFull(SECRET), 429, b"Too many requests"),
        (TransfersBusy(SECRET), 429, b"Too many requests"),
        (WorkerDied(SECRET), 500, b"Internal error"),
        (ImgserveError(SECRET), 500, b"Internal error"),
    ],
)
def test_refusals(error: ImgserveError, status: int, body: bytes) -> None:
    refusal = DIALECT.refusal(error)
    assert (refusal.status, refusal.body, refusal.media_type) == (status, body, "text/plain")


def test_a_client_may_come_again() -> None:
    error = OnDemandFull("full")
    error.retry_after_s = 1.2
    assert (b"retry-after", b"2") in DIALECT.refusal(error).headers


def disposition(source: str, answer: Answer = Answer(), media_type: str = "image/jpeg") -> str:  # noqa: B008
    asked: Asked[Parameters] = Asked(source, Parameters(), answer)
    return dict(DIALECT.answer_headers(asked, media_type))[b"content-disposition"].decode()


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("https://example.com/photos/cat.png", "cat.jpg"),
        ("https://example.com/photos/cat.v2.png?x=/y.png#z", "cat.v2.jpg"),
        ("https://example.com/photos/my%20cat", "my cat.jpg"),
        ("https://example.com/photos/", "image.jpg"),
        ("https://example.com", "image.jpg"),
        ("local:///a.gif", "a.jpg"),
        ("https://example.com/.png", "image.jpg"),
        ('https://example.com/a"b%22%0d%0a\\.png', "a%22b%22%5C.jpg"),
    ],
)
def test_the_file_name_is_the_sources(source: str, name: str) -> None:
    assert disposition(source) == f'inline; filename="{name}"'


def test_the_file_name_that_is_asked_for() -> None:
    assert disposition("https://a/b.png", Answer(filename="c")) == 'inline; filename="c.jpg"'
    assert disposition("https://a/b", Answer(is_attachment=True)) == 'attachment; filename="b.jpg"'
    assert disposition("https://a/b", Answer(filename="é")) == (
        "inline; filename=\"_.jpg\"; filename*=UTF-8''%C3%A9.jpg"
    )


@pytest.mark.parametrize(
    ("media_type", "extension"),
    [
        ("image/webp", "webp"),
        ("image/tiff", "tiff"),
        ("image/svg+xml", "svg"),
        ("image/jpeg", "jpg"),
        ("image/heic", "heic"),
        ("image/x-icon", "ico"),
    ],
)
def test_extensions(media_type: str, extension: str) -> None:
    assert disposition("https://a/b", Answer(), media_type) == f'inline; filename="b.{extension}"'


def test_what_is_no_picture_is_never_shown() -> None:
    assert disposition("https://a/b.html", Answer(), "application/octet-stream") == 'attachment; filename="b.bin"'
