"""The errors that the pool raises for a picture."""

from imgserve.errors import FEW_ATTEMPTS, ImgserveError
from imgserve.request.faults import DESTINATION
from imgserve.request.geometry import NothingLeft, SourceTooSmall


class SourceUnreadable(ImgserveError):
    code = "source_unreadable"
    status = 422
    is_of_source = True
    title = "The source is not a readable image"


class PageMissing(ImgserveError):
    """A page, or the first frame of an animation, beyond the last."""

    code = "page_missing"
    status = 422
    is_of_source = True
    title = "The source has no such page"


class SvgInvalid(ImgserveError):
    code = "svg_invalid"
    status = 422
    is_of_source = True
    title = "The SVG is invalid"


class PictureTooLarge(ImgserveError):
    """More pixels, frames or bytes than the limits allow; ``detail`` names the limit."""

    code = "picture_too_large"
    status = 422
    is_of_source = True
    title = "The picture is too large"


class RenderTimeout(ImgserveError):
    """The worker was killed at the render deadline. On an idle machine the same picture may be done in time."""

    code = "render_timeout"
    status = 422
    is_retryable = True
    max_attempts = FEW_ATTEMPTS
    title = "The picture took too long to render"


class WorkerDied(ImgserveError):
    """The worker ended while it held this picture (codec crash, out of memory). Charged to crashes, not attempts."""

    code = "worker_died"
    status = 502
    is_retryable = True
    charge = "crash"
    title = "The render worker died"


class NoWorker(ImgserveError):
    """No worker got the picture, or the server stops. The picture is not to blame."""

    code = "no_worker"
    status = 503
    is_retryable = True
    charge = "none"
    title = "No render worker can be had now"


class RenderFailed(ImgserveError):
    """libvips refused an operation on a picture it had opened."""

    code = "render_failed"
    status = 422
    title = "The picture could not be rendered"


class MaxBytesUnreachable(ImgserveError):
    """Even at the lowest quality the result is larger than ``max_bytes``."""

    code = "max_bytes_unreachable"
    status = 422
    title = "The result cannot be made that small"


SMALLER_PAGE = ("point ", DESTINATION, " at a smaller page")


class PageUnreadable(ImgserveError):
    """An upload page with more markup than is read."""

    code = "page_unreadable"
    title = "The upload page cannot be read"


# The errors that a worker reports, by their codes.
REPORTED: dict[str, type[ImgserveError]] = {
    kind.code: kind
    for kind in (
        SourceUnreadable,
        PageMissing,
        SvgInvalid,
        PictureTooLarge,
        RenderFailed,
        MaxBytesUnreachable,
        PageUnreadable,
        SourceTooSmall,
        NothingLeft,
    )
}


def too_slow(timeout_s: float) -> RenderTimeout:
    what = f"the picture was not finished after {timeout_s:g} seconds and its worker was ended"
    return RenderTimeout(what, "use a smaller or simpler picture")


def stopping() -> NoWorker:
    return NoWorker("the server is stopping", "try again")
