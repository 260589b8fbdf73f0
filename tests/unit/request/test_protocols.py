"""The table of protocols: what it says, and that nothing else decides by a scheme's or a kind's name."""

import re
from pathlib import Path
from typing import get_args

import pycurl
import pytest

import imgserve
from imgserve.request import url
from imgserve.request.destination import DestinationTemplate
from imgserve.request.protocols import NOT_YET, SCHEMES, WRITING, DestinationKind, SchemeName, for_libcurl
from imgserve.request.source import parse_source
from imgserve.transfer.guard import Guard


def test_each_name_has_its_row() -> None:
    assert set(SCHEMES) == set(get_args(SchemeName)) - {"upload"}  # which no URL has
    assert set(WRITING) == set(get_args(DestinationKind))
    assert not NOT_YET & SCHEMES.keys()


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_port_is_libcurls_own_and_open(scheme: str) -> None:
    row = SCHEMES[scheme]
    if row.is_local or row.has_bucket:
        assert parse_source(f"{scheme}://{'' if row.is_local else 'srv'}/srv/a.png").port == 0
        return
    assert row.port is not None
    parsed = pycurl.CurlUrl(for_libcurl(f"{scheme}://h/a.png"))
    assert int(parsed.getpart(pycurl.UPART_PORT, pycurl.U_DEFAULT_PORT)) == row.port
    assert url.parse(f"{scheme}://h/a.png").port == row.port
    assert url.parse(f"{scheme}://h:{row.port}/a.png").port == row.port
    assert Guard().port_refusal(row.port) is None


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("ftpes://h/a", "ftp://h/a"), ("FTPES://h/a", "ftp://h/a"), ("ftps://h/a", "ftps://h/a"),
        ("http://h/ftpes:a", "http://h/ftpes:a"), ("sftp://h/a", "sftp://h/a"), ("", ""),
    ],
)  # fmt: skip
def test_libcurls_word_for_a_scheme(text: str, asked: str) -> None:
    assert for_libcurl(text) == asked


@pytest.mark.parametrize(
    ("kind", "shown", "can_delete"),
    [
        ("file", "file:///o/a.png", True), ("ftp", "ftp://h/a.png", True), ("put", "https://h/a.png", True),
        ("put", "https://h/a.png?X-Amz-Signature=1", False), ("form", "https://h/up:a.png", False),
    ],
)  # fmt: skip
def test_where_a_picture_can_be_deleted(kind: DestinationKind, shown: str, can_delete: bool) -> None:
    assert DestinationTemplate(kind, shown).can_delete == can_delete


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_directory_is_a_file_for_a_web_server_alone(scheme: str) -> None:
    text = f"{scheme}://{'' if SCHEMES[scheme].is_local else 'srv'}/pictures/"
    if SCHEMES[scheme].names_file:
        with pytest.raises(url.UrlInvalid, match="got a directory"):
            _ = url.parse(text).target
        with pytest.raises(url.UrlInvalid, match="no query"):
            url.parse(text + "a?b")
    else:
        assert url.parse(text).target == "/pictures/"


def test_nothing_asks_for_a_scheme_or_a_kind_by_its_name() -> None:
    """But for the schemes of proxies, and the controls of an HTML form, which are other words."""
    names = "|".join([*SCHEMES, *WRITING])
    asked = re.compile(rf'\b(?:kind|scheme)\b(?:\[\S*\])? (?:==|!=|(?:not )?in) [({{]*"(?:{names})"|case "(?:{names})"')
    others = ("imaging/worker/", "transfer/client/proxy.py", "api/http/")
    top = Path(imgserve.__file__).parent
    found = {
        path.relative_to(top).as_posix(): lines
        for path in top.rglob("*.py")
        if (lines := asked.findall(path.read_text()))
    }
    assert [name for name in found if not name.startswith(others)] == []
    assert "transfer/client/proxy.py" in found
