"""Writes metadata into a finished file. Called by ``save``; ``intotiff`` and ``intoavif`` have the longer ones.

JPEG: Exif 2.32, section 4.7, and XMP part 3, sections 1.1.3; PNG third edition, sections 11.3.3.4 (iTXt) and 11.3.4
(eXIf); WebP: RFC 9649, sections 2.7.1.4 and 2.7.1.5; GIF: XMP part 3, section 1.1.2. libvips would write resolution
and size into EXIF beside the kept fields.
"""

import zlib
from collections.abc import Callable, Iterator, Mapping

from imgserve.imaging.worker.metadata import exif, intoavif, intotiff, iptc
from imgserve.imaging.worker.metadata.kept import MOST_BYTES, Blocks
from imgserve.request.encode import Format

_XMP_IN_JPEG = b"http://ns.adobe.com/xap/1.0/\0"
_APP0, _APP1, _APP2, _APP13 = 0xE0, 0xE1, 0xE2, 0xED
_MOST_OF_PROFILE = 65_519  # in a segment
_PNG_HEADER_BYTES = 33  # the signature and IHDR
_XMP_IN_PNG = b"XML:com.adobe.xmp\0\0\0\0\0"
_EXTENDED, _EXIF_FLAG, _XMP_FLAG, _ALPHA_FLAG = b"VP8X", 0x08, 0x04, 0x10
_XMP_IN_GIF = b"\x21\xff\x0bXMP DataXMP"
# Whatever byte a reader of sub-blocks begins at, it is led to the end: 1, then 255 down to 0, and the end of blocks.
_GIF_TRAILER = b"\1" + bytes(range(255, -1, -1)) + b"\0"


def embedded(file: bytes, output_format: Format, blocks: Blocks) -> bytes:
    """The same picture with these blocks."""
    block = exif.block(blocks.exif) if blocks.exif is not None else b""
    if len(block) > MOST_BYTES:
        block, blocks = b"", blocks._replace(exif=None)
    if not (block or blocks.iptc or blocks.xmp):
        return file
    return _WRITERS[output_format](file, block, blocks)


def jpeg_with_profile(file: bytes, profile: bytes) -> bytes:
    """The same JPEG with an ICC profile (ICC.1:2010, annex B.4): in several segments if need be."""
    parts = [profile[at : at + _MOST_OF_PROFILE] for at in range(0, len(profile), _MOST_OF_PROFILE)]
    numbered = enumerate(parts, 1)
    return _with_segments(
        file, [(_APP2, b"ICC_PROFILE\0" + bytes((number, len(parts))) + part) for number, part in numbered]
    )


def _into_jpeg(file: bytes, block: bytes, blocks: Blocks) -> bytes:
    segments = [(_APP1, exif.PREFIX + block)] if block else []
    segments += [(_APP1, _XMP_IN_JPEG + blocks.xmp)] if blocks.xmp else []
    segments += [(_APP13, iptc.photoshop(blocks.iptc))] if blocks.iptc else []
    return _with_segments(file, segments)


def _with_segments(file: bytes, segments: list[tuple[int, bytes]]) -> bytes:
    """Behind JFIF's segment, which stands first."""
    at = 2
    if file[3] == _APP0:
        at += 2 + int.from_bytes(file[4:6], "big")
    written = (bytes((0xFF, kind)) + (len(body) + 2).to_bytes(2, "big") + body for kind, body in segments)
    return b"".join((file[:at], *written, file[at:]))


def _into_png(file: bytes, block: bytes, blocks: Blocks) -> bytes:
    chunks = [(b"eXIf", block)] if block else []
    chunks += [(b"iTXt", _XMP_IN_PNG + blocks.xmp)] if blocks.xmp else []
    written = (
        len(body).to_bytes(4, "big") + name + body + zlib.crc32(name + body).to_bytes(4, "big") for name, body in chunks
    )
    return b"".join((file[:_PNG_HEADER_BYTES], *written, file[_PNG_HEADER_BYTES:]))


def _into_webp(file: bytes, block: bytes, blocks: Blocks) -> bytes:
    chunks = list(_webp_chunks(file))
    if chunks[0][0] != _EXTENDED:
        chunks.insert(0, (_EXTENDED, _webp_header(*chunks[0])))
    header = chunks[0][1]
    flags = header[0] | (_EXIF_FLAG if block else 0) | (_XMP_FLAG if blocks.xmp else 0)
    chunks[0] = _EXTENDED, bytes((flags,)) + header[1:]
    chunks += [(b"EXIF", block)] if block else []
    chunks += [(b"XMP ", blocks.xmp)] if blocks.xmp else []
    body = b"WEBP" + b"".join(
        name + len(data).to_bytes(4, "little") + data + bytes(len(data) % 2) for name, data in chunks
    )
    return b"RIFF" + len(body).to_bytes(4, "little") + body


def _webp_chunks(file: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 12
    while at + 8 <= len(file):
        length = int.from_bytes(file[at + 4 : at + 8], "little")
        yield file[at : at + 4], file[at + 8 : at + 8 + length]
        at += 8 + length + length % 2


def _webp_header(name: bytes, data: bytes) -> bytes:
    """VP8X for a simple file: its size is in the lossy header (RFC 6386, 9.1) or the lossless one (RFC 9649, 3.4)."""
    if name == b"VP8L":
        bits = int.from_bytes(data[1:5], "little")
        width, height, flags = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1, _ALPHA_FLAG if bits >> 28 & 1 else 0
    else:
        width, height = (int.from_bytes(data[at : at + 2], "little") & 0x3FFF for at in (6, 8))
        flags = 0
    return bytes((flags, 0, 0, 0)) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")


def _into_gif(file: bytes, _block: bytes, blocks: Blocks) -> bytes:
    """Before the first block; extensions came with the version 89a."""
    at = 13 + (3 << ((file[10] & 7) + 1) if file[10] & 0x80 else 0)
    return b"".join((b"GIF89a", file[6:at], _XMP_IN_GIF, blocks.xmp, _GIF_TRAILER, file[at:]))


_WRITERS: Mapping[Format, Callable[[bytes, bytes, Blocks], bytes]] = {
    "jpeg": _into_jpeg,
    "png": _into_png,
    "webp": _into_webp,
    "gif": _into_gif,
    "tiff": lambda file, _block, blocks: intotiff.embedded(file, blocks.exif, blocks.iptc, blocks.xmp),
    "avif": lambda file, block, blocks: intoavif.embedded(file, block, blocks.xmp),
}
