"""Forms in pages, and what a browser without scripts would send from them: the HTML standard, clause by clause."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgserve.imaging.worker import charsets
from imgserve.imaging.worker.html import page
from imgserve.request.page import Form, Page

FILE = '<input type="file" name="pic">'
Fields = tuple[tuple[str, str], ...]


def read(text: str | bytes, media_type: str = "text/html") -> Page:
    return page.read(text if isinstance(text, bytes) else text.encode(), media_type)


def form_in(text: str | bytes, media_type: str = "text/html; charset=utf-8", field: str = "pic") -> Form:
    form = read(text, media_type).form_with(field)
    assert form is not None, "no form with the field"
    return form


def fields(form: Form, but: str = "pic") -> Fields:
    """Names and values, but for the file field itself; another file's value is ``(file)``."""
    return tuple(
        (entry.name.decode(form.charset), "(file)" if entry.is_file else entry.value.decode(form.charset))
        for entry in form.entries
        if not (entry.is_file and entry.name == form.encoded(but))
    )


DEFAULTS: list[tuple[str, Fields]] = [
    ('<input type="hidden" name="t" value="1&amp;2">', (("t", "1&2"),)),
    ("<INPUT NAME=t VALUE=x>", (("t", "x"),)),
    ('<input name="t">', (("t", ""),)),
    ('<input value="nameless"><input name="" value="too">', ()),
    ("<input name=t value=1 disabled>", ()),
    ("<input name=t value=1 name=u value=2>", (("t", "1"),)),
    # Buttons: only the first that submits, and none of the others.
    ("<input type=image name=i src=x><input type=submit name=c>", (("i.x", "0"), ("i.y", "0"))),
    ("<input type=image src=x>", (("x", "0"), ("y", "0"))),
    ("<input type=submit name=a disabled><input type=submit name=c value=2>", (("c", "2"),)),
    ("<button>go</button><button name=b value=1>x</button>", ()),
    ("<button type=submit name=b>go</button>", (("b", ""),)),
    ("<button type=nonsense name=b value=1>go</button>", (("b", "1"),)),
    ("<button name=b value=1>x</button><input type=submit name=c value=2>", (("b", "1"),)),
    ("<button command=close commandfor=x name=no>x</button><input type=submit name=c>", (("c", ""),)),
    ("<input type=&#99;heckbox name=c value=1><input type=te&#120;t name=t>", (("t", ""),)),
    ("<input type=reset name=r value=1><button type=button name=q>x</button><input type=button name=z>", ()),
    # Checkboxes and radio buttons.
    ("<input type=checkbox name=c><input type=checkbox name=d checked>", (("d", "on"),)),
    ('<input type=checkbox name=d checked value="">', (("d", ""),)),
    ("<input type=radio name=r value=1><input type=radio name=r value=2 checked>", (("r", "2"),)),
    ("<input type=radio name=r value=1 checked><input type=radio name=r value=2 checked>", (("r", "2"),)),
    ("<input type=radio name=r value=1 checked><input type=radio name=r value=2 checked disabled>", ()),
    ("<input type=radio name=r checked>", (("r", "on"),)),
    # Select elements: which options are selected.
    ("<select name=s><option>a<option selected>b</select>", (("s", "b"),)),
    ("<select name=s><option value=1>a<option>b</select>", (("s", "1"),)),
    ("<select name=s multiple><option selected>a<option>b<option selected>c</select>", (("s", "a"), ("s", "c"))),
    ("<select name=s multiple><option>a</select>", ()),
    ("<select name=s><option selected>a<option selected>b</select>", (("s", "b"),)),
    ("<select name=s><option disabled>no<option>yes</select>", (("s", "yes"),)),
    ("<select name=s><option disabled selected>choose<option>a</select>", ()),
    ("<select name=s><option selected>a<option disabled selected>b</select>", ()),
    ("<select name=s multiple><option selected disabled>a<option selected>b</select>", (("s", "b"),)),
    ("<select name=s size=3><option>a<option>b</select>", ()),
    ("<select name=s size=3><option>a<option selected>b</select>", (("s", "b"),)),
    ("<select name=s size=1><option>a</select>", (("s", "a"),)),
    ("<select name=s size=0><option>a</select>", (("s", "a"),)),
    ("<select name=s size=x><option>a</select>", (("s", "a"),)),
    ("<select name=s size=' +2x'><option>a</select>", ()),
    ("<select name=s><optgroup><option value=1><option value=2 selected></optgroup></select>", (("s", "2"),)),
    ("<select name=s><optgroup disabled><option>a</optgroup><option>b</select>", (("s", "b"),)),
    ("<select name=s><optgroup disabled><option selected>a</optgroup></select>", ()),
    ("<select name=s><optgroup disabled><option>a<optgroup><option>b</select>", (("s", "b"),)),
    ("<select name=s><option> a \n\t b&nbsp; </select>", (("s", "a b\xa0"),)),
    ("<select name=s><option>a<!-- x -->b<b>c</b></select>", (("s", "abc"),)),
    ("<select name=s><option value=' a  b '>x</select>", (("s", " a  b "),)),
    ("<select name=s></select><select name=u disabled><option>a</select>", ()),
    ("<select name=s><option>a<input name=t value=1>", (("s", "a"), ("t", "1"))),
    ("<select name=s><option>a<select><input name=t value=1>", (("s", "a"), ("t", "1"))),
    ("<select name=s><button name=no></button><option>a</select>", (("s", "a"),)),
    ("<select name=s><option>a<hr><option selected>b</select>", (("s", "b"),)),
    # Textareas.
    ("<textarea name=x>\n1 &lt;\n2</textarea>", (("x", "1 <\r\n2"),)),
    ("<textarea name=x>\r\n\n1</textarea>", (("x", "\r\n1"),)),
    ("<textarea name=x>&#10;1&#13;2\r3</textarea>", (("x", "1\r\n2\r\n3"),)),
    ("<textarea name=x> \n</textarea>", (("x", " \r\n"),)),
    ("<textarea name=x><input name=no></textarea>", (("x", "<input name=no>"),)),
    ("<textarea name=x></textareas></textarea >", (("x", "</textareas>"),)),
    # Types and the values that they let through.
    ('<input type="" name=t value=1><input type=nonsense name=u value=2>', (("t", "1"), ("u", "2"))),
    ("<input type=' file' name=t value=1>", (("t", "1"),)),
    ("<input name=t value='a\nb&#13;c'><input type=hidden name=h value='a\nb'>", (("t", "abc"), ("h", "a\r\nb"))),
    ("<input type=url name=t value=' http://x \n'>", (("t", "http://x"),)),
    ("<input type=email name=m value=' a '>", (("m", "a"),)),
    ("<input type=email multiple name=m value=' a , b '>", (("m", "a,b"),)),
    ("<input type=color name=c>", (("c", "#000000"),)),
    ("<input type=color name=c value=#ABCdef>", (("c", "#abcdef"),)),
    ("<input type=color name=c value=' #AbC '>", (("c", "#aabbcc"),)),
    ("<input type=color name=c value=#12345678>", (("c", "#123456"),)),
    ("<input type=color name=c value=Red>", (("c", "#ff0000"),)),
    ("<input type=color name=c value=transparent>", (("c", "#000000"),)),
    ("<input type=color name=c value=reddish>", (("c", "#000000"),)),
    ("<input type=range name=r>", (("r", "50"),)),
    ("<input type=range name=r min=0 max=5>", (("r", "3"),)),
    ("<input type=range name=r min=0 max=5 step=any>", (("r", "2.5"),)),
    ("<input type=range name=r min=10 max=5>", (("r", "10"),)),
    ("<input type=range name=r value=500><input type=range name=s value=x>", (("r", "100"), ("s", "50"))),
    ("<input type=range name=r value=3.7><input type=range name=s value=7 min=1 step=4>", (("r", "3.7"), ("s", "9"))),
    ("<input type=number name=n value=1e3><input type=number name=m value=+1>", (("n", "1e3"), ("m", ""))),
    ("<input type=number name=n value=' 1'><input type=number name=m value=.5>", (("n", ""), ("m", ".5"))),
    ("<input type=date name=d value=2024-02-29>", (("d", "2024-02-29"),)),
    ("<input type=date name=d value=2023-02-29>", (("d", ""),)),
    ("<input type=month name=d value=2024-13><input type=week name=e value=2026-W53>", (("d", ""), ("e", "2026-W53"))),
    ("<input type=time name=d value=24:00><input type=time name=e value=23:59>", (("d", ""), ("e", "23:59"))),
    ("<input type=datetime-local name=d value='2024-02-29 10:00:00'>", (("d", "2024-02-29T10:00"),)),
    # Other file fields send an empty file, in their place.
    ('<input type="file" name="other"><input type=file>', (("other", "(file)"),)),
    ("<input type=file name=no disabled>", ()),
    # _charset_ and the direction of a text.
    ("<input type=hidden name=_charset_ value=x>", (("_charset_", "UTF-8"),)),
    ("<input type=hidden name=_CHARSET_><input name=_charset_ value=x>", (("_CHARSET_", "UTF-8"), ("_charset_", "x"))),
    ("<input name=t value=a dirname=d>", (("t", "a"), ("d", "ltr"))),
    ("<input name=t value=a dirname=d dir=rtl>", (("t", "a"), ("d", "rtl"))),
    ("<div dir=RTL><input name=t dirname=d></div>", (("t", ""), ("d", "rtl"))),
    ("<div dir=rtl><input type=tel name=t dirname=d></div>", (("t", ""), ("d", "ltr"))),
    ("<textarea name=t dir=auto dirname=d>1 \u05d0</textarea>", (("t", "1 \u05d0"), ("d", "rtl"))),
    ("<input type=number name=t dirname=d><input name=u dirname=''>", (("t", ""), ("u", ""))),
    # Disabled by what stands around.
    ("<fieldset disabled><input name=t value=1></fieldset><input name=u value=2>", (("u", "2"),)),
    ("<fieldset disabled><legend><input name=t value=1></legend><input name=u></fieldset>", (("t", "1"),)),
    ("<fieldset disabled><legend></legend><legend><input name=t></legend></fieldset>", ()),
    ("<fieldset disabled><div><legend><input name=t></legend></div></fieldset>", ()),
    ("<fieldset disabled><p>x<legend><input name=t></legend></fieldset>", ()),
    ("<fieldset disabled><legend><fieldset><input name=t value=1></fieldset></legend></fieldset>", (("t", "1"),)),
    ("<fieldset disabled><fieldset><legend><input name=t></legend></fieldset></fieldset>", ()),
    ("<fieldset disabled><div></fieldset><input name=t value=1>", (("t", "1"),)),
    ("<div><fieldset disabled></div><input name=t value=1>", (("t", "1"),)),
    ("<fieldset disabled></div></p></span><input name=t value=1></fieldset>", ()),
    ("<b><h1><fieldset><legend><datalist></b><input name=t>", (("t", ""),)),
    ("<p><datalist><hr><input name=t></datalist>", (("t", ""),)),
    ("<datalist><input name=no><select name=no><option>a</select></datalist><input name=t>", (("t", ""),)),
    # Not HTML, or not in the document.
    ("<template><input name=no value=1></template>", ()),
    ("<template><form></template><input name=t>", (("t", ""),)),
    ("<svg><input name=no></svg><svg><desc><input name=t></desc></svg>", (("t", ""),)),
    ("<svg><title><input name=t></title></svg><math><mi><input name=u></mi></math>", (("t", ""), ("u", ""))),
    ("<svg><textarea name=no><input name=no2></textarea><p><input name=t>", (("t", ""),)),
    ("<svg/><input name=t><math><annotation-xml encoding=text/html><input name=u></math>", (("t", ""), ("u", ""))),
    ("<svg><![CDATA[<p><input name=no>]]></svg><input name=t>", (("t", ""),)),
    ("<![CDATA[<input name=no>]]><input name=t>", (("t", ""),)),
    ("<title><input name=no></title><style><input name=no></style><xmp><input name=no></xmp>", ()),
    ("<iframe><input name=no></iframe><noembed><input name=no></noembed>", ()),
    ("<noscript><input name=t value=1></noscript>", (("t", "1"),)),
    ("<script>var a = '<input name=no value=1>';</script>", ()),
    ("<script><!-- <script> </script> <input name=no> --></script><input name=t>", (("t", ""),)),
    ("<script><!--></script><input name=t>", (("t", ""),)),
    ("<!-- <input name=no value=1> --><input name=t>", (("t", ""),)),
    ("<!--><input name=t value=1>-->", (("t", "1"),)),
    ("<!---><input name=t value=1>-->", (("t", "1"),)),
    ("<!-- --!><input name=t><!x><?y></ z><input name=u>", (("t", ""), ("u", ""))),
    ("<input/name='t'/value='1'/><input name = u value = '2'><input name=a/b>", (("t", "1"), ("u", "2"), ("a/b", ""))),
    ("<input name=t value=&lt&amp;&copy=1&notit;>", (("t", "<&&copy=1&notit;"),)),
    ("<input name=t value='&#x41;&#0;&#128;&#99999999999;'>", (("t", "A\ufffd\u20ac\ufffd"),)),
    ("<input name=a<b value=1>", (("a<b", "1"),)),
]  # fmt: skip


