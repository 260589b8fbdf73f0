"""Forms found in pages, and what a browser would send from them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imgserve.transfer.form import Form, find_form, page_text

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
        ("<textarea name=x>\n1 &lt;\n2</textarea>", (("x", "1 <\n2"),)),
        ("<textarea name=x>\r\n\n1</textarea>", (("x", "\n1"),)),
        ("<textarea name=x><input name=no></textarea>", (("x", "<input name=no>"),)),
        ("<title><input name=no></title><style><input name=no></style>", ()),
        ("<noscript><input name=no></noscript><iframe><input name=no></iframe>", ()),
        ("<!--><input name=t value=1>-->", (("t", "1"),)),
        ("<input name=t value=1 name=u value=2>", (("t", "1"),)),
        ("<input type=image name=i src=x><input type=submit name=c>", (("i.x", "0"), ("i.y", "0"))),
        ("<input type=image src=x>", (("x", "0"), ("y", "0"))),
        ("<input type=submit name=a disabled><input type=submit name=c value=2>", (("c", "2"),)),
        ("<button>go</button><button name=b value=1>x</button>", ()),
        ("<button type=submit name=b>go</button>", (("b", ""),)),
        ("<input type=hidden name=_charset_ value=x>", (("_charset_", "UTF-8"),)),
        ("<select name=s multiple><option>a</select>", ()),
        ("<select name=s><optgroup><option value=1><option value=2 selected></optgroup></select>", (("s", "2"),)),
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


@pytest.mark.parametrize(
    "page",
    [
        f"<table><form action=/b><tr><td>{FILE}<input name=t value=1></td></tr></form></table><input name=no>",
        f"<div><form action=/b></div>{FILE}<p><input name=t value=1></p></form><input name=no>",
        f"<form action=/b>{FILE}<form action=/c><input name=t value=1></form><input name=no>",
    ],
    ids=["table", "div", "form in form"],
)
def test_a_form_is_open_until_its_end_tag(page: str) -> None:
    form = find_form(page, "pic")
    assert form is not None
    assert (form.action, form.fields) == ("/b", (("t", "1"),))


@pytest.mark.parametrize(
    ("button", "action"),
    [
        ("<button formaction=/there>x</button>", "/there"),
        ("<input type=submit><button formaction=/there>x</button>", "/here"),
        ("<button type=button formaction=/there>x</button>", "/here"),
        ('<button formaction="">x</button>', "/here"),
    ],
)
def test_the_button_may_name_the_action(button: str, action: str) -> None:
    form = find_form(f"<form action=/here>{FILE}{button}</form>", "pic")
    assert form is not None
    assert form.action == action


@pytest.mark.parametrize(
    ("accepted", "charset", "name"),
    [
        ("", "cp1251", "windows-1251"), ("utf-8", "utf-8", "UTF-8"), ("nonsense KOI8-R", "koi8-r", "KOI8-R"),
        ("punycode", "cp1251", "windows-1251"), ("latin1", "cp1252", "windows-1252"),
    ],
)  # fmt: skip
def test_the_fields_have_the_charset_of_page_or_form(accepted: str, charset: str, name: str) -> None:
    page = f'<form accept-charset="{accepted}">{FILE}<input type=hidden name=_charset_></form>'
    form = find_form(page, "pic", "cp1251")
    assert form is not None
    assert (form.charset, form.fields) == (charset, (("_charset_", name),))


def test_fields_are_encoded_as_browsers_do_it() -> None:
    form = Form("", "", "cp1251", ())
    assert form.encoded("Ж\n€ 図\r") == b"\xc6\r\n\x88 &#22259;\r\n"


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
        ("é".encode("latin-1"), "text/html; charset=ISO-8859-1", ("é", "cp1252")),
        (b'<meta charset="windows-1251">\xff', "text/html", ('<meta charset="windows-1251">я', "cp1251")),
        (b"\x80", "text/html; charset=us-ascii", ("€", "cp1252")),
        (b"\xef\xbb\xbfx", "text/html; charset=windows-1251", ("x", "utf-8")),
        (b"x", "text/html; charset=nonsense", ("x", "utf-8")),
        (b"b\xd6", "text/html; charset=GBK", ("b\ufffd", "gbk")),
        (b"a-b", "text/html; charset=punycode", ("a-b", "utf-8")),
        (b"+AGE-", "text/html; charset=utf-7", ("+AGE-", "utf-8")),
        (b'<meta charset="windows-1251">\xff', "text/html; charset=idna", ('<meta charset="windows-1251">я', "cp1251")),
    ],
)
def test_the_charset_is_found(body: bytes, media_type: str, expected: tuple[str, str]) -> None:
    assert page_text(body, media_type) == expected
