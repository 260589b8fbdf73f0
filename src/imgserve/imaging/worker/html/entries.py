"""Constructs the entry list (https://html.spec.whatwg.org/multipage/form-control-infrastructure.html) of a user who
chooses one file and presses the first submit button.

In: the ``Contents`` of ``tree``. Out: ``request.page.Form`` values, encoded. Called by ``page``.
"""

import re
from collections.abc import Iterator

from imgserve.imaging.worker.charsets import WHITE_SPACE, of_label
from imgserve.imaging.worker.html import charset as charsets
from imgserve.imaging.worker.html import values
from imgserve.imaging.worker.html.controls import Contents, Control
from imgserve.request.page import MOST_BYTES, MOST_ENTRIES, MOST_FIELDS, MOST_FORMS, Charset, Entry, Form

_SUBMITTERS = frozenset({"submit", "image"})
_BUTTONS = _SUBMITTERS | {"reset", "button"}
_WITH_DIRECTION = frozenset({
    "hidden", "text", "search", "tel", "url", "email", "password", "submit", "reset", "button", "textarea",
})  # fmt: skip
_MOST_NAMED = 20
_OVERHEAD_BYTES = 10  # of an entry on its way to the parent
_ANY_WHITE_SPACE = re.compile(f"[{WHITE_SPACE}]+")
_SIZE = re.compile(r"[\t\n\f\r ]*\+?([0-9]{1,9})")


def forms(contents: Contents, charset: Charset) -> tuple[Form, ...]:
    """The forms that have a file field which a user could fill; ``charset`` is the page's."""
    controls: dict[int, list[Control]] = {}
    checked: dict[tuple[int, str], Control] = {}
    for control in contents.controls:
        owner = contents.owner(control.form, control.form_id)
        if owner is None:
            continue
        controls.setdefault(owner, []).append(control)
        if control.kind == "radio" and control.name and "checked" in control.attributes:
            checked[owner, control.name] = control  # of a group the last one stays checked
    invalid = {contents.owner(form, form_id) for form, form_id in contents.errors}
    forms: list[Form] = []
    room_bytes, room_entries = MOST_BYTES, MOST_ENTRIES
    for number in sorted(controls):
        live = [
            control
            for control in controls[number]
            if not (control.is_disabled or control.is_datalist)
            and (control.kind != "radio" or checked.get((number, control.name)) is control)
        ]
        if any(_is_file(control) for control in live):
            room = (room_bytes, min(room_entries, MOST_FIELDS))
            is_invalid = contents.has_errors_outside or number in invalid
            form = _form(contents.forms[number], live, charset, room, is_invalid=is_invalid)
            room_bytes -= sum(map(_size, form.entries))
            room_entries -= len(form.entries)
            forms.append(form)
        if len(forms) == MOST_FORMS:
            break
    return tuple(forms)


def _form(
    attributes: dict[str, str], controls: list[Control], charset: Charset, room: tuple[int, int], *, is_invalid: bool
) -> Form:
    """``room`` limits the bytes and the number of entries."""
    most_bytes, most_entries = room
    submitter = next((control for control in controls if control.kind in _SUBMITTERS), None)
    action = submitter.attributes.get("formaction") if submitter is not None else None
    labels = map(of_label, attributes.get("accept-charset", "").split())
    charset = next(filter(None, labels), charset)
    entries: list[Entry] = []
    size_bytes = 0
    for entry in _entries(controls, submitter, charset):
        entries.append(entry)
        size_bytes += _size(entry)
        if len(entries) > most_entries or size_bytes > most_bytes:
            files = [_file(control, charset) for control in controls if _is_file(control)]
            return Form("", charset, tuple(files[:_MOST_NAMED]), is_invalid, is_too_large=True)
    return Form(attributes.get("action", "") if action is None else action, charset, tuple(entries), is_invalid)


def _entries(controls: list[Control], submitter: Control | None, charset: Charset) -> Iterator[Entry]:
    for control in controls:
        if control.kind in _BUTTONS and control is not submitter:
            continue
        if control.kind == "image":
            prefix = f"{control.name}." if control.name else ""
            yield from (Entry(_encoded(f"{prefix}{axis}", charset), b"0") for axis in "xy")
        elif control.name and control.kind == "file":
            yield _file(control, charset)
        elif control.name:
            name = _encoded(control.name, charset)
            yield from (Entry(name, _encoded(value, charset)) for value in _values(control, charset))
            direction = control.attributes.get("dirname", "")
            if direction and control.kind in _WITH_DIRECTION:
                yield Entry(_encoded(direction, charset), _direction(control).encode())


def _is_file(control: Control) -> bool:
    return control.kind == "file" and bool(control.name)


def _size(entry: Entry) -> int:
    return len(entry.name) + len(entry.value) + _OVERHEAD_BYTES


def _file(control: Control, charset: Charset) -> Entry:
    return Entry(_encoded(control.name, charset), is_file=True)


def _encoded(text: str, charset: Charset) -> bytes:
    """As browsers send it: lines end with CR LF, and characters that the charset lacks become character references."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\n", "\r\n")
    return text.encode(charset, "xmlcharrefreplace")


def _values(control: Control, charset: Charset) -> Iterator[str]:
    if control.kind == "select":
        yield from _chosen(control)
    elif control.kind in ("checkbox", "radio"):
        if control.kind == "radio" or "checked" in control.attributes:
            yield "on" if control.value is None else control.value
    elif control.kind == "hidden" and control.name.lower() == "_charset_":
        yield charsets.web_name(charset)
    else:
        yield values.sanitized(control.kind, control.value or "", control.attributes)


def _chosen(select: Control) -> Iterator[str]:
    """The values of the selected options.

    A list that shows one line has one selected option: the last of those that the page selects, even a disabled one,
    which sends nothing; else the first that is not disabled.
    """
    selected = [option for option in select.options if option.is_selected]
    if "multiple" not in select.attributes:
        selected = selected[-1:]
        size = _SIZE.match(select.attributes.get("size", ""))
        if not selected and (size is None or int(size[1]) < 2):
            selected = [option for option in select.options if not option.is_disabled][:1]
    for option in selected:
        if not option.is_disabled:
            text = _ANY_WHITE_SPACE.sub(" ", "".join(option.text)).strip(" ")
            yield text if option.value is None else option.value


def _direction(control: Control) -> str:
    direction = control.attributes.get("dir", "").lower()
    if direction == "auto":
        return "rtl" if values.is_right_to_left(control.value or "") else "ltr"
    if direction in ("ltr", "rtl"):
        return direction
    return "ltr" if control.kind == "tel" else control.direction
