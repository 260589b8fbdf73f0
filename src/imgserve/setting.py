"""How a package's Config declares its settings: on each field a type with its range, and the words for people.

    port: Annotated[Port, Setting("port; 0 takes a free one", metavar="N")] = 8602

A field without a ``Setting`` is no setting. ``settings`` makes flags, keys of the TOML file, variables and the
reference page from these declarations.
"""

from typing import Annotated, NamedTuple

import msgspec
from msgspec import Meta

Text = Annotated[str, Meta(min_length=1)]
Texts = tuple[Text, ...]
Count = Annotated[int, Meta(ge=1)]
Amount = Annotated[int, Meta(ge=0)]
Port = Annotated[int, Meta(ge=0, le=65535)]
Seconds = Annotated[float, Meta(gt=0, le=1e9)]
Pause = Annotated[float, Meta(ge=0, le=1e9)]
Fraction = Annotated[float, Meta(gt=0, le=1)]


class Setting(msgspec.Struct, frozen=True):
    """``doc`` is a phrase without a full stop. ``name`` is the key's, where it is not the field's.

    ``default`` is for people, where the field's own does not show it. ``metavar``: there is a flag, and its value has
    this name; FILE and DIR are paths, relative to the working directory or to the TOML file's. ``flags`` are further
    spellings. A secret is never repeated in a fault.
    """

    doc: str
    unit: str = ""
    name: str = ""
    default: str = ""
    metavar: str = ""
    flags: tuple[str, ...] = ()
    is_secret: bool = False


class Section(msgspec.Struct, frozen=True):
    """For a field that holds another Config: ``title`` is its heading on the reference page.

    ``table``: its settings stand in this table of the TOML file. A field of type ``dict[str, Config]`` is a table for
    each name, as ``[preset.NAME]``; those are in the file only.
    """

    title: str = ""
    table: str = ""


class Secret(msgspec.Struct, frozen=True):
    """A text that is never shown. A setting of this type names a file or a variable that holds it, as ``key_file`` or
    ``key_env``; one of type ``tuple[Secret, ...]`` holds several, one a line. ``path`` is that file; empty for a
    variable.
    """

    text: str
    path: str = ""

    def __repr__(self) -> str:
        return "Secret(…)"


class Problem(NamedTuple):
    """A value that cannot work. The ``problems`` of a Config returns them.

    ``path`` leads into the field's value, if that is a table or a list.
    """

    field: str
    sentence: str
    path: tuple[str | int, ...] = ()
