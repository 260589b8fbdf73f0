"""The format of a cached answer in its file: a lead of fixed length, a header, and the bytes of the answer.

``store`` writes and reads the files, and the rebuild of the index reads their headers. A file that is not exactly what
was written is refused: its lengths and two checksums are compared first.

The checksum is CRC-32 (ISO 3309, ``zlib``): 20 KB take 5 µs, with BLAKE2b 26 µs and with SHA-256 18 µs. It is there for
disks and for files that were changed by accident. A program that may write into the directory can forge any.
"""

import struct
import zlib
from collections.abc import Iterable
from hashlib import blake2b
from typing import NamedTuple

import msgspec

Buffer = bytes | bytearray | memoryview

# The last byte is the version of the format. A file of another version is a miss.
MAGIC = b"imgsrvC\x01"
# Magic, length of the header, length of the body, checksum of the body, checksum of the header and of these lengths.
_LEAD = struct.Struct("<8sIQII")
_LENGTHS = struct.Struct("<IQI")
LEAD_BYTES = _LEAD.size
# A source's URL may take 8 KB, and so may the headers of an answer; a larger number is damage.
MAX_HEADER_BYTES = 32_768

_SOURCE_BYTES, _RENDERING_BYTES, _NAME_BYTES = 8, 16, 24


class Damaged(Exception):
    """The file is not one that this version has written completely."""


class Key(msgspec.Struct, frozen=True, array_like=True):
    """The picture that an answer shows. Two requests for one picture have equal keys.

    ``source`` is the source's canonical URL; ``rendering`` all that the recipe says, in canonical form, and empty for
    the bytes of the source itself. ``variant`` is what the client's headers decide, such as the format. ``engine`` is
    the version of the programs that rendered it. All of them are valid Unicode.
    """

    source: str
    rendering: str = ""
    variant: str = ""
    engine: str = ""

    @property
    def name(self) -> bytes:
        """The digest that is the name of the file. It begins with those of the source and of the rendering, so that a
        directory listing finds all pictures of a source, or all variants of a rendering.

        A shared beginning can at worst purge too much. The header has the whole key, which is compared.
        """
        return rendering_prefix(self.source, self.rendering) + _digest(
            8, self.source, self.rendering, self.variant, self.engine
        )


def source_prefix(source: str) -> bytes:
    """The beginning of the names of all pictures of a source."""
    return _digest(_SOURCE_BYTES, source)


def rendering_prefix(source: str, rendering: str) -> bytes:
    """The beginning of the names of all variants of a rendering."""
    return source_prefix(source) + _digest(_RENDERING_BYTES - _SOURCE_BYTES, source, rendering)


def is_name(name: bytes) -> bool:
    return len(name) == _NAME_BYTES


def _digest(size: int, *parts: str) -> bytes:
    # With their lengths, so that no two lists of parts give the same text.
    encoded = [part.encode() for part in parts]
    text = b"".join(b"%d:%b" % (len(part), part) for part in encoded)
    return blake2b(text, digest_size=size, person=b"imgserve cache").digest()


class Validator(msgspec.Struct, frozen=True, array_like=True):
    """The identity of the source's bytes, by the source itself or by their digest. Any part may be empty."""

    etag: str = ""
    last_modified: str = ""
    digest: str = ""

    @property
    def is_empty(self) -> bool:
        return not (self.etag or self.last_modified or self.digest)

    @property
    def is_strong(self) -> bool:
        """Whether the bytes are identified. Two versions of a source may share a weak ETag, or one second of
        Last-Modified.
        """
        return bool(self.digest) or self.etag.startswith('"')


class Meta(msgspec.Struct, frozen=True, array_like=True):
    """What an answer consists of besides its bytes. Times are Unix times.

    Until ``fresh_until_s`` the source need not be asked again. ``stale_until_s``: it is asked while this answer is
    sent. ``error_until_s``: this answer is sent when the source cannot be asked. ``status`` of an error is cached for
    seconds (a negative entry). ``headers`` are further ones of the answer. ``etag`` is strong, with its quotes.
    ``hops``, of a source: the URLs that redirects led to, without their queries. ``is_private``: its server keeps it
    from caches that many clients share. ``cache_control``, of a source: the field of its server's answer.
    """

    media_type: str
    etag: str
    stored_at_s: float
    fresh_until_s: float
    stale_until_s: float = 0.0
    error_until_s: float = 0.0
    validator: Validator = Validator()
    last_modified_s: int | None = None
    headers: tuple[tuple[bytes, bytes], ...] = ()
    status: int = 200
    hops: tuple[str, ...] = ()
    is_private: bool = False
    cache_control: str = ""


class Header(msgspec.Struct, frozen=True, array_like=True):
    """``epoch`` is that of the purges when the picture began to be made."""

    key: Key
    meta: Meta
    epoch: int = 0


class Lead(NamedTuple):
    """The lengths and the checksum of what follows, as far as the header is whole."""

    header: Header
    body_at: int
    body_bytes: int
    body_crc: int

    @property
    def file_bytes(self) -> int:
        return self.body_at + self.body_bytes


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Header)


def encode(header: Header, body: Iterable[Buffer]) -> bytes:
    """All that stands before the body's bytes. ``body`` is one or more pieces of them."""
    length, crc = 0, 0
    for piece in body:
        length += len(piece)
        crc = zlib.crc32(piece, crc)
    text = _encoder.encode(header)
    lengths = _LENGTHS.pack(len(text), length, crc)
    return b"".join((MAGIC, lengths, zlib.crc32(text, zlib.crc32(lengths)).to_bytes(4, "little"), text))


def body_at(start: Buffer) -> int:
    """Where the body begins, from the first ``LEAD_BYTES`` of a file. Raises Damaged."""
    if len(start) < LEAD_BYTES:
        raise Damaged("it is too short")
    magic, header_bytes, *_ = _LEAD.unpack_from(start)
    if magic != MAGIC or header_bytes > MAX_HEADER_BYTES:
        raise Damaged("it is of another format")
    return LEAD_BYTES + int(header_bytes)


def lead_of(start: Buffer) -> Lead:
    """From the first bytes of a file, up to ``body_at`` or more. Raises Damaged."""
    body_begins = body_at(start)
    _, header_bytes, body_bytes, body_crc, header_crc = _LEAD.unpack_from(start)
    text = bytes(start[LEAD_BYTES:body_begins])
    lengths = _LENGTHS.pack(header_bytes, body_bytes, body_crc)
    if zlib.crc32(text, zlib.crc32(lengths)) != header_crc:
        raise Damaged("its header is damaged")
    try:
        header = _decoder.decode(text)
    except msgspec.DecodeError as error:
        raise Damaged("its header has other fields") from error
    return Lead(header, body_begins, body_bytes, body_crc)


class Sum:
    """Verifies the bytes of a body as they are read."""

    def __init__(self, lead: Lead) -> None:
        self._lead = lead
        self._crc = 0
        self._length = 0

    def add(self, piece: Buffer) -> None:
        self._crc = zlib.crc32(piece, self._crc)
        self._length += len(piece)

    def check(self) -> None:
        """Raises Damaged."""
        if self._length != self._lead.body_bytes or self._crc != self._lead.body_crc:
            raise Damaged("its body is damaged")
