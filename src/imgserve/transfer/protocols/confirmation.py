"""Judges a site's pages and answers to an upload, beyond their status, by the table in docs/howto/forms.md.

Called by ``upload``. The faults are DeliveryFailed, returned or raised.
"""

from imgserve.errors import FieldRef, Sentence
from imgserve.request.destination import Destination
from imgserve.request.faults import DESTINATION
from imgserve.request.page import Page
from imgserve.transfer.client import location
from imgserve.transfer.client.call import Answer
from imgserve.transfer.faults import DeliveryFailed

REDIRECTS = frozenset({301, 302, 303})
AT_THE_FORM: Sentence = ("point ", DESTINATION, " at the page with the form")
_MAX_NAMES = 10
_MAX_NAME_LENGTH = 40
_MAX_URL_LENGTH = 200
_MEMBERS_ONLY = "the site takes uploads from members only, or has refused this one"


def no_page(destination: Destination, page: Answer) -> DeliveryFailed:
    """For a redirect of the upload page that leads to a 4xx."""
    target = f"{_shown_url(page.url)}, which answers {page.status}"
    return DeliveryFailed(f"{location.origin(destination.url)} redirects the upload page to {target}", AT_THE_FORM)


def no_field(destination: Destination, page: Page, target: str) -> DeliveryFailed:
    """For a page with forms, none of which has the field. ``target`` is the page's URL after a redirect, else empty."""
    unique = dict.fromkeys(name for form in page.forms for name in form.file_fields())
    names = [f'"{_printable(name)}"' for name in unique]
    others = " and others" if len(names) > _MAX_NAMES else ""
    fields = f"its file fields are {', '.join(names[:_MAX_NAMES])}{others}" if names else "there is no file field on it"
    where = f"The page {_shown_url(target)}, where the upload page redirects," if target else "The upload page"
    hint: Sentence = ("name one of them in ", FieldRef(("destination", "field_name"))) if names else AT_THE_FORM
    if target and page.has_password:
        login = " gives one by HTTP's Basic authentication"
        hint = ("it asks for a login; user:password@ in ", DESTINATION, login)
    return DeliveryFailed(f'{where} has no file field "{_printable(destination.field)}"; {fields}', hint)


def wants_password(destination: Destination, target: str) -> DeliveryFailed:
    """For a post that is answered with a redirect to a login."""
    page = f"{_shown_url(target)}, which asks for a password"
    return DeliveryFailed(
        f"{location.origin(destination.url)} answered the upload with a redirect to {page}", _MEMBERS_ONLY
    )


def check_success(destination: Destination, answer: Answer) -> None:
    """Raises DeliveryFailed for a 2xx where the job says that only a redirect is a success."""
    if destination.form_success == "redirect":
        raise DeliveryFailed(
            f"{location.origin(answer.url)} answered {answer.status} to the upload, and no redirect",
            (FieldRef(("destination", "form_success"), "redirect"), " counts only 301, 302 and 303 as taken"),
        )


def doubt(destination: Destination, answer: Page, upload_page: Page | None) -> str:
    """The reason why a 200 with this page may be no success, else an empty text. Raises DeliveryFailed for a refusal.

    A login box that the upload page has too is part of the site's layout.
    """
    form = answer.form_with(destination.field)
    if form is not None and form.is_invalid:
        raise DeliveryFailed(
            f"{location.origin(destination.url)} answered the upload with its form, and marks a field in it as wrong",
            "fill the form in by hand, in a browser without scripts, to see what it says",
        )
    if form is not None:
        return "the answer is the upload form again"
    if not answer.has_password:
        return ""
    if upload_page is None or not upload_page.has_password:
        raise DeliveryFailed(
            f"{location.origin(destination.url)} answered the upload with a page that asks for a password",
            _MEMBERS_ONLY,
        )
    return "the answer asks for a password, as the upload page does"


def _shown_url(url: str) -> str:
    """Without login and query, which may be secret."""
    return _printable(location.resolve(url, "").partition("?")[0].partition(";")[0], _MAX_URL_LENGTH)


def _printable(text: str, longest: int = _MAX_NAME_LENGTH) -> str:
    text = "".join(character for character in text if character.isprintable())
    return text if len(text) <= longest else text[:longest] + "…"
