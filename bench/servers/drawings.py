"""Sources that are drawn: a page of text and bars as PNG, icons and illustrations as SVG. Called by ``sources``."""

import io
import random
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

import imgserve

_FONT = Path(imgserve.__path__[0]) / "fonts" / "NotoSans-Regular.ttf"
_PAGE_SIZE = (1632, 1224)
_WORDS = [
    "order",
    "total",
    "paid",
    "open",
    "since",
    "river",
    "mountain",
    "picture",
    "server",
    "queue",
    "north",
    "answer",
    "a",
    "of",
    "the",
    "and",
    "to",
    "in",
    "is",
]
_COLOURS = ("#1b4965", "#5fa8d3", "#bee9e8", "#ca6702", "#9b2226", "#606c38", "#3a0ca3", "#f2cc8f")
_BLOBS = 220


def screenshot(number: int) -> bytes:
    """Text, lines and bars on plain ground, as charts and user interfaces have them."""
    chance = random.Random(number)
    width_px, _ = _PAGE_SIZE
    page = Image.new("RGB", _PAGE_SIZE, "#ffffff")
    draw = ImageDraw.Draw(page)
    font, large = (ImageFont.truetype(str(_FONT), size) for size in (17, 34))
    draw.rectangle((0, 0, width_px, 72), fill=chance.choice(_COLOURS[:4]))
    draw.text((24, 14), " ".join(chance.choices(_WORDS, k=5)), "#ffffff", large)
    for row in range(26):
        y = 100 + row * 42
        draw.line((24, y + 34, width_px - 24, y + 34), "#dddddd", 1)
        draw.text((24, y), " ".join(chance.choices(_WORDS, k=9)), "#222222", font)
        draw.rectangle(
            (width_px // 2, y + 6, width_px // 2 + chance.randrange(40, 700), y + 26), chance.choice(_COLOURS)
        )
    out = io.BytesIO()
    page.save(out, "PNG")
    return out.getvalue()


def icon(number: int) -> bytes:
    """A few paths on a grid of 24, drawn at 512."""
    chance = random.Random(number)
    lines = " ".join(f"M{chance.randrange(3, 12)} {4 + 4 * row}H{chance.randrange(13, 22)}" for row in range(5))
    x, y = chance.randrange(8, 16), chance.randrange(8, 16)
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" width="512" height="512" viewBox="0 0 24 24">'
        f'<path d="{lines}" fill="none" stroke="{_COLOURS[number % len(_COLOURS)]}" stroke-width="2"'
        f' stroke-linecap="round"/><circle cx="{x}" cy="{y}" r="4.5" fill="{_COLOURS[-1 - number % 4]}"/></svg>'
    ).encode()


def illustration(number: int) -> bytes:
    """Curved shapes, gradients and half transparent layers."""
    chance = random.Random(number)
    stops = "".join(
        f'<linearGradient id="g{index}" x1="0" y1="0" x2="1" y2="1"><stop offset="0" stop-color="{colour}"/>'
        f'<stop offset="1" stop-color="{_COLOURS[index - 1]}"/></linearGradient>'
        for index, colour in enumerate(_COLOURS)
    )
    shapes = "".join(_blob(chance) for _ in range(_BLOBS))
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" width="1600" height="1200" viewBox="0 0 1600 1200">'
        f'<defs>{stops}</defs><rect width="1600" height="1200" fill="url(#g2)"/>{shapes}</svg>'
    ).encode()


def _blob(chance: random.Random) -> str:
    x, y = chance.randrange(1600), chance.randrange(1200)
    curves = " ".join("q{} {} {} {}".format(*(chance.randrange(-160, 160) for _ in range(4))) for _ in range(6))
    fill, opacity = chance.randrange(len(_COLOURS)), chance.choice((0.4, 0.7, 1.0))
    return f'<path d="M{x} {y} {curves} z" fill="url(#g{fill})" opacity="{opacity}"/>'
