"""The colour numbers in an AV1 sequence header: an AVIF without a ``colr`` box has them only there.

Called by colour.numbers. AV1 Bitstream & Decoding Process Specification, sections 5.3 (OBU header), 5.5 (sequence
header) and 4.10.5 (leb128); which header counts: AV1 Image File Format, section 2.1.
"""

from imgserve.imaging.worker.formats.bits import Bits, Ended

_SEQUENCE_HEADER = 1
_MOST_OBUS = 4  # a temporal delimiter may stand before it
_LONGEST_SIZE = 8  # bytes of a leb128
_SELECTED_LATER = 2  # seq_force_screen_content_tools
_FIRST_LEVEL_WITH_TIERS = 8
_FULL_PROFILE, _PROFESSIONAL_PROFILE = 1, 2


def colour_numbers(obus: bytes) -> tuple[int, int] | None:
    """Primaries and transfer, of ITU-T H.273, tables 2 and 3; None without a sequence header that has them.

    ``obus``: the beginning of a picture; its length bounds the work.
    """
    try:
        header = _sequence_header(obus)
        return None if header is None else _read(Bits(header))
    except Ended:
        return None


def _sequence_header(obus: bytes) -> bytes | None:
    at = 0
    for _ in range(_MOST_OBUS):
        if at >= len(obus):
            return None
        first = obus[at]
        kind, has_extension, has_size = first >> 3 & 15, first >> 2 & 1, first >> 1 & 1
        at += 1 + has_extension
        size = len(obus) - at
        if has_size:
            size, at = _leb128(obus, at)
        if kind == _SEQUENCE_HEADER:
            return obus[at : at + size]
        at += size
    return None


def _leb128(data: bytes, at: int) -> tuple[int, int]:
    """The number, and the position of its end."""
    value = 0
    for n, byte in enumerate(data[at : at + _LONGEST_SIZE]):
        value |= (byte & 0x7F) << (7 * n)
        if byte < 0x80:
            return value, at + n + 1
    raise Ended


def _read(bits: Bits) -> tuple[int, int] | None:
    profile = bits.take(3)
    bits.take(1)  # still_picture
    is_reduced = bits.flag()
    if is_reduced:
        bits.take(5)  # the level
    else:
        _skip_operating_points(bits)
    bits.take(bits.take(4) + bits.take(4) + 2)  # width and height, after the lengths of both
    if not is_reduced and bits.flag():
        bits.take(7)  # lengths of frame ids
    bits.take(3)  # superblocks, intra filters
    if not is_reduced:
        _skip_tools(bits)
    bits.take(3)  # superres, cdef, restoration
    if bits.flag() and profile == _PROFESSIONAL_PROFILE:
        bits.take(1)  # twelve_bit
    if profile != _FULL_PROFILE:
        bits.take(1)  # mono_chrome
    return (bits.take(8), bits.take(8)) if bits.flag() else None


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
