"""Whether an SVG is XML is found out at a cost that its length bounds: in CPU time, whatever its document type says."""

import time
from collections.abc import Callable

import pytest

from imgserve.imaging.faults import SvgInvalid
from imgserve.imaging.worker.svg import sizing, xmlcheck
from tests.support import pictures

START = b'<svg xmlns="http://www.w3.org/2000/svg" width="40" height="20"'
MOST_CPU_S = 0.3  # that a call may take without coming back to Python, where the watch ends the picture after 0.2
BODY = b"<rect width='40' height='20'/>"


def typed(subset: bytes, body: bytes) -> bytes:
    return b"<!DOCTYPE svg [" + subset + b"]>" + START + b">" + body + b"</svg>"


def attributes(count: int, form: bytes = b"<!ATTLIST g a:x%d CDATA ''>") -> bytes:
    return b"".join(form % number for number in range(count))


def prefixed(count: int) -> bytes:
    return b" ".join(b"a:x%d=''" % number for number in range(count))


def laughs(body: bytes) -> bytes:
    levels = b"".join(b'<!ENTITY a%d "%s">' % (n, b"&a%d;" % (n - 1) * 10) for n in range(1, 10))
    return typed(b'<!ENTITY a0 "<g/>">' + levels, body)


TOO_DEAR: dict[str, tuple[str, Callable[[], bytes]]] = {
    "1,500 attributes for 4,000 elements": ("attributes", lambda: typed(attributes(1500), b"<g/>" * 4000)),
    "the same for a million": ("attributes", lambda: typed(attributes(1500), b"<g/>" * 1_000_000)),
    "one declaration of them all": (
        "attributes", lambda: typed(b"<!ATTLIST g " + attributes(1500, b" a%d CDATA ''") + b">", b"<g/>" * 9)),
    "100,000 attributes": ("attributes", lambda: typed(attributes(100_000, b"<!ATTLIST g a%d CDATA ''>"), b"")),
    "behind a long remark": (
        "attributes", lambda: typed(b"<!--" + b"x>" * 900_000 + b"-->" + attributes(90_000), b"<g/>")),
    "a namespace for every element": (
        "attributes", lambda: typed(attributes(1500, b"<!ATTLIST g xmlns:a%d CDATA 'u'>"), b"<g/>" * 4000)),
    "a long default": (
        "a value of more", lambda: typed(b"<!ATTLIST g xmlns:a CDATA '%s'>" % (b"u" * 900), b"<g %s/>" % prefixed(9))),
    "laughs in text": ("entities", lambda: laughs(b"&a9;")),
    "laughs in an attribute": ("entities", lambda: laughs(b"<g a='&a9;'/>")),
    "one long entity, often": ("entities", lambda: typed(b'<!ENTITY a "%s">' % (b"x" * 90_000), b"&a;" * 90_000)),
    "the same in one attribute": (
        "entities", lambda: typed(b'<!ENTITY a "%s">' % (b"x" * 90_000), b"<g a='%s'/>" % (b"&a;" * 90_000))),
    "elements in an entity, with attributes": (
        "elements", lambda: typed(b'<!ENTITY a "%s">' % (b"<g/>" * 9_000) + attributes(90), b"&a;" * 90)),
    "a million references": ("references", lambda: typed(b'<!ENTITY a "x">', b"<g a='%s'/>" % (b"&a;" * 1_000_000))),
    "100,000 entities": (
        "entities", lambda: typed(b"".join(b"<!ENTITY a%d 'x'>" % n for n in range(100_000)), b"")),
    "entities in a circle": ("circle", lambda: typed(b"<!ENTITY a '&b;'><!ENTITY b '&a;'>", b"&a;")),
    "a long namespace": (
        "a namespace", lambda: START + b" xmlns:a='%s'><g %s/></svg>" % (b"u" * 200_000, prefixed(100_000))),
    "the same by an entity": (
        "a namespace",
        lambda: typed(b"<!ENTITY u '%s'>" % (b"u" * 90_000), b"<g xmlns:a='&u;' %s/>" % prefixed(100_000))),
    "the same inside an entity": (
        "a namespace",
        lambda: typed(b"<!ENTITY g \"<g xmlns:a='%s' %s/>\">" % (b"u" * 90_000, prefixed(50_000)), b"&g;")),
    "400,000 attributes": (
        "attributes", lambda: START + b"><g " + attributes(400_000, b"x%d='' ") + b"/></svg>"),
    "250,000 namespaces": (
        "attributes", lambda: START + b"><g " + attributes(250_000, b"xmlns:x%d='u' ") + b"/></svg>"),
}  # fmt: skip
LONG_BUT_PLAIN: dict[str, bytes] = {
    "a long attribute": b"<g a='" + b"x>" * 2_400_000 + b"'/>",
    "a long name": b"<" + b"g" * 4_800_000 + b"/>",
    "a long remark": b"<!--" + b"x> " * 1_600_000 + b"-->",
    "remarks": b"<!---->" * 680_000,
    "a long instruction": b"<?a " + b"x> " * 1_600_000 + b"?>",
    "instructions": b"<?a?>" * 900_000,
    "a long section": b"<![CDATA[" + b"x]> " * 1_200_000 + b"]]>",
    "sections": b"<![CDATA[]]>" * 400_000,
    "brackets": b"]" * 4_800_000,
    "lines": b"x\n" * 2_400_000,
    "letters by number": b"<g a='" + b"&#9;" * 1_200_000 + b"'/>",
    "paths": b"<path d='M1,20 L33.1,44.2 C1,2 3,4 5,6z' fill='none'/>\n" * 85_000,
}


