"""What an AV1 picture says of itself: its size, and the colour numbers, which an AVIF without a ``colr`` box has only
here.

Called by colour.numbers and avifheader. AV1 Bitstream & Decoding Process Specification, sections 5.3 (OBU header), 5.5
(sequence header) and 4.10.5 (leb128); which header counts: AV1 Image File Format, section 2.1.
"""

from collections.abc import Iterator
from typing import NamedTuple

from imgserve.imaging.worker.formats.bits import Bits, Ended
from imgserve.request.imageinfo import Size

_SEQUENCE_HEADER, _TEMPORAL_DELIMITER, _FRAME, _PADDING = 1, 2, 6, 15
_MOST_OBUS = 4  # a temporal delimiter may stand before it
_LONGEST_SIZE = 8  # bytes of a leb128
_SELECTED_LATER = 2  # seq_force_screen_content_tools
_FIRST_LEVEL_WITH_TIERS = 8
_FULL_PROFILE, _PROFESSIONAL_PROFILE = 1, 2


class Sequence(NamedTuple):
    """Of a sequence header. ``is_still``: of the short kind, whose one frame has exactly ``size``; ``colours``:
    primaries and transfer, if it has them.
    """

    is_still: bool
    is_deep: bool
    size: Size
    colours: tuple[int, int] | None


def colour_numbers(obus: bytes) -> tuple[int, int] | None:
    """Primaries and transfer, of ITU-T H.273, tables 2 and 3; None without a sequence header that has them.

    ``obus``: the beginning of a picture; its length bounds the work.
    """
    try:
        header = next((body for kind, body, _ in _obus(obus) if kind == _SEQUENCE_HEADER), None)
        return None if header is None else _read(Bits(header)).colours
    except Ended:
        return None


def still(obus: bytes) -> Sequence | None:
    """The header of a whole picture that is one still frame, so that a decoder needs memory for ``size`` and no more.
    None for all others.
    """
    try:
        parts = list(_obus(obus))
        bodies = {kind: body for kind, body, _ in parts}
        kinds = [kind for kind, _, _ in parts if kind not in (_TEMPORAL_DELIMITER, _PADDING)]
        if kinds != [_SEQUENCE_HEADER, _FRAME] or parts[-1][2] != len(obus):
            return None
        sequence = _read(Bits(bodies[_SEQUENCE_HEADER]))
    except Ended:
        return None
    return sequence if sequence.is_still else None


def _obus(obus: bytes) -> Iterator[tuple[int, bytes, int]]:
    """Kind, body and end of the first few. Raises Ended for a length that is cut off."""
    at = 0
    for _ in range(_MOST_OBUS):
        if at >= len(obus):
            return
        first = obus[at]
        kind, has_extension, has_size = first >> 3 & 15, first >> 2 & 1, first >> 1 & 1
        at += 1 + has_extension
        size = len(obus) - at
        if has_size:
            size, at = _leb128(obus, at)
        end = at + size
        yield kind, obus[at:end], end
        at = end


def _leb128(data: bytes, at: int) -> tuple[int, int]:
    """The number, and the position of its end."""
    value = 0
    for n, byte in enumerate(data[at : at + _LONGEST_SIZE]):
        value |= (byte & 0x7F) << (7 * n)
        if byte < 0x80:
            return value, at + n + 1
    raise Ended


def _read(bits: Bits) -> Sequence:
    profile = bits.take(3)
    bits.take(1)  # still_picture
    is_reduced = bits.flag()
    if is_reduced:
        bits.take(5)  # the level
    else:
        _skip_operating_points(bits)
    width_bits, height_bits = bits.take(4) + 1, bits.take(4) + 1
    size = Size(bits.take(width_bits) + 1, bits.take(height_bits) + 1)
    if not is_reduced and bits.flag():
        bits.take(7)  # lengths of frame ids
    bits.take(3)  # superblocks, intra filters
    if not is_reduced:
        _skip_tools(bits)
    bits.take(3)  # superres, cdef, restoration
    is_deep = bits.flag()
    if is_deep and profile == _PROFESSIONAL_PROFILE:
        bits.take(1)  # twelve_bit
    if profile != _FULL_PROFILE:
        bits.take(1)  # mono_chrome
    colours = (bits.take(8), bits.take(8)) if bits.flag() else None
    return Sequence(is_reduced, is_deep, size, colours)


def _skip_operating_points(bits: Bits) -> None:
    delay_bits = 0
    if bits.flag():  # timing_info
        bits.take(64)
        if bits.flag():
            bits.uvlc()
        if bits.flag():  # decoder_model_info
            delay_bits = bits.take(5) + 1
            bits.take(32 + 5 + 5)
    has_display_delay = bits.flag()
    for _ in range(bits.take(5) + 1):
        bits.take(12)
        if bits.take(5) >= _FIRST_LEVEL_WITH_TIERS:
            bits.take(1)
        if delay_bits and bits.flag():
            bits.take(2 * delay_bits + 1)
        if has_display_delay and bits.flag():
            bits.take(4)


def _skip_tools(bits: Bits) -> None:
    bits.take(4)  # compounds, warped motion, dual filter
    has_order_hint = bits.flag()
    if has_order_hint:
        bits.take(2)
    forced = _SELECTED_LATER if bits.flag() else bits.take(1)
    if forced > 0 and not bits.flag():
        bits.take(1)  # seq_force_integer_mv
    if has_order_hint:
        bits.take(3)
