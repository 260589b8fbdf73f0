"""``POST /v1/render`` of the real server: each way in, the format that is chosen, and each refusal."""

import base64
import json
import re
import socket
from urllib.parse import quote

import pytest
from PIL import ExifTags, Image

from tests.service.conftest import World
from tests.support.daemon import wait_until
from tests.support.ondemand import FORM, JPEG, JSON, SMALL, Reply, call, form, opened, render, with_recipe
from tests.support.pictures import (
    GPS_CITY,
    animation,
    detailed,
    distance,
    encoded,
    gps_exif,
    oriented_jpeg,
    scene,
    svg,
)

PHOTO = encoded(scene(640, 480), "jpeg")
CLEAR = encoded(scene(60, 40, "RGBA"), "png")
AS_PNG = {**SMALL, "encode": {"format": "png"}}
PNG_TYPE = {"Content-Type": "image/png"}
OCTETS = {"Content-Type": "application/octet-stream"}
TIFF, CLEAR_TIFF = encoded(scene(60, 40), "tiff"), encoded(scene(60, 40, "RGBA"), "tiff")
CHROME = "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8"


def job(request: object) -> tuple[str, bytes]:
    return "job", json.dumps(request).encode()


def each_way_in(world: World) -> dict[str, Reply]:
    server = world.server
    data = "data:image/jpeg;base64," + base64.b64encode(PHOTO).decode()
    upload = {"source": {"upload": "photo"}, **AS_PNG}
    return {
        "http": render(server, {"source": f"{world.http.url}/photo.jpg", **AS_PNG}),
        "object": render(server, {"source": {"url": f"{world.http.url}/photo.jpg"}, **AS_PNG}),
        "ftp": render(server, {"source": f"{world.ftp.url}/photo.jpg", **AS_PNG}),
        "file": render(server, {"source": f"file://{world.read_root}/photo.jpg", **AS_PNG}),
        "data": render(server, {"source": data, **AS_PNG}),
        "body": call(server, PHOTO, JPEG, with_recipe(AS_PNG)),
        "octets": call(server, PHOTO, OCTETS, with_recipe(AS_PNG)),
        "form": call(server, form(job(upload), ("photo", PHOTO)), FORM),
        "form with a URL": call(server, form(job({"source": f"{world.http.url}/photo.jpg", **AS_PNG})), FORM),
    }


def test_each_way_in_leads_to_the_same_picture(world: World) -> None:
    replies = each_way_in(world)
    assert {way: reply.status for way, reply in replies.items()} == dict.fromkeys(replies, 200)
    assert len({reply.body for reply in replies.values()}) == 1
    picture = replies["body"].picture
    assert (picture.size, picture.format) == ((200, 120), "PNG")
    expected = scene(640, 480).crop((0, 48, 640, 432)).resize((200, 120), Image.Resampling.LANCZOS)
    assert distance(picture, expected) < 1


def test_what_the_answer_tells(world: World) -> None:
    headers = call(world.server, PHOTO, {**JPEG, "X-Request-Id": "of-the-client.1"}, with_recipe(SMALL)).headers
    assert headers["x-request-id"] == "of-the-client.1"
    assert headers["cache-control"] == "no-store"
    assert headers["vary"] == "Accept"
    spent = dict(part.strip().split(";dur=") for part in headers["server-timing"].split(","))
    assert list(spent) == ["fetch", "wait", "render"]
    assert all(0 <= float(ms) < 60_000 for ms in spent.values())
    assert float(spent["render"]) > 0
    own = call(world.server, PHOTO, {**JPEG, "X-Request-Id": "two words"}, with_recipe(SMALL)).headers["x-request-id"]
    assert len(own) == 24
    wait_until(lambda: f"on_demand request={own} " in world.server.log)


def test_a_size_in_bytes(world: World) -> None:
    def wanted(most_bytes: int) -> str:
        return with_recipe({**SMALL, "encode": {"format": "jpeg", "max_bytes": most_bytes}})

    whole = call(world.server, PHOTO, JPEG, wanted(100_000))
    assert "desc" not in whole.headers["server-timing"]
    smaller = call(world.server, PHOTO, JPEG, wanted(len(whole.body) - 1))
    assert len(smaller.body) < len(whole.body)
    *_, number = smaller.headers["server-timing"].partition(';desc="')
    assert 1 < int(number.removesuffix(' encodes"')) <= 8
    refused = call(world.server, PHOTO, JPEG, wanted(100))
    assert (refused.status, json.loads(refused.body)["code"]) == (422, "max_bytes_unreachable")


