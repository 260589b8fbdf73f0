"""Find an upload form in an HTML page and what it would send by itself. Pure; called by ``upload`` in a thread.

In: the page's text and the file field's name. Out: a ``Form``, or None. What is sent follows HTML's "constructing
the entry list" (https://html.spec.whatwg.org/multipage/form-control-infrastructure.html), as far as a page without
scripts and without a user goes: default values, the first submit button, and no other file. A control belongs to the
form that is open where it stands, whatever the elements between them, as HTML's "form element pointer" has it: so a
table around the fields takes none away. That wants the page in its own order, so tokens are read, not a tree.
"""

import codecs
import re

import msgspec
from justhtml import stream

_Attributes = dict[str, str]
_SILENT_INPUTS = frozenset({"file", "button", "reset"})
_SUBMITTERS = frozenset({"submit", "image"})
_NEWLINE = re.compile("\r\n|\r|\n")
_CHARSET = re.compile(rb"""charset\s*=\s*["']?([\w.:-]+)""", re.IGNORECASE | re.ASCII)
_META_WINDOW_BYTES = 1024
# What pages are written in, by Python's names. Python has codecs that take minutes for a page, such as punycode.
_WEB_CODECS = re.compile(
    r"utf-8|ascii|cp125\d|iso8859-\d+|shift_jis|cp932|gb2312|gbk|gb18030|euc_jp|euc_kr|big5|koi8-[ru]", re.ASCII
)


# Names of the web's for Python's, where they differ.
_WEB_NAMES = {"utf-8": "UTF-8", "koi8-r": "KOI8-R", "koi8-u": "KOI8-U", "euc_jp": "EUC-JP", "euc_kr": "EUC-KR"} | {
    f"cp125{digit}": f"windows-125{digit}" for digit in range(9)
}  # fmt: skip


class Form(msgspec.Struct, frozen=True):
    """``action`` and ``base`` as the page writes them, empty when it does not; ``fields`` in page order.

    ``charset`` is the one that the fields are sent in.
    """

    action: str
    base: str
    charset: str
    fields: tuple[tuple[str, str], ...]

    def encoded(self, text: str) -> bytes:
        """As browsers send it: what the charset lacks becomes a character reference, a line ends with CR LF."""
        return _NEWLINE.sub("\r\n", text).encode(self.charset, "xmlcharrefreplace")


def find_form(page: str, file_field: str, charset: str = "utf-8") -> Form | None:
    """The first form that has an ``<input type="file">`` of this name, inside it or tied to it by ``form="id"``.

    ``charset`` is the page's own, by Python's name.
    """
    reader = _Reader()
    reader.read(page)
    for number, attributes in enumerate(reader.forms):
        mine = [control for control in reader.controls if reader.belongs(control, number)]
        if any(control.kind == "file" and control.name == file_field for control in mine):
            submitter = next((control for control in mine if control.kind in _SUBMITTERS), None)
            action = (submitter.action if submitter else None) or attributes.get("action", "")
            charset = _accepted(attributes.get("accept-charset", "")) or charset
            return Form(action.strip(), reader.base, charset, _entries(mine, submitter, charset))
    return None


def page_text(body: bytes, media_type: str) -> tuple[str, str]:
    """The page decoded, and the charset used: a byte order mark's, a web charset from the header or a meta element,
    else UTF-8."""
    if body.startswith(codecs.BOM_UTF8):
        return body.decode("utf-8-sig", "replace"), "utf-8"
    for place in (media_type.encode("latin-1", "replace"), body[:_META_WINDOW_BYTES]):
        found = _CHARSET.search(place)
        charset = _web_codec(found[1].decode()) if found else ""
        if charset:
            return body.decode(charset, "replace"), charset
    return body.decode("utf-8", "replace"), "utf-8"