@pytest.mark.parametrize(("inside", "expected"), DEFAULTS, ids=[inside for inside, _ in DEFAULTS])
def test_what_is_sent_beside_the_file(inside: str, expected: Fields) -> None:
    form = form_in(f"<form action=/go>{inside}</script></select></textarea></fieldset></svg>{FILE}</form>")
    assert fields(form) == expected
    assert form.action == "/go"


OWNERS: list[tuple[str, str, Fields]] = [
    ("table", f"<table><form action=/b><tr><td>{FILE}<input name=t></tr></form></table><input name=no>", (("t", ""),)),
    ("div", f"<div><form action=/b></div>{FILE}<p><input name=t></p></form><input name=no>", (("t", ""),)),
    ("form in form", f"<form action=/b>{FILE}<form action=/c><input name=t></form><input name=no>", (("t", ""),)),
    ("inside though ended", f"<form action=/b>{FILE}<div></form><input name=t></div><input name=no>", (("t", ""),)),
    ("never ended", f"<form action=/b>{FILE}<p><input name=t>", (("t", ""),)),
    ("by id", f"<input name=t form=b><form id=a><input name=no></form><form id=b action=/b>{FILE}", (("t", ""),)),
    ("no such id", f"<form action=/b>{FILE}<input name=no form=x><input name=no form></form>", ()),
    ("id of another element", f"<div id=b></div><form id=b action=/b>{FILE}<input name=no form=b></form>", ()),
    ("two of one id", f"<form id=b action=/b>{FILE}</form><form id=b></form><input name=t form=b>", (("t", ""),)),
    ("id in template", f"<template><p id=b></template><form id=b action=/b>{FILE}<input name=t form=b>", (("t", ""),)),
    ("field by id", "<form id=b action=/b></form><input type=file name=pic form=b>", ()),
    ("legend", f"<form action=/b><fieldset disabled><legend>{FILE}</legend><input name=no></fieldset></form>", ()),
    ("svg's id", f"<form action=/b>{FILE}</form><svg><form id=b /></svg><input name=no form=b>", ()),
    ("noscript", f"<noscript><form action=/b>{FILE}</form></noscript>", ()),
    ("head", f"<html><head><title>x</title><form action=/b>{FILE}<body><input name=t>", (("t", ""),)),
    ("in svg", f"<svg><form action=/no>{FILE}</form></svg><form action=/b>{FILE}</form>", ()),
    ("in a template", f"<template><form action=/no>{FILE}</form></template><form action=/b>{FILE}</form>", ()),
    ("field of another type", f"<form action=/no><input name=pic></form><form action=/b>{FILE}</form>", ()),
    ("disabled field", f"<form action=/no>{FILE[:-1]} disabled></form><form action=/b>{FILE}</form>", ()),
]  # fmt: skip


