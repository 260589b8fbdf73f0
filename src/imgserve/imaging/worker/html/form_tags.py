"""The tags of forms and their controls: the rules of HTML's "in body" for each. Called by ``tree``, by name."""

import msgspec

from imgserve.imaging.worker.html import references
from imgserve.imaging.worker.html.builder import Attributes, Building
from imgserve.imaging.worker.html.controls import INPUT_TYPES, Option


def start_form(building: Building, name: str, attributes: Attributes) -> None:
    if building.open.top.context.is_template:
        building.push(name, attributes)
        return
    if building.form is not None:
        return  # a form in a form is none
    building.found.forms.append(attributes)
    building.form = len(building.found.forms) - 1
    if building.is_between_cells():
        building.note(name, attributes)
        return
    building.end_paragraph()
    context = msgspec.structs.replace(building.open.top.context, form=building.form)
    building.form_element = building.push(name, attributes, context)


def start_fieldset(building: Building, name: str, attributes: Attributes) -> None:
    building.end_paragraph()
    context = building.open.top.context
    is_disabled = context.is_disabled or "disabled" in attributes
    element = building.push(name, attributes, msgspec.structs.replace(context, is_disabled=is_disabled))
    element.outer_disabled = context.is_disabled


def start_legend(building: Building, name: str, attributes: Attributes) -> None:
    parent = building.open.top
    context = parent.context
    if parent.name == "fieldset" and not parent.has_legend:
        parent.has_legend = True
        context = msgspec.structs.replace(context, is_disabled=parent.outer_disabled)
    building.push(name, attributes, context)


def start_datalist(building: Building, name: str, attributes: Attributes) -> None:
    context = msgspec.structs.replace(building.open.top.context, is_datalist=True, select=None, option=None)
    building.push(name, attributes, context)


def start_input(building: Building, name: str, attributes: Attributes) -> None:
    building.open.end("select")
    building.note(name, attributes)
    kind = attributes.get("type", "").lower()
    building.add(kind if kind in INPUT_TYPES else "text", attributes, attributes.get("value"))


def start_button(building: Building, name: str, attributes: Attributes) -> None:
    building.open.end("button")
    kind = attributes.get("type", "").lower()
    # A button directly in a select element is the face of the select.
    is_other = "command" in attributes or "commandfor" in attributes or building.open.top.name == "select"
    is_submitter = kind == "submit" or (kind not in ("reset", "button") and not is_other)
    building.add("submit" if is_submitter else "button", attributes, attributes.get("value"))
    building.push(name, attributes)


def start_textarea(building: Building, name: str, attributes: Attributes) -> None:
    building.note(name, attributes)
    text = building.tokens.raw_text("textarea")
    text = references.in_text(text).removeprefix("\n").replace("\r\n", "\n").replace("\r", "\n")
    control = building.add("textarea", attributes, None)
    control.value = text


def start_select(building: Building, name: str, attributes: Attributes) -> None:
    if building.open.end("select"):
        return
    control = building.add(name, attributes, None)
    context = msgspec.structs.replace(building.open.top.context, select=control, option=None, is_group_disabled=False)
    building.push(name, attributes, context)


def start_group(building: Building, name: str, attributes: Attributes) -> None:
    end_option(building)
    context = msgspec.structs.replace(
        building.open.top.context, is_group_disabled="disabled" in attributes, option=None
    )
    building.push(name, attributes, context)


def start_option(building: Building, name: str, attributes: Attributes) -> None:
    end_option(building, but="optgroup")
    context = building.open.top.context
    value = attributes.get("value")
    option = Option(
        None if value is None else references.in_attribute(value),
        "selected" in attributes,
        "disabled" in attributes or context.is_group_disabled,
    )
    if context.select is not None:
        context.select.options.append(option)
    building.push(name, attributes, msgspec.structs.replace(context, option=option))


def end_form(building: Building, name: str) -> None:
    if building.open.top.context.is_template:
        building.open.end(name)
        return
    element, building.form, building.form_element = building.form_element, None, None
    if element is not None and building.open.has("form") and building.open.is_innermost(element):
        building.open.imply_ends()
        building.open.take_out(element)


def end_option(building: Building, but: str = "") -> None:
    """An option, and a group but for ``but``, end where another begins."""
    if building.open.has("select"):
        building.open.imply_ends(but)
    elif building.open.top.name == "option":
        building.open.pop()


STARTERS = {
    "form": start_form,
    "fieldset": start_fieldset,
    "legend": start_legend,
    "datalist": start_datalist,
    "input": start_input,
    "button": start_button,
    "textarea": start_textarea,
    "select": start_select,
    "optgroup": start_group,
    "option": start_option,
}
