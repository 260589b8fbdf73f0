"""Mounted dialects as clients meet them: signatures, methods, and many requests on one connection."""

import re
import socket
from collections.abc import Iterator

import pytest
from examples.receivers import Behaviour

from tests.support.daemon import wait_until
from tests.support.getting import (
    KEY,
    PHOTO,
    SALT,
    SECOND_KEY,
    SECOND_SALT,
    THUMBOR_KEY,
    Client,
    Gets,
    Reply,
    gets,
    imgproxy_signed,
    raw,
    thumbor_signed,
)
from tests.support.sizes import PATIENCE_S

ORIGIN = "https://app.example.com"
MOUNTS = f"""
cors_origin = ["{ORIGIN}"]
[get.imgproxy]
path = "/"
key_file = "DIR/../keys"
salt_file = "DIR/../salts"
trusted_signatures = ["partner"]
max_src_file_size = 100_000
base_url = "WEB/"
[get.thumbor]
path = "/thumbor"
key_file = "DIR/../thumbor"
base_url = "WEB/"
negotiate = ["webp"]
[get.iiif]
path = "/iiif"
allow_unsigned = true
sources = ["WEB/"]
base_url = "WEB/"
"""
REST = "/rs:fit:60:60/plain/photo.jpg"
THUMBOR_REST = "60x45/photo.jpg"
# Of each answer its own.
OWN = re.compile(rb"(?m)^(date|x-request-id): .*\r\n")

PICTURES = (
    imgproxy_signed(REST),
    f"/thumbor{thumbor_signed(THUMBOR_REST)}",
    "/iiif/3/photo.jpg/full/60,/0/default.jpg",
)
# What programs of this machine do not send.
STRANGE = {
    "X-Forwarded-For": "203.0.113.9", "Forwarded": "for=203.0.113.9", "Via": "1.1 proxy", "X-Real-IP": "203.0.113.9",
    "CF-Ray": "1", "Host": "images.example.com", "Origin": "https://evil.test", "Sec-Fetch-Site": "cross-site",
    "X-Forwarded-Host": "127.0.0.1", "X-Original-URL": "/v1/jobs", "X-Rewrite-URL": "/v1/jobs",
}  # fmt: skip


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gets]:
    top = tmp_path_factory.mktemp("signed")
    for name, lines in (("keys", (KEY, SECOND_KEY)), ("salts", (SALT, SECOND_SALT)), ("thumbor", (THUMBOR_KEY,))):
        (top / name).write_text("\n".join(lines) + "\n")
    with gets(top, MOUNTS) as server:
        yield server


@pytest.mark.parametrize(
    "path",
    [
        imgproxy_signed(REST),
        imgproxy_signed(REST, SECOND_KEY, SECOND_SALT),
        f"/partner{REST}",
        f"/thumbor{thumbor_signed(THUMBOR_REST)}",
        f"/thumbor{thumbor_signed(THUMBOR_REST)}".replace("=", "%3D"),
        "/iiif/3/photo.jpg/full/60,/0/default.jpg",
    ],
)
def test_a_right_url_is_a_picture(site: Gets, path: str) -> None:
    assert site.get(path).size == (60, 45)


