"""The state of reading a page: the open elements, the form pointer, and the controls so far. The tags' rules in
``tree`` and ``form_tags`` change it.
"""

from collections.abc import Callable

import msgspec

from imgserve.imaging.worker.html import references
from imgserve.imaging.worker.html.controls import NOTED, Control, Found
from imgserve.imaging.worker.html.open_elements import Context, Element, OpenElements
from imgserve.imaging.worker.html.tokens import Tokens

Attributes = dict[str, str]
CELLS = ("td", "th")
GROUPS = ("tbody", "thead", "tfoot")

_NONE: Attributes = {}
# Values of aria-invalid; "grammar", "spelling" and unknown ones mean true (WAI-ARIA 1.2, aria-invalid).
_VALID = frozenset({"", "false", "undefined"})


class Building:
    """``on_charset`` is called with each charset of a meta element. ``form`` is the form pointer."""

    def __init__(self, tokens: Tokens, on_charset: Callable[[str], None]) -> None:
        self.found = Found()
        self.tokens = tokens
        self.open = OpenElements()
        self.on_charset = on_charset
        self.form: int | None = None
        self.form_element: Element | None = None

    def push(self, name: str, attributes: Attributes, context: Context | None = None) -> Element:
        context = self.open.top.context if context is None else context
        if attributes:
            if "dir" in attributes and (direction := attributes["dir"].lower()) in ("ltr", "rtl"):
                context = msgspec.structs.replace(context, direction=direction)
            if "class" in attributes and "errorlist" in attributes["class"].split():
                context = msgspec.structs.replace(context, is_errors=True)
            self.note(name, attributes)
        return self.open.push(name, context)

    def note(self, name: str, attributes: Attributes) -> None:
        """Record the attributes of any element that matter to forms: its id, and ``aria-invalid``."""
        context = self.open.top.context
        if not attributes or context.is_template:
            return
        if attributes.get("id"):
            number = len(self.found.forms) - 1 if name == "form" else None
            self.found.ids.setdefault(references.in_attribute(attributes["id"]), number)
        if "aria-invalid" in attributes and _is_wrong(attributes["aria-invalid"]):
            self.mark_invalid(context, attributes.get("form"))

    def mark_invalid(self, context: Context, form_id: str | None) -> None:
        if not context.is_template:
            self.found.invalid.append((self.form if self.form is not None else context.form, form_id))

    def hear_error(self, context: Context) -> None:
        """A message in a list of errors; outside of all forms it may be about any of them."""
        self.found.has_errors_outside |= self.form is None and context.form is None and not context.is_template
        self.mark_invalid(context, None)

    def add(self, kind: str, attributes: Attributes, value: str | None) -> Control:
        context = self.open.top.context
        replaced = {name: references.in_attribute(attributes[name]) for name in attributes.keys() & NOTED}
        control = Control(
            kind=kind,
            name=references.in_attribute(attributes.get("name", "")),
            value=None if value is None else references.in_attribute(value),
            attributes=replaced or _NONE,
            form=self.form if self.form is not None else context.form,
            form_id=references.in_attribute(attributes["form"]) if "form" in attributes else None,
            is_disabled="disabled" in attributes or context.is_disabled,
            is_datalist=context.is_datalist,
            direction=context.direction,
        )
        if not context.is_template:
            self.found.controls.append(control)
        return control

    def end_paragraph(self) -> None:
        self.open.end("p", "button")

    def is_between_cells(self) -> bool:
        """In a table, but in none of its cells."""
        return self.open.last((*GROUPS, "tr", "table")) > self.open.last((*CELLS, "caption", "template"))


def _is_wrong(aria_invalid: str) -> bool:
    return references.in_attribute(aria_invalid).strip().lower() not in _VALID