@pytest.mark.parametrize(("name", "text", "expected"), OWNERS, ids=[name for name, _, _ in OWNERS])
def test_whose_control_it_is(name: str, text: str, expected: Fields) -> None:
    form = form_in(text)
    assert (form.action, fields(form)) == ("/b", expected)


def test_forms_have_their_share_of_what_is_kept() -> None:
    """However many forms a page has; those that find no room are known by their file fields."""
    forms = [f"<form>{'<input name=a>' * 900}<input type=file name=f{number}></form>" for number in range(5)]
    found = read("".join(forms))
    assert [len(form.entries) for form in found.forms] == [901, 901, 1, 1, 1]
    assert [form.is_too_large for form in found.forms] == [False, False, True, True, True]
    assert found.form_with("f4") is found.forms[4]
    assert len(read("<form><input type=file name=a></form>" * 1000).forms) == 100


def test_long_values_are_kept_up_to_a_limit() -> None:
    """A megabyte of page may be two of what is sent, where its charset lacks the characters."""
    field = "<textarea name=t>" + "\U0001f600" * 120_000 + "</textarea>"
    one, two = (form_in(f"<form accept-charset=latin1>{FILE}{field * count}</form>") for count in (1, 2))
    assert (len(one.entries), one.is_too_large) == (2, False)
    assert (len(two.entries), two.is_too_large) == (1, True)


