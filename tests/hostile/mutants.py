"""Damaged pictures and damaged jobs, the same ones for the same seed. For ``test_fuzz``."""

import copy
import io
import json
import random
from collections.abc import Iterator

from PIL import Image

from imgserve.imaging.worker.metadata import embed, exif, iptc, xmp
from imgserve.imaging.worker.metadata.credit import Credit
from imgserve.imaging.worker.metadata.kept import Blocks
from imgserve.request.encode import Format
from tests.support import heif
from tests.support.pictures import animation, encoded, film, oriented_jpeg, scene, svg, tagged_jpeg, wide_gamut_profile

WORDS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF)
MARKUP = (
    b"<g/>", b"<use href='#a'/>", b"&lt;", b"<![CDATA[", b"-1", b"1e999", b"NaN", b"%", b"<style>", b"url(#a)",
    b"\xff\xfe", b"<filter id='a'>", b"<image href='data:image/png;base64,AAAA'/>",
)  # fmt: skip
VALUES: tuple[object, ...] = (
    None, True, 0, -1, 1, 2**31, 2**63, 2**200, 1e308, 0.5, "", " ", "\0", "\u202e", "\ud800", "x" * 5000, [], [[]],
    {}, {"": 0}, "http://", "file:///etc/passwd", "http://127.0.0.1:1/x.png", "{$width}", "{$", "resize", "rasterize",
    "jpeg", "#fff", "//",
)  # fmt: skip
JOB: dict[str, object] = {
    "operationType": "resize", "srcURL": "file:///nowhere/a.png", "dstURL": "file:///nowhere/b.jpg",
    "args": {"width": 20, "height": 15, "gravity": "north", "enlarge": True, "quality": 80, "background": "#ffffff"},
    "placeholder": {"style": "text", "color": "#888888", "text": "wait"}, "on_failure": "error_image",
}  # fmt: skip


def seeds() -> list[bytes]:
    webp = io.BytesIO()
    frames = [Image.new("RGB", (24, 16), (60 * n, 0, 0)) for n in range(4)]
    frames[0].save(webp, "WEBP", save_all=True, append_images=frames[1:])
    drawing = svg(
        '<defs><linearGradient id="a"><stop offset="0" stop-color="red"/></linearGradient><filter id="f">'
        '<feGaussianBlur stdDeviation="1"/></filter></defs><g transform="rotate(9)"><rect width="30" height="9"'
        ' fill="url(#a)" filter="url(#f)"/><text y="9">Aa</text><path d="M0 0C1 2 3 4 5 6z"/></g>'
    )
    return [
        *(encoded(scene(40, 30), name) for name in ("jpeg", "png", "webp", "gif", "tiff", "avif", "bmp", "ico")),
        *(heif.encoded(scene(40, 30, mode), quality=50) for mode in ("RGB", "RGBA")),
        heif.encoded(scene(140, 90), tile_size=64, quality=50), heif.deep(scene(40, 30), quality=50),
        film([scene(40, 30), scene(40, 30).rotate(180)], "png", [50, 50]), icon_of_bmp(),
        encoded(scene(40, 30, "RGBA"), "png", profile=wide_gamut_profile()),
        encoded(scene(40, 30, "CMYK"), "jpeg"), oriented_jpeg(scene(40, 30), 6), tagged_jpeg(scene(40, 30)),
        animation(5), webp.getvalue(), drawing, *(described(name) for name in ("jpeg", "png", "webp", "tiff", "avif")),
    ]  # fmt: skip


def described(name: Format) -> bytes:
    """A picture with EXIF of several directories, IPTC and XMP; a JPEG with a profile too."""
    profile = wide_gamut_profile() if name == "jpeg" else None
    fields = Image.Exif()
    fields.update({0x010F: "Acme", exif.ARTIST: "Ada", exif.COPYRIGHT: "(c) Ada", exif.ORIENTATION: 1})
    fields.get_ifd(0x8769).update({0x927C: b"a maker note", 0x9286: b"hello", 0xA002: 40})
    fields.get_ifd(0x8825).update({1: "N", 2: (48.0, 6.0, 0.0)})
    datasets = iptc.bare((iptc.Dataset(2, 80, b"Bob"), iptc.Dataset(2, 116, b"(c) Bob"), iptc.Dataset(2, 90, b"Paris")))
    packet = xmp.of(Credit("(c) Eve", ("Eve", "Mallory")))
    blocks = Blocks(exif.read(fields.tobytes().removeprefix(exif.PREFIX)), datasets, packet)
    return embed.embedded(encoded(scene(40, 30), name, profile=profile), name, blocks)


def icon_of_bmp() -> bytes:
    out = io.BytesIO()
    scene(32, 24, "RGBA").save(out, "ICO", sizes=[(16, 12), (32, 24)], bitmap_format="bmp")
    return out.getvalue()


def pictures(count: int, seed: int) -> Iterator[bytes]:
    chance = random.Random(seed)
    originals = seeds()
    for number in range(count):
        original = originals[number % len(originals)]
        yield damaged(original, originals, chance)


def damaged(original: bytes, originals: list[bytes], chance: random.Random) -> bytes:
    data = bytearray(original)
    for _ in range(chance.choice((1, 1, 1, 2, 3, 8))):
        at, length = chance.randrange(len(data)), chance.choice((1, 2, 4, 4, 16, 64))
        way = chance.randrange(7)
        if way == 0:
            data[at] ^= 1 << chance.randrange(8)
        elif way == 1:
            size = chance.choice((1, 2, 4))
            word = (chance.choice(WORDS) & (1 << 8 * size) - 1).to_bytes(size, chance.choice(("big", "little")))
            data[at : at + size] = word
        elif way == 2:
            data[at : at + length] = chance.randbytes(length)
        elif way == 3:
            del data[at : at + length]
        elif way == 4:
            data[at:at] = data[at : at + length] * chance.choice((1, 2, 50))
        elif way == 5:
            other = chance.choice(originals)
            start = chance.randrange(len(other))
            data[at : at + length] = other[start : start + length]
        else:
            data[at:at] = chance.choice(MARKUP)
        if not data:
            return b""
    return bytes(data)


def jobs(count: int, seed: int) -> Iterator[bytes]:
    """Bodies for ``POST /``: JSON with odd values in odd places, and JSON that is broken."""
    chance = random.Random(seed)
    for _ in range(count):
        job = json.loads(json.dumps(JOB))
        for _ in range(chance.choice((1, 1, 2, 3))):
            _changed(job, chance)
        text = json.dumps(job, ensure_ascii=chance.random() < 0.5)
        body = text.encode("utf-8", "surrogatepass")
        yield body if chance.random() < 0.7 else damaged(body, [body], chance)


def _changed(job: dict[str, object], chance: random.Random) -> None:
    inner = [value for value in job.values() if isinstance(value, dict) and value]
    where: dict[str, object] = chance.choice([job, *inner])
    name = chance.choice([*where, "webhook", "", "\u202e", "x" * 100])
    if chance.random() < 0.2:
        where.pop(name, None)
    else:
        where[name] = copy.deepcopy(chance.choice(VALUES))
