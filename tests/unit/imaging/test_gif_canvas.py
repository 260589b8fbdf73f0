"""GIFs that do not cover their canvas, or clear it: what is left is transparent, as in browsers. GIFs made by hand."""

import io
import itertools
import struct
from typing import NamedTuple

import pytest
from PIL import Image

from imgserve.imaging.worker.formats import gif as blocks
from imgserve.imaging.worker.probe import probe
from imgserve.request.encode import Format
from imgserve.request.limits import Limits
from imgserve.request.operations.resize import Resize
from tests.unit.imaging.conftest import Render, opened, render_bytes

SIDE = 48
PLACES = ((4, 4), (22, 22), (40, 40))  # in the corner, in the middle, elsewhere
PALETTE = [(0, 0, 0), (255, 0, 0), (0, 255, 0), (0, 0, 255)]
KEEP, CLEAR, RESTORE = 1, 2, 3
BACKGROUND = 3
Rgba = tuple[int, int, int, int]


class Frame(NamedTuple):
    """A box of one colour, or of the transparent index."""

    box: tuple[int, int, int, int]
    colour: int
    disposal: int = KEEP
    transparent: int | None = None
    delay: int = 5


WHOLE, MIDDLE, CORNER = (0, 0, SIDE, SIDE), (16, 16, 16, 16), (0, 0, 16, 16)


def gif(*frames: Frame, has_control: bool = True, colours: int = 4, screen: tuple[int, int] = (SIDE, SIDE)) -> bytes:
    table = b"".join(bytes(PALETTE[n % 4]) for n in range(colours))
    size = colours.bit_length() - 2
    data = b"GIF89a" + struct.pack("<HHBBB", *screen, 0x80 | size, BACKGROUND, 0) + table
    for (left, top, width, height), colour, disposal, transparent, delay in frames:
        if has_control:
            flags = disposal << 2 | (transparent is not None)
            data += b"\x21\xf9\x04" + struct.pack("<BHB", flags, delay, transparent or 0) + b"\0"
        data += b"," + struct.pack("<HHHHB", left, top, width, height, 0) + packed(colour, width * height, size + 1)
    return data + b";"


