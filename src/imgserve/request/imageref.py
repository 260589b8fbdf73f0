"""The name of a further picture of a recipe, such as a watermark's. Used by ``operations``; ``further`` reads its URL.

The worker imports this too, so nothing here knows URLs.
"""

import re
from typing import Annotated

import msgspec

from imgserve.request.faults import Fault, RequestInvalid

_NAME = re.compile(r"[\w-]{1,32}", re.ASCII)  # as the names of tables in the settings
_EXPECTED = 'a URL, {"url": …} or {"name": …} of a picture of the settings'


class ImageRef(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A URL, or the name of a picture of the settings. ``url`` may hold a password and is never logged."""

    url: str = ""
    name: str = ""

    def __repr__(self) -> str:
        return f"ImageRef({self.name or 'a URL'})"


def read(value: object) -> ImageRef | None:
    """The picture that a request names; None for a value that names none. Raises RequestInvalid for a bad name."""
    match value:
        case {"name": str(name), **others} if not others:
            if not _NAME.fullmatch(name):
                raise RequestInvalid(Fault("field_invalid", ("name",), "expected at most 32 letters, digits, - and _"))
            return ImageRef(name=name)
        case {"url": str(url), **others} if url and not others:
            return ImageRef(url=url)
        case str(url) if url:
            return ImageRef(url=url)
    return None


def _alone(name: str, schema: dict[str, object]) -> dict[str, object]:
    """An object of this field alone."""
    return {"type": "object", "properties": {name: schema}, "required": [name], "additionalProperties": False}


_URL: dict[str, object] = {"type": "string", "format": "uri", "minLength": 1}
_TABLE: dict[str, object] = {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,32}$"}
_FORMS = {"anyOf": [_URL, _alone("url", _URL), _alone("name", _TABLE)]}
Image = Annotated[ImageRef, msgspec.Meta(extra={"read": read, "expected": _EXPECTED}, extra_json_schema=_FORMS)]
