"""Content-Disposition (RFC 6266): the name that a picture is saved under. For dialects that name files."""

from typing import Any, Literal
from urllib.parse import quote, unquote

from imgserve.request.dialects.dialect import Asked, Header

_FALLBACK_NAME = "image"
_MOST_NAME = 200  # characters: file systems take 255 bytes, an extension included
_EXTENSIONS = {"jpeg": "jpg", "icon": "ico"}


def content_disposition(kind: Literal["inline", "attachment"], asked: Asked[Any], media_type: str) -> Header:
    """The extension is that of the bytes, whatever the name was."""
    return b"content-disposition", _disposition(kind, _stem(asked), _extension(media_type))


def _stem(asked: Asked[Any]) -> str:
    """The name that is asked for, else that of the source's file, without its extension."""
    if asked.answer.filename:
        return asked.answer.filename
    path = asked.source.partition("?")[0].partition("#")[0]
    _, _, behind = path.partition("://")
    # A URL's host is no file; a name beneath the base URL is one without a slash too.
    name = "" if behind and "/" not in behind else unquote((behind or path).rpartition("/")[2])
    stem, dot, _ = name.rpartition(".")
    return (stem if dot else name) or _FALLBACK_NAME


def _extension(media_type: str) -> str:
    """By the kind of the bytes: ``image/svg+xml`` is ``svg``, ``image/jpeg`` is ``jpg``; else ``bin``."""
    family, _, name = media_type.partition("/")
    if media_type == "application/json":
        return "json"
    word = name.partition("+")[0].removeprefix("x-")
    return "bin" if family != "image" else _EXTENSIONS.get(word, word)


def _disposition(kind: str, stem: str, extension: str) -> bytes:
    """A name beyond ASCII stands in RFC 6266's second parameter, and the first has a mark for each character."""
    stem = "".join(one for one in stem if one.isprintable())[:_MOST_NAME]
    plain = "".join(one if one.isascii() else "_" for one in stem).replace('"', "%22").replace("\\", "%5C")
    text = f'{kind}; filename="{plain}.{extension}"'
    if not stem.isascii():
        text += f"; filename*=UTF-8''{quote(f'{stem}.{extension}', safe='')}"
    return text.encode()
