"""Pictures that are drawn on others and would cost more than they weigh. For ``test_bombs``."""

from collections.abc import Callable
from typing import NamedTuple

from imgserve.request.imageref import ImageRef
from imgserve.request.operations.composite import Composite
from imgserve.request.recipe import MAX_FURTHER
from tests.hostile.bombs_raster import cut, flat, gif, png, webp_film
from tests.hostile.bombs_svg import comments
from tests.support.pictures import encoded, scene, svg

LOGO = ImageRef(name="0")
NAMES = [ImageRef(name=str(number)) for number in range(MAX_FURTHER)]


class Bomb(NamedTuple):
    """``stop``: the limit or the kind of fault; "nothing" is drawn, in ``cpu_s`` at most."""

    stop: str
    operations: tuple[Composite, ...]
    further: Callable[[], list[bytes]]
    width: int = 64
    height: int = 48
    cpu_s: float = 5.0


def logo() -> list[bytes]:
    return [encoded(scene(40, 30), "png")]


def dot() -> list[bytes]:
    return [encoded(scene(1, 1, "RGBA"), "png")]


FURTHER: dict[str, Bomb] = {
    "100,000 x 100,000": Bomb("frame_pixels", (Composite(LOGO),), lambda: [png(100_000, 100_000)]),
    "9,000 x 9,000": Bomb("frame_pixels", (Composite(LOGO, width=9),), lambda: [flat(9000, 9000, "PNG")]),
    # The first frame alone is read.
    "a gif of 100,000 frames": Bomb("nothing", (Composite(LOGO),), lambda: [gif(1, 1, 100_000)], cpu_s=1.0),
    "a film of 90,000 frames": Bomb("frames", (Composite(LOGO),), lambda: [webp_film(1, 1, 90_000)]),
    "242 megapixels of frames": Bomb("nothing", (Composite(LOGO),), lambda: [webp_film(1100, 1100, 200)], cpu_s=1.0),
    "6 MB of svg": Bomb("svg_bytes", (Composite(LOGO),), lambda: [comments(5_000_001)]),
    "half a picture": Bomb("decoder", (Composite(LOGO),), lambda: [cut("png", 0.6)]),
    "enlarged": Bomb("output_pixels", (Composite(LOGO, width=16_384),), logo),
    "enlarged by scale": Bomb("output_side_px", (Composite(LOGO, scale=10),), logo, 2000, 10),
    "a large svg": Bomb("output_pixels", (Composite(LOGO, width=16_384),), lambda: [svg("")]),
    "turned": Bomb("output_pixels", (Composite(LOGO, width=8000, angle=45),), logo),
    "a long line": Bomb("output_side_px", (Composite(LOGO, height=9),), lambda: [flat(30_000, 10, "PNG")]),
    "a dot as tiles": Bomb("nothing", (Composite(LOGO, tile=True),), dot, 7000, 7000, 12.0),
    "a dot as tiles far apart": Bomb(
        "nothing", (Composite(LOGO, tile=True, spacing_x=16_384, spacing_y=16_384),), dot, 2000, 2000, 2.0
    ),
    "a line as tiles": Bomb(
        "nothing", (Composite(LOGO, tile=True, angle=45),), lambda: [flat(3000, 1, "PNG")], 4000, 4000, 8.0
    ),
    "eight large ones": Bomb(
        "nothing",
        tuple(Composite(name, opacity=0.5) for name in NAMES),
        lambda: [flat(2400, 2400, "PNG", "RGB")] * MAX_FURTHER,
        2400,
        2400,
        12.0,
    ),
    "eight at the limits": Bomb(
        "deadline",
        tuple(Composite(name, opacity=0.5) for name in NAMES),
        lambda: [flat(7000, 7000, "PNG", "L")] * MAX_FURTHER,
        7000,
        7000,
    ),
}
