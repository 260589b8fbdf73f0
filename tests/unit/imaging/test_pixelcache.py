"""The cache of decoded pixels: what it holds, what it drops, and that without room it leaves images lazy."""

import subprocess
import sys
from pathlib import Path

import pyvips
from PIL import Image

from imgserve.imaging.worker.formats.turbojpeg import Decoded
from imgserve.imaging.worker.pixelcache import UNCACHED, Batches, PixelCache

SIDE = 10
BYTES = SIDE * SIDE
SIDE_OF_LARGE = 5000
MARGIN_BYTES = 40_000_000
SCRIPT = """
import resource, sys
from pathlib import Path
from imgserve.blob import Blob
from imgserve.imaging.messages import RenderRequest
from imgserve.imaging.worker import __main__ as worker, vips
from imgserve.imaging.worker.pixelcache import PixelCache
from imgserve.request.encode import Encode
from imgserve.request.limits import Limits
from imgserve.request.operations.resize import Resize
from imgserve.request.recipe import LoadOptions, Recipe
from imgserve.request.rendering import Rendering

vips.configure()
source = Blob.of(Path(sys.argv[1]).read_bytes())
cache = PixelCache()

def render(load):
    with Blob() as result:
        task = Rendering(Recipe((Resize(width=50),), Encode("png"), load), None, "png")
        written = worker._rendered(RenderRequest(task, Limits()), [source.fd, result.fd], None, cache)
        print(written.size.width_px, len(cache))

render(LoadOptions())
pages = int(Path("/proc/self/statm").read_text().split()[0])
limit = pages * resource.getpagesize() + int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
render(LoadOptions(strict=False))
"""


class Decoder:
    """Counts its decodes."""

    def __init__(self) -> None:
        self.decodes = 0

    def image(self) -> pyvips.Image:
        self.decodes += 1
        return pyvips.Image.black(SIDE, SIDE)

    def decoded(self) -> Decoded:
        self.decodes += 1
        return Decoded(SIDE, SIDE, 1, bytes(BYTES))


def test_it_decodes_once_for_each_key() -> None:
    cache, decoder = PixelCache(), Decoder()
    for key in "aabbab":
        assert cache.image(key, decoder.image).width == SIDE
        assert cache.decoded(key + "turbo", Decoded, decoder.decoded) is not None
    assert decoder.decodes == 4


def test_the_pixels_used_the_longest_ago_make_room() -> None:
    cache, decoder = PixelCache(2 * BYTES), Decoder()
    for key in "abac":  # b goes
        cache.image(key, decoder.image)
    assert decoder.decodes == 3
    cache.image("a", decoder.image)
    assert decoder.decodes == 3
    cache.image("b", decoder.image)
    assert decoder.decodes == 4


def test_larger_pictures_than_its_room_are_left_as_they_are() -> None:
    cache, decoder = PixelCache(BYTES - 1), Decoder()
    cache.image("a", decoder.image)
    cache.image("a", decoder.image)
    cache.decoded("b", Decoded, decoder.decoded)
    cache.decoded("b", Decoded, decoder.decoded)
    assert decoder.decodes == 4


def test_a_fault_is_not_kept() -> None:
    cache = PixelCache()
    assert cache.decoded("a", Decoded, lambda: None) is None
    assert cache.decoded("a", Decoded, Decoder().decoded) is not None


def test_another_batch_gets_another_cache() -> None:
    batches = Batches()
    first = batches.cache(1)
    assert batches.cache(1) is first
    assert batches.cache() is UNCACHED
    assert batches.cache(1) is not first


def test_a_rendering_that_lacks_memory_gets_that_of_the_cache(tmp_path: Path) -> None:
    """It decodes anew, since it is not strict, into more memory than is left beside the pixels of the first."""
    source = tmp_path / "large.png"
    Image.new("RGB", (SIDE_OF_LARGE, SIDE_OF_LARGE)).save(source, compress_level=1)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(source), str(MARGIN_BYTES)], capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == ["50", "1", "50", "0"], done.stderr
