"""Colours told by numbers: PNG's chunks in their order, AVIF's nclx and sequence header, TIFF's tags.

Expected colours by arithmetic.
"""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from imgserve.request.operations.resize import Resize
from tests.support import h273, pictures, profiles
from tests.support.profiles import Floats, Space
from tests.unit.imaging.conftest import Render
from tests.unit.imaging.test_colour import CLOSE_DELTA_E, colors, middles, shown_in, squares

D65 = (0.3127, 0.3290)
BT_2020 = Space(b"2020", ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046)), None)
P3_GAMMA = profiles.DISPLAY_P3._replace(gamma=2.2)
LINEAR = profiles.SRGB._replace(gamma=1.0)
NO_COLOURS = ((0.3, 0.3), (0.3, 0.3), (0.3, 0.3))
SRGB_CHUNK = (b"sRGB", b"\0")


def with_chunks(png: bytes, *chunks: tuple[bytes, bytes]) -> bytes:
    """Behind the header, in this order."""
    written = b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )
    return png[:33] + written + png[33:]


def png_of(chart: Floats, *chunks: tuple[bytes, bytes]) -> bytes:
    return with_chunks(pictures.encoded(Image.fromarray(squares(chart)), "png"), *chunks)


def cicp(primaries: int, transfer: int, full_range: int = 1) -> tuple[bytes, bytes]:
    return b"cICP", bytes((primaries, transfer, 0, full_range))


def gama(gamma: float) -> tuple[bytes, bytes]:
    return b"gAMA", struct.pack(">I", round(100_000 / gamma))


def chrm(space: Space, white: tuple[float, float] = D65) -> tuple[bytes, bytes]:
    points = (white, *space.primaries)
    return b"cHRM", struct.pack(">8I", *(round(part * 100_000) for point in points for part in point))


def iccp(space: Space) -> tuple[bytes, bytes]:
    return b"iCCP", b"profile\0\0" + zlib.compress(space.profile())


def avif_of(chart: Floats, primaries: int, transfer: int, **options: object) -> bytes:
    out = io.BytesIO()
    Image.fromarray(squares(chart)).save(out, "AVIF", quality=100, subsampling="4:4:4", **options)
    data = out.getvalue()
    at = data.index(b"nclx") + 4
    return data[:at] + struct.pack(">HH", primaries, transfer) + data[at + 4 :]


def tiff_of(chart: Floats, tags: dict[int, object]) -> bytes:
    out = io.BytesIO()
    Image.fromarray(squares(chart)).save(out, "TIFF", tiffinfo=tags)
    return out.getvalue()


def chart_for(space: Space) -> Floats:
    """Stored as this space would: what comes out again are the twelve colours."""
    return profiles.to_space(colors() / 255, space) * 255


