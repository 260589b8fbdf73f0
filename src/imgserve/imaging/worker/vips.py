"""libvips as this worker wants it: few loaders, one thread, no cache. Called by ``__main__.py``."""

import ctypes

import pyvips

_LOADERS = ("Jpeg", "Png", "Webp", "Nsgif", "Tiff", "Heif", "Svg")
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_FEW_LETTERS = 5  # a line with fewer is a number that means nothing to a user
_KEEP_BYTES = 256 << 20
_WARM_UP = b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><text y="9">Aa</text></svg>'


def configure() -> None:
    """Block every loader but those of the formats that are read; docs/security.md ("Layers", Workers) says why."""
    # Big buffers come and go with every picture: keep their pages instead of asking the kernel anew.
    libc = ctypes.CDLL(None)
    libc.mallopt(_M_MMAP_THRESHOLD, _KEEP_BYTES)
    libc.mallopt(_M_TRIM_THRESHOLD, _KEEP_BYTES)
    pyvips.block_untrusted_set(True)
    pyvips.operation_block_set("VipsForeignLoad", True)
    for name in _LOADERS:
        pyvips.operation_block_set(f"VipsForeignLoad{name}", False)
    pyvips.cache_set_max(0)
    pyvips.concurrency_set(1)


def warm_up() -> None:
    """Draw one text SVG, which fills the font cache and loads what is loaded late."""
    pyvips.Image.svgload_buffer(_WARM_UP).copy_memory()


def reason(error: pyvips.Error) -> str:
    """The last line of what libvips said, made safe to show: printable, short."""
    lines = [line.strip() for line in error.detail.splitlines() if sum(map(str.isalpha, line)) > _FEW_LETTERS]
    last = lines[-1] if lines else error.message
    return "".join(letter for letter in last if letter.isprintable())[:200]
