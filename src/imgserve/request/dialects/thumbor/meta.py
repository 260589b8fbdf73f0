"""The answer to ``/meta/``: what thumbor would do with a picture, as its JSON (``engines/json_engine.py``). Pure.

The sides of the source are those of the result, since thumbor's engine is asked at the end. Some sides are floats, as
it computes them.
"""

from collections.abc import Iterator
from urllib.parse import quote

import msgspec

from imgserve.request.dialects.thumbor import plan
from imgserve.request.dialects.thumbor.config import Config
from imgserve.request.dialects.thumbor.geometry import Cropped, Point, Resized, Trimmed
from imgserve.request.dialects.thumbor.options import Request
from imgserve.request.imageinfo import ImageInfo, Size

Value = str | int | float
Entry = dict[str, Value]


def described(
    request: Request, info: ImageInfo, config: Config, size: Size | None = None, trimmed: Trimmed | None = None
) -> bytes:
    """``size`` and ``trimmed`` are for a picture that has been trimmed. Raises BadUrl."""
    asked = request.parameters
    size = size or plan.start_of(asked, info, config)
    made = plan.operations(asked, size, config, has_alpha=info.may_be_transparent, trimmed=trimmed)
    steps = [
        step for step in (_trim(size, trimmed), made.geometry.crop, made.geometry.cut, made.geometry.resize) if step
    ]
    operations = [_operation(step) for step in steps]
    mirrors = {"flip_horizontally": asked.is_flopped, "flip_vertically": asked.is_flipped}
    operations += [{"type": name} for name, is_set in mirrors.items() if is_set and not asked.is_debug]
    if asked.format is None and not asked.accepted and plan.is_png_for_jpeg(asked, info, config):
        operations.append({"type": "auto_png_to_jpg_conversion"})
    width, height = _target(steps[-1]) if steps else (made.size.width_px, made.size.height_px)
    source: Entry = {
        "url": quote(request.source),
        "width": made.size.width_px,
        "height": made.size.height_px,
        "frameCount": info.frames if info.format == "gif" else 1,
    }
    target: Entry = {"width": width, "height": height}
    points = list(_points(made.geometry.points))
    return msgspec.json.encode(
        {"thumbor": {"source": source, "operations": operations, "target": target, "focal_points": points}}
    )


def _trim(size: Size, trimmed: Trimmed | None) -> Cropped | None:
    if trimmed is None:
        return None
    return Cropped(trimmed.left, trimmed.top, trimmed.left + size.width_px, trimmed.top + size.height_px)


def _operation(step: Cropped | Resized) -> Entry:
    return {"type": "crop" if isinstance(step, Cropped) else "resize", **step._asdict()}


def _target(step: Cropped | Resized) -> tuple[float, float]:
    if isinstance(step, Cropped):
        return step.size.width_px, step.size.height_px
    return step


def _points(points: tuple[Point, ...]) -> Iterator[Entry]:
    for point in points:
        yield {
            "x": point.x,
            "y": point.y,
            "z": point.weight,
            "height": point.height,
            "width": point.width,
            "origin": point.origin,
        }