PNGS: dict[str, tuple[Space, tuple[tuple[bytes, bytes], ...]]] = {
    "cICP of Display P3": (profiles.DISPLAY_P3, (cicp(12, 13),)),
    "cICP of BT.2020 primaries": (BT_2020, (cicp(9, 13),)),
    "cICP of a gamma of 2.2": (profiles.SRGB._replace(gamma=2.2), (cicp(1, 4),)),
    "cICP of linear light": (LINEAR, (cicp(1, 8),)),
    "cICP of sRGB": (profiles.SRGB, (cicp(1, 13),)),
    "cICP of BT.709": (profiles.SRGB, (cicp(1, 1),)),
    "cICP that says nothing": (profiles.SRGB, (cicp(2, 2),)),
    "cICP of unknown numbers": (profiles.SRGB, (cicp(200, 99),)),
    "cICP that says nothing above iCCP": (profiles.ADOBE_RGB, (cicp(2, 2), iccp(profiles.ADOBE_RGB))),
    "cICP of unknown primaries above gAMA": (LINEAR, (cicp(3, 13), gama(1.0))),
    "cICP of an unknown curve above gAMA": (LINEAR, (cicp(12, 19), gama(1.0))),
    "cICP of an unknown curve alone": (profiles.DISPLAY_P3, (cicp(12, 2),)),
    "cICP above iCCP": (profiles.DISPLAY_P3, (cicp(12, 13), iccp(profiles.ADOBE_RGB))),
    "cICP of sRGB above iCCP": (profiles.SRGB, (cicp(1, 13), iccp(profiles.ADOBE_RGB))),
    "cICP above sRGB and gAMA": (profiles.DISPLAY_P3, (cicp(12, 13), SRGB_CHUNK, gama(1.0))),
    "iCCP above sRGB": (profiles.ADOBE_RGB, (iccp(profiles.ADOBE_RGB), SRGB_CHUNK)),
    "iCCP above gAMA": (profiles.ADOBE_RGB, (gama(1.0), chrm(profiles.DISPLAY_P3), iccp(profiles.ADOBE_RGB))),
    "sRGB above gAMA": (profiles.SRGB, (SRGB_CHUNK, gama(1.0), chrm(profiles.DISPLAY_P3))),
    "gAMA with cHRM": (P3_GAMMA, (gama(2.2), chrm(P3_GAMMA))),
    "gAMA with cHRM of Adobe RGB": (profiles.ADOBE_RGB, (gama(563 / 256), chrm(profiles.ADOBE_RGB))),
    "gAMA of linear light alone": (LINEAR, (gama(1.0),)),
    "gAMA of 1.8 alone": (profiles.SRGB._replace(gamma=1.8), (gama(1.8),)),
    "gAMA and cHRM that mean sRGB": (profiles.SRGB, (gama(2.2), chrm(profiles.SRGB))),
    "gAMA that means sRGB": (profiles.SRGB, (gama(2.2),)),
    "cHRM alone": (profiles.DISPLAY_P3, (chrm(profiles.DISPLAY_P3),)),
    "gAMA of nothing": (profiles.SRGB, ((b"gAMA", bytes(4)),)),
    "gAMA too short": (profiles.SRGB, ((b"gAMA", b"\0"),)),
    "cHRM of no colours": (profiles.SRGB, (chrm(profiles.SRGB._replace(primaries=NO_COLOURS)),)),
    "cHRM of zeros": (profiles.SRGB, ((b"cHRM", bytes(32)),)),
    "cHRM of large numbers": (profiles.SRGB, ((b"cHRM", b"\x7f" * 32),)),
}  # fmt: skip


@pytest.mark.parametrize("name", PNGS)
def test_png(render: Render, name: str) -> None:
    space, chunks = PNGS[name]
    stored = chart_for(space)
    result = middles(render(png_of(stored, *chunks), Resize(), (64, 48)))
    assert profiles.delta_e(result, shown_in(space, stored.round())) < CLOSE_DELTA_E
    if space is not profiles.SRGB:
        assert profiles.delta_e(stored.round(), shown_in(space, stored.round())) > 1, "the numbers must matter"


def test_the_cases_of_the_reports(render: Render) -> None:
    p3 = png_of(np.full((1, 1, 3), (120.0, 160.0, 120.0)), cicp(12, 13))
    assert render(p3, Resize(), (16, 16)).convert("RGB").getpixel((8, 8)) == pytest.approx((108, 161, 116), abs=1)
    linear = png_of(np.full((1, 1, 3), 55.0), gama(1.0))
    assert render(linear, Resize(), (16, 16)).convert("RGB").getpixel((8, 8)) == pytest.approx((128, 128, 128), abs=1)


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P"])
def test_png_in_every_mode(render: Render, mode: str) -> None:
    image = Image.new("RGB", (32, 32), (55, 55, 55))
    image = image.quantize(2) if mode == "P" else image.convert(mode)
    data = with_chunks(pictures.encoded(image, "png"), gama(1.0))
    result = render(data, Resize(), (16, 16)).convert("RGBA").getpixel((8, 8))
    assert result == pytest.approx((128, 128, 128, 255), abs=1)


