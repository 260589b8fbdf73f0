"""Test pictures, made by Pillow and numpy only, and how far apart two are. Nothing here comes from imgserve."""

import functools
import io

import numpy as np
import pillow_heif
from PIL import ExifTags, Image

from tests.support import profiles

pillow_heif.register_heif_opener()
PILLOW_NAME = {
    "jpeg": "JPEG", "png": "PNG", "webp": "WEBP", "gif": "GIF", "tiff": "TIFF", "avif": "AVIF", "heic": "HEIF",
    "bmp": "BMP", "ico": "ICO",
}  # fmt: skip
ORIENTATIONS = tuple(range(1, 9))
GPS_CITY = "imgserve-test-secret-place"

# What a viewer does to the stored picture for each EXIF orientation; a camera stores the inverse.
_INVERSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def scene(width: int, height: int, mode: str = "RGB") -> Image.Image:
    """Smooth, without symmetry: red grows to the right, green downwards, a blue bump sits upper left."""
    x = np.linspace(0, 1, width)[None, :]
    y = np.linspace(0, 1, height)[:, None]
    bump = np.exp(-(((x - 0.3) / 0.2) ** 2) - ((y - 0.25) / 0.2) ** 2)
    pixels = np.empty((height, width, 3), np.uint8)
    for channel, plane in enumerate((x, y, bump)):
        pixels[:, :, channel] = (30 + plane * 195).round()
    image = Image.fromarray(pixels)
    if mode == "RGBA":
        alpha = np.broadcast_to((255 * x).round().astype(np.uint8), (height, width))
        image.putalpha(Image.fromarray(np.ascontiguousarray(alpha)))
        return image
    return image.convert(mode)


def detailed(width: int, height: int) -> Image.Image:
    """Like a photograph for a codec: smooth parts, edges, a little noise. Seeded."""
    rng = np.random.default_rng(7)
    base = np.asarray(scene(width, height)).astype(np.int16)
    blocks = np.kron(
        rng.integers(-60, 60, (height // 40 + 1, width // 40 + 1, 3)), np.ones((40, 40, 1), dtype=np.int64)
    )[:height, :width]
    noise = rng.integers(-12, 12, base.shape)
    return Image.fromarray(np.clip(base + blocks + noise, 0, 255).astype(np.uint8))


def encoded(
    image: Image.Image, name: str, *, quality: int = 95, profile: bytes | None = None, exif: Image.Exif | None = None
) -> bytes:
    """A file of this format (imgserve's word for it)."""
    out = io.BytesIO()
    options: dict[str, object] = {}
    if name in {"jpeg", "webp", "avif", "heic"}:
        options["quality"] = quality
    if profile is not None:
        options["icc_profile"] = profile
    if exif is not None:
        options["exif"] = exif.tobytes()
    image.save(out, PILLOW_NAME[name], **options)
    return out.getvalue()


def oriented_jpeg(upright: Image.Image, orientation: int) -> bytes:
    """A JPEG that shows ``upright`` to a viewer that honours the tag."""
    return oriented(upright, orientation, "jpeg")


def oriented(upright: Image.Image, orientation: int, name: str) -> bytes:
    """A file that shows ``upright`` to a viewer that honours its EXIF tag (in AVIF and HEIC: irot and imir)."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    return encoded(stored(upright, orientation), name, exif=exif)


def stored(upright: Image.Image, orientation: int) -> Image.Image:
    """As a camera that was held that way stores it."""
    return upright.transpose(_INVERSE[orientation]) if orientation in _INVERSE else upright


def tagged_jpeg(image: Image.Image) -> bytes:
    """A JPEG with a GPS position and an artist that must not survive."""
    return encoded(image, "jpeg", exif=gps_exif())


def gps_exif() -> Image.Exif:
    exif = Image.Exif()
    exif[ExifTags.Base.Artist] = GPS_CITY
    gps = exif.get_ifd(ExifTags.IFD.GPSInfo)
    gps[ExifTags.GPS.GPSLatitudeRef] = "N"
    gps[ExifTags.GPS.GPSLatitude] = (52.0, 31.0, 12.0)
    return exif


def animation(frames: int, width: int = 40, height: int = 30) -> bytes:
    """A GIF whose frames differ."""
    pictures = [Image.new("RGB", (width, height), (n * 7 % 256, 80, 200)) for n in range(frames)]
    out = io.BytesIO()
    pictures[0].save(out, "GIF", save_all=True, append_images=pictures[1:], duration=50)
    return out.getvalue()


def film(frames: list[Image.Image], name: str, delays_ms: list[int], loop: int | None = 0, **options: object) -> bytes:
    """An animated GIF, WebP or PNG. ``loop`` as the format counts it; None leaves it out."""
    out = io.BytesIO()
    if loop is not None:
        options["loop"] = loop
    if name == "webp":
        options["quality"] = 95
    frames[0].save(out, PILLOW_NAME[name], save_all=True, append_images=frames[1:], duration=delays_ms, **options)
    return out.getvalue()


def svg(body: str, attributes: str = 'width="40" height="20" viewBox="0 0 40 20"') -> bytes:
    return f'<svg xmlns="http://www.w3.org/2000/svg" {attributes}>{body}</svg>'.encode()


@functools.cache
def slow_svg(segments: int = 400_000) -> bytes:
    """A stroke that librsvg does not finish in any reasonable time, within the limit on bytes."""
    points = " ".join(f"{n * 7919 % 999},{n * 104729 % 997}" for n in range(segments))
    path = f'<path fill="none" stroke="red" stroke-width="40" stroke-linejoin="round" d="M0,0 L{points}"/>'
    return svg(path, 'width="1000" height="1000"')


def wide_gamut_profile() -> bytes:
    """An RGB profile with Display P3's primaries and gamma 2.2."""
    return profiles.DISPLAY_P3._replace(gamma=2.2).profile()


def distance(one: Image.Image, other: Image.Image) -> float:
    """Mean absolute difference of all channels, 0 to 255. Different sizes or modes are a fault of the test."""
    assert one.size == other.size, (one.size, other.size)
    assert one.mode == other.mode, (one.mode, other.mode)
    return float(np.abs(np.asarray(one).astype(int) - np.asarray(other).astype(int)).mean())
