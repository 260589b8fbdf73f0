"""Requests that the tests of this package start from."""

import json
from collections.abc import Mapping

from imgserve.request.classic.parse import parse
from imgserve.request.classic.spelling import number_of_fault
from imgserve.request.faults import RequestInvalid
from imgserve.request.imageinfo import ImageInfo
from imgserve.request.job import JobRequest
from imgserve.request.recipe import Recipe
from imgserve.request.source import Source, parse_source

PHOTO = ImageInfo("png", 640, 480)
DRAWING = ImageInfo("svg", 30.5, 20)

FTP_REQUEST: dict[str, object] = {
    "operationType": "resize",
    "srcURL": "http://upload.wikimedia.org/wikipedia/en/7/70/Ex.png",
    "dstURL": "ftp://upload.wikimedia.org/wikipedia/en/7/70/{$width}-{$basename}.{$ext}",
    "args": {"width": 200, "height": 120},
}
FORM_REQUEST: dict[str, object] = {
    "operationType": "resize",
    "srcURL": "http://upload.wikimedia.org/wikipedia/en/7/70/Ex.png",
    "dstURL": "http://example.com/upload.html:{$width}-{$basename}.{$ext}",
    "args": {"width": 200, "height": 120, "field_name": "image_file"},
}


def request(**changes: object) -> dict[str, object]:
    """The page's first example with some keys changed."""
    return FTP_REQUEST | changes


def parsed(**changes: object) -> JobRequest:
    return parse(json.dumps(request(**changes)).encode())


def parsed_with(
    presets: Mapping[str, Recipe], changes: Mapping[str, object], *, presets_only: bool = False
) -> JobRequest:
    """As ``parsed``, by a server with presets."""
    return parse(json.dumps(request(**changes)).encode(), presets, presets_only=presets_only)


def refused_with(presets: Mapping[str, Recipe], changes: Mapping[str, object]) -> RequestInvalid | None:
    try:
        parsed_with(presets, changes)
    except RequestInvalid as invalid:
        return invalid
    return None


def refused(**changes: object) -> RequestInvalid | None:
    """The refusal of a changed request, or None when it is accepted."""
    return refused_with({}, changes)


def codes(**changes: object) -> list[int]:
    """The number of each fault, in the order of the answer."""
    invalid = refused(**changes)
    return [] if invalid is None else numbers(invalid)


def numbers(invalid: RequestInvalid) -> list[int]:
    return sorted(map(number_of_fault, invalid.faults))


def source(text: str) -> Source:
    return parse_source(text)
