"""Forms found in pages, and what a browser would send from them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imgserve.transfer.form import find_form, page_text

FILE = '<input type="file" name="pic">'


@pytest.mark.parametrize(
    ("inside", "fields"),
    [
        ('<input type="hidden" name="t" value="1&amp;2">', (("t", "1&2"),)),
        ('<INPUT NAME=t VALUE=x>', (("t", "x"),)),
        ('<input name="t">', (("t", ""),)),
        ('<input value="nameless">', ()),
        ('<input type=checkbox name=c><input type=checkbox name=d checked>', (("d", "on"),)),
        ('<input type=radio name=r value=1><input type=radio name=r value=2 checked>', (("r", "2"),)),
        ("<select name=s><option>a<option selected>b</select>", (("s", "b"),)),
        ("<select name=s><option value=1>a<option>b</select>", (("s", "1"),)),
        ("<select name=s multiple><option selected>a<option>b<option selected>c</select>", (("s", "a"), ("s", "c"))),
        ("<select name=s><option disabled>no<option>yes</select>", (("s", "yes"),)),
        ("<textarea name=x>\n1 &lt;\n2</textarea>", (("x", "1 <\r\n2"),)),
        ("<input name=t value=1 disabled>", ()),
        ("<fieldset disabled><input name=t value=1></fieldset><input name=u value=2>", (("u", "2"),)),
        ("<button name=b value=1>x</button><input type=submit name=c value=2>", (("b", "1"),)),
        ("<input type=reset name=r value=1><button type=button name=q>x</button>", ()),
        ("<template><input name=no value=1></template>", ()),
        ("<!-- <input name=no value=1> -->", ()),
        ("<script>var a = '<input name=no value=1>';</script>", ()),
        ('<input type="file" name="other">', ()),
    ],
)  # fmt: skip
def test_default_values(inside: str, fields: tuple[tuple[str, str], ...]) -> None:
    form = find_form(f"<form action=/go>{inside}{FILE}</form>", "pic")
    assert form is not None
    assert form.fields == fields
    assert form.action == "/go"


def test_the_first_form_with_the_field_is_taken() -> None:
    page = f"<form action=/1><input name=pic></form><form action=/2>{FILE}</form><form action=/3>{FILE}</form>"
    form = find_form(page, "pic")
    assert form is not None
    assert form.action == "/2"


def test_controls_may_stand_outside_their_form() -> None:
    page = (
        '<input name=t value=1 form=b><form id=a action=/a><input name=no></form><form id=b action=/b></form>'
        '<input type=file name=pic form=b>'
    )  # fmt: skip
    form = find_form(page, "pic")
    assert form is not None
    assert (form.action, form.fields) == ("/b", (("t", "1"),))


def test_the_base_is_told() -> None:
    form = find_form(f'<base href="https://x.test/y/"><base href="/no"><form>{FILE}</form>', "pic")
    assert form is not None
    assert (form.base, form.action) == ("https://x.test/y/", "")


@pytest.mark.parametrize("page", ["", "plain text", "<form></form>", f"{FILE}", "<form><input type=file name=PIC>"])
def test_no_form(page: str) -> None:
    assert find_form(page, "pic") is None


def test_an_open_textarea_swallows_no_field_before_it() -> None:
    form = find_form(f"<form>{FILE}<textarea name=x>rest of the page", "pic")
    assert form is not None
    assert form.fields == (("x", "rest of the page"),)


@settings(deadline=None)  # a busy machine is no fault of the code
@given(st.text(max_size=300))
def test_any_text_is_read_without_an_error(page: str) -> None:
    find_form(page + "<form><input type=file name=pic>", "pic")


@pytest.mark.parametrize(
    ("body", "media_type", "expected"),
    [
        ("é".encode(), "text/html", ("é", "utf-8")),
        ("é".encode("latin-1"), "text/html; charset=ISO-8859-1", ("é", "iso8859-1")),
        (b'<meta charset="windows-1251">\xff', "text/html", ('<meta charset="windows-1251">я', "cp1251")),
        (b"x", "text/html; charset=nonsense", ("x", "utf-8")),
        (b"b\xd6", "text/html; charset=GBK", ("b\ufffd", "gbk")),
        (b"a-b", "text/html; charset=punycode", ("a-b", "utf-8")),
        (b"+AGE-", "text/html; charset=utf-7", ("+AGE-", "utf-8")),
        (b'<meta charset="windows-1251">\xff', "text/html; charset=idna", ('<meta charset="windows-1251">я', "cp1251")),
    ],
)
def test_the_charset_is_found(body: bytes, media_type: str, expected: tuple[str, str]) -> None:
    assert page_text(body, media_type) == expected
