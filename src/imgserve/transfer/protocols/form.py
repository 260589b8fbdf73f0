"""Turns an upload page's form into a post: its URL and its parts. Called by ``upload``; no I/O.

A worker reads the form's own fields (``imaging/worker/html``); this adds the file.
"""

import re
from collections.abc import Awaitable, Callable
from urllib.parse import quote

import msgspec

from imgserve.request.destination import Destination
from imgserve.request.faults import DESTINATION
from imgserve.request.page import Entry, Form, Page
from imgserve.transfer.client import location
from imgserve.transfer.client.call import FilePart
from imgserve.transfer.faults import DeliveryFailed
from imgserve.transfer.write import Write

ReadPage = Callable[[bytes, str, Write, float], Awaitable[Page]]
"""From a page's bytes, the media type of its header, the write, and the seconds until its time-out."""

_LONGEST_URL = 8000
_AROUND = "".join(map(chr, range(0x21)))
_NOT_ASCII = re.compile(r"[^\x00-\x7f]+")


class Post(msgspec.Struct, frozen=True):
    """``headers`` name the page that posts; there are none without a form."""

    url: str
    parts: tuple[Entry | FilePart, ...]
    headers: tuple[str, ...] = ()


async def no_reader(_page: bytes, _media_type: str, _write: Write, _timeout_s: float) -> Page:
    """For programs without workers. Raises DeliveryFailed."""
    raise DeliveryFailed("Upload pages cannot be read here")


def bare_post(page_url: str, destination: Destination, media_type: str) -> Post:
    """The file alone, posted to the page's own URL."""
    url = location.with_login_of(destination.url, page_url)
    return Post(url, (FilePart(destination.field.encode(), destination.name.encode(), media_type),))


def is_elsewhere(url: str, other: str) -> bool:
    """Whether these are two pages: logins and fragments do not count."""
    return location.resolve(url, "") != location.resolve(other, "")


def filled_post(page_url: str, page: Page, form: Form, destination: Destination, media_type: str) -> Post:
    """The post that a browser would send. Raises DeliveryFailed for a form that cannot be sent."""
    if form.is_too_large:
        hint = ("point ", DESTINATION, " at a smaller form")
        raise DeliveryFailed("The upload form has more fields than are sent", hint)
    target = _target(page_url, page, form)
    field = form.encoded(destination.field)
    parts: list[Entry | FilePart] = list(form.entries)
    index = next(nth for nth, entry in enumerate(form.entries) if entry.is_file and entry.name == field)
    parts[index] = FilePart(field, form.encoded(destination.name), media_type)
    return Post(location.with_login_of(destination.url, target), tuple(parts), page_headers(page_url, target))


def page_headers(page_url: str, target: str) -> tuple[str, ...]:
    """The headers that name the page: frameworks refuse a post by https without them (Django's CSRF check).

    Another origin learns the page's origin only (Referrer Policy, strict-origin-when-cross-origin).
    """
    origin = location.origin_url(page_url)
    is_same = location.origin(page_url) == location.origin(target)
    return f"Origin: {origin}", f"Referer: {location.resolve(page_url, '') if is_same else origin + '/'}"


def _target(page_url: str, page: Page, form: Form) -> str:
    if len(page.base) > _LONGEST_URL or len(form.action) > _LONGEST_URL:
        raise DeliveryFailed(f"The action of the upload form is longer than {_LONGEST_URL} characters")
    base, action = _reference(page.base, page.charset), _reference(form.action, page.charset)
    try:
        base = location.resolve(page_url, base) if base else page_url
        target = location.resolve(base, action) if action else location.resolve(page_url, "")
        is_allowed = location.is_web(target) and not location.is_downgrade(page_url, target)
    except ValueError:
        what = "The action of the upload form is no URL that can be used"
        hint = ("point ", DESTINATION, " at a page whose form works without scripts")
        raise DeliveryFailed(what, hint) from None
    if not is_allowed:
        raise DeliveryFailed("The upload form's action is not http or https, or leads from https to http")
    return target


def _reference(text: str, charset: str) -> str:
    """A URL as the page writes it, its query in the page's charset (https://url.spec.whatwg.org/#query-state)."""
    text = text.strip(_AROUND)
    before, mark, rest = text.partition("?")
    if "#" in before or not mark:
        return text
    query, number_sign, fragment = rest.partition("#")
    query = _NOT_ASCII.sub(lambda match: _percent_encoded(match[0], charset), query)
    return f"{before}?{query}{number_sign}{fragment}"


def _percent_encoded(text: str, charset: str) -> str:
    characters = (character.encode(charset, "ignore") or f"&#{ord(character)};".encode() for character in text)
    return quote(b"".join(characters), safe="")
