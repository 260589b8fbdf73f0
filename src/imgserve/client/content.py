"""The body of a request that names a picture: JSON, or a form of this JSON and then the picture (RFC 7578)."""

import uuid
from collections.abc import Iterator, Mapping

import msgspec

from imgserve.request.native_source import SourceBody

Object = Mapping[str, object]
Source = bytes | str | SourceBody | Object
"""Bytes are a picture, which goes along with the request; a text is a URL."""

JSON = ("content-type", "application/json")
_PART = "picture"
_BOUNDARY = uuid.uuid4().hex  # no picture holds it


def content_of(source: Source, fields: Object) -> tuple[tuple[str, str], bytes]:
    """The Content-Type, and the body with ``source`` and ``fields``."""
    if not isinstance(source, bytes):
        return JSON, msgspec.json.encode({"source": source, **fields})
    job = msgspec.json.encode({"source": {"upload": _PART}, **fields})
    return ("content-type", f"multipart/form-data; boundary={_BOUNDARY}"), b"".join(_form(job, source))


def _form(job: bytes, picture: bytes) -> Iterator[bytes]:
    for name, media_type, data in (
        ('"job"', "application/json", job),
        (f'"{_PART}"; filename="{_PART}"', "application/octet-stream", picture),
    ):
        yield f"--{_BOUNDARY}\r\nContent-Disposition: form-data; name={name}\r\n".encode()
        yield f"Content-Type: {media_type}\r\n\r\n".encode()
        yield data
        yield b"\r\n"
    yield f"--{_BOUNDARY}--\r\n".encode()
