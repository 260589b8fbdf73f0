"""multipart/form-data of the native API: the part ``job`` first, with JSON, then the one picture that it names, if any.

Called by ``picture_body`` for pictures on demand, and by ``posted_job`` for jobs.
"""

from collections.abc import Awaitable, Callable

from imgserve.api.http.body import BodyTooLarge, Incoming
from imgserve.api.http.parts import Parts
from imgserve.api.openapi import BINARY, Schema
from imgserve.api.routes import CALL_BYTES
from imgserve.errors import ImgserveError
from imgserve.request.faults import Fault, RequestInvalid, shown

JOB = "job"


class JobPartNotFirst(ImgserveError):
    code = "job_part_not_first"
    status = 400
    title = "The first part is not the job"


class Form:
    """``most_bytes`` is the limit of the picture."""

    def __init__(self, incoming: Incoming, boundary: str, most_bytes: int) -> None:
        """Raises BodyInvalid."""
        self._parts = Parts(incoming, boundary)
        self._most_bytes = most_bytes

    async def job(self, most_bytes: int = CALL_BYTES) -> bytes:
        """The JSON. Raises BodyTooLarge, JobPartNotFirst, BodyInvalid, and as ``Incoming.next``."""
        if await self._parts.begin() != JOB:
            raise JobPartNotFirst(f"expected the part {JOB}, with JSON, before all others", "curl -F job=… -F photo=@…")
        return await whole(self._parts.chunk, most_bytes)

    def picture(self, name: str) -> Callable[[], Awaitable[bytes]]:
        """The chunks of the part of this name, the last one empty. It ends the form.

        Each raises RequestInvalid, BodyTooLarge, BodyInvalid, and as ``Incoming.next``.
        """
        size, is_begun = 0, False

        async def chunk() -> bytes:
            nonlocal size, is_begun
            if not is_begun:
                is_begun = True
                await self._begin(name)
            data = await self._parts.chunk()
            size += len(data)
            if size > self._most_bytes:
                detail = f"the part {name} is longer than {self._most_bytes:,} bytes"
                raise BodyTooLarge(detail, "send a smaller picture")
            if not data:
                await self.end()
            return data

        return chunk

    async def end(self) -> None:
        """Expect no further part. Raises RequestInvalid, BodyInvalid, and as ``Incoming.next``."""
        part = await self._parts.begin()
        if part is not None:
            raise _invalid(f"a part came that the job does not name, {shown(part)}; leave it out")

    async def _begin(self, name: str) -> None:
        part = await self._parts.begin()
        if part is None:
            raise _invalid(f"expected the part {shown(name)} behind the part job, got none; send the picture in it")
        if part != name:
            raise _invalid(f"expected the part {shown(name)} right behind the part job, got {shown(part)}; rename one")


async def whole(next_chunk: Callable[[], Awaitable[bytes]], most_bytes: int = CALL_BYTES) -> bytes:
    """All chunks of a JSON text. Raises BodyTooLarge, and as ``next_chunk``."""
    chunks, size = [], 0
    while chunk := await next_chunk():
        chunks.append(chunk)
        size += len(chunk)
        if size > most_bytes:
            raise BodyTooLarge(f"the JSON is longer than {most_bytes:,} bytes", "send less")
    return b"".join(chunks)


def once(data: bytes) -> Callable[[], Awaitable[bytes]]:
    """All of it as one chunk, then an empty one."""
    left = [data]

    async def chunk() -> bytes:
        return left.pop() if left else b""

    return chunk


def form_schema(job: Schema) -> Schema:
    """For the API's description."""
    return {"type": "object", "required": [JOB], "properties": {JOB: job}, "additionalProperties": BINARY}


def _invalid(note: str) -> RequestInvalid:
    return RequestInvalid(Fault("source_invalid", ("source", "upload"), note))
