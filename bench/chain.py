"""CPU time of a chain: resize, sharpen, watermark, WebP, by imgserve's worker and by hand in pyvips.

    python -m bench.chain [--pictures N]

Both run in this process, one thread, no cache, in turns, so that a busy machine slows both. They have the same kernel,
sharpening, premultiplication and encoder settings; before the encoder they differ by 0.4 levels of 255 in the mean.
"""

import argparse
import io
import time
from collections.abc import Callable
from statistics import median

import pyvips
from bench.picture import photo
from PIL import Image, ImageDraw

from imgserve.blob import Blob
from imgserve.imaging.worker import pipeline, vips
from imgserve.imaging.worker.saver import settings
from imgserve.request.encode import Encode
from imgserve.request.imageinfo import Size
from imgserve.request.imageref import ImageRef
from imgserve.request.limits import Limits
from imgserve.request.operations.composite import Composite
from imgserve.request.operations.resize import Resize
from imgserve.request.operations.sharpen import Sharpen
from imgserve.request.recipe import Recipe
from imgserve.request.rendering import Rendering

SIZE = Size(1200, 900)
MARK_PX, INSET_PX, OPACITY = 200, 20, 0.7
QUALITY = 79
_OPERATIONS = (
    Resize(SIZE.width_px, SIZE.height_px),
    Sharpen(),
    Composite(ImageRef(name="mark"), right=INSET_PX, bottom=INSET_PX, width=MARK_PX, opacity=OPACITY),
)
_RENDERING = Rendering(Recipe(_OPERATIONS, Encode("webp", QUALITY)), SIZE, "webp")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.chain", description="CPU time of a chain of operations.")
    parser.add_argument("--pictures", type=int, default=30, help="how many, by each")
    pictures = parser.parse_args().pictures
    vips.configure()
    source, mark = photo(), _mark()
    ours, theirs = worker(source, mark), by_hand(source, mark)
    spent = [(_cpu_ms(lambda: worker(source, mark)), _cpu_ms(lambda: by_hand(source, mark))) for _ in range(pictures)]
    own_ms, hand_ms = (median(column) for column in zip(*spent, strict=True))
    ratio = median(own / hand for own, hand in spent)
    print(f"CPU ms a picture: imgserve {own_ms:.1f}, by hand {hand_ms:.1f}, ratio {ratio:.2f}")
    print(f"bytes: imgserve {len(ours):,}, by hand {len(theirs):,}")


def worker(source: bytes, mark: bytes) -> bytes:
    with Blob() as result:
        pipeline.render(source, _RENDERING, Limits(), result.fd, further_data=[mark])
        with open(f"/proc/self/fd/{result.fd}", "rb") as file:
            return file.read()


def by_hand(source: bytes, mark: bytes) -> bytes:
    """The usual lines of a program of its own. thumbnail premultiplies; composite2 mixes where the watermark lies."""
    image = pyvips.Image.thumbnail_buffer(source, SIZE.width_px, height=SIZE.height_px, crop="centre")
    image = image.sharpen(sigma=1, x1=2, y2=10, y3=20, m1=1, m2=2)
    small = pyvips.Image.thumbnail_buffer(mark, MARK_PX)
    small = small * [1, 1, 1, OPACITY]
    left, top = SIZE.width_px - MARK_PX - INSET_PX, SIZE.height_px - small.height - INSET_PX
    image = image.composite2(small.cast("uchar").copy(interpretation="srgb"), "over", x=left, y=top).extract_band(
        0, n=3
    )
    encoder = settings.of(Encode("webp", QUALITY), "webp", is_drawing=False)
    file: bytes = image.webpsave_buffer(Q=QUALITY, keep="none", **encoder)
    return file


def _mark() -> bytes:
    """A PNG of 400 x 200 pixels with round, soft edges."""
    image = Image.new("RGBA", (400, 200))
    draw = ImageDraw.Draw(image)
    draw.ellipse((10, 10, 390, 190), fill=(200, 30, 60, 220), outline=(255, 255, 255, 255), width=12)
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def _cpu_ms(render: Callable[[], bytes]) -> float:
    started = time.process_time()
    render()
    return (time.process_time() - started) * 1000


if __name__ == "__main__":
    main()
