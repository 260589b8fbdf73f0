"""Upload forms as they are in the wild: what a browser would send, to whom, and with which cookies and login."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from imgserve.request.limits import Limits
from imgserve.transfer.config import Config
from imgserve.transfer.dispatch import Transfers
from imgserve.transfer.faults import DeliveryFailed
from tests.support.certificates import Authority
from tests.support.forms import DjangoSite
from tests.support.sites import OddSite, Seen
from tests.support.transfers import LOOPBACK, deliver_bytes, destination, read_page, write

FILE = '<input type="file" name="image_file">'
FORM = f'<form method="post" action="/take">{FILE}<input type="hidden" name="token" value="t0k"></form>'.encode()


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
async def transfers(authority: Authority) -> AsyncIterator[Transfers]:
    made = Transfers(Config(allow_networks=LOOPBACK, ca_file=str(authority.ca_file)), Limits(), read_page)
    yield made
    await made.aclose()


async def post(transfers: Transfers, url: str, field: str = "image_file", name: str = "x.png") -> None:
    place = destination("form", url, name=name)
    place = type(place)(place.kind, url, url, place.host, place.port, place.path, url, name, field)
    await deliver_bytes(transfers, place, b"picture", write())


def fields(post: Seen) -> list[tuple[bytes, bytes]]:
    """Names and values of a multipart body, in order, as bytes; a file's value is its own."""
    boundary = b"--" + post.headers["content-type"].partition("boundary=")[2].encode()
    found = []
    for part in post.body.split(boundary)[1:-1]:
        head, _, value = part.partition(b"\r\n\r\n")
        found.append((head.partition(b' name="')[2].partition(b'"')[0], value.removesuffix(b"\r\n")))
    return found


@pytest.mark.parametrize("is_secure", [False, True], ids=["http", "https"])
async def test_django_with_csrf_and_a_session(
    transfers: Transfers, authority: Authority, tmp_path: Path, is_secure: bool
) -> None:
    """By https Django also wants to know which page posts (Origin or Referer)."""
    media = tmp_path / "media"
    media.mkdir()
    with DjangoSite(media, authority.server("127.0.0.1") if is_secure else None) as site:
        for number in range(2):
            await post(transfers, site.url + "/upload/", "picture", f"{number}.png")
        with pytest.raises(DeliveryFailed, match="403"):
            await post(transfers, site.url + "/take/", "picture")
    assert sorted(path.name for path in media.iterdir()) == ["0.png", "1.png", "fields"]
    assert (media / "1.png").read_bytes() == b"picture"
    assert (media / "fields").read_text() == "tëst 1"


@pytest.mark.parametrize(
    ("head", "action", "path"),
    [
        ('<base href="/gallery/">', "upload.php?do=add", "/gallery/upload.php?do=add"),
        ('<base href="sub/"><base href="/no/">', "upload.php", "/pages/sub/upload.php"),
        ('<base target="_top">', "../upload.php", "/upload.php"),
        ("", "", "/pages/add.php?id=7"),
        ('<base href="/gallery/">', "", "/pages/add.php?id=7"),
        ("", "?id=8&amp;x=%20 1", "/pages/add.php?id=8&x=%20+1"),
    ],
)
async def test_a_page_of_the_php_kind(transfers: Transfers, head: str, action: str, path: str) -> None:
    page = (
        f"<HTML><HEAD>{head}</HEAD><BODY><TABLE><FORM METHOD=POST ENCTYPE=multipart/form-data ACTION='{action}'>"
        f"<TR><TD><INPUT TYPE=HIDDEN NAME=MAX_FILE_SIZE VALUE=2000000><TD><INPUT TYPE=FILE NAME=image_file>"
        "<TR><TD><SELECT NAME=cat><OPTION VALUE=1>one<OPTION VALUE=2 SELECTED>two</SELECT>"
        "<INPUT TYPE=CHECKBOX NAME=rules CHECKED><INPUT TYPE=CHECKBOX NAME=mail>"
        "<TR><TD><INPUT TYPE=SUBMIT NAME=send VALUE=Go><INPUT TYPE=SUBMIT NAME=preview VALUE=Look></FORM></TABLE>"
    )
    with OddSite(page.encode()) as site:
        await post(transfers, site.url + "/pages/add.php?id=7")
        [sent] = site.posts()
    assert sent.path == path
    assert fields(sent) == [
        (b"MAX_FILE_SIZE", b"2000000"), (b"image_file", b"picture"), (b"cat", b"2"), (b"rules", b"on"), (b"send", b"Go")
    ]  # fmt: skip


