"""The limits of pictures. The API checks requests against them, the worker checks the actual pictures again."""

from typing import Annotated

import msgspec

from imgserve.setting import Count, Setting

MAX_SIDE_PX = 16_384
# No source is wider or higher, whatever the settings allow: libvips opens none.
MAX_SOURCE_SIDE_PX = 100_000_000
Side = Annotated[int, msgspec.Meta(ge=1, le=MAX_SIDE_PX, description="pixels")]


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Sizes in bytes and pixels; one set for the whole server."""

    # fmt: off
    source_bytes: Annotated[Count, Setting(
        "a source, as sent and as decoded by HTTP", "bytes", name="max_source_bytes")] = 50_000_000
    svg_bytes: Annotated[Count, Setting("an SVG", "bytes", name="max_svg_bytes")] = 5_000_000
    frame_pixels: Annotated[Count, Setting("one frame of a source", "pixels", name="max_frame_pixels")] = 50_000_000
    frames: Annotated[Count, Setting("frames of a source", name="max_frames")] = 256
    total_pixels: Annotated[Count, Setting(
        "all frames of a source together", "pixels", name="max_total_pixels")] = 200_000_000
    output_pixels: Annotated[Count, Setting(
        "a result, all its frames together", "pixels", name="max_output_pixels")] = 50_000_000
    output_side_px: Annotated[Side, Setting("a side of a result", "pixels", name="max_output_side_px")] = MAX_SIDE_PX
    # fmt: on
