"""The TOML file: its values by their names, and the line of each for faults. Read by ``read``."""

import tomllib
from pathlib import Path

import msgspec


class TomlFile(msgspec.Struct, frozen=True):
    path: Path
    text: str = ""
    content: dict[str, object] = {}

    @classmethod
    def read(cls, path: Path, origin: str, problems: list[str]) -> "TomlFile":
        """Empty when no file was named, as ``origin`` says, and the usual one is not there."""
        where = f"{origin}: {path}" if origin else f"the settings file {path}"
        try:
            text = path.read_text(encoding="utf-8")
            return cls(path, text, tomllib.loads(text))
        except (FileNotFoundError, NotADirectoryError):
            if origin:
                problems.append(f"{where} does not exist, expected a TOML file")
        except PermissionError:
            hint = "give this user the right to read it" if origin else "name another with --config, or set HOME"
            problems.append(f"{where} cannot be read: permission denied ({hint})")
        except OSError as error:
            problems.append(f"{where} cannot be read: {error.strerror}, expected a TOML file")
        except UnicodeDecodeError:
            problems.append(f"{where} is not UTF-8, expected a TOML file in UTF-8")
        except tomllib.TOMLDecodeError as error:
            hint = 'a text stands in quotes, as in key = "value", and each key stands once'
            problems.append(f"{where} is not TOML: {error} ({hint})")
        return cls(path)

    def value(self, name: str) -> object:
        """Of a key or a table; None where there is none, since TOML knows no such value."""
        return _within(self.content, name)

    def origin(self, name: str) -> str:
        """File, line, table and key, or the table alone."""
        table, _, key = name.rpartition(".")
        shown = f"[{name}]" if isinstance(self.value(name), dict) and table else f"[{table}] {key}" if table else key
        return f"{self.path}, line {self._line(name)}: {shown}"

    def _line(self, name: str) -> int:
        """It begins behind the longest beginning of the file that is TOML without it."""
        lines = self.text.splitlines(keepends=True)
        begins = 1
        for count in range(1, len(lines)):
            try:
                content = tomllib.loads("".join(lines[:count]))
            except tomllib.TOMLDecodeError:  # cut within a value
                continue
            if _within(content, name) is not None:
                break
            begins = count + 1
        return begins


def _within(value: object, name: str) -> object:
    for key in name.split("."):
        value = value.get(key) if isinstance(value, dict) else None
    return value