def test_the_encodes_of_max_bytes_are_told(world: World) -> None:
    recipe = {**SMALL, "encode": {"format": "jpeg", "max_bytes": 1500}}
    reply = call(world.server, PHOTO, JPEG, with_recipe(recipe))
    assert len(reply.picture.tobytes()) > 1500 >= len(reply.body)
    told = re.search(r'render;dur=[\d.]+;desc="(\d) encodes"', reply.headers["server-timing"])
    assert told is not None
    assert 1 < int(told[1]) <= 8
    unreachable = call(
        world.server, PHOTO, JPEG, with_recipe({**SMALL, "encode": {"format": "jpeg", "max_bytes": 100}})
    )
    assert (unreachable.status, unreachable.problem["code"]) == (422, "max_bytes_unreachable")
    assert unreachable.faults == [("query.recipe.encode.max_bytes", "max_bytes_unreachable")]


@pytest.mark.parametrize(
    ("accept", "source", "expected"),
    [
        (None, PHOTO, "jpeg"),
        ("*/*", PHOTO, "jpeg"),
        ("image/*", CLEAR, "png"),
        ("*/*", TIFF, "jpeg"),
        ("*/*", CLEAR_TIFF, "png"),
        (CHROME, PHOTO, "webp"),
        ("image/png, image/jpeg;q=0.9", PHOTO, "png"),
        ("image/png;q=0.5, image/jpeg;q=0.5", CLEAR, "jpeg"),
        ("IMAGE/PNG ; Q=0.5 , text/html", PHOTO, "png"),
        ("image/gif", PHOTO, "gif"),
        ("image/jpg", CLEAR, "jpeg"),
        ("image/avif, */*;q=0.1", PHOTO, "jpeg"),
        ("image/jpeg;q=0, */*", PHOTO, "webp"),
        ("image/webp;q=0, text/html, image/*;q=0.1", PHOTO, "jpeg"),
        ("image/webp;q=2", PHOTO, None),
        ("image/avif", PHOTO, None),
        ("text/html, application/json", PHOTO, None),
        ("image/svg+xml", PHOTO, None),
        ("*/*;q=0", PHOTO, None),
    ],
)
def test_the_format_is_negotiated(world: World, accept: str | None, source: bytes, expected: str | None) -> None:
    resize = {"operations": [{"operation": "resize", "width": 30}]}
    reply = call(
        world.server, source, {**OCTETS, **({} if accept is None else {"Accept": accept})}, with_recipe(resize)
    )
    if expected is None:
        assert (reply.status, reply.problem["code"]) == (406, "not_acceptable")
    else:
        assert (reply.picture.format or "").lower() == expected


def test_a_recipe_that_names_a_format_gets_it(world: World) -> None:
    reply = call(world.server, PHOTO, {**JPEG, "Accept": "text/html"}, with_recipe(AS_PNG))
    assert reply.picture.format == "PNG"


@pytest.mark.parametrize(
    ("request_", "faults"),
    [
        (SMALL, [("source", "field_missing")]),
        ({"source": "data:,x", "preset": "card"}, [("preset", "field_invalid")]),
        ({"source": 3, **SMALL}, [("source", "source_invalid")]),
        ({"source": "gopher://a/b.png", **SMALL}, [("source", "source_scheme_unknown")]),
        ({"source": {"url": "nothing"}, **SMALL}, [("source.url", "source_invalid")]),
        ({"source": {"url": "http://a/b", "headers": []}, **SMALL}, [("source.headers", "field_invalid")]),
        ({"source": {"upload": "photo"}, **SMALL}, [("source.upload", "source_invalid")]),
        ({"source": {"upload": ""}, **SMALL}, [("source.upload", "source_invalid")]),
        ({"source": "data:image/png;base64,####", **SMALL}, [("source", "source_invalid")]),
        ({"source": "data:nothing", **SMALL}, [("source", "source_invalid")]),
        ({"source": "http://10.0.0.1/a.png", **SMALL}, [("source", "source_refused")]),
        (
            {"source": "", "operations": [{"operation": "resize", "width": 0}, {"operation": "spin"}], "color": 1},
            [
                ("source", "source_invalid"), ("color", "field_unknown"), ("operations[0].width", "field_invalid"),
                ("operations[1].operation", "field_invalid"),
            ],
        ),
    ],
)  # fmt: skip
def test_all_faults_of_the_text_at_once(world: World, request_: object, faults: list[tuple[str, str]]) -> None:
    reply = render(world.server, request_)
    assert (reply.status, reply.faults) == (422, faults)
    assert reply.problem["code"] == "request_invalid"
    assert reply.problem["retryable"] is False


