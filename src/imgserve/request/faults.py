"""The faults of a request as values. The parsers of this package raise ``RequestInvalid``; each API spells it.

The paths of a parser's faults begin at the value that it reads. Its caller puts them beneath the path of that value.
"""

import json
from collections.abc import Callable, Mapping
from typing import Literal, ParamSpec, TypeVar

import msgspec

from imgserve.errors import FieldRef, ImgserveError, Path, Sentence, Spelling, dotted, put_beneath, spell

P = ParamSpec("P")
T = TypeVar("T")

# Stable names, each with its row in ``MEANING``. Those of the classic protocol alone begin with key_, operation_ and
# args_.
Code = Literal[
    "key_missing", "key_unknown", "operation_unknown", "args_invalid",
    "source_invalid", "source_scheme_unknown", "source_extension", "source_refused",
    "destination_invalid", "destination_scheme_unknown", "destination_field_missing", "destination_field_invalid",
    "destination_refused", "webhook_refused", "format_not_writable", "tag_unknown",
    "size_missing", "size_unknown", "field_missing", "field_unknown", "field_invalid", "result_too_large",
    "output_count", "credential_not_allowed",
]  # fmt: skip

MEANING: Mapping[Code, str] = {
    "key_missing": "a key of a classic job is missing",
    "key_unknown": "a classic job has a key that there is not",
    "operation_unknown": "a classic job asks for an operation that there is not",
    "args_invalid": "`args` of a classic job is no object",
    "source_invalid": "the source is no URL, or names no part of the request",
    "source_scheme_unknown": "there is no such protocol for sources",
    "source_extension": "the source's file name does not fit the operation",
    "source_refused": "the source is refused by policy: its scheme, address, port or directory",
    "destination_invalid": "the destination is no URL, or that of another output",
    "destination_scheme_unknown": "there is no such protocol for destinations",
    "destination_field_missing": "the destination needs this field",
    "destination_field_invalid": "a field of the destination is of the wrong type, or contradicts another",
    "destination_refused": "the destination is refused by policy: its scheme, address, port or directory",
    "webhook_refused": "the webhook is refused by policy: its address or port",
    "format_not_writable": "the result's format cannot be written",
    "tag_unknown": "there is no such tag in a destination, or it has no value here",
    "size_missing": "the operation needs a width, a height or both",
    "size_unknown": "something needs the result's size, which depends on the picture's pixels",
    "field_missing": "the field must be given",
    "field_unknown": "there is no such field",
    "field_invalid": "the field's value is of the wrong type, out of range, or contradicts another field",
    "result_too_large": "the result would have too many pixels",
    "output_count": "there are too few or too many of something",
    "credential_not_allowed": "the settings have no such credential for this key and URL",
}

DESTINATION = FieldRef(("destination",))
"""The destination of the output that an error belongs to."""

_LONGEST_SHOWN = 40


class Fault(msgspec.Struct, frozen=True):
    """One thing that is wrong with a request.

    ``path`` leads to the field. The sentence is "expected ..., got ..." and ``note``; either half may be missing.
    ``got`` is the value as sent, where it may be shown. ``is_foreign``: the path's last name is the sender's own.
    """

    code: Code
    path: Path = ()
    note: Sentence = ""
    expected: str = ""
    got: object = msgspec.UNSET
    is_foreign: bool = False

    def reason(self, spelling: Spelling = dotted, *, is_discreet: bool = False) -> str:
        """The sentence behind the path. ``is_discreet``: for a log, without the text that was sent."""
        if not self.expected:
            return spell(self.note, spelling)
        if is_discreet and isinstance(self.got, str):
            return f"expected {self.expected}, got another text"  # the note may repeat it
        return f"expected {self.expected}, got {shown(self.got)}{spell(self.note, spelling)}"

    def sentence(self, spelling: Spelling = dotted, *, is_discreet: bool = False) -> str:
        path = (*self.path[:-1], "another name") if is_discreet and self.is_foreign else self.path
        place, reason = spelling(FieldRef(path)), self.reason(spelling, is_discreet=is_discreet)
        return f"{place}: {reason}" if place else reason


class RequestInvalid(ImgserveError):
    """A request with all its ``faults`` of one step. ``detail`` spells paths as the native API does."""

    code = "request_invalid"
    status = 422
    title = "The request is invalid"

    def __init__(self, *faults: Fault) -> None:
        Exception.__init__(self)  # a traceback shows no value that was sent
        self.faults = faults
        self.hint, self.path, self.others = "", (), ()

    # Each level of a request makes an error of the same faults, whose sentences are needed once.
    @property
    def detail(self) -> str:  # type: ignore[override]
        return self.sentence()

    def __str__(self) -> str:
        return self.sentence()

    def sentence(self, spelling: Spelling = dotted, *, is_discreet: bool = False) -> str:
        return "; ".join(fault.sentence(spelling, is_discreet=is_discreet) for fault in self.faults)

    def beneath(self, path: Path) -> "RequestInvalid":
        return RequestInvalid(
            *(
                msgspec.structs.replace(fault, path=path + fault.path, note=put_beneath(fault.note, path))
                for fault in self.faults
            )
        )


class beneath:
    """Puts the fields that an error of the block names beneath ``path``. Entered several times a job: no generator."""

    __slots__ = ("_path",)

    def __init__(self, *path: str | int) -> None:
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: type[BaseException] | None, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, ImgserveError):
            raise error.beneath(self._path) from None


class Faults(list[Fault]):
    """The faults of one step, so that its caller learns all of them at once."""

    def attempt(self, path: Path, parse: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
        """The value of ``parse``, or None with its faults stored here, beneath ``path``."""
        try:
            return parse(*args, **kwargs)
        except RequestInvalid as invalid:
            self.extend(invalid.beneath(path).faults)
            return None
        except ImgserveError as error:
            raise error.beneath(path) from None

    def raise_any(self) -> None:
        """Raise RequestInvalid if there is a fault."""
        if self:
            raise RequestInvalid(*self)


def shown(value: object) -> str:
    """A value for a message: short, printable, and never anything that could be a URL or a secret."""
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, str):
        is_plain = len(value) <= _LONGEST_SHOWN and value.isprintable() and "//" not in value and "@" not in value
        return json.dumps(value, ensure_ascii=False) if is_plain else f"a text of {len(value)} characters"
    text = json.dumps(value, default=str)  # TOML has dates
    return text if len(text) <= _LONGEST_SHOWN else f"a number of {len(text)} digits"