@pytest.mark.parametrize(
    ("path", "status", "body"),
    [
        (f"/unsafe{REST}", 403, b"Forbidden"),
        (f"/{imgproxy_signed(REST).split('/')[1]}{REST.replace('60', '61')}", 403, b"Forbidden"),
        (f"/{imgproxy_signed(REST).split('/')[1]}={REST}", 403, b"Forbidden"),
        (f"/{imgproxy_signed(REST).split('/')[1][:20]}{REST}", 403, b"Forbidden"),
        (imgproxy_signed(REST, KEY, SECOND_SALT), 403, b"Forbidden"),
        (f"/PARTNER{REST}", 403, b"Forbidden"),
        (imgproxy_signed(REST).replace(":", "%3A", 1).replace("rs", "%72s", 1), 403, b"Forbidden"),
        ("/rs:fit:60:60/plain/photo.jpg", 403, b"Forbidden"),
        ("/only", 404, b"Invalid URL"),
        (imgproxy_signed("/rs:fat:60:60/plain/photo.jpg"), 404, b"Invalid URL"),
        (f"/thumbor/unsafe/{THUMBOR_REST}", 400, b""),
        (f"/thumbor{thumbor_signed(THUMBOR_REST).replace('60x45', '61x45')}", 400, b""),
        (f"/thumbor{thumbor_signed(THUMBOR_REST, 'another')}", 400, b""),
        (f"/thumbor/{THUMBOR_REST}", 400, b""),
    ],
)
def test_a_wrong_url_has_its_dialects_answer(site: Gets, path: str, status: int, body: bytes) -> None:
    before = len(site.web.log.all())
    reply = site.get(path)
    assert (reply.status, reply.body, reply["cache-control"]) == (status, body, "no-store")
    assert len(site.web.log.all()) == before


def test_imgproxys_answers_have_the_name_of_the_sources_file(site: Gets) -> None:
    """Also of one beneath the base URL."""
    for source in ("photo.jpg", f"{site.web.url}/photo.jpg"):
        reply = site.get(imgproxy_signed(f"/f:png/plain/{source}"))
        assert reply["content-disposition"] == 'inline; filename="photo.png"'


def test_a_source_may_be_so_long(site: Gets) -> None:
    """By imgproxy's own limit; thumbor has none but the server's."""
    site.put("long.jpg", PHOTO + bytes(100_000))
    reply = site.get(imgproxy_signed("/rs:fit:60:60/plain/long.jpg"))
    assert (reply.status, reply.body) == (422, b"Invalid source image")
    assert site.get(f"/thumbor{thumbor_signed('60x45/long.jpg')}").size == (60, 45)


@pytest.mark.parametrize(
    ("answered", "statuses"),
    [
        (401, (401, 404, 502)), (404, (404, 404, 404)), (410, (410, 404, 404)), (429, (429, 404, 502)),
        (500, (502, 404, 502)), (503, (502, 404, 502)),
    ],
)  # fmt: skip
def test_an_error_of_the_source_is_the_dialects_own(site: Gets, answered: int, statuses: tuple[int, ...]) -> None:
    """imgproxy passes on those that are the client's. No cache keeps one, and no body tells about the host."""
    name = f"error{answered}.jpg"
    site.web.behave(f"/{name}", Behaviour(status=answered))
    paths = (
        imgproxy_signed(f"/plain/{name}"), f"/thumbor{thumbor_signed(name)}", f"/iiif/3/{name}/full/max/0/default.jpg",
    )  # fmt: skip
    replies = [site.get(path) for path in paths]
    assert tuple(reply.status for reply in replies) == statuses
    assert {reply["cache-control"] for reply in replies} == {"no-store"}
    assert replies[0].body == b"Source is unreachable"
    assert not any(b"127.0.0.1" in reply.body or name.encode() in reply.body for reply in replies)


def test_colons_that_a_proxy_has_encoded_are_signed_as_written(site: Gets) -> None:
    assert site.get(imgproxy_signed(REST).replace("rs:fit:60:60", "rs%3Afit%3A60%3a60")).size == (60, 45)


def test_head_has_the_headers_of_get(site: Gets) -> None:
    """Of a picture that is made, of one in memory, and of errors."""
    paths = (
        imgproxy_signed("/rs:fit:61:61/plain/photo.jpg"), f"/thumbor{thumbor_signed('61x61/photo.jpg')}",
        "/iiif/3/photo.jpg/info.json", "/iiif/3/photo.jpg", "/iiif/3/none.jpg/info.json", f"/unsafe{REST}",
    )  # fmt: skip
    with site.client() as client:
        for path in (*paths, *paths):
            head, get = client.ask(path, "HEAD"), client.get(path)
            assert (head.status, _common(head)) == (get.status, _common(get))
            assert head.body == b""
        assert client.ask(paths[0], "HEAD", (("Range", "bytes=0-9"),)).status == 200
        assert client.ask(paths[0], "HEAD", (("If-None-Match", "*"),)).status == 304