def test_radio_buttons_of_two_forms_are_two_groups() -> None:
    text = f"<form>{FILE}<input type=radio name=r value=1 checked></form><form><input type=radio name=r checked></form>"
    assert fields(form_in(text)) == (("r", "1"),)


def test_the_file_has_its_place_among_the_fields() -> None:
    form = form_in(f"<form><input name=a>{FILE}<input name=b>{FILE}</form>")
    assert [(entry.name, entry.is_file) for entry in form.entries] == [
        (b"a", False), (b"pic", True), (b"b", False), (b"pic", True),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("button", "action"),
    [
        ("<button formaction=/there>x</button>", "/there"),
        ("<input type=submit><button formaction=/there>x</button>", "/here"),
        ("<button type=button formaction=/there>x</button>", "/here"),
        ('<button formaction="">x</button>', ""),
        ("<button disabled formaction=/no>x</button><input type=image formaction=/there>", "/there"),
    ],
)
def test_the_button_may_name_the_action(button: str, action: str) -> None:
    assert form_in(f"<form action=/here>{FILE}{button}</form>").action == action


@pytest.mark.parametrize(
    ("accepted", "charset", "name"),
    [
        ("", "cp1251", "windows-1251"), ("utf-8", "utf-8", "UTF-8"), ("nonsense KOI8-R", "koi8-r", "KOI8-R"),
        ("punycode", "cp1251", "windows-1251"), ("latin1", "cp1252", "windows-1252"), ("utf-16", "utf-8", "UTF-8"),
        ("Shift_JIS", "cp932", "Shift_JIS"), ("gb2312", "gbk", "GBK"), ("iso-8859-2", "iso8859-2", "ISO-8859-2"),
    ],
)  # fmt: skip
def test_the_fields_have_the_charset_of_page_or_form(accepted: str, charset: str, name: str) -> None:
    text = f'<form accept-charset="{accepted}">{FILE}<input type=hidden name=_charset_></form>'
    form = form_in(text, "text/html; charset=windows-1251")
    assert (form.charset, fields(form)) == (charset, (("_charset_", name),))


