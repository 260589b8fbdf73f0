"""The body of a request that names a picture: JSON, or a form of this JSON and then the picture (RFC 7578)."""

import re
import uuid
from collections.abc import Iterator, Mapping

import msgspec

from imgserve.request.native_source import SourceBody

JSON = ("content-type", "application/json")
_NAME = re.compile(r'[^"\\\x00-\x1f\x7f]{1,200}')
_JOB = "job"
_BOUNDARY = uuid.uuid4().hex  # no picture holds it


class Upload(msgspec.Struct, frozen=True):
    """A picture that goes along with the request. Tags such as ``{$basename}`` are filled in from ``name``.

    Raises ValueError for a name that a form cannot hold.
    """

    data: bytes
    name: str = "picture"

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name) or self.name == _JOB:
            raise ValueError(f"expected the name of a file, without quotes and backslashes, got {self.name!r}")

    def __repr__(self) -> str:
        return f"Upload({len(self.data)} bytes, {self.name!r})"


Object = Mapping[str, object]
Source = bytes | Upload | str | SourceBody | Object
"""Bytes are a picture as well; a text is a URL."""


def content_of(source: Source, fields: Object) -> tuple[tuple[str, str], bytes]:
    """The Content-Type, and the body with ``source`` and ``fields``."""
    upload = Upload(source) if isinstance(source, bytes) else source
    if not isinstance(upload, Upload):
        return JSON, msgspec.json.encode({"source": source, **fields})
    job = msgspec.json.encode({"source": {"upload": upload.name}, **fields})
    return ("content-type", f"multipart/form-data; boundary={_BOUNDARY}"), b"".join(_form(job, upload))


def _form(job: bytes, upload: Upload) -> Iterator[bytes]:
    for name, media_type, data in (
        (f'"{_JOB}"', "application/json", job),
        (f'"{upload.name}"; filename="{upload.name}"', "application/octet-stream", upload.data),
    ):
        yield f"--{_BOUNDARY}\r\nContent-Disposition: form-data; name={name}\r\n".encode()
        yield f"Content-Type: {media_type}\r\n\r\n".encode()
        yield data
        yield b"\r\n"
    yield f"--{_BOUNDARY}--\r\n".encode()
