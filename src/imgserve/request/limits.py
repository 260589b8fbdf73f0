"""The limits of pictures. The API checks requests against them, the worker checks the actual pictures again."""

import msgspec

MAX_SIDE_PX = 16_384


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Sizes in bytes and pixels; one set for the whole server."""

    source_bytes: int = 50_000_000
    svg_bytes: int = 5_000_000
    frame_pixels: int = 50_000_000
    frames: int = 256
    total_pixels: int = 200_000_000
    output_pixels: int = 50_000_000
    output_side_px: int = MAX_SIDE_PX
