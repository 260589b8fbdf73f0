"""The tags of forms and their controls: the rules of HTML's "in body" for each. Called by ``tree``, by name."""

from imgserve.imaging.worker.html import references
from imgserve.imaging.worker.html.builder import Attributes, Builder
from imgserve.imaging.worker.html.controls import INPUT_TYPES, Option


def start_form(builder: Builder, name: str, attributes: Attributes) -> None:
    if builder.open.top.context.is_template:
        builder.push(name, attributes)
        return
    if builder.form is not None:
        return  # a form in a form is ignored
    builder.contents.forms.append(attributes)
    builder.form = len(builder.contents.forms) - 1
    if builder.is_between_cells():
        builder.note(name, attributes)
        return
    builder.end_paragraph()
    builder.form_element = builder.push(name, attributes, form=builder.form)


def start_fieldset(builder: Builder, name: str, attributes: Attributes) -> None:
    builder.end_paragraph()
    outer_disabled = builder.open.top.context.is_disabled
    element = builder.push(name, attributes, is_disabled=outer_disabled or "disabled" in attributes)
    element.outer_disabled = outer_disabled


def start_legend(builder: Builder, name: str, attributes: Attributes) -> None:
    parent = builder.open.top
    is_first = parent.name == "fieldset" and not parent.has_legend
    parent.has_legend |= is_first
    builder.push(name, attributes, is_disabled=parent.outer_disabled if is_first else parent.context.is_disabled)


def start_datalist(builder: Builder, name: str, attributes: Attributes) -> None:
    builder.push(name, attributes, is_datalist=True, select=None, option=None)


def start_template(builder: Builder, name: str, attributes: Attributes) -> None:
    builder.push(name, attributes, is_template=True, select=None, option=None)


def start_input(builder: Builder, name: str, attributes: Attributes) -> None:
    builder.open.end("select")
    builder.note(name, attributes)
    kind = attributes.get("type", "").lower()
    builder.add(kind if kind in INPUT_TYPES else "text", attributes, attributes.get("value"))


def start_button(builder: Builder, name: str, attributes: Attributes) -> None:
    builder.open.end("button")
    kind = attributes.get("type", "").lower()
    # A button directly in a select element is the face of the select.
    is_other = "command" in attributes or "commandfor" in attributes or builder.open.top.name == "select"
    is_submitter = kind == "submit" or (kind not in ("reset", "button") and not is_other)
    builder.add("submit" if is_submitter else "button", attributes, attributes.get("value"))
    builder.push(name, attributes)


def start_textarea(builder: Builder, name: str, attributes: Attributes) -> None:
    builder.note(name, attributes)
    text = references.in_text(builder.tokens.raw_text("textarea"))
    builder.add(name, attributes, text.removeprefix("\n"))


def start_select(builder: Builder, name: str, attributes: Attributes) -> None:
    if not builder.open.end("select"):
        control = builder.add(name, attributes, None)
        builder.push(name, attributes, select=control, option=None, is_group_disabled=False)


def start_group(builder: Builder, name: str, attributes: Attributes) -> None:
    end_option(builder)
    builder.push(name, attributes, is_group_disabled="disabled" in attributes, option=None)


def start_option(builder: Builder, name: str, attributes: Attributes) -> None:
    end_option(builder, but="optgroup")
    context = builder.open.top.context
    is_disabled = "disabled" in attributes or context.is_group_disabled
    option = Option(attributes.get("value"), "selected" in attributes, is_disabled)
    if context.select is not None:
        context.select.options.append(option)
    builder.push(name, attributes, option=option)


def end_form(builder: Builder, name: str) -> None:
    if builder.open.top.context.is_template:
        builder.open.end(name)
        return
    element, builder.form, builder.form_element = builder.form_element, None, None
    if element is not None and builder.open.has("form") and builder.open.is_innermost(element):
        builder.open.imply_ends()
        builder.open.remove(element)


def end_option(builder: Builder, but: str = "") -> None:
    """An option, and a group but for ``but``, end where another begins."""
    if builder.open.has("select"):
        builder.open.imply_ends(but)
    elif builder.open.top.name == "option":
        builder.open.pop()


STARTERS = {
    "form": start_form,
    "fieldset": start_fieldset,
    "legend": start_legend,
    "datalist": start_datalist,
    "template": start_template,
    "input": start_input,
    "button": start_button,
    "textarea": start_textarea,
    "select": start_select,
    "optgroup": start_group,
    "option": start_option,
}