def test_a_png_of_narrow_range(render: Render) -> None:
    stored = np.array([[[16.0] * 3, [125.5] * 3, [235.0] * 3]])
    result = middles(render(png_of(stored, cicp(1, 13, 0)), Resize(), (48, 16)))
    assert result[0, :, 0] == pytest.approx([0, 128, 255], abs=2)


def stored_colours() -> Floats:
    """Muted ones: such as most primaries can show and sRGB too."""
    return np.random.default_rng(2).integers(90, 190, (3, 4, 3)).astype(float)


def in_gamut(primaries: int) -> Floats:
    """Of X, Y and Z such as lie near grey; anything else would be no colour at all."""
    stored = stored_colours()
    return stored if primaries != 10 else 150 + (stored - 140) / 8


@pytest.mark.parametrize("kind", ["png", "avif", "avif without colr"])
@pytest.mark.parametrize("primaries", h273.PRIMARIES)
def test_every_kind_of_primaries(render: Render, primaries: int, kind: str) -> None:
    assert_shown(render, kind, in_gamut(primaries), primaries, 13)


@pytest.mark.parametrize("kind", ["png", "avif", "avif without colr"])
@pytest.mark.parametrize("transfer", h273.CURVES)
def test_every_curve(render: Render, transfer: int, kind: str) -> None:
    assert_shown(render, kind, stored_colours(), 1, transfer)


def assert_shown(render: Render, kind: str, stored: Floats, primaries: int, transfer: int) -> None:
    if kind == "png":
        data, coded = png_of(stored, cicp(primaries, transfer)), stored
    else:
        data = avif_of(stored, primaries, transfer)
        coded = middles(Image.open(io.BytesIO(data)))
        data = data if kind == "avif" else without_colr(data, primaries, transfer)
    expected = h273.shown(coded, primaries, transfer)
    assert profiles.delta_e(middles(render(data, Resize(), (64, 48))), expected) < CLOSE_DELTA_E


def test_the_cinemas_own_colours_are_x_y_and_z(render: Render) -> None:
    """White of equal parts is white, in ST 428-1's own curve as well."""
    white = 255 * (48 / 52.37) ** (1 / 2.6)
    for transfer, level, expected in ((17, white, 255), (8, 127.5, 188)):
        data = png_of(np.full((1, 1, 3), level), cicp(10, transfer))
        assert render(data, Resize(), (16, 16)).convert("RGB").getpixel((8, 8)) == pytest.approx((expected,) * 3, abs=1)


def without_colr(avif: bytes, primaries: int, transfer: int) -> bytes:
    """The numbers in the sequence header alone: there 24 bits somewhere, as Pillow's encoder writes 1, 13, 6."""
    at = avif.index(b"mdat") + 4
    header = int.from_bytes(avif[at : at + 16], "big")
    before, after = (1 << 16 | 13 << 8 | 6), primaries << 16 | transfer << 8 | 6
    shift = next(n for n in range(104, 0, -1) if header >> n & 0xFFFFFF == before)
    header += (after - before) << shift
    return avif[:at].replace(b"colr", b"free") + header.to_bytes(16, "big") + avif[at + 16 :]


def pq(nits: float) -> float:
    """0 to 1 of SMPTE ST 2084."""
    power = (nits / 10_000) ** (2610 / 16384)
    return float(((3424 / 4096 + 2413 / 128 * power) / (1 + 2392 / 128 * power)) ** (2523 / 32))


def hlg(scene: float) -> float:
    return float(np.sqrt(3 * scene) if scene <= 1 / 12 else 0.17883277 * np.log(12 * scene - 0.28466892) + 0.55991073)