async def test_of_several_forms_the_one_with_the_field_is_sent(transfers: Transfers) -> None:
    page = (
        b"<form action=/login><input name=user></form><form action=/avatar><input type=file name=avatar></form>"
        b"<form action=/take id=up><input name=a value=1></form><input type=file name=image_file form=up>"
        b"<form action=/other><input type=file name=image_file></form>"
    )
    with OddSite(page) as site:
        await post(transfers, site.url + "/page")
        await post(transfers, site.url + "/page", "avatar")
        assert [sent.path for sent in site.posts()] == ["/take", "/avatar"]
        assert fields(site.posts()[0])[0] == (b"a", b"1")


async def test_a_login_goes_to_the_page_and_its_origin_alone(transfers: Transfers) -> None:
    with OddSite() as other, OddSite(FORM) as site:
        url = site.url.replace("//", "//user:s3cret@") + "/page?secret=1"
        await post(transfers, url)
        assert [one.headers["authorization"] for one in site.seen] == ["Basic dXNlcjpzM2NyZXQ="] * 2
        assert site.posts()[0].headers["origin"] == site.url
        assert site.posts()[0].headers["referer"] == site.url + "/page?secret=1"
        site.page = FORM.replace(b"/take", f"{other.url}/take".encode())
        await post(transfers, url)
    [sent] = other.seen
    assert (sent.method, sent.path) == ("POST", "/take")
    assert "authorization" not in sent.headers
    assert (sent.headers["origin"], sent.headers["referer"]) == (site.url, site.url + "/")
    assert "s3cret" not in str(sent.headers)


async def test_cookies_go_to_their_own_host_and_are_gone_with_the_post(transfers: Transfers) -> None:
    """``localhost`` and 127.0.0.1 are two hosts on one machine."""
    headers = {"Content-Type": "text/html", "Set-Cookie": "id=c00kie; Path=/; HttpOnly"}
    with OddSite(status=200) as other, OddSite(FORM, headers) as site:
        await post(transfers, site.url + "/page")
        assert site.seen[1].headers["cookie"] == "id=c00kie"
        await post(transfers, site.url + "/page")
        assert "cookie" not in site.seen[2].headers, "each post starts anew"
        foreign = f"{other.url}/take".replace("127.0.0.1", "localhost")
        site.page = FORM.replace(b"/take", foreign.encode())
        await post(transfers, site.url + "/page")
        assert [one.method for one in other.seen] == ["POST"]
        assert "cookie" not in other.seen[0].headers
        site.page = FORM.replace(b"/take", f"{other.url}/take".encode())
        await post(transfers, site.url + "/page")
        assert other.seen[1].headers["cookie"] == "id=c00kie", "a port is no other host for a cookie"


@pytest.mark.parametrize("cookie", ["id=1; Path=/elsewhere", "id=1; Domain=example.com", "id=1; Max-Age=0"])
async def test_a_cookie_for_elsewhere_is_not_sent(transfers: Transfers, cookie: str) -> None:
    with OddSite(FORM, {"Content-Type": "text/html", "Set-Cookie": cookie}) as site:
        await post(transfers, site.url + "/page")
        assert "cookie" not in site.posts()[0].headers


@pytest.mark.parametrize("status", [400, 403, 404, 405])
async def test_a_page_that_only_takes_posts(transfers: Transfers, status: int) -> None:
    with OddSite(b"<p>no", status=201) as site:
        site.page_status = status
        await post(transfers, site.url + "/api/upload?k=1")
        [sent] = site.posts()
    assert sent.path == "/api/upload?k=1"
    assert fields(sent) == [(b"image_file", b"picture")]
    assert not {"origin", "referer", "cookie"} & set(sent.headers), "no page has sent it"


@pytest.mark.parametrize(
    ("page", "media_type"),
    [
        (b'{"hello": 1}', "application/json"),
        (FORM, "text/plain"),
        (b"", "text/html"),
    ],
    ids=["json", "text", "empty"],
)
async def test_no_such_form_gets_a_bare_post(transfers: Transfers, page: bytes, media_type: str) -> None:
    with OddSite(page, {"Content-Type": media_type}) as site:
        await post(transfers, site.url + "/page")
        [sent] = site.posts()
    assert sent.path == "/page"
    assert fields(sent) == [(b"image_file", b"picture")]


@pytest.mark.parametrize("mark", [b"", b"\n ", b"\xef\xbb\xbf"])
async def test_a_page_without_a_media_type_is_html_if_it_looks_like_it(transfers: Transfers, mark: bytes) -> None:
    with OddSite(mark + FORM, {"X-Nothing": "said"}) as site:
        await post(transfers, site.url + "/page")
        [sent] = site.posts()
    assert sent.path == "/take"