def test_fields_are_encoded_as_browsers_do_it() -> None:
    text = f"<form>{FILE}<textarea name=Ж>Ж\n€ &#22259;&#13;</textarea></form>"
    form = form_in(text.encode("cp1251"), "text/html; charset=windows-1251")
    [entry] = [entry for entry in form.entries if not entry.is_file]
    assert (entry.name, entry.value) == (b"\xc6", b"\xc6\r\n\x88 &#22259;\r\n")


def test_the_base_is_told() -> None:
    found = read(f'<base target=x><base href="https://x.test/y/"><base href="/no"><form>{FILE}</form>')
    assert (found.base, found.forms[0].action) == ("https://x.test/y/", "")


SVG_FORM = "<svg><form id=b /></svg><input type=file name=pic form=b>"


@pytest.mark.parametrize("text", ["", "plain text", f"{FILE}", "<template><form></form></template>", SVG_FORM])
def test_no_form(text: str) -> None:
    assert not read(text).has_form


@pytest.mark.parametrize("text", ["<form></form>", "<form><input type=file name=PIC>", "<form><input type=file>"])
def test_no_such_field(text: str) -> None:
    found = read(text)
    assert found.has_form
    assert found.form_with("pic") is None


def test_an_open_textarea_swallows_no_field_before_it() -> None:
    assert fields(form_in(f"<form>{FILE}<textarea name=x>rest of the page")) == (("x", "rest of the page"),)