@pytest.mark.parametrize("kind", ["png", "avif"])
def test_brighter_than_a_screen(render: Render, kind: str) -> None:
    """What a screen can show stays as it is, up to half of white; above, all shades are told apart up to the peak."""
    nits = np.array([2.0, 10, 40, 100, 203, 600, 1000])
    for transfer, stored in ((16, [pq(one) for one in nits]), (18, [hlg((one / 1000) ** (1 / 1.2)) for one in nits])):
        chart = np.repeat(np.array(stored)[None, :, None], 3, axis=2) * 255
        data = png_of(chart, cicp(9, transfer)) if kind == "png" else avif_of(chart, 9, transfer)
        result = middles(render(data, Resize(), (16 * len(nits), 16)))[0]
        assert np.ptp(result, axis=1).max() <= 2, "grey stays grey"
        shown = profiles.SRGB.encoded(nits[:4] / 203) * 255
        assert result[:4, 0] == pytest.approx(shown, abs=5)
        assert (np.diff(result[:, 0]) > 2).all()
        assert 215 < result[4, 0] < 245, "a page's white is bright and not the brightest"


AVIFS = {
    "Display P3": (profiles.DISPLAY_P3, 12, 13),
    "BT.2020 primaries": (BT_2020, 9, 13),
    "linear": (LINEAR, 1, 8),
    "sRGB": (profiles.SRGB, 1, 13),
    "BT.709": (profiles.SRGB, 1, 1),
    "nothing": (profiles.SRGB, 2, 2),
}


@pytest.mark.parametrize("name", AVIFS)
def test_avif(render: Render, name: str) -> None:
    space, primaries, transfer = AVIFS[name]
    data = avif_of(chart_for(space), primaries, transfer)
    coded = middles(Image.open(io.BytesIO(data)))
    result = middles(render(data, Resize(), (64, 48)))
    assert profiles.delta_e(result, shown_in(space, coded)) < CLOSE_DELTA_E + 1


def test_the_profile_of_an_avif_is_above_its_numbers(render: Render) -> None:
    chart = squares(chart_for(profiles.ADOBE_RGB))
    data = pictures.encoded(Image.fromarray(chart), "avif", quality=100, profile=profiles.ADOBE_RGB.profile())
    at = data.find(b"nclx")
    if at > 0:
        data = data[: at + 4] + struct.pack(">HH", 12, 13) + data[at + 8 :]
    coded = middles(Image.open(io.BytesIO(data)))
    result = middles(render(data, Resize(), (64, 48)))
    assert profiles.delta_e(result, shown_in(profiles.ADOBE_RGB, coded)) < CLOSE_DELTA_E


def test_tiff(render: Render) -> None:
    points = [part for point in profiles.DISPLAY_P3.primaries for part in point]
    stored = chart_for(profiles.DISPLAY_P3)
    data = tiff_of(stored, {318: D65, 319: tuple(points)})
    result = middles(render(data, Resize(), (64, 48)))
    assert profiles.delta_e(result, shown_in(profiles.DISPLAY_P3, stored.round())) < CLOSE_DELTA_E
    stored = chart_for(LINEAR)
    table = tuple(round(value * 65535 / 255) for value in range(256))
    result = middles(render(tiff_of(stored, {301: table * 3}), Resize(), (64, 48)))
    assert profiles.delta_e(result, shown_in(LINEAR, stored.round())) < CLOSE_DELTA_E
    points = [part for point in profiles.SRGB.primaries for part in point]
    stored = chart_for(profiles.SRGB)
    result = middles(render(tiff_of(stored, {318: D65, 319: tuple(points)}), Resize(), (64, 48)))
    assert result == pytest.approx(stored.round(), abs=1)


def test_white_of_the_cinema_leaves_room_above(render: Render) -> None:
    """SMPTE ST 428-1: 48 cd/m2 of 52.37."""
    white = 255 * (48 / 52.37) ** (1 / 2.6)
    image = render(png_of(np.full((1, 1, 3), white), cicp(1, 17)), Resize(), (16, 16)).convert("RGB")
    assert image.getpixel((8, 8)) == pytest.approx((255, 255, 255), abs=1)
