"""The TOML file: its values by their names, and the line of each for faults. Used by ``read``."""

import re
import tomllib
from pathlib import Path

import msgspec

from imgserve.errors import FieldRef, cause_of, dotted
from imgserve.errors import Path as KeyPath

_TABLE_NAME = re.compile(r"[\w-]{1,32}", re.ASCII)


class TomlFile(msgspec.Struct, frozen=True):
    path: Path
    text: str = ""
    content: dict[str, object] = {}
    is_there: bool = False

    @classmethod
    def read(cls, path: Path, origin: str, problems: list[str]) -> "TomlFile":
        """Empty when no file was named, as ``origin`` says, and the usual one does not exist."""
        where = f"{origin}: {path}" if origin else f"the settings file {path}"
        try:
            text = path.read_text(encoding="utf-8-sig")  # some editors begin a file with a byte order mark
            return cls(path, text, tomllib.loads(text), is_there=True)
        except (FileNotFoundError, NotADirectoryError):
            if origin:
                problems.append(f"{where} does not exist, expected a TOML file")
        except OSError as error:
            cause, remedy = cause_of(error)
            hint = remedy or "name another" if origin else "name another with --config, or set HOME"
            problems.append(f"{where} cannot be read: {cause} ({hint})")
        except UnicodeDecodeError:
            problems.append(f"{where} is not UTF-8, expected a TOML file in UTF-8")
        except tomllib.TOMLDecodeError as error:
            hint = 'a text stands in quotes, as in key = "value", and each key stands once'
            problems.append(f"{where} is not TOML: {error} ({hint})")
        return cls(path)

    def value(self, name: str) -> object:
        """Of a key or a table; None where there is none, since TOML knows no such value."""
        return _within(self.content, tuple(name.split(".")))

    def names_in(self, table: str) -> list[str]:
        """The names of the tables in a table, as far as they are valid."""
        value = self.value(table)
        return [name for name in value if _TABLE_NAME.fullmatch(name)] if isinstance(value, dict) else []

    def origin(self, name: str, path: KeyPath = ()) -> str:
        """File, line, table and key, or the table alone. ``path`` leads on, into the value."""
        table, _, key = name.rpartition(".")
        is_table = table and not path and isinstance(self.value(name), dict)
        key = dotted(FieldRef((key, *path)))
        shown = f"[{name}]" if is_table else f"[{table}] {key}" if table else key
        return f"{self.path}, line {self._line((*name.split('.'), *path))}: {shown}"

    def _line(self, keys: KeyPath) -> int:
        """A value begins behind the longest beginning of the file that is TOML without it.

        One that is missing has the line of the nearest value around it.
        """
        while len(keys) > 1 and _within(self.content, keys) is None:
            keys = keys[:-1]
        lines = self.text.splitlines(keepends=True)
        begins = 1
        for count in range(1, len(lines)):
            try:
                content = tomllib.loads("".join(lines[:count]))
            except tomllib.TOMLDecodeError:  # cut within a value
                continue
            if _within(content, keys) is not None:
                break
            begins = count + 1
        return begins


def _within(value: object, keys: KeyPath) -> object:
    for key in keys:
        if isinstance(value, dict):
            value = value.get(key)
        elif isinstance(value, list) and isinstance(key, int) and key < len(value):
            value = value[key]
        else:
            return None
    return value