def _common(reply: Reply) -> list[tuple[str, str]]:
    return [field for field in reply.headers if field[0] not in ("date", "x-request-id")]


def test_options_does_no_work(site: Gets) -> None:
    before = len(site.web.log.all())
    with site.client() as client:
        for path in ("/unsafe/any", "/thumbor/any", "/iiif/3/any", imgproxy_signed("/plain/unseen.jpg")):
            reply = client.ask(path, "OPTIONS")
            assert (reply.status, reply["allow"], reply.body) == (204, "GET, HEAD, OPTIONS", b"")
        iiif = client.ask("/iiif/3/any", "OPTIONS", (("Origin", "https://viewer.test"),))
        assert iiif["access-control-allow-origin"] == "*"
    assert len(site.web.log.all()) == before


def test_pages_of_listed_origins_may_read_pictures(site: Gets) -> None:
    """A page of any origin may read IIIF's. Caches learn that the answer depends on the origin, also of hot ones."""
    with site.client() as client:
        for _ in range(4):
            reply = client.get(imgproxy_signed(REST), Origin=ORIGIN)
            assert (reply["access-control-allow-origin"], reply["vary"]) == (ORIGIN, "Origin")
            assert client.get(imgproxy_signed(REST), Origin="https://evil.test")["access-control-allow-origin"] == ""
            assert client.get(imgproxy_signed(REST))["vary"] == "Origin"
            assert client.get("/iiif/3/photo.jpg/info.json", Origin="https://b.test")["access-control-allow-origin"]


HOT = imgproxy_signed("/rs:fit:70:70/plain/photo.jpg")


def request(path: str = HOT, version: str = "1.1", **headers: str) -> bytes:
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in {"Host": "a.test", **headers}.items())
    return f"GET {path} HTTP/{version}\r\n{lines}\r\n".encode()


def answers(received: bytes) -> list[bytes]:
    """Without what is each one's own."""
    return [OWN.sub(b"", b"HTTP/1.1 " + one, count=2) for one in received.split(b"HTTP/1.1 ")[1:]]


def ids(received: bytes) -> list[str]:
    return [found.decode() for found in re.findall(rb"x-request-id: (\S+)\r\n", received)]


def test_hot_answers_are_byte_for_byte_the_usual_ones(site: Gets) -> None:
    """A field that means nothing to a dialect takes the usual way. That the others are hot show their ids, which count
    on.
    """
    url = site.server.url
    assert site.get(HOT).status == site.get(HOT).status == 200
    usual = raw(url, request(Connection="close"))
    hot = raw(url, request() * 5 + request(Connection="close"))
    assert set(answers(hot)) == {*answers(usual), _without_close(answers(usual)[0])}
    assert len(answers(hot)) == 6
    numbers = [int(one[12:], 16) for one in ids(hot)[:5]]
    assert numbers == [*range(numbers[0], numbers[0] + 5)]
    assert len({one[:12] for one in ids(hot)[:5]}) == 1
    assert len(set(ids(hot))) == 6


def _without_close(answer: bytes) -> bytes:
    return answer.replace(b"connection: close\r\n", b"")


def test_requests_that_are_sent_at_once_are_answered_in_order(site: Gets) -> None:
    """Hot ones between ones that are made, refused, or not to be answered at once."""
    paths = [HOT, imgproxy_signed("/rs:fit:71:71/plain/photo.jpg"), HOT, f"/unsafe{REST}", HOT, "/health", HOT]
    site.get(HOT)
    received = raw(site.server.url, b"".join(map(request, paths)) + request("/", Connection="close"))
    statuses = [int(one[9:12]) for one in answers(received)]
    assert statuses == [200, 200, 200, 403, 200, 200, 200, 401]
    hot = [answers(received)[place] for place in (0, 2, 4, 6)]
    assert len(set(hot)) == 1
    assert answers(received)[1] not in hot


