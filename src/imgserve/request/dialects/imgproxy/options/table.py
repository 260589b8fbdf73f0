"""All options by each of their names. ``preset`` is in ``grammar``: it needs the others."""

from collections.abc import Mapping

from imgserve.request.dialects.imgproxy.options import geometry, look, output
from imgserve.request.dialects.imgproxy.options.options import Apply


def _by_name(options: Mapping[tuple[str, ...], Apply]) -> dict[str, Apply]:
    return {name: apply for names, apply in options.items() for name in names}


SECURITY = _by_name(output.SECURITY_OPTIONS)
"""Those that lift limits: for URLs only if the settings allow it."""

OPTIONS: dict[str, Apply] = _by_name(geometry.OPTIONS | look.OPTIONS | output.OPTIONS) | SECURITY