async def test_a_page_that_fails_gets_no_post(transfers: Transfers) -> None:
    with OddSite(FORM) as site:
        site.page_status = 503
        with pytest.raises(DeliveryFailed, match="503") as caught:
            await post(transfers, site.url + "/page")
        assert caught.value.is_retryable
        assert not site.posts()


async def test_fields_travel_in_the_charset_of_the_page(transfers: Transfers) -> None:
    page = (
        '<meta charset="windows-1251"><form action=/take><input name="имя" value="Жук 図">'
        '<input type=hidden name=_charset_><textarea name=t>\n1\n2</textarea><input type=file name="файл"></form>'
    )
    with OddSite(page.encode("cp1251", "xmlcharrefreplace")) as site:
        await post(transfers, site.url + "/page", "файл", "жук 図.png")
        [sent] = site.posts()
    assert fields(sent) == [
        ("имя".encode("cp1251"), "Жук &#22259;".encode("cp1251")), (b"_charset_", b"windows-1251"), (b"t", b"1\r\n2"),
        ("файл".encode("cp1251"), b"picture"),
    ]  # fmt: skip
    assert 'filename="жук &#22259;.png"'.encode("cp1251") in sent.body


async def test_other_file_fields_send_an_empty_file_in_their_place(transfers: Transfers) -> None:
    page = f"<form action=/take><input type=file name=other><input name=t value=1>{FILE}<input type=file name=z></form>"
    with OddSite(page.encode()) as site:
        await post(transfers, site.url + "/page")
        [sent] = site.posts()
    assert fields(sent) == [(b"other", b""), (b"t", b"1"), (b"image_file", b"picture"), (b"z", b"")]
    empty = b'name="other"; filename=""\r\nContent-Type: application/octet-stream\r\n\r\n\r\n'
    assert empty in sent.body


async def test_names_cannot_break_out_of_their_part(transfers: Transfers) -> None:
    """As the standard has it for multipart/form-data: quotes and line ends are percent-encoded, and nothing else."""
    page = f"""<form action=/take><input name='a"b&#10;c%20;' value=1><input type=file name='d"&#13;e'>{FILE}</form>"""
    with OddSite(page.encode()) as site:
        await post(transfers, site.url + "/page", name='x";\u2028.png')
        [sent] = site.posts()
    assert b'name="a%22b%0D%0Ac%20;"\r\n' in sent.body
    assert b'name="d%22%0D%0Ae"; filename=""\r\n' in sent.body
    assert 'name="image_file"; filename="x%22;\u2028.png"\r\n'.encode() in sent.body


@pytest.mark.parametrize(
    ("action", "path"),
    [
        (" /ta\tke\n?a=1 ", "/take?a=1"),
        ("/take?q=Жук 图#x", "/take?q=%C6%F3%EA+%26%2322270%3B"),
        ("/Ж?q=&#1046;", "/%D0%96?q=%C6"),
        ("#Ж?Ж", "/page?id=7"),
        ("\\take", "/take"),
        (" \t", "/page?id=7"),
    ],
)
async def test_the_action_is_read_as_browsers_do(transfers: Transfers, action: str, path: str) -> None:
    page = f'<meta charset="windows-1251"><form action="{action}">{FILE}</form>'
    with OddSite(page.encode("cp1251", "xmlcharrefreplace")) as site:
        await post(transfers, site.url + "/page?id=7")
        [sent] = site.posts()
    assert sent.path == path


@pytest.mark.parametrize("page", ["<base href='/{}'><form>{}</form>", "<form action='?{}'>{}</form>"])
async def test_an_action_of_any_length_is_not_sent(transfers: Transfers, page: str) -> None:
    with OddSite(page.format("Ж" * 400_000, FILE).encode()) as site:
        with pytest.raises(DeliveryFailed, match="8000 characters"):
            await post(transfers, site.url + "/page")
        assert not site.posts()


async def test_a_form_with_too_many_fields_is_not_sent(transfers: Transfers) -> None:
    page = f"<form action=/take>{FILE}{'<input name=a>' * 1000}</form>"
    with OddSite(page.encode()) as site:
        with pytest.raises(DeliveryFailed, match="more fields"):
            await post(transfers, site.url + "/page")
        assert not site.posts()


async def test_a_post_sent_again_elsewhere_tells_no_more_than_the_origin(transfers: Transfers) -> None:
    with OddSite() as other, OddSite(FORM, status=307) as site:
        site.answer_headers["Location"] = f"{other.url}/there"
        await post(transfers, site.url + "/page?secret=1")
        assert site.posts()[0].headers["referer"] == site.url + "/page?secret=1"
    [sent] = other.seen
    assert (sent.method, sent.path) == ("POST", "/there")
    assert fields(sent) == fields(site.posts()[0])
    assert (sent.headers["origin"], sent.headers["referer"]) == (site.url, site.url + "/")
