"""The forms, controls and options of a page, as plain values. Made by ``tree``, read by ``entries``."""

import msgspec

# Any other type of an input, and none, is a text field.
INPUT_TYPES = frozenset({
    "button", "checkbox", "color", "date", "datetime-local", "email", "file", "hidden", "image", "month", "number",
    "password", "radio", "range", "reset", "search", "submit", "tel", "text", "time", "url", "week",
})  # fmt: skip
# The attributes that a control keeps.
KEPT = frozenset({"checked", "dir", "dirname", "formaction", "max", "min", "multiple", "size", "step"})


class Option(msgspec.Struct):
    """``value`` None: the text is the value. ``text`` grows piece by piece until the option ends."""

    value: str | None
    is_selected: bool
    is_disabled: bool
    text: list[str] = []


class Control(msgspec.Struct):
    """A submittable element. ``kind`` is an input's type, or the element's name.

    ``form`` is the number of the form that it stands in, ``form_id`` its form attribute.
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


class Contents(msgspec.Struct):
    """What a page holds for its forms. ``forms`` has the attributes of each in page order; ``ids`` has the first
    element of each id, with its number if it is a form.

    ``errors`` are marks that something entered is wrong, as the number of the form that they stand in and a form
    attribute. ``has_errors_outside``: a list of errors stands in no form.
    """

    base: str = ""
    forms: list[dict[str, str]] = []
    controls: list[Control] = []
    ids: dict[str, int | None] = {}
    errors: list[tuple[int | None, str | None]] = []
    has_errors_outside: bool = False

    def owner(self, form: int | None, form_id: str | None) -> int | None:
        return form if form_id is None else self.ids.get(form_id)
