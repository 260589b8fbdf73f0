"""The formats that this installation reads and writes. For ``/health``, ``imgserve check`` and the workers.

Nothing is imported: a decoder is there if its package is.
"""

from importlib.util import find_spec
from typing import NamedTuple, get_args

from imgserve.request.encode import Format
from imgserve.request.imageinfo import SourceFormat

HEIC_PACKAGE = "pi-heif-decoder"
# The same interface: decoders alone, or (GPL) with an encoder.
HEIC_MODULES = ("pi_heif", "pillow_heif")


class Abilities(NamedTuple):
    reads: tuple[SourceFormat, ...]
    writes: tuple[Format, ...]


def heic_module() -> str | None:
    """The module that decodes HEIC; None without one."""
    return next((name for name in HEIC_MODULES if find_spec(name) is not None), None)


def abilities() -> Abilities:
    lacking = () if heic_module() else ("heic",)
    reads: tuple[SourceFormat, ...] = tuple(name for name in get_args(SourceFormat) if name not in lacking)
    return Abilities(reads, get_args(Format))