@given(st.text(max_size=300))
def test_any_text_is_read_without_an_error(text: str) -> None:
    read((text + "<form><input type=file name=pic>").encode("utf-8", "surrogatepass"))


TAGS = [
    "form", "fieldset", "legend", "datalist", "select", "optgroup", "option", "textarea", "input", "button", "table",
    "tr", "td", "th", "tbody", "caption", "template", "p", "b", "a", "i", "div", "li", "dd", "ul", "svg", "math",
    "title", "desc", "mi", "script", "style", "object", "h1", "ruby", "rt", "noscript", "label",
]  # fmt: skip


@given(st.lists(st.tuples(st.booleans(), st.sampled_from(TAGS))))
def test_any_order_of_tags_is_read_without_an_error(tags: list[tuple[bool, str]]) -> None:
    read("".join(f"</{name}>" if is_end else f"<{name} name=x>" for is_end, name in tags))


@pytest.mark.parametrize(
    ("body", "media_type", "value", "expected"),
    [
        ("é".encode(), "text/html", "é", "utf-8"),
        ("é".encode("latin-1"), "text/html; charset=ISO-8859-1", "é", "cp1252"),
        (b'<meta charset="windows-1251">\xff', "text/html", "я", "cp1251"),
        (b'<meta http-equiv=Content-Type content="text/html; charset=windows-1251">\xff', "text/html", "я", "cp1251"),
        (b'<meta content="text/html; charset=windows-1251">\xc3\xa9', "text/html", "é", "utf-8"),
        (b'<!-- <meta charset="windows-1251"> -->\xc3\xa9', "text/html", "é", "utf-8"),
        (b"<!--" + b"x" * 1100 + b"--><meta charset=windows-1251>\xff", "text/html", "я", "cp1251"),
        (b"<title>\xff</title>" + b" " * 1100 + b"<meta charset=windows-1251>\xff", "text/html", "я", "cp1251"),
        (b"<meta charset=koi8-r>" + b" " * 1100 + b"<meta charset=windows-1251>\xff", "text/html", "Ъ", "koi8-r"),
        (b" " * 1100 + b"<meta charset=windows-1251>\xc3\xa9", "text/html; charset=utf-8", "é", "utf-8"),
        (b"\x80", "text/html; charset=us-ascii", "€", "cp1252"),
        (b"x", "text/html; charset=nonsense", "x", "utf-8"),
        (b"b\xd6", "text/html; charset=GBK", "b&#65533;", "gbk"),
        (b"a-b", "text/html; charset=punycode", "a-b", "utf-8"),
        (b"+AGE-", "text/html; charset=utf-7", "+AGE-", "utf-8"),
        (b'<meta charset="windows-1251">\xff', "text/html; charset=idna", "я", "cp1251"),
        (b"<meta charset=utf-16>\xc3\xa9", "text/html", "é", "utf-8"),
        (b"\x83\x65", "text/html;charset='x-sjis'", "テ", "cp932"),
    ],
)
def test_the_charset_is_found(body: bytes, media_type: str, value: str, expected: str) -> None:
    head, mark, text = body.rpartition(b">")
    start = b"<form><input type=file name=pic><select name=s><option>"
    form = form_in(head + mark + start + text + b"</option></select></form>", media_type)
    assert (form.charset, fields(form)) == (expected, (("s", value),))


