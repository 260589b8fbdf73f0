"""composite: a further picture drawn on each frame. Called by ``pipeline.py``.

Only the part of a frame beneath the picture is read and mixed. Mixing is that of W3C Compositing and Blending Level 1,
sections 5.1 and 10.1, with premultiplied colours, in floats: of whole numbers libvips rounds down.
"""

from math import ceil

import pyvips

from imgserve.imaging.worker.canvas import Canvas, as_samples
from imgserve.imaging.worker.colour import convert, inks
from imgserve.imaging.worker.steps import rotate
from imgserve.request.imageinfo import Size
from imgserve.request.operations.composite import Composite, Run
from imgserve.request.operations.rotate import Rotate

_BLOCK = 256  # the least side of what is repeated: copying single pixels would be slow
_MANY = 16  # that many pieces are as large as a frame, half of the most operations of a recipe


def applied(canvas: Canvas, operation: Composite, image: pyvips.Image) -> Canvas:
    """``image`` is the further picture at its final size, in memory."""
    on = canvas.size
    image = _faded(_turned(_as_deep(image, canvas.image), operation.angle), operation.opacity, operation.fade)
    across, down = operation.runs(Size(image.width, image.height), on)
    across, down = _seen(across, image.width), _seen(down, image.height)
    image, left, top = _tiled(image, across, down), across.start, down.start

    def drawn(frame: pyvips.Image) -> pyvips.Image:
        return _drawn(frame, image, left, top, operation)

    return canvas.of_each_frame(drawn)


def _drawn(frame: pyvips.Image, image: pyvips.Image, left: int, top: int, operation: Composite) -> pyvips.Image:
    at_left, at_top = max(left, 0), max(top, 0)
    width = min(left + image.width, frame.width) - at_left
    height = min(top + image.height, frame.height) - at_top
    if image.bands > 2:
        frame = inks.coloured(frame)
    if width < 1 or height < 1:
        return frame
    visible = image.crop(at_left - left, at_top - top, width, height)
    visible = inks.coloured(visible) if frame.bands > 2 else visible
    if operation.blend == "over" and not visible.hasalpha():
        piece = visible if not frame.hasalpha() else visible.bandjoin(inks.most(visible))
    else:
        piece = _mixed(frame.crop(at_left, at_top, width, height), visible, operation.blend)
    piece = piece.copy_memory()  # a second picture above this one would compute it again
    if (width, height) == (frame.width, frame.height):
        return piece
    drawn = frame.insert(piece, at_left, at_top)
    # Small pieces may stay until the frame is needed. Of large ones a few would hold as much as several frames.
    return drawn.copy_memory() if width * height * _MANY > frame.width * frame.height else drawn


def _mixed(below: pyvips.Image, above: pyvips.Image, blend: str) -> pyvips.Image:
    """``above`` over ``below``, of equal size, in the bands and samples of ``below``."""
    base, source = below.cast("float"), above.cast("float")
    if blend != "over":
        source = _blended(base, source, blend, inks.most(below))
    mixed = base.composite2(source, "over")
    return as_samples(mixed.extract_band(0, n=below.bands), below)


def _blended(base: pyvips.Image, source: pyvips.Image, blend: str, most: int) -> pyvips.Image:
    """The source in its blended colours: (1 - alpha of the base) * source + alpha of the base * B(base, source).

    libvips gives B of opaque pictures; of others it takes B of the premultiplied colours, which is too dark.
    """
    colours = source.extract_band(0, n=source.bands - 1) if source.hasalpha() else source
    ground = base.extract_band(0, n=base.bands - 1) if base.hasalpha() else base
    blended = ground.composite2(colours, blend).extract_band(0, n=colours.bands)
    if base.hasalpha():
        share = base[base.bands - 1] / most
        blended = blended * share + colours * (1 - share)
    blended = blended.copy(interpretation=colours.interpretation)
    return blended.bandjoin(source[source.bands - 1]) if source.hasalpha() else blended


def _as_deep(image: pyvips.Image, canvas: pyvips.Image) -> pyvips.Image:
    """In the depth of the canvas."""
    return convert.to_16_bits(image) if canvas.format == "ushort" else convert.to_8_bits(image)


def _faded(image: pyvips.Image, opacity: float, fade: float) -> pyvips.Image:
    """Without alpha where it is opaque, so that nothing has to be mixed."""
    if fade:
        image = _with_alpha(image).copy_memory()
        *colours, alpha = image.bandsplit()
        alpha = alpha - fade * inks.most(image)
        image = as_samples(colours[0].bandjoin([*colours[1:], (alpha > 0).ifthenelse(alpha, 0)]), image)
    if opacity < 1:
        return _with_alpha(image) * ([1] * (_with_alpha(image).bands - 1) + [opacity])
    if image.hasalpha() and image[image.bands - 1].min() == inks.most(image):
        return image.extract_band(0, n=image.bands - 1)
    return image


def _with_alpha(image: pyvips.Image) -> pyvips.Image:
    return image if image.hasalpha() else image.bandjoin(inks.most(image))


def _turned(image: pyvips.Image, angle: float) -> pyvips.Image:
    """In memory: each frame reads it, and each place of a tile."""
    turned = rotate.applied(Canvas(image, 1), Rotate(angle), Size(image.width, image.height)).image
    return turned if turned is image else turned.copy_memory()


def _seen(run: Run, side: int) -> Run:
    """Without a first repetition that lies beyond the canvas: a period may be longer than libvips can count."""
    if run.times > 1 and run.start + side <= 0:
        run = Run(run.start + run.period, run.period, run.times - 1)
    return run if run.times > 1 else Run(run.start, side, 1)


def _tiled(image: pyvips.Image, across: Run, down: Run) -> pyvips.Image:
    """All repetitions, from the first to the last one's end."""
    if across.times == down.times == 1:
        return image
    cell = _with_alpha(image) if (image.width, image.height) != (across.period, down.period) else image
    cell = cell.embed(0, 0, across.period, down.period)
    columns, rows = (min(run.times, ceil(_BLOCK / run.period)) for run in (across, down))
    if columns > 1 or rows > 1:
        cell = cell.replicate(columns, rows)
    if cell.width * cell.height <= 4 * _BLOCK**2:
        cell = cell.copy_memory()
    wide = cell.replicate(ceil(across.times / columns), ceil(down.times / rows))
    width, height = (across.times - 1) * across.period + image.width, (down.times - 1) * down.period + image.height
    return wide.crop(0, 0, width, height)
