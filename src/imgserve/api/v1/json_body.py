"""A body that is one JSON object. For the calls on jobs, and for the JSON beside a picture."""

from collections.abc import Mapping

from imgserve.api.http import body
from imgserve.api.http.asgi import Receive, Scope
from imgserve.api.http.parts import BodyInvalid, media_type_in
from imgserve.errors import ImgserveError
from imgserve.request.json_text import ParseError, read_object


class MediaTypeUnsupported(ImgserveError):
    code = "media_type_unsupported"
    status = 415
    title = "The body has a media type that is not read here"


async def read_json(scope: Scope, receive: Receive) -> bytes:
    """The text of the body. Without a Content-Type it counts as JSON. Raises MediaTypeUnsupported, and as ``read``."""
    headers: dict[bytes, bytes] = dict(scope["headers"])
    check_plain(headers)
    media_type, _ = media_type_in(headers, b"application/json")
    if media_type != "application/json":
        raise MediaTypeUnsupported("the Content-Type is none that is read here", "send Content-Type: application/json")
    return await body.read(receive, scope["route"].body)


def check_plain(headers: Mapping[bytes, bytes]) -> None:
    """Raises MediaTypeUnsupported for a compressed body."""
    if headers.get(b"content-encoding", b"identity").lower() != b"identity":
        raise MediaTypeUnsupported("the body is compressed", "send it without Content-Encoding")


def object_in(text: bytes, thing: str = "the body") -> dict[str, object]:
    """Raises BodyInvalid."""
    try:
        return read_object(text, thing)
    except ParseError as error:
        raise BodyInvalid(str(error), "send one JSON object") from None
