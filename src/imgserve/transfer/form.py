"""Find an upload form in an HTML page and what it would send by itself. Pure; called by ``upload`` in a thread.

In: the page's text and the file field's name. Out: a ``Form``, or None. What is sent follows HTML's "constructing
the entry list" (https://html.spec.whatwg.org/multipage/form-control-infrastructure.html), as far as a page without
scripts and without a user goes: default values, the first submit button, and no other file.
"""

import codecs
import re
from html.parser import HTMLParser

import msgspec

_Attributes = dict[str, str]
_SILENT_INPUTS = frozenset({"file", "button", "reset", "image"})
_CHARSET = re.compile(rb"""charset\s*=\s*["']?([\w.:-]+)""", re.IGNORECASE | re.ASCII)
_META_WINDOW_BYTES = 1024
# What pages are written in, by Python's names. Python has codecs that take minutes for a page, such as punycode.
_WEB_CODECS = re.compile(
    r"utf-8|ascii|cp125\d|iso8859-\d+|shift_jis|cp932|gb2312|gbk|gb18030|euc_jp|euc_kr|big5|koi8-[ru]", re.ASCII
)


class Form(msgspec.Struct, frozen=True):
    """``action`` and ``base`` as the page writes them, empty when it does not; ``fields`` in page order."""

    action: str
    base: str
    fields: tuple[tuple[str, str], ...]


def find_form(page: str, file_field: str) -> Form | None:
    """The first form that has an ``<input type="file">`` of this name, inside it or tied to it by ``form="id"``."""
    reader = _Reader()
    reader.feed(page)
    reader.close()
    reader.leave_open_elements()
    for number, attributes in enumerate(reader.forms):
        mine = [control for control in reader.controls if reader.belongs(control, number)]
        if any(control.kind == "file" and control.name == file_field for control in mine):
            return Form(attributes.get("action", "").strip(), reader.base, _entries(mine))
    return None


def page_text(body: bytes, media_type: str) -> tuple[str, str]:
    """The page decoded, and the charset used: a web charset from the header or a meta element, else UTF-8."""
    for place in (media_type.encode("latin-1", "replace"), body[:_META_WINDOW_BYTES]):
        found = _CHARSET.search(place)
        if found:
            try:
                charset = codecs.lookup(found[1].decode()).name
            except (LookupError, UnicodeError):
                continue
            if _WEB_CODECS.fullmatch(charset):
                return body.decode(charset, "replace"), charset
    return body.decode("utf-8", "replace"), "utf-8"


class _Control(msgspec.Struct):
    """One control while the page is read; text and options fill up until its end tag."""

    kind: str
    name: str
    value: str
    form_id: str | None
    form_number: int | None
    options: list["_Option"] = []
    is_multiple: bool = False


class _Option(msgspec.Struct):
    value: str | None
    is_selected: bool
    is_disabled: bool
    text: str = ""


def _entries(controls: list[_Control]) -> tuple[tuple[str, str], ...]:
    entries: list[tuple[str, str]] = []
    has_submit = False
    for control in controls:
        if not control.name or control.kind in _SILENT_INPUTS:
            continue
        if control.kind == "submit":
            if has_submit:
                continue
            has_submit = True
        values = _chosen(control) if control.kind == "select" else [control.value]
        entries.extend((control.name, value) for value in values)
    return tuple(entries)


def _chosen(select: _Control) -> list[str]:
    live = [option for option in select.options if not option.is_disabled]
    picked = [option for option in live if option.is_selected]
    if not select.is_multiple:
        picked = picked[-1:] or live[:1]
    return [option.text.strip() if option.value is None else option.value for option in picked]


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.base = ""
        self.forms: list[_Attributes] = []
        self.controls: list[_Control] = []
        self._form_number: int | None = None
        self._select: _Control | None = None
        self._textarea: _Control | None = None
        self._option: _Option | None = None
        self._templates = 0
        self._disabled_fieldsets: list[bool] = []

    def belongs(self, control: _Control, number: int) -> bool:
        if control.form_id is not None:
            ids = [attributes.get("id") for attributes in self.forms]
            return control.form_id in ids and ids.index(control.form_id) == number
        return control.form_number == number

    def leave_open_elements(self) -> None:
        """A textarea that the page never closed would swallow the rest; it counts as it stands."""
        self._end_textarea()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes: _Attributes = {}
        for name, value in attrs:
            attributes.setdefault(name, value or "")
        if tag == "template":
            self._templates += 1
        elif not self._templates:
            starter = _STARTERS.get(tag)
            if starter is not None:
                starter(self, attributes)

    def handle_endtag(self, tag: str) -> None:
        if tag == "template":
            self._templates = max(0, self._templates - 1)
        elif tag == "form":
            self._form_number = None
        elif tag == "textarea":
            self._end_textarea()
        elif tag in ("select", "option"):
            self._option = None
            if tag == "select":
                self._select = None
        elif tag == "fieldset" and self._disabled_fieldsets:
            self._disabled_fieldsets.pop()

    def handle_data(self, data: str) -> None:
        if self._textarea is not None:
            self._textarea.value += data
        elif self._option is not None:
            self._option.text += data

    def start_base(self, attributes: _Attributes) -> None:
        self.base = self.base or attributes.get("href", "").strip()

    def start_form(self, attributes: _Attributes) -> None:
        # HTML ignores a form inside a form.
        if self._form_number is None:
            self._form_number = len(self.forms)
            self.forms.append(attributes)

    def start_fieldset(self, attributes: _Attributes) -> None:
        self._disabled_fieldsets.append("disabled" in attributes)

    def start_input(self, attributes: _Attributes) -> None:
        kind = attributes.get("type", "text").lower()
        if kind in ("checkbox", "radio"):
            if "checked" in attributes:
                self._add(kind, attributes, attributes.get("value", "on"))
        else:
            self._add(kind, attributes, attributes.get("value", ""))

    def start_button(self, attributes: _Attributes) -> None:
        self._add(attributes.get("type", "submit").lower(), attributes, attributes.get("value", ""))

    def start_textarea(self, attributes: _Attributes) -> None:
        self._textarea = self._add("textarea", attributes, "")

    def start_select(self, attributes: _Attributes) -> None:
        self._select = self._add("select", attributes, "")

    def start_option(self, attributes: _Attributes) -> None:
        self._option = _Option(attributes.get("value"), "selected" in attributes, "disabled" in attributes)
        if self._select is not None:
            self._select.options.append(self._option)

    def _end_textarea(self) -> None:
        if self._textarea is not None:
            text = self._textarea.value.replace("\r\n", "\n").removeprefix("\n")
            self._textarea.value = text.replace("\n", "\r\n")
            self._textarea = None

    def _add(self, kind: str, attributes: _Attributes, value: str) -> _Control:
        control = _Control(
            kind, attributes.get("name", ""), value, attributes.get("form"), self._form_number,
            is_multiple="multiple" in attributes,
        )  # fmt: skip
        if "disabled" not in attributes and not any(self._disabled_fieldsets):
            self.controls.append(control)
        return control


_STARTERS = {
    "base": _Reader.start_base,
    "form": _Reader.start_form,
    "fieldset": _Reader.start_fieldset,
    "input": _Reader.start_input,
    "button": _Reader.start_button,
    "textarea": _Reader.start_textarea,
    "select": _Reader.start_select,
    "option": _Reader.start_option,
}