def _web_codec(label: str) -> str:
    """Python's name for a charset that pages use, or nothing. On the web Latin-1 and ASCII mean Windows-1252."""
    try:
        name = codecs.lookup(label).name
    except (LookupError, UnicodeError):
        return ""
    if name in ("ascii", "iso8859-1"):
        return "cp1252"
    return name if _WEB_CODECS.fullmatch(name) else ""


def _accepted(labels: str) -> str:
    return next((name for name in map(_web_codec, labels.split()) if name), "")


class _Control(msgspec.Struct):
    """One control while the page is read; text and options fill up until its end tag."""

    kind: str
    name: str
    value: str
    form_id: str | None
    form_number: int | None
    options: list["_Option"] = []
    is_multiple: bool = False
    action: str | None = None


class _Option(msgspec.Struct):
    value: str | None
    is_selected: bool
    is_disabled: bool
    text: str = ""


def _entries(controls: list[_Control], submitter: _Control | None, charset: str) -> tuple[tuple[str, str], ...]:
    entries: list[tuple[str, str]] = []
    for control in controls:
        if control.kind in _SILENT_INPUTS or (control.kind in _SUBMITTERS and control is not submitter):
            continue
        if control.kind == "image":
            prefix = f"{control.name}." if control.name else ""
            entries.extend([(f"{prefix}x", "0"), (f"{prefix}y", "0")])
        elif control.kind == "hidden" and control.name.lower() == "_charset_":
            entries.append((control.name, _WEB_NAMES.get(charset, charset)))
        elif control.name:
            values = _chosen(control) if control.kind == "select" else [control.value]
            entries.extend((control.name, value) for value in values)
    return tuple(entries)


def _chosen(select: _Control) -> list[str]:
    live = [option for option in select.options if not option.is_disabled]
    picked = [option for option in live if option.is_selected]
    if not select.is_multiple:
        picked = picked[-1:] or live[:1]
    return [option.text.strip() if option.value is None else option.value for option in picked]


class _Reader:
    def __init__(self) -> None:
        self.base = ""
        self.forms: list[_Attributes] = []
        self.controls: list[_Control] = []
        self._form_number: int | None = None
        self._select: _Control | None = None
        self._textarea: _Control | None = None
        self._option: _Option | None = None
        self._templates = 0
        self._disabled_fieldsets: list[bool] = []

    def read(self, page: str) -> None:
        for event in stream(page):
            if event[0] == "start":
                tag, attributes = event[1]
                self._start(tag, {name: value or "" for name, value in attributes.items()})
            elif event[0] == "end":
                self._end(event[1])
            elif event[0] == "text":
                self._hear(event[1])

    def belongs(self, control: _Control, number: int) -> bool:
        if control.form_id is not None:
            ids = [attributes.get("id") for attributes in self.forms]
            return control.form_id in ids and ids.index(control.form_id) == number
        return control.form_number == number

    def _start(self, tag: str, attributes: _Attributes) -> None:
        if tag == "template":
            self._templates += 1
        elif not self._templates and (starter := _STARTERS.get(tag)) is not None:
            starter(self, attributes)

    def _end(self, tag: str) -> None:
        if tag == "template":
            self._templates = max(0, self._templates - 1)
        elif self._templates:
            return
        elif tag == "form":
            self._form_number = None
        elif tag == "textarea":
            self._textarea = None
        elif tag in ("select", "option"):
            self._option = None
            if tag == "select":
                self._select = None
        elif tag == "fieldset" and self._disabled_fieldsets:
            self._disabled_fieldsets.pop()

    def _hear(self, text: str) -> None:
        if self._textarea is not None:
            # HTML drops one line end right after the start tag.
            self._textarea.value = _NEWLINE.sub("\n", text).removeprefix("\n")
        elif self._option is not None:
            self._option.text += text

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

    def _add(self, kind: str, attributes: _Attributes, value: str) -> _Control:
        control = _Control(
            kind, attributes.get("name", ""), value, attributes.get("form"), self._form_number,
            is_multiple="multiple" in attributes, action=attributes.get("formaction"),
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
