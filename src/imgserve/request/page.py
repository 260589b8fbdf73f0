"""An upload page: its forms, and the fields that a browser would send. No I/O.

A worker reads it (``imaging/worker/html``), ``transfer/protocols/upload`` uses it.
"""

from typing import Annotated, Literal, get_args

import msgspec

# The charsets of pages and forms, by Python's names: those of the Encoding Standard, without a few Mac ones.
Charset = Literal[
    "utf-8", "cp866", "iso8859-2", "iso8859-3", "iso8859-4", "iso8859-5", "iso8859-6", "iso8859-7", "iso8859-8",
    "iso8859-10", "iso8859-13", "iso8859-14", "iso8859-15", "iso8859-16", "koi8-r", "koi8-u", "mac-roman",
    "mac-cyrillic", "cp874", "cp1250", "cp1251", "cp1252", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257", "cp1258",
    "gbk", "gb18030", "big5hkscs", "euc_jp", "iso2022_jp", "cp932", "cp949",
]  # fmt: skip
CHARSETS: frozenset[str] = frozenset(get_args(Charset))

# PHP (max_input_vars) and Django (DATA_UPLOAD_MAX_NUMBER_FIELDS) take no more, and each is a part to build.
MOST_FIELDS = 1000
MOST_FORMS = 100
MOST_ENTRIES = 2000  # of all forms of a page together: each is an object in the server too
MOST_BYTES = 2_000_000  # of all forms of a page together


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """One field that is sent, encoded. ``is_file``: a file field, which sends an empty file unless it is the job's."""

    name: bytes
    value: bytes = b""
    is_file: bool = False


class Form(msgspec.Struct, frozen=True, array_like=True):
    """A form with a file field. ``action`` is the attribute as written; empty without one.

    ``entries`` stand in page order, encoded in ``charset``. ``is_too_large``: there are more than are sent, and only
    the file fields are here. ``is_invalid``: the page marks a field as wrong.
    """

    action: str
    charset: Charset
    entries: Annotated[tuple[Entry, ...], msgspec.Meta(max_length=MOST_FIELDS)]
    is_invalid: bool = False
    is_too_large: bool = False

    def encoded(self, text: str) -> bytes:
        """As browsers send it: a character that the charset lacks becomes a character reference."""
        return text.encode(self.charset, "xmlcharrefreplace")

    def has_file_field(self, name: str) -> bool:
        encoded = self.encoded(name)
        return any(entry.is_file and entry.name == encoded for entry in self.entries)

    def file_fields(self) -> tuple[str, ...]:
        """The names of its file fields."""
        return tuple(entry.name.decode(self.charset, "replace") for entry in self.entries if entry.is_file)


class Page(msgspec.Struct, frozen=True, array_like=True):
    """``base`` is the base element's URL as written; ``charset`` encodes the queries of its URLs.

    ``has_form`` counts forms without a file field too, which are not in ``forms``.
    """

    base: str
    charset: Charset
    forms: Annotated[tuple[Form, ...], msgspec.Meta(max_length=MOST_FORMS)]
    has_form: bool
    has_password: bool

    def form_with(self, file_field: str) -> Form | None:
        """The first form that has this file field."""
        return next((form for form in self.forms if form.has_file_field(file_field)), None)