@pytest.mark.parametrize(
    ("target", "faults"),
    [
        ("?recipe=" + quote('{"operations":[{"operation":"resize","width":"9"}]}'),
         [("query.recipe.operations[0].width", "field_invalid")]),
        ("?recipe=" + quote('{"operations":'), [("query.recipe", "field_invalid")]),
        ("?recipe=" + quote(json.dumps({**SMALL, "x" * 8192: 1})), [("query.recipe", "field_invalid")]),
        ("?recipe=%FF", [("query", "field_invalid")]),
        ("?preset=card", [("query.preset", "field_invalid")]),
        ("?preset=card&recipe={}", [("query", "field_invalid")]),
        ("?recipe={}&recipe={}", [("query", "field_invalid")]),
        ("?receipt={}", [("query.receipt", "field_unknown")]),
        ("?%5B=", [("query", "field_unknown")]),
        ("?recipe", [("query", "field_invalid")]),
    ],
)  # fmt: skip
def test_faults_of_the_query(world: World, target: str, faults: list[tuple[str, str]]) -> None:
    reply = call(world.server, PHOTO, JPEG, "/v1/render" + target)
    assert (reply.status, reply.faults) == (422, faults)


def test_a_query_beside_json_is_a_fault(world: World) -> None:
    reply = call(world.server, json.dumps({"source": "data:,x", **SMALL}).encode(), JSON, with_recipe(SMALL))
    assert (reply.status, reply.faults) == (422, [("query.recipe", "field_invalid")])


