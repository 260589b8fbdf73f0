"""An input's default value, cleaned by the rules of its type (the value sanitization algorithms of
https://html.spec.whatwg.org/multipage/input.html). Called by ``entries``; text in and out.
"""

import datetime
import math
import re
from collections.abc import Callable, Mapping
from functools import partial

from imgserve.imaging.worker.charsets import WHITE_SPACE
from imgserve.request import color

_FLOAT = re.compile(r"-?(?:\d+(?:\.\d+)?|\.\d+)(?:[eE][-+]?\d+)?", re.ASCII)
_DATE = re.compile(r"(\d{4,9})-(\d\d)-(\d\d)", re.ASCII)
_WEEK = re.compile(r"(\d{4,9})-W(\d\d)", re.ASCII)
_TIME = re.compile(r"([01]\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d{1,3})?)?", re.ASCII)
_NO_SECONDS = re.compile(r":00(\.0+)?\Z")
_TINY = 1e-9


def sanitized(kind: str, value: str, attributes: Mapping[str, str]) -> str:
    """``kind`` is the input's type; ``attributes`` are the input's."""
    if kind in _VALID:
        return value if _VALID[kind](value) else ""
    if kind == "range":
        return _range(value, attributes)
    if kind == "email" and "multiple" in attributes:
        return ",".join(part.strip(WHITE_SPACE) for part in _one_line(value).split(","))
    return _RULES[kind](value) if kind in _RULES else value


def is_right_to_left(text: str) -> bool:
    """The direction of the first letter that has one, for ``dir=auto``."""
    import unicodedata  # a megabyte of memory, and few pages need it

    directions = (unicodedata.bidirectional(character) for character in text)
    return next((one in ("R", "AL") for one in directions if one in ("L", "R", "AL")), False)


def number_in(text: str | None) -> float | None:
    """A valid floating-point number; None for anything else."""
    if text is None or not _FLOAT.fullmatch(text):
        return None
    number = float(text)
    return number if math.isfinite(number) else None


def _one_line(value: str) -> str:
    return value.replace("\n", "").replace("\r", "")


def _trimmed(value: str) -> str:
    return _one_line(value).strip(WHITE_SPACE)


def _color(value: str) -> str:
    """CSS's hexadecimal colours, without their alpha, and the basic names."""
    word = value.strip(WHITE_SPACE).lower()
    return (color.canonical(word) or "#000000")[:7]


def _is_date(value: str) -> bool:
    return _is_in_calendar(_DATE.fullmatch(value), datetime.date)


def _is_week(value: str) -> bool:
    return _is_in_calendar(_WEEK.fullmatch(value), partial(datetime.date.fromisocalendar, day=1))


def _is_in_calendar(match: "re.Match[str] | None", first_day: Callable[..., datetime.date]) -> bool:
    """``first_day`` makes a day of the numbers, the first of which is a year from 1."""
    if match is None or int(match[1]) == 0:
        return False
    year, *others = map(int, match.groups())
    try:
        first_day(2000 + year % 400, *others)  # the calendar repeats every 400 years, and Python's ends at 9999
    except ValueError:
        return False
    return True


def _date_and_time(value: str) -> str:
    date, _, time = value.partition("T" if "T" in value else " ")
    if not _is_date(date) or not _TIME.fullmatch(time):
        return ""
    if time.count(":") == 2:
        time = _NO_SECONDS.sub("", time)
    return f"{date}T{time.rstrip('0') if '.' in time else time}"


def _range(value: str, attributes: Mapping[str, str]) -> str:
    least, most, step = (number_in(attributes.get(name)) for name in ("min", "max", "step"))
    low, high = 0.0 if least is None else least, 100.0 if most is None else most
    default = number_in(value)
    number = default if default is not None else low if high < low else low + (high - low) / 2
    number = max(low, min(number, high))
    if attributes.get("step", "").lower() != "any":
        base = least if least is not None else default if default is not None else 0.0
        number = _on_step(number, step if step and step > 0 else 1.0, base, low, high)
    return value if number == default else _spelled(number)


def _on_step(number: float, step: float, base: float, low: float, high: float) -> float:
    steps = (number - base) / step
    if not math.isfinite(steps) or abs(steps - round(steps)) < _TINY:
        return number
    rounded = base + math.floor(steps + 0.5) * step
    if rounded > high:
        rounded -= step
    return rounded if rounded >= low else number


def _spelled(number: float) -> str:
    return str(int(number)) if number.is_integer() and abs(number) < 1e16 else repr(number)


_RULES: dict[str, Callable[[str], str]] = {
    **dict.fromkeys(("text", "search", "tel", "password"), _one_line),
    **dict.fromkeys(("url", "email"), _trimmed),
    "color": _color,
    "datetime-local": _date_and_time,
}
_VALID: dict[str, Callable[[str], object]] = {
    "number": lambda value: number_in(value) is not None,
    "date": _is_date,
    "month": lambda value: _is_date(f"{value}-01"),
    "week": _is_week,
    "time": _TIME.fullmatch,
}
