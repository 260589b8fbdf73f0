"""The forms, controls and options of a page, as plain values. Made by ``tree``, read by ``entries``."""

import msgspec

# Any other type of an input, and none, is a text field.
INPUT_TYPES = frozenset({
    "button", "checkbox", "color", "date", "datetime-local", "email", "file", "hidden", "image", "month", "number",
    "password", "radio", "range", "reset", "search", "submit", "tel", "text", "time", "url", "week",
})  # fmt: skip


NOTED = frozenset({"checked", "dir", "dirname", "formaction", "max", "min", "multiple", "size", "step"})


class Option(msgspec.Struct):
    """``value`` None: the text is the value. ``text`` fills up, piece by piece, until the option ends."""

    value: str | None
    is_selected: bool
    is_disabled: bool
    text: list[str] = []


class Control(msgspec.Struct):
    """A submittable element. ``kind`` is an input's type, or the element's name; ``attributes`` are those in
    ``NOTED``, with their references replaced.

    ``form`` is the number of the form that it belongs to by its place, ``form_id`` the form attribute.
    """

    kind: str
    name: str
    value: str | None
    attributes: dict[str, str]
    form: int | None
    form_id: str | None
    is_disabled: bool
    is_datalist: bool
    direction: str
    options: list[Option] = []


class Found(msgspec.Struct):
    """All that a page has for forms. ``forms`` are the attributes of each in page order; ``ids`` names the first
    element of each id, with its number if it is a form.

    ``invalid`` are marks for the user that something is wrong, by the form that they stand in: its number and a form
    attribute. ``has_errors_outside``: there is a list of errors that stands in no form.
    """

    base: str = ""
    forms: list[dict[str, str]] = []
    controls: list[Control] = []
    ids: dict[str, int | None] = {}
    invalid: list[tuple[int | None, str | None]] = []
    has_errors_outside: bool = False

    def owner(self, form: int | None, form_id: str | None) -> int | None:
        return form if form_id is None else self.ids.get(form_id)
