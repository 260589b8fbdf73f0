"""How each operation is carried out: the canvas, the operation and the size of each frame after it in, the canvas out.

For ``pipeline``. Rasterize is not here, since it opens the picture, nor composite, which takes a further picture.
"""

from collections.abc import Callable, Mapping
from typing import Any

from imgserve.imaging.worker.canvas import Canvas
from imgserve.imaging.worker.steps import (
    blur,
    contrast,
    convolve,
    crop,
    curve,
    equalize,
    extend,
    flatten,
    gamma,
    grayscale,
    linear,
    mirror,
    modulate,
    negate,
    noise,
    normalize,
    pixelate,
    redact,
    resize,
    rotate,
    saturate,
    sharpen,
    threshold,
    tint,
    trim,
)
from imgserve.imaging.worker.steps import round as rounding
from imgserve.request.imageinfo import Size
from imgserve.request.operations.blur import Blur
from imgserve.request.operations.contrast import Contrast
from imgserve.request.operations.convolve import Convolve
from imgserve.request.operations.crop import Crop
from imgserve.request.operations.curve import Curve
from imgserve.request.operations.equalize import Equalize
from imgserve.request.operations.extend import Extend
from imgserve.request.operations.flatten import Flatten
from imgserve.request.operations.flip import Flip
from imgserve.request.operations.flop import Flop
from imgserve.request.operations.gamma import Gamma
from imgserve.request.operations.grayscale import Grayscale
from imgserve.request.operations.linear import Linear
from imgserve.request.operations.modulate import Modulate
from imgserve.request.operations.negate import Negate
from imgserve.request.operations.noise import Noise
from imgserve.request.operations.normalize import Normalize
from imgserve.request.operations.pixelate import Pixelate
from imgserve.request.operations.redact import Redact
from imgserve.request.operations.resize import Resize
from imgserve.request.operations.rotate import Rotate
from imgserve.request.operations.round import Round
from imgserve.request.operations.saturate import Saturate
from imgserve.request.operations.sharpen import Sharpen
from imgserve.request.operations.threshold import Threshold
from imgserve.request.operations.tint import Tint
from imgserve.request.operations.trim import Trim
from imgserve.request.recipe import Operation

STEPS: Mapping[type[Operation], Callable[[Canvas, Any, Size], Canvas]] = {
    Blur: blur.applied,
    Contrast: contrast.applied,
    Convolve: convolve.applied,
    Crop: crop.applied,
    Curve: curve.applied,
    Equalize: equalize.applied,
    Extend: extend.applied,
    Flatten: flatten.applied,
    Flip: mirror.flipped,
    Flop: mirror.flopped,
    Gamma: gamma.applied,
    Grayscale: grayscale.applied,
    Linear: linear.applied,
    Modulate: modulate.applied,
    Negate: negate.applied,
    Noise: noise.applied,
    Normalize: normalize.applied,
    Pixelate: pixelate.applied,
    Redact: redact.applied,
    Resize: resize.applied,
    Rotate: rotate.applied,
    Round: rounding.applied,
    Saturate: saturate.applied,
    Sharpen: sharpen.applied,
    Threshold: threshold.applied,
    Tint: tint.applied,
    Trim: trim.applied,
}
