"""Settings of imgserve while they are gathered from another server's, and the TOML that they become.

``imgproxy`` and ``thumbor`` fill a draft; ``imgserve import-config`` prints it.
"""

import json
import math
from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from imgserve.settings.options import BY_NAME


class Note(NamedTuple):
    """A setting without a counterpart, and what to do. ``is_security``: without it more would be allowed, or shown."""

    name: str
    sentence: str
    is_security: bool = False


class Draft:
    """``mount`` is the dialect's table. Keys have their table before them, as ``picture.fallback.path``."""

    def __init__(self, mount: str) -> None:
        self.mount = mount
        self.notes: list[Note] = []
        self.values: dict[str, object] = {}
        self.comments: dict[str, str] = {}
        self._reasons: list[str] = []

    def note(self, name: str, sentence: str, *, is_security: bool = False) -> None:
        self.notes.append(Note(name, sentence, is_security))

    def set(self, name: str, key: str, value: object, comment: str = "") -> None:
        """``name`` is the other server's. A value that imgserve does not take becomes a note."""
        option = BY_NAME.get(key)
        if option is not None:
            try:
                value = msgspec.convert(value, option.type)
            except msgspec.ValidationError as error:
                reason = str(error)[:1].lower() + str(error)[1:]
                self.note(name, f"set {option.label} by hand: {reason}", is_security="max_" in key)
                return
        self.values[key] = value
        if comment:
            self.comments[key] = comment

    def of_mount(self, name: str, key: str, value: object, comment: str = "") -> None:
        self.set(name, f"{self.mount}.{key}", value, comment)

    def origins(self, name: str, texts: list[str]) -> None:
        if "*" in texts:
            self.note(name, "name the origins of your pages in cors_origin: there is none for all")
        else:
            self.set(name, "cors_origin", texts)

    def close(self, name: str, sentence: str) -> None:
        """The mount stays off, since it would allow more than the other server does."""
        self.note(name, sentence, is_security=True)
        self._reasons.append(sentence)

    def toml(self, origin: str) -> str:
        lines = [f"# Made from {origin} by imgserve import-config."]
        tables: dict[str, list[str]] = {"": []}
        for key, value in self.values.items():
            table, _, word = key.rpartition(".")
            rows = tables.setdefault(table, [])
            if key in self.comments:
                rows.append(f"# {self.comments[key]}")
            is_off = key == f"{self.mount}.path" and self._reasons
            rows += [f"# off: {reason}" for reason in self._reasons] if is_off else []
            rows.append(f"{'# ' if is_off else ''}{word} = {_written(value)}")
        lines += tables.pop("")
        for table, rows in tables.items():
            lines += ["", f"[{table}]", *rows]
        return "\n".join(lines) + "\n"


def _written(value: object) -> str:
    """A value of TOML, whose texts are escaped as those of JSON are."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_written, value))}]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_written(key)} = {_written(one)}" for key, one in value.items()) + "}"
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else "0.0"
    if isinstance(value, int):
        return str(value)
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