def test_a_byte_order_mark_comes_before_the_header() -> None:
    body = f"\ufeff<form>{FILE}<input name=t value=Ж></form>".encode()
    assert fields(form_in(body, "text/html; charset=windows-1251")) == (("t", "Ж"),)


@pytest.mark.parametrize("codec", ["utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("has_header", [False, True])
def test_a_page_in_utf_16_sends_utf_8(codec: str, has_header: bool) -> None:
    mark = {"utf-16": b"", "utf-16-le": b"\xff\xfe", "utf-16-be": b"\xfe\xff"}[codec]
    label = {"utf-16": "utf-16", "utf-16-le": "utf-16le", "utf-16-be": "utf-16be"}[codec]
    body = (b"" if has_header and codec != "utf-16" else mark) + f"<form>{FILE}<input name=t value=Ж></form>".encode(
        codec
    )
    form = form_in(body, f"text/html; charset={label}" if has_header else "text/html")
    assert (form.charset, fields(form)) == ("utf-8", (("t", "Ж"),))


@pytest.mark.parametrize(
    "label", ["windows-31j", "ks_c_5601-1987", "tis-620", "iso88592", "x-cp1251", "big5", "euc-jp", "x-mac-japanese"]
)
def test_labels_of_the_web_are_known(label: str) -> None:
    assert charsets.of_label(label.upper()) is not None


@pytest.mark.parametrize(
    ("text", "is_invalid"),
    [
        ("<form>{}<input aria-invalid=true></form>", True),
        ("<form>{}<input aria-invalid=false></form>", False),
        ("<form>{}<input aria-invalid=' False '></form>", False),
        ("<form>{}<input aria-invalid='&#102;alse'></form>", False),
        ("<form>{}<input aria-invalid></form>", False),
        ("<form>{}<input aria-invalid=' '></form>", False),
        ("<form>{}<input aria-invalid=undefined></form>", False),
        ("<form>{}<input aria-invalid=spelling></form>", True),
        ("<form>{}<select aria-invalid=Grammar></select></form>", True),
        ("<form>{}<input aria-invalid=aria-invalid></form>", True),
        ("<form>{}<textarea aria-invalid=1></textarea></form>", True),
        ("<form id=a>{}</form><textarea form=a aria-invalid=TRUE></textarea>", True),
        ("<form>{}</form><form><input aria-invalid=true></form>", False),
        ("<form>{}<ul class='errorlist nonfield'><li>no</ul></form>", True),
        ("<form>{}<ul class=errorlist> <li></ul>x</form>", False),
        ("<ul class=errorlist><li>pic<ul class=errorlist><li>no</ul></ul><form>{}</form>", True),
        ("<form>{}</form><div class=errorlist>no</div>", True),
        ("<template><ul class=errorlist><li>no</ul></template><form>{}</form>", False),
        ("<form><ul class=errorlist><li>no</ul></form><form>{}</form>", False),
        ("<form>{}<p class=noerrorlist>no</form>", False),
        ("<form>{}<template><input aria-invalid=true></template></form>", False),
    ],
)
def test_marks_of_what_is_wrong(text: str, is_invalid: bool) -> None:
    assert form_in(text.format(FILE)).is_invalid is is_invalid


@pytest.mark.parametrize(
    ("text", "has_password"),
    [
        ("<form><input type=PASSWORD name=p></form>", True),
        ("<input type=password>", True),
        ("<template><input type=password></template><textarea><input type=password></textarea>", False),
    ],
)
def test_a_password_field_is_seen(text: str, has_password: bool) -> None:
    assert read(text).has_password is has_password
