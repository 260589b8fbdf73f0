"""The files of ``imgserve render``: a picture and its result, or all pictures of a directory and their results."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from imgserve.errors import FileUnusable, using
from imgserve.request import formats, tags
from imgserve.request.encode import Format

STANDARD = "-"
# The extension of a result for a source that is in no format that can be written, by the source's.
_OTHERWISE = {"svg": "png", "svgz": "png", "apng": "png"}


class Pair(NamedTuple):
    """Paths of a source and of its result, which may contain tags; ``-`` is a standard stream.

    ``if_transparent``: the result's path for a source with transparency, if it is another one. The server's rule for
    sources that cannot be written in their own format: PNG if there is transparency, else JPEG.
    """

    source: str
    destination: str
    if_transparent: str = ""


def pairs(source: str, destination: str, result: Format | None) -> list[Pair]:
    """One for a file, one for each picture of a directory and of those in it, in alphabetical order.

    ``result``: the format of the results, if it is known. Raises FileUnusable.
    """
    if source == STANDARD or not os.path.isdir(source) or destination == STANDARD:  # noqa: PTH112 - Path.is_dir raises
        if source != STANDARD:
            with using(f"the picture {source}"):  # before a worker is started for nothing
                Path(source).open("rb").close()
        return [Pair(source, destination)]
    if Path(source).resolve() == Path(destination).resolve():
        raise FileUnusable(f"the results would take the places of the pictures in {source}", "name another directory")
    with using(f"the directory {source}"):
        paths = list(_pictures(source, destination))
    found = [_pair(path, Path(source), destination, result) for path in paths]
    if not found:
        raise FileUnusable(f"the directory {source} holds no pictures", "expected files such as photo.jpg")
    return found


def file_url(path: str, safe: str) -> str:
    """Follows symbolic links, since the transfers follow none that lead out of a root."""
    return "file:///-" if path == STANDARD else "file://" + quote(os.path.realpath(path), safe=safe)


class Places:
    """The places of results, each of which belongs to one picture."""

    def __init__(self) -> None:
        self._sources: dict[str, str] = {}

    def take(self, place: str, source: str) -> None:
        """Raises FileUnusable if another picture has it."""
        other = self._sources.setdefault(place, source)
        if other != source:
            raise FileUnusable(f"{place} is the result of {other}", "give DST tags, as {$basename}-{$ext}.webp")


def _pictures(source: str, destination: str) -> Iterator[Path]:
    """Results that stand beneath the source are no pictures of it."""
    top = Path(destination).resolve()
    for path in sorted(Path(source).rglob("*")):
        is_picture = path.suffix[1:].lower() in formats.RASTER | formats.VECTOR
        if is_picture and path.is_file() and not path.resolve().is_relative_to(top):
            yield path


def _pair(path: Path, source: Path, destination: str, result: Format | None) -> Pair:
    """The same name beneath ``destination``, with the extension of the result; or with the tags of ``destination``."""
    if tags.BEGIN in destination:
        return Pair(str(path), destination)
    extension = path.suffix[1:]
    written = formats.FORMAT_OF_EXTENSION.get(extension.lower())
    if written is None or result not in (None, written):
        extension = result or _OTHERWISE.get(extension.lower(), "jpg")
    place = Path(destination, path.relative_to(source))
    follows_pixels = result is None and formats.READ_ONLY.get(path.suffix[1:].lower()) in ("heic", "bmp", "ico")
    transparent = str(place.with_suffix(".png")) if follows_pixels else ""
    return Pair(str(path), str(place.with_suffix(f".{extension}")), transparent)
