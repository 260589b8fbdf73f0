"""The sizes that a HEVC picture is decoded at, whatever the file says. Called by heic, before anything is decoded.

ITU-T H.265: NAL units 7.3.1, sequence parameter set 7.3.2.2, profile and level 7.3.3. The decoder's configuration
(``hvcC``): ISO 14496-15, section 8.3.3.1.
"""

from collections.abc import Iterator

from imgserve.imaging.worker.formats.bits import Bits, Ended
from imgserve.request.imageinfo import Size

_SEQUENCE_PARAMETERS = 33
_HEADER_BYTES = 2
_LENGTH_SIZE_AT, _ARRAYS_AT = 21, 22
_MOST_UNITS = 1000  # of a picture: level 6.2 allows 600 slices
_SEQUENCE_BYTES = 256  # the sizes stand within the first hundred
_PROFILE_BITS, _LEVEL_BITS, _MOST_LAYERS = 88, 8, 8
_FULL_COLOUR = 3


class Broken(Exception):
    """The units of a picture cannot be told apart, or are too many."""


def sizes(configuration: bytes, picture: bytes) -> Iterator[Size]:
    """The size in each set of sequence parameters, as stored: before cropping. Raises Broken."""
    yield from map(_size, _configured(configuration))
    length_bytes = 1 + (configuration[_LENGTH_SIZE_AT] & 3)
    # The picture's own parameters would replace those of the configuration.
    yield from map(_size, _parameters(picture, length_bytes))


def _configured(configuration: bytes) -> Iterator[bytes]:
    if len(configuration) <= _ARRAYS_AT:
        raise Broken
    at, left = _ARRAYS_AT + 1, _MOST_UNITS
    for _ in range(configuration[_ARRAYS_AT]):
        kind, count = configuration[at] & 0x3F if at < len(configuration) else 0, _number(configuration, at + 1)
        at += 3
        left -= count
        if left < 0:
            raise Broken
        for _ in range(count):
            length = _number(configuration, at)
            if at + 2 + length > len(configuration):
                raise Broken
            if kind == _SEQUENCE_PARAMETERS and _is_shown(configuration[at + 2 : at + 2 + _HEADER_BYTES]):
                yield configuration[at + 2 : at + 2 + length]
            at += 2 + length


def _number(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 2], "big")


def _parameters(picture: bytes, length_bytes: int) -> Iterator[bytes]:
    at = 0
    for _ in range(_MOST_UNITS):
        if at >= len(picture):
            return
        begin = at + length_bytes
        length = int.from_bytes(picture[at:begin], "big")
        if begin + length > len(picture):
            raise Broken
        if length and picture[begin] >> 1 & 0x3F == _SEQUENCE_PARAMETERS and _is_shown(picture[begin : begin + 2]):
            yield picture[begin : begin + length]
        at = begin + length
    raise Broken


def _is_shown(header: bytes) -> bool:
    """Whether a unit belongs to the layer that decoders show: the others are other views, with headers of their own."""
    return int.from_bytes(header, "big") >> 3 & 0x3F == 0


def _size(unit: bytes) -> Size:
    bits = Bits(unit[_HEADER_BYTES : _HEADER_BYTES + _SEQUENCE_BYTES].replace(b"\0\0\3", b"\0\0"))
    try:
        bits.take(4)  # the video's parameters
        layers = bits.take(3)
        bits.take(1 + _PROFILE_BITS + _LEVEL_BITS)
        _skip_layers(bits, layers)
        bits.uvlc()  # its number
        if bits.uvlc() == _FULL_COLOUR:
            bits.take(1)  # separate planes
        return Size(bits.uvlc(), bits.uvlc())
    except Ended as error:
        raise Broken from error


def _skip_layers(bits: Bits, layers: int) -> None:
    if not layers:
        return
    present = [(bits.flag(), bits.flag()) for _ in range(_MOST_LAYERS)][:layers]
    for has_profile, has_level in present:
        bits.take(_PROFILE_BITS * has_profile + _LEVEL_BITS * has_level)
