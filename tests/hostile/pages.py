"""Upload pages that cost whoever reads them: each shape in any length. A browser reads them too, but it has a user."""

from collections.abc import Callable

FORM = "<form><input type=file name=image_file></form>"


def _of(unit: str) -> Callable[[int], str]:
    return lambda size: (unit * (size // len(unit) + 1))[: size - size % len(unit)]


def _halves(one: str, other: str) -> Callable[[int], str]:
    return lambda size: _of(one)(size // 2) + _of(other)(size // 2)


def _after(start: str, unit: str, end: str = "") -> Callable[[int], str]:
    return lambda size: start + _of(unit)(size - len(start) - len(end)) + end


def _counted(unit: str) -> Callable[[int], str]:
    """``#`` in the unit is its number."""
    return lambda size: "".join(unit.replace("#", str(number)) for number in range(size // (len(unit) + 4)))


SHAPES: dict[str, Callable[[int], str]] = {
    "forms, inputs of one": _halves("<form></form>", "<input form=a>"),
    "forms by id, inputs of each": lambda size: (
        _counted("<form id=f#></form>")(size // 2) + _counted("<input name=n form=f#>")(size // 2)
    ),
    "fieldsets, inputs": _halves("<fieldset>", "<input name=a>"),
    "disabled fieldsets, legends": _halves("<fieldset disabled><legend>", "<input name=a>"),
    "option text in pieces": _after("<form><select name=s><option>", "a<b>"),
    "option text and comments": _after("<form><select name=s><option>", "a<!---->"),
    "option text of references": _after("<form><select name=s><option>", "&amp;"),
    "options": _after("<select name=s multiple>", "<option selected>"),
    "optgroups": _after("<select name=s>", "<optgroup disabled><option>"),
    "names of a multiple select": lambda size: (
        f"<form><select name={'n' * (size // 2)} multiple>" + _of("<option selected>")(size // 2)
    ),
    "deep": _of("<div>"),
    "deep, ended by nothing": _halves("<div>", "</x>"),
    "deep, ended in another order": _halves("<b><i><div>", "</b></i>"),
    "deep, with forms": _halves("<div>", "<form></form>"),
    "form tags across": _of("<form><div></form>"),
    "paragraphs": _of("<i><p>"),
    "formatting elements": _of("<b><p></b>"),
    "links": _of("<a><div>"),
    "fonts, each its own": _counted("<font x=#>"),
    "lists": _of("<ul><li>"),
    "buttons": _of("<button>"),
    "ruby": _of("<ruby><rt>"),
    "tables": _of("<table><tr><td>"),
    "tables, not nested": _of("<table>"),
    "rows": _after("<table>", "<tr>"),
    "stray content of a table": _after("<table>", "a<b>"),
    "templates": _of("<template><td>"),
    "foreign": _of("<svg><math><title>"),
    "foreign, ended by nothing": _halves("<svg><g>", "</x>"),
    "foreign inputs": _after("<svg>", "<input>"),
    "cdata": _after("<svg>", "<![CDATA[]]>"),
    "selects": _of("<select>"),
    "textareas": _of("<textarea name=t>\n</textarea>"),
    "line ends": _after("<form><textarea name=t>", "\n"),
    "scripts": _of("<script><!--<script>-->"),
    "titles": _after("<title>", "</titl "),
    "attributes": lambda size: f"<input {_counted('a#=b ')(size)}>",
    "one attribute again and again": lambda size: f"<input {_of('a ')(size)}>",
    "spaces": lambda size: f"<input a{' ' * size}b>",
    "an attribute": lambda size: f"<form><input name=t value='{'x' * size}'>",
    "an attribute of references": lambda size: f"<form><input name=t value='{_of('&lt')(size)}'>",
    "digits of a reference": lambda size: f"<form><input name=t value='&#{'9' * size};'>",
    "an attribute that does not end": lambda size: _of("<a b='")(size - 1) + '"',
    "radio names": _counted("<form><input type=radio name=r# checked>"),
    "a radio name": _after("<form>", "<input type=radio name=r checked>"),
    "references": _of("&"),
    "comments": _of("<!---->"),
    "a comment that does not end": _of("<!--"),
    "no tags": _of("<"),
    "tags that do not end": _of("<a "),
    "ids": _counted("<p id=i#>"),
    "datalists": _of("<datalist><option>"),
    "lists of errors": _of("<ul class=errorlist>x"),
    "a charset at the end": _after("", "<br>", "<meta charset=koi8-r>"),
}
