"""A file of ``KEY=VALUE`` lines, as imgproxy, Docker and systemd read it: text in, variables out."""

import re

from imgserve.errors import ImgserveError

_LINE = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*)")
_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")
_ESCAPE = re.compile(r'\\(["\\n$])')


class NotImported(ImgserveError):
    """A file of another server's settings that cannot be read."""


def variables(text: str) -> dict[str, str]:
    """Raises NotImported."""
    found: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            raise NotImported(f"line {number}: expected NAME=VALUE")
        found[match[1]] = _value(match[2], found)
    return found


def _value(text: str, known: dict[str, str]) -> str:
    """Without its quotes; variables of earlier lines are put in, but not between single quotes."""
    quote = text[:1] if text[:1] in ("'", '"') and len(text) > 1 and text[-1] == text[0] else ""
    text = text[1:-1] if quote else text
    if quote == "'":
        return text
    text = _VARIABLE.sub(lambda match: known.get(match[1] or match[2], match[0]), text)
    return _ESCAPE.sub(lambda match: "\n" if match[1] == "n" else match[1], text) if quote else text