@pytest.mark.parametrize(
    ("body", "headers", "status", "code"),
    [
        (b"{", JSON, 400, "body_invalid"),
        (b'{"source": "data:,x", "source": "data:,y"}', JSON, 400, "body_invalid"),
        (b"", JSON, 400, "body_invalid"),
        (b"no form", FORM, 400, "body_invalid"),
        (form(job({"source": {"upload": "a"}, **SMALL}), ("a", PHOTO))[:-20], FORM, 400, "body_invalid"),
        (PHOTO, {"Content-Type": "multipart/form-data"}, 400, "body_invalid"),
        (form(("photo", PHOTO), job(SMALL)), FORM, 400, "job_part_not_first"),
        (form(job({"source": {"upload": "a"}, **SMALL})), FORM, 422, "request_invalid"),
        (form(job({"source": {"upload": "a"}, **SMALL}), ("b", PHOTO)), FORM, 422, "request_invalid"),
        (form(job({"source": {"upload": "a"}, **SMALL}), ("a", PHOTO), ("b", PHOTO)), FORM, 422, "request_invalid"),
        (form(job({"source": {"upload": "a"}, "x": 1}), ("a", PHOTO)), FORM, 422, "request_invalid"),
        (PHOTO, {}, 415, "media_type_unsupported"),
        (PHOTO, {"Content-Type": "text/plain"}, 415, "media_type_unsupported"),
        (b"{}", {"Content-Type": "application/x-www-form-urlencoded"}, 415, "media_type_unsupported"),
        (PHOTO, {**JPEG, "Content-Encoding": "gzip"}, 415, "media_type_unsupported"),
        (b"these are words", OCTETS, 422, "source_unreadable"),
        (b"", JPEG, 422, "source_unreadable"),
        (PHOTO[: len(PHOTO) // 2], JPEG, 422, "source_unreadable"),
        (PHOTO, PNG_TYPE, 422, "not_svg"),
    ],
)
def test_each_refusal(world: World, body: bytes, headers: dict[str, str], status: int, code: str) -> None:
    drawing = {"operations": [{"operation": "rasterize", "width": 200}]}
    target = with_recipe(SMALL) if headers in (JPEG, OCTETS) else "/v1/render"
    target = with_recipe(drawing) if headers == PNG_TYPE else target
    reply = call(world.server, body, headers, target)
    assert (reply.status, reply.problem["code"]) == (status, code)


def test_json_that_is_too_long_is_refused_unread(world: World) -> None:
    with opened(world.server, {**JSON, "Content-Length": "1000001"}, "/v1/render", b"{") as client:
        answer = b"".join(iter(lambda: client.recv(65_536), b""))
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"longer than 1,000,000 bytes" in answer


def test_json_of_very_many_values_is_refused(world: World) -> None:
    many = json.dumps({f"k{number}": 1 for number in range(50_000)}).encode()
    for target, body, headers in (
        ("/v1/render", many, JSON), ("/v1/info", many, JSON), ("/v1/render", form(("job", many)), FORM)
    ):  # fmt: skip
        reply = call(world.server, body, headers, target)
        assert (reply.status, reply.problem["code"]) == (400, "body_invalid")
        assert "too many values" in str(reply.problem["detail"])
    classic = call(world.server, many, JSON, "/")
    assert (classic.status, classic.body) == (200, b'{"msg":"request parse error"}')
    assert "too many values" in classic.headers["x-imgserve-detail"]


def test_a_long_request_is_answered_as_a_short_one(world: World) -> None:
    """It is parsed in another thread."""
    source = "data:image/jpeg," + quote(PHOTO, safe="")
    assert len(source) > 16_384
    reply = render(world.server, {"source": source, **AS_PNG})
    assert reply.body == call(world.server, PHOTO, JPEG, with_recipe(AS_PNG)).body
    faulty = render(world.server, {"source": source, "operations": [{"operation": "resize", "width": 0}]})
    assert (faulty.status, faulty.faults) == (422, [("operations[0].width", "field_invalid")])


def test_the_answer_reaches_a_client_that_sends_on(world: World) -> None:
    """A connection that is closed with unread bytes is reset, which would drop the answer."""
    for target, begun in (("/v1/render", b"{"), ("/", b" " * 1_000_001)):
        with opened(world.server, {**JSON, "Content-Length": "1900000"}, target, begun) as client:
            client.recv(1, socket.MSG_PEEK)
            for _ in range(8):
                client.sendall(bytes(100_000))
            client.shutdown(socket.SHUT_WR)
            answer = b"".join(iter(lambda: client.recv(65_536), b""))
        assert answer.startswith(b"HTTP/1.1 413 ")
        assert b"\r\n\r\n{" in answer


@pytest.mark.parametrize("place", ["http", "ftp", "file"])
def test_a_source_that_does_not_exist_is_the_clients_fault(world: World, place: str) -> None:
    where = {"http": world.http.url, "ftp": world.ftp.url, "file": f"file://{world.read_root}"}[place]
    url = f"{where}/nowhere.jpg"
    for reply in (
        render(world.server, {"source": url, **SMALL}),
        call(world.server, None, {}, "/v1/info?url=" + quote(url), "GET"),
    ):
        assert (reply.status, reply.problem["code"]) == (422, "source_not_found")
        assert reply.problem["retryable"] is False


def test_a_source_that_does_not_come_is_a_bad_gateway(world: World) -> None:
    (world.read_root / "directory").mkdir(exist_ok=True)
    reply = render(world.server, {"source": f"file://{world.read_root}/directory", **SMALL})
    assert (reply.status, reply.problem["code"]) == (502, "source_unavailable")
    reply = render(world.server, {"source": "http://127.0.0.1:9/a.png", **SMALL})
    assert reply.status == 422, "a port that is not allowed"


def test_a_rejected_key_tells_nothing(world: World) -> None:
    reply = call(world.server, PHOTO, {**JPEG, "Origin": "https://evil.example"}, with_recipe(SMALL))
    assert (reply.status, reply.problem["code"]) == (401, "not_authorised")


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (PHOTO, {"format": "jpeg", "width": 640, "height": 480, "frames": 1, "orientation": 1, "has_alpha": False}),
        (CLEAR, {"format": "png", "width": 60, "height": 40, "frames": 1, "orientation": 1, "has_alpha": True}),
        (animation(5), {"format": "gif", "width": 40, "height": 30, "frames": 5, "orientation": 1, "has_alpha": True}),
        (oriented_jpeg(scene(60, 40), 6),
         {"format": "jpeg", "width": 60, "height": 40, "frames": 1, "orientation": 6, "has_alpha": False}),
        (svg("<rect/>", 'viewBox="0 0 3 2.5"'),
         {"format": "svg", "width": 3, "height": 2.5, "frames": 1, "orientation": 1, "has_alpha": False}),
    ],
    ids=["jpeg", "alpha", "frames", "turned", "svg"],
)  # fmt: skip
def test_facts_of_a_picture(world: World, data: bytes, expected: dict[str, object]) -> None:
    """As a body, as a part, in JSON and by URL."""
    (world.read_root / "facts").write_bytes(data)
    url = f"file://{world.read_root}/facts"
    replies = [
        call(world.server, data, OCTETS, "/v1/info"),
        call(world.server, form(job({"source": {"upload": "a"}}), ("a", data)), FORM, "/v1/info"),
        call(world.server, json.dumps({"source": url}).encode(), JSON, "/v1/info"),
        call(world.server, None, {}, "/v1/info?url=" + quote(url), "GET"),
    ]
    for reply in replies:
        assert (reply.status, reply.headers["content-type"]) == (200, "application/json")
        assert json.loads(reply.body) == {**expected, "size_bytes": len(data)}


