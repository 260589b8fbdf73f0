"""Configures libvips for a worker: few loaders, one thread, no cache. Called by ``__main__.py`` and ``template.py``."""

import ctypes
import threading
from collections.abc import Iterator, Sequence
from functools import lru_cache

import pyvips

from imgserve.imaging.worker import fonts
from imgserve.imaging.worker.formats import turbojpeg
from imgserve.imaging.worker.samples import SAMPLES

NAME = {"avif": "heif"}  # libvips' names of formats; the others have the same name there
_LOADERS = ("Jpeg", "Png", "Webp", "Nsgif", "Tiff", "Heif", "Svg")
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
_FEW_LETTERS = 5  # a line with fewer is a number without a meaning for users
_KEEP_BYTES = 256 << 20
_STRIP_ROWS = 32  # libvips' operations are fastest on pixels that the processor's cache holds
# More at once would take memory for each of the operations that libvips computes them by.
_MOST_AT_ONCE = 500_000
_SAMPLE_BYTES = {"uchar": 1, "ushort": 2}
_SIZELESS = b'<svg xmlns="http://www.w3.org/2000/svg"><text y="9" font-family="%s">Aa</text></svg>'
_WARM_UP = b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><text y="9">Aa</text></svg>'


_libc = ctypes.CDLL(None)
_mallopt, _malloc_trim = (getattr(_libc, name, None) for name in ("mallopt", "malloc_trim"))  # glibc only


def configure() -> None:
    """Block every loader but those of the formats that are read; docs/security.md ("Layers", Workers) says why."""
    # Each picture needs big buffers: keep their pages instead of asking the kernel again.
    if _mallopt is not None:
        _mallopt(_M_MMAP_THRESHOLD, _KEEP_BYTES)
        _mallopt(_M_TRIM_THRESHOLD, _KEEP_BYTES)
        # libvips starts threads for each picture, and each would leave an arena that keeps its peak.
        _mallopt(_M_ARENA_MAX, 1)
    pyvips.error._to_string = _text
    pyvips.block_untrusted_set(True)
    pyvips.operation_block_set("VipsForeignLoad", True)
    for name in _LOADERS:
        pyvips.operation_block_set(f"VipsForeignLoad{name}", False)
    pyvips.cache_set_max(0)
    pyvips.concurrency_set(1)


def warm_up_template(font_dirs: Sequence[str]) -> None:
    """Load everything that is loaded on first use, and leave no thread behind: children forked beside a thread hang.

    libvips evaluates pixels in threads that stay for 15 s, so only headers are read. Fonts are loaded by ``fetch`` in a
    thread that ends, since with a font map made in the main thread text hangs in children.
    """
    list_fonts(font_dirs)
    for source_format, data in SAMPLES.items():
        pyvips.Image.new_from_buffer(data, "", access="sequential")
        if source_format == "jpeg" and (shape := turbojpeg.shape(data)) is not None:
            turbojpeg.decode(data, shape, 1)


def list_fonts(font_dirs: Sequence[str]) -> None:
    """Have fontconfig list all fonts, in a thread that has ended. Raises NoPlace."""
    with fonts.listed(font_dirs):
        text = threading.Thread(target=_warm_up_fonts)
        text.start()
        text.join()


def _warm_up_fonts() -> None:
    for family in ("serif", "sans-serif", "monospace"):
        image = pyvips.Image.svgload_buffer(_SIZELESS % family.encode())
        pyvips.Region.new(image).fetch(0, 0, image.width, image.height)


def warm_up() -> None:
    """Draw one text SVG, which fills the font cache and loads everything that is loaded on first use."""
    pyvips.Image.svgload_buffer(_WARM_UP).copy_memory()


def give_memory_back() -> None:
    """Return the memory of earlier pictures to the system; takes some milliseconds."""
    if _malloc_trim is not None:
        _malloc_trim(0)


def _text(message: pyvips.ffi.CData) -> str:
    """A message of libvips, which may quote a file's bytes. pyvips would fail on those that are no text, before it
    clears the message, and on every later message too.
    """
    return "" if message == pyvips.ffi.NULL else bytes(pyvips.ffi.string(message)).decode("utf-8", "replace")


def pixels(image: pyvips.Image, width: int, height: int) -> bytes:
    """All pixels of a small image of this size, computed in this thread: those of libvips would cost more.

    Raises pyvips.Error.
    """
    return bytes(pyvips.Region.new(image).fetch(0, 0, width, height))


def strips(image: pyvips.Image, first: int, count: int) -> Iterator[bytes]:
    """The pixels of these rows, some rows at a time, computed in this thread as in ``pixels``."""
    region, width, end = pyvips.Region.new(image), image.width, first + count
    for top in range(first, end, _STRIP_ROWS):
        yield region.fetch(0, top, width, min(_STRIP_ROWS, end - top))


def pixel_bytes(image: pyvips.Image) -> int:
    """Of one pixel of 8 or 16 bits a sample."""
    return int(image.bands) * _SAMPLE_BYTES[image.format]


def part_of(image: pyvips.Image, region: pyvips.Region, top: int, height: int) -> pyvips.Image:
    """These rows of the image, which ``region`` is of, in memory, without metadata, computed as in ``pixels``."""
    width, rows = image.width, max(_MOST_AT_ONCE // image.width, _STRIP_ROWS)
    if height <= rows:
        samples = region.fetch(0, top, width, height)
    else:
        end = top + height
        samples = b"".join(region.fetch(0, at, width, min(rows, end - at)) for at in range(top, end, rows))
    memory = pyvips.Image.new_from_memory(samples, image.width, height, image.bands, image.format)
    return memory.copy(interpretation=image.interpretation)


def has(image: pyvips.Image, field: str) -> bool:
    """Whether the image has this metadata. The list of all its names may not be text: some come from the file."""
    return int(image.get_typeof(field)) != 0


def has_metadata(image: pyvips.Image) -> bool:
    """Whether it has more fields than any image. They are counted, since pyvips fails to list names that are no text.

    An image that a decoder still reads has some: the name of the decoder.
    """
    return _fields(image) > _fields_of_any()


@lru_cache(maxsize=1)
def _fields_of_any() -> int:
    return _fields(pyvips.Image.new_from_memory(b"\0", 1, 1, 1, "uchar"))


def _fields(image: pyvips.Image) -> int:
    """The number of the image's fields, of which libvips gives each image some."""
    names, count = pyvips.vips_lib.vips_image_get_fields(image.pointer), 0
    while names[count] != pyvips.ffi.NULL:
        pyvips.glib_lib.g_free(names[count])
        count += 1
    pyvips.glib_lib.g_free(names)
    return count


def reason(error: pyvips.Error) -> str:
    """The last line of libvips' message, made safe to show: printable, short."""
    lines = [line.strip() for line in error.detail.splitlines() if sum(map(str.isalpha, line)) > _FEW_LETTERS]
    last = lines[-1] if lines else error.message
    return "".join(letter for letter in last if letter.isprintable())[:200]
