"""The settings of thumbor's grammar, in a module of its own. Those that all dialects share are the mount's."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from imgserve.setting import Amount, Problem, Secret, Setting

Quality = Annotated[int, Meta(ge=1, le=100)]
OwnQuality = Annotated[int, Meta(ge=0, le=100)]
Smart = Literal["attention", "ignore"]
Digest = Literal["sha1", "sha256", "sha512"]
# Characters of base64: 96 bits. Fewer could be guessed.
_LEAST_LENGTH = 16


class Config(msgspec.Struct, frozen=True):
    """``keys``: any of them may have signed a URL. ``webp_quality`` and ``avif_quality`` 0: as ``quality``."""

    # fmt: off
    keys: Annotated[tuple[Secret, ...], Setting(
        "keys of signatures; any of them may have signed", name="key")] = ()
    imagor: Annotated[bool, Setting(
        "imagor's words and meanings where they differ from thumbor's, and those that only imagor has")] = False
    allow_raw: Annotated[bool, Setting("imagor's `raw()` may ask for a source as it is")] = False
    digest: Annotated[Digest, Setting("the hash of a signature; thumbor has `sha1` alone")] = "sha1"
    signature_length: Annotated[Amount, Setting(
        "characters of a signature that are compared, as imagor's signer truncates it; 0: all")] = 0
    quality: Annotated[Quality, Setting("quality where the URL gives none")] = 80
    webp_quality: Annotated[OwnQuality, Setting("the same for WebP; 0: as `quality`")] = 0
    avif_quality: Annotated[OwnQuality, Setting("the same for AVIF; 0: as `quality`")] = 0
    progressive_jpeg: Annotated[bool, Setting("JPEGs are progressive")] = True
    max_width: Annotated[Amount, Setting("larger widths are cut to it; 0: none are", "pixels")] = 0
    max_height: Annotated[Amount, Setting("larger heights are cut to it; 0: none are", "pixels")] = 0
    respect_orientation: Annotated[bool, Setting(
        "pictures are turned upright first, as their EXIF says; with `imagor` they always are")] = False
    auto_png_to_jpg: Annotated[bool, Setting("a PNG without transparency is sent as JPEG")] = False
    smart: Annotated[Smart, Setting(
        "`smart` keeps what catches the eye (`attention`), or does nothing (`ignore`), as thumbor without detectors")
    ] = "attention"
    # fmt: on

    def problems(self) -> tuple[Problem, ...]:
        problems = [
            Problem("keys", "expected a key that is not empty: all could sign with it", (index,))
            for index, key in enumerate(self.keys)
            if not key.text
        ]
        if 0 < self.signature_length < _LEAST_LENGTH:
            problems.append(Problem("signature_length", f"expected 0, or at least {_LEAST_LENGTH} characters"))
        return tuple(problems)