def test_a_client_chooses_how_its_connection_goes_on(site: Gets) -> None:
    site.get(HOT)
    url = site.server.url
    (old,) = answers(raw(url, request(version="1.0")))
    (closed,) = answers(raw(url, request(Connection="close")))
    assert b"connection: close\r\n" in closed
    assert old.partition(b"\r\n\r\n")[2] == closed.partition(b"\r\n\r\n")[2] != b""


def test_the_clients_own_request_id_is_kept(site: Gets) -> None:
    with site.client() as client:
        replies = [client.get(HOT, X_Request_Id="shop-7") for _ in range(3)]
        assert [reply["x-request-id"] for reply in replies] == ["shop-7"] * 3
        seen = [client.get(HOT)["x-request-id"] for _ in range(20)]
        assert len(set(seen)) == 20
    wait_until(lambda: f"request={seen[-1]}" in site.server.log)


def test_a_slow_reader_gets_every_byte(site: Gets) -> None:
    """More answers than the sockets hold, before the first one is read. Others are answered meanwhile."""
    path, count = imgproxy_signed("/rs:fit:320:320/q:100/plain/photo.jpg"), 600
    body = site.get(path).body
    host, _, port = site.server.url.removeprefix("http://").partition(":")
    with socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.settimeout(PATIENCE_S)
        slow.connect((host, int(port)))
        slow.sendall(request(path) * (count - 1) + request(path, Connection="close"))
        assert site.get(HOT).status == 200
        received = b"".join(iter(lambda: slow.recv(1_000_000), b""))
    assert received.count(body) == received.count(b"HTTP/1.1 200 ") == count
    assert len(set(ids(received))) == count


def test_what_asks_for_another_answer_is_not_hot(site: Gets) -> None:
    with site.client() as client:
        etag = [client.get(HOT)["etag"] for _ in range(3)][-1]
        assert client.get(HOT, If_None_Match=etag).status == 304
        assert client.get(HOT, Range="bytes=0-9").status == 206
        assert client.get(HOT, Accept="image/webp,*/*").body == client.get(HOT).body
        assert client.ask(HOT, "HEAD").body == b""
        assert client.get(f"{HOT}?v=2").body == client.get(HOT).body
        negotiable = f"/thumbor{thumbor_signed('72x72/photo.jpg')}"
        for _ in range(3):
            assert client.get(negotiable, Accept="image/webp")["content-type"] == "image/webp"
            assert client.get(negotiable)["content-type"] == "image/jpeg"
        twice = (("Accept", "image/webp"), ("Accept", "image/png"))
        assert client.ask(negotiable, headers=twice)["content-type"] == "image/webp"


def test_a_client_of_its_own_connection_each(site: Gets) -> None:
    for _ in range(3):
        with Client(site.server.url) as client:
            assert client.get(HOT).size == (70, 53)


@pytest.mark.parametrize("name", STRANGE)
def test_what_proxies_send_is_allowed_at_a_mount_alone(site: Gets, name: str) -> None:
    sent = ((name, STRANGE[name]),)
    with site.client() as client:
        assert [client.ask(path, headers=sent).status for path in PICTURES] == [200, 200, 200]
        assert client.ask("/v1/jobs", headers=sent).status == 401
        assert client.ask("/", "POST", sent, b"{}").status == 401
        assert client.ask("/metrics", headers=sent).status == 401
        assert client.get("/v1/jobs").status == 200
        assert client.ask("//", headers=sent).status == 401


def test_a_hot_picture_opens_nothing_on_its_connection(site: Gets) -> None:
    with site.client() as client:
        for _ in range(4):
            assert client.ask(PICTURES[0], headers=(("X-Forwarded-For", "203.0.113.9"),)).status == 200
            assert client.ask("/v1/jobs", headers=(("X-Forwarded-For", "203.0.113.9"),)).status == 401