def packed(colour: int, count: int, bits: int) -> bytes:
    """LZW without a dictionary: a clear code before each pixel."""
    bits = max(bits, 2)
    value = at = 0
    for code in [*itertools.chain.from_iterable(((1 << bits), colour) for _ in range(count)), (1 << bits) + 1]:
        value |= code << at
        at += bits + 1
    raw = value.to_bytes((at + 7) // 8, "little")
    parts = (raw[n : n + 255] for n in range(0, len(raw), 255))
    return bytes([bits]) + b"".join(bytes([len(part)]) + part for part in parts) + b"\0"


def expected(*frames: Frame) -> list[dict[tuple[int, int], Rgba]]:
    """What a browser shows at three places, frame by frame."""
    canvas: dict[tuple[int, int], Rgba] = dict.fromkeys(PLACES, (0, 0, 0, 0))
    shown = []
    for (left, top, width, height), colour, disposal, transparent, _ in frames:
        before = dict(canvas)
        inside = [place for place in canvas if left <= place[0] < left + width and top <= place[1] < top + height]
        for place in inside:
            canvas[place] = (*PALETTE[colour], 255) if colour != transparent else canvas[place]
        shown.append(dict(canvas))
        if disposal == CLEAR:
            canvas |= dict.fromkeys(inside, (0, 0, 0, 0))
        elif disposal == RESTORE:
            canvas = before
    return [frame for frame, _ in itertools.groupby(shown)]  # like ones may be joined


def seen(data: bytes) -> list[dict[tuple[int, int], Rgba]]:
    image = opened(data)
    frames = []
    for number in range(getattr(image, "n_frames", 1)):
        image.seek(number)
        frame = image.convert("RGBA")
        frames.append({place: frame.getpixel(place) for place in PLACES})
    return frames  # type: ignore[return-value]


def assert_alike(one: list[dict[tuple[int, int], Rgba]], other: list[dict[tuple[int, int], Rgba]]) -> None:
    assert len(one) == len(other)
    for ours, theirs in zip(one, other, strict=True):
        for place, pixel in theirs.items():
            assert ours[place][3] == pixel[3]
            assert not pixel[3] or ours[place] == pytest.approx(pixel, abs=40)  # WebP smears the edges of a box


FILMS: dict[str, tuple[Frame, ...]] = {
    "uncovered": (Frame(MIDDLE, 1), Frame(CORNER, 2)),
    "covered later": (Frame(MIDDLE, 1), Frame(WHOLE, 2)),
    "cleared": (Frame(WHOLE, 1, CLEAR), Frame(MIDDLE, 2)),
    "all cleared": (Frame(WHOLE, 1, CLEAR), Frame(MIDDLE, 2, CLEAR), Frame(CORNER, 1, CLEAR)),
    "a part cleared": (Frame(WHOLE, 1), Frame(MIDDLE, 2, CLEAR), Frame(CORNER, 2)),
    "restored": (Frame(MIDDLE, 1, RESTORE), Frame(CORNER, 2)),
    "restored to what was there": (Frame(WHOLE, 1), Frame(MIDDLE, 2, RESTORE), Frame(CORNER, 2)),
    "a transparent index elsewhere": (Frame(WHOLE, 1, CLEAR), Frame(MIDDLE, 2, KEEP, 0)),
    "transparent pixels over what was cleared": (Frame(WHOLE, 1, CLEAR), Frame(WHOLE, 0, KEEP, 0), Frame(CORNER, 2)),
    "transparent pixels over what is there": (Frame(WHOLE, 1), Frame(WHOLE, 0, KEEP, 0), Frame(CORNER, 2)),
    "a transparent index everywhere": (Frame(MIDDLE, 1, CLEAR, 0), Frame(CORNER, 2, CLEAR, 0)),
    "opaque": (Frame(WHOLE, 1), Frame(MIDDLE, 2)),
}


@pytest.mark.parametrize("output", ["gif", "webp"])
@pytest.mark.parametrize("name", FILMS)
def test_films(name: str, output: Format) -> None:
    frames = FILMS[name]
    assert_alike(seen(render_bytes(gif(*frames), Resize(), (SIDE, SIDE), output)), expected(*frames))


@pytest.mark.parametrize("name", FILMS)
def test_the_first_frame_as_a_still(render: Render, name: str) -> None:
    frames = FILMS[name]
    image = render(gif(*frames), Resize(), (SIDE, SIDE)).convert("RGBA")
    places = {place: image.getpixel(place) for place in PLACES}
    assert_alike([places], expected(*frames)[:1])  # type: ignore[list-item]


def test_a_still_gif_that_covers_a_part(render: Render) -> None:
    for data in (gif(Frame(MIDDLE, 1)), gif(Frame(MIDDLE, 1), has_control=False), gif(Frame(MIDDLE, 1), colours=256)):
        image = render(data, Resize(), (SIDE, SIDE)).convert("RGBA")
        assert image.getpixel(PLACES[1]) == (255, 0, 0, 255)
        assert image.getpixel(PLACES[0])[3] == 0  # type: ignore[index]
        jpeg = render(data, Resize(), (SIDE, SIDE), "jpeg", background="#0000ff").getpixel(PLACES[2])
        assert jpeg == pytest.approx((0, 0, 255), abs=12)


def test_scaled_films_keep_their_holes(render: Render) -> None:
    image = opened(render_bytes(gif(*FILMS["cleared"]), Resize(if_small="enlarge"), (SIDE * 2, SIDE * 2), "webp"))
    image.seek(1)
    frame = image.convert("RGBA")
    assert [frame.getpixel(place)[3] for place in ((8, 8), (44, 44), (80, 80))] == [0, 255, 0]  # type: ignore[index]


def test_an_opaque_film_is_left_as_it_is() -> None:
    data = gif(*FILMS["opaque"])
    assert blocks.cleared_by_restoring(data) is data
    assert opened(render_bytes(data, Resize(), (6, 6))).mode == "RGB"


BOTH: tuple[Format, ...] = ("gif", "webp")
SCREENS = [(640, 480), (800, 600), (1024, 768), (1280, 1024), (1600, 1200), (2049, 100), (100, 3000), (1920, 1080)]


@pytest.mark.parametrize("screen", SCREENS, ids=str)
def test_the_canvas_is_the_logical_screen(render: Render, screen: tuple[int, int]) -> None:
    """Of those sizes libvips takes the first frame's instead."""
    frames = (Frame(MIDDLE, 1), Frame(CORNER, 2))
    film = gif(*frames, screen=screen)
    assert canvas(film) == (*screen, 2)
    if screen[0] * screen[1] < 500_000:
        assert_alike(seen(render_bytes(film, Resize(), screen, "webp")), expected(*frames))
    still = gif(frames[0], screen=screen)
    assert canvas(still) == (*screen, 1)
    image = render(still, Resize(), screen).convert("RGBA")
    assert image.getpixel(PLACES[1]) == (255, 0, 0, 255)
    assert image.getpixel((screen[0] - 1, screen[1] - 1))[3] == 0  # type: ignore[index]


@pytest.mark.parametrize("name", FILMS)
def test_films_on_a_large_screen(name: str) -> None:
    """The last frame goes beyond the screen."""
    last = Frame((620, 470, 60, 60), 3)
    result = render_bytes(gif(*FILMS[name], last, screen=(640, 480)), Resize(), (640, 480), "gif")
    shown, frames = opened(result), seen(result)
    assert_alike(frames[:-1], expected(*FILMS[name])[: len(frames) - 1])
    shown.seek(len(frames) - 1)
    assert shown.convert("RGBA").getpixel((639, 479)) == (0, 0, 255, 255)


def test_delays_and_the_count_of_frames_stay_on_a_large_screen() -> None:
    frames = [Frame(MIDDLE, 1, delay=7), Frame(CORNER, 2, delay=9), Frame((20, 0, 5, 5), 3, delay=30)]
    for output in BOTH:
        image = opened(render_bytes(gif(*frames, screen=(640, 480)), Resize(), (640, 480), output))
        delays = []
        for number in range(len(frames)):
            image.seek(number)
            image.load()
            delays.append(image.info["duration"])
        assert delays == [70, 90, 300]


BEYOND: dict[str, tuple[tuple[Frame, ...], tuple[int, int]]] = {
    "the first beyond the right edge": ((Frame((32, 0, 28, SIDE), 1),), (60, SIDE)),
    "the first larger": ((Frame((0, 0, 60, 70), 1),), (60, 70)),
    "the first larger and away from the corner": ((Frame((5, 6, 60, 60), 1), Frame(MIDDLE, 2)), (65, 66)),
    "the first outside": ((Frame((50, 50, 10, 10), 1),), (60, 60)),
    "a later one beyond": ((Frame(WHOLE, 1), Frame((32, 32, 30, 20), 2)), (SIDE, SIDE)),
    "a later one larger": ((Frame(WHOLE, 1), Frame((0, 0, 60, 60), 2)), (SIDE, SIDE)),
    "a later one outside": ((Frame(WHOLE, 1), Frame((50, 50, 9, 9), 2), Frame(MIDDLE, 2)), (SIDE, SIDE)),
    "the first empty": ((Frame((0, 0, 0, 0), 1), Frame(WHOLE, 2)), (SIDE, SIDE)),
    "a later one empty": ((Frame(WHOLE, 2), Frame((9, 9, 0, 0), 1, CLEAR), Frame(MIDDLE, 1)), (SIDE, SIDE)),
    "a later one without width": ((Frame(WHOLE, 2), Frame((4, 4, 0, 8), 1), Frame(MIDDLE, 1)), (SIDE, SIDE)),
    "only an empty one": ((Frame((0, 0, 0, 0), 1),), (SIDE, SIDE)),
}


@pytest.mark.parametrize("name", BEYOND)
def test_frames_beyond_the_screen_and_empty_ones(name: str) -> None:
    """The first frame makes the canvas larger, later ones are clipped: so do Chromium, libvips and Pillow."""
    frames, size = BEYOND[name]
    film = gif(*frames)
    assert canvas(film) == (*size, len(frames))
    assert Image.open(io.BytesIO(film)).size == size
    for output in BOTH:
        assert_alike(seen(render_bytes(film, Resize(), size, output)), expected(*frames))


@pytest.mark.parametrize(("screen", "size"), [((0, 0), (32, 32)), ((0, 40), (32, 40)), ((40, 0), (40, 32))])
def test_a_screen_without_a_size_is_the_first_frames(screen: tuple[int, int], size: tuple[int, int]) -> None:
    assert canvas(gif(Frame(MIDDLE, 1), Frame(CORNER, 2), screen=screen)) == (*size, 2)


def test_no_screen_is_made_where_it_is_right() -> None:
    for frames in (FILMS["opaque"], (Frame((40, 40, 20, 20), 1),)):
        data = gif(*frames)
        assert blocks.on_its_screen(data) == (data, 0)
    data = gif(Frame((65_000, 0, 5_000, 1), 1))
    assert blocks.on_its_screen(data) == (data, 0)


def canvas(data: bytes) -> tuple[float, float, int]:
    info = probe(data, Limits(), is_complete=True)
    assert info is not None
    return info.width_px, info.height_px, info.frames


@pytest.mark.parametrize("cut", range(13, 60, 3))
def test_the_walk_ends_with_the_file(cut: int) -> None:
    data = gif(*FILMS["all cleared"])
    assert len(list(blocks.frames(data[:cut]))) <= 1
    assert not blocks.has_trailer(data[:cut])
    assert blocks.has_trailer(data)