@pytest.mark.parametrize("name", TOO_DEAR)
def test_what_would_keep_a_parser_busy_is_refused_before_it_does(name: str) -> None:
    expected, make = TOO_DEAR[name]
    data = make()
    started = time.process_time()
    with pytest.raises(SvgInvalid, match=f"cost too much: .*{expected}"):
        sizing.natural_size(data)
    assert time.process_time() - started < MOST_CPU_S


@pytest.mark.parametrize("name", LONG_BUT_PLAIN)
def test_what_is_only_long_is_read(name: str) -> None:
    data = START + b">" + LONG_BUT_PLAIN[name] + b"</svg>"
    started = time.process_time()
    assert sizing.natural_size(data) == (40, 20)
    assert time.process_time() - started < MOST_CPU_S


@pytest.mark.parametrize(
    "data",
    [
        typed(b'<!ENTITY red "#f00"><!ENTITY dark "&red;"><!ATTLIST g class CDATA #IMPLIED>', b"<g fill='&dark;'/>"),
        typed(attributes(20, b"<!ATTLIST g a%d CDATA ''>"), b"<g/>" * 2000),
        typed(b"<!ENTITY ns 'http://ns.adobe.com/Extensibility/1.0/'>", b"<g xmlns:x='&ns;' x:a='1'/>"),
        typed(b"<!ELEMENT g (a|b)*><!NOTATION n SYSTEM 'x'><!-- ATTLIST --><?a b?>", BODY),
        typed(b"<!ENTITY % more '<!ENTITY b \"x\">'>", BODY),
        typed(b"<!ENTITY later '&first;'><!ENTITY first 'x'>", b"<desc>&later;</desc>"),
        b'<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "http://h/svg11.dtd">' + START + b">" + BODY + b"</svg>",
    ],
)
def test_document_types_as_programs_write_them(data: bytes) -> None:
    assert sizing.natural_size(data) == (40, 20)


@pytest.mark.parametrize("length", [1, 1023, 1024, 1025, 5000])
def test_faults_are_found_wherever_a_piece_ends(length: int) -> None:
    well = pictures.svg(f"<desc>{'x' * length}</desc>" + f'<g a="{">" * length}"/>' * 3)
    xmlcheck.check(well)
    for broken in (well[:-1], well[:-7], well.replace(b"<g", b"<h/><g>", 1), well + b"<g/>", well.replace(b"/>", b">")):
        with pytest.raises(SvgInvalid):
            xmlcheck.check(broken)
