"""The state while a page is read: the open elements, the form pointer, and the controls so far. The rules for tags in
``tree`` and ``form_tags`` change it.
"""

import msgspec

from imgserve.imaging.worker.html.controls import KEPT, Contents, Control
from imgserve.imaging.worker.html.open_elements import Context, Element, OpenElements
from imgserve.imaging.worker.html.tokens import Tokens
from imgserve.request.page import Charset

Attributes = dict[str, str]
CELLS = ("td", "th")
GROUPS = ("tbody", "thead", "tfoot")

# Values of aria-invalid; "grammar", "spelling" and unknown ones mean true (WAI-ARIA 1.2, aria-invalid).
_VALID = frozenset({"", "false", "undefined"})


class OtherCharset(Exception):
    """The page names another charset, its first argument, than it was read in; the second is the markup so far."""


class Builder:
    """``guess`` is the charset of the text while another one may be right. ``form`` is the form pointer."""

    def __init__(self, tokens: Tokens, guess: Charset | None) -> None:
        self.contents = Contents()
        self.tokens = tokens
        self.open = OpenElements()
        self._guess = guess
        self.form: int | None = None
        self.form_element: Element | None = None

    def push(self, name: str, attributes: Attributes, **changes: object) -> Element:
        """Open an element. ``changes`` are those of its context against its parent's."""
        if attributes:
            if (direction := attributes.get("dir", "").lower()) in ("ltr", "rtl"):
                changes["direction"] = direction
            if "errorlist" in attributes.get("class", "").split():
                changes["is_errors"] = True
            self.note(name, attributes)
        context = self.open.top.context
        return self.open.push(name, msgspec.structs.replace(context, **changes) if changes else context)

    def note(self, name: str, attributes: Attributes) -> None:
        """Record the attributes of any element that matter to forms: its id, and ``aria-invalid``."""
        context = self.open.top.context
        if not attributes or context.is_template:
            return
        if attributes.get("id"):
            number = len(self.contents.forms) - 1 if name == "form" else None
            self.contents.ids.setdefault(attributes["id"], number)
        if attributes.get("aria-invalid", "").strip().lower() not in _VALID:
            self.contents.errors.append((self._form(context), attributes.get("form")))

    def add_error(self, context: Context) -> None:
        """A message in a list of errors; outside of all forms it may be about any of them."""
        if not context.is_template:
            form = self._form(context)
            self.contents.has_errors_outside |= form is None
            self.contents.errors.append((form, None))

    def add(self, kind: str, attributes: Attributes, value: str | None) -> Control:
        context = self.open.top.context
        control = Control(
            kind=kind,
            name=attributes.get("name", ""),
            value=value,
            attributes={name: attributes[name] for name in attributes.keys() & KEPT},
            form=self._form(context),
            form_id=attributes.get("form"),
            is_disabled="disabled" in attributes or context.is_disabled,
            is_datalist=context.is_datalist,
            direction=context.direction,
        )
        if not context.is_template:
            self.contents.controls.append(control)
        return control

    def check_charset(self, named: Charset | None) -> None:
        """``named`` by a meta element: the first one that is known decides. Raises OtherCharset."""
        if named is not None and self._guess is not None:
            if named != self._guess:
                raise OtherCharset(named, self.tokens.seen)
            self._guess = None

    def end_paragraph(self) -> None:
        self.open.end("p", "button")

    def is_between_cells(self) -> bool:
        """In a table, but in none of its cells."""
        return self.open.last((*GROUPS, "tr", "table")) > self.open.last((*CELLS, "caption", "template"))

    def _form(self, context: Context) -> int | None:
        return context.form if self.form is None else self.form