@pytest.mark.parametrize(
    ("target", "path", "code"),
    [
        ("", "query.url", "source_invalid"),
        ("?url=gopher://a", "query.url", "source_scheme_unknown"),
        ("?url=http://10.0.0.1/a.png", "query.url", "source_refused"),
        ("?url=http://10.0.0.1/a.png&include=weather", "query.include", "field_invalid"),
        ("?uri=a", "query.uri", "field_unknown"),
    ],
)
def test_faults_of_asking_for_facts(world: World, target: str, path: str, code: str) -> None:
    reply = call(world.server, None, {}, "/v1/info" + target, "GET")
    assert (reply.status, reply.faults) == (422, [(path, code)])


def test_facts_of_no_picture(world: World) -> None:
    assert call(world.server, b"words", OCTETS, "/v1/info").problem["code"] == "source_unreadable"
    assert call(world.server, b"{", JSON, "/v1/info").status == 400
    faulty = call(world.server, json.dumps({"source": 1, "size": 2}).encode(), JSON, "/v1/info")
    assert faulty.faults == [("size", "field_unknown"), ("source", "source_invalid")]


def test_facts_by_url_need_the_beginning_only(world: World) -> None:
    large = encoded(detailed(3000, 2000), "jpeg")
    (world.http.directory / "large.jpg").write_bytes(large)
    reply = call(world.server, None, {}, f"/v1/info?url={quote(world.http.url)}/large.jpg", "GET")
    assert json.loads(reply.body)["size_bytes"] == len(large), "the host has told it"


def test_facts_that_are_included(world: World) -> None:
    exif = gps_exif()
    exif.get_ifd(ExifTags.IFD.GPSInfo).update({3: "W", 4: (13.0, 24.0, 0.0)})
    photo = encoded(scene(320, 240), "jpeg", exif=exif)
    target = "/v1/info?include=thumbhash,blurhash,colors,exif"
    facts = json.loads(call(world.server, photo, JPEG, target).body)
    assert (facts["width"], facts["height"], facts["size_bytes"]) == (320, 240, len(photo))
    assert 5 < len(base64.b64decode(facts["thumbhash"])) < 30
    assert len(facts["blurhash"]) == 28
    assert sum(color["fraction"] for color in facts["colors"]) == pytest.approx(1, abs=0.01)
    assert facts["exif"]["Artist"] == GPS_CITY
    assert "position" not in facts
    place = json.loads(call(world.server, photo, JPEG, "/v1/info?include=position").body)["position"]
    assert place == {"latitude": 52.52, "longitude": -13.4, "altitude_m": None}
    (world.http.directory / "tagged.jpg").write_bytes(photo)
    by_url = call(world.server, None, {}, f"{target}&url={quote(world.http.url)}/tagged.jpg", "GET")
    assert json.loads(by_url.body) == facts
    form_reply = call(world.server, form(job({"source": {"upload": "a"}}), ("a", photo)), FORM, target)
    assert json.loads(form_reply.body) == facts
    assert "exif" not in json.loads(call(world.server, photo, JPEG, "/v1/info").body)
    damaged = call(world.server, PHOTO[: len(PHOTO) // 2], JPEG, "/v1/info?include=colors")
    assert (damaged.status, damaged.problem["code"]) == (422, "source_unreadable")
