"""Judges a site's pages and answers to an upload, beyond their status, by the table in docs/howto/forms.md.

Called by ``upload``. In: destination, answer, page. Out: a DeliveryFailed, returned or raised, where the site refused.
"""

from imgserve.errors import FieldRef, Sentence
from imgserve.request.destination import Destination
from imgserve.request.faults import DESTINATION
from imgserve.request.page import Page
from imgserve.transfer.client import location
from imgserve.transfer.client.call import Answer
from imgserve.transfer.faults import DeliveryFailed

REDIRECTS = frozenset({301, 302, 303})
_MOST_NAMES = 10
_LONGEST_NAME = 40
_LONGEST_PLACE = 200
_PAGE_WITH_FORM: Sentence = ("point ", DESTINATION, " at the page with the form")
_MEMBERS_ONLY = "the site takes uploads from members only, or has refused this one"


def no_page(destination: Destination, page: Answer) -> DeliveryFailed:
    """For a redirect of the upload page that leads to a 4xx."""
    return DeliveryFailed(
        f"{location.origin(destination.url)} redirects the upload page to {_place(page.url)}, "
        f"which answers {page.status}",
        _PAGE_WITH_FORM,
    )


def no_field(destination: Destination, page: Page, led_to: str) -> DeliveryFailed:
    """For a page with forms, none of which has the field. ``led_to`` is where a redirect led, if one did."""
    names = dict.fromkeys(name for form in page.forms for name in form.file_fields())
    which = f"its file fields are {_listed(list(names))}" if names else "there is no file field on it"
    where = f"The page {_place(led_to)}, where the upload page redirects," if led_to else "The upload page"
    hint: Sentence = ("name one of them in ", FieldRef(("destination", "field_name"))) if names else _PAGE_WITH_FORM
    if led_to and page.has_password:
        gives = " gives one by HTTP's Basic authentication"
        hint = ("it asks for a login; user:password@ in ", DESTINATION, gives)
    return DeliveryFailed(f'{where} has no file field "{_shown(destination.field)}"; {which}', hint)


def wants_password(destination: Destination, led_to: str) -> DeliveryFailed:
    """For a post that is answered with a redirect to a login."""
    return DeliveryFailed(
        f"{location.origin(destination.url)} answered the upload with a redirect to {_place(led_to)}, "
        "which asks for a password",
        _MEMBERS_ONLY,
    )


def check_success(destination: Destination, answer: Answer) -> None:
    """Raises DeliveryFailed for a 2xx where the job says that only a redirect is a success."""
    if destination.form_success == "redirect":
        raise DeliveryFailed(
            f"{location.origin(answer.url)} answered {answer.status} to the upload, and no redirect",
            (FieldRef(("destination", "form_success"), "redirect"), " counts only 301, 302 and 303 as taken"),
        )


def doubt(destination: Destination, answer: Page, upload_page: Page | None) -> str:
    """The reason why a 200 with this page is no sure success, or an empty text. Raises DeliveryFailed for a refusal.

    A login box on the upload page too is part of the site's layout, and no answer to the upload.
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


def _place(url: str) -> str:
    """Where a page stands, without a login and a query, which may be secret."""
    place = location.resolve(url, "").partition("?")[0].partition(";")[0]
    return _shown(place, _LONGEST_PLACE)


def _listed(names: list[str]) -> str:
    listed = ", ".join(f'"{_shown(name)}"' for name in names[:_MOST_NAMES])
    return listed if len(names) <= _MOST_NAMES else f"{listed} and others"


def _shown(text: str, longest: int = _LONGEST_NAME) -> str:
    text = "".join(character for character in text if character.isprintable())
    return text if len(text) <= longest else text[:longest] + "…"
