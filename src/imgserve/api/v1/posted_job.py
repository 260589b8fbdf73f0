"""The body of ``POST /v1/jobs``: JSON, or a form with that JSON and the picture that it names. Called by ``submit``.

In: the ASGI request. Out: the text of the job, then the picture while it comes.
"""

from collections.abc import Awaitable, Callable

import msgspec

from imgserve.api.http.asgi import Receive, Scope
from imgserve.api.http.body import Body, Incoming, length_in
from imgserve.api.http.parts import media_type_in
from imgserve.api.v1.form import Form, once
from imgserve.api.v1.json_body import check_plain, read_json
from imgserve.request.job import JobRequest


class FormLimits(msgspec.Struct, frozen=True):
    """``form`` limits a form, ``picture_bytes`` the picture in it. JSON has the limits of its route."""

    form: Body
    picture_bytes: int


class PostedJob:
    def __init__(self, scope: Scope, receive: Receive, limits: FormLimits) -> None:
        """Raises MediaTypeUnsupported, BodyTooLarge, BodyInvalid."""
        self._scope = scope
        self._receive = receive
        headers: dict[bytes, bytes] = dict(scope["headers"])
        media_type, boundary = media_type_in(headers)
        self._form: Form | None = None
        self.length = length_in(headers)
        if media_type == "multipart/form-data":
            check_plain(headers)
            limits.form.check_size(self.length or 0)
            self._form = Form(Incoming(receive, limits.form), boundary, limits.picture_bytes)

    @property
    def has_parts(self) -> bool:
        return self._form is not None

    async def text(self) -> bytes:
        """The job's JSON. Raises as ``read_json`` and ``Form.job`` do."""
        if self._form is None:
            return await read_json(self._scope, self._receive)
        return await self._form.job(self._scope["route"].body.max_bytes)

    async def end(self) -> None:
        """For a job whose picture is not in the form. Raises as ``Form.end``."""
        if self._form is not None:
            await self._form.end()

    def picture(self, request: JobRequest) -> tuple[Callable[[], Awaitable[bytes]], int | None]:
        """The chunks of a picture that comes with its request, the last one empty, and its length, or more."""
        if request.inline is not None:
            return once(request.inline), len(request.inline)
        assert self._form is not None, "a part is named in a form only"
        return self._form.picture(request.source.path), self.length
