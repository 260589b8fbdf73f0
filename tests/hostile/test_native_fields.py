"""Line ends, NULs, quotes, marks that turn text around and 4 KB in every field of the native API.

Fields are those of the API's own description. Each text is refused by an answer that names the field; those of ``OPEN``
may be taken, and then every receiver sees what it sees of a harmless text: the same requests, each with the same
headers, and the text itself where it belongs, encoded.
"""

import base64
import itertools
import json
import re
from collections.abc import Iterator
from urllib.parse import quote, unquote_to_bytes, urlencode

import pytest

from tests.hostile.native_fields import GIVEN, fields_in, parameters_in, path_of, placed
from tests.hostile.native_receivers import GOOD, ORIGIN, Change, Shape, World, exchanged, of_output, receivers
from tests.hostile.texts import EVIL, PICTURE, are_plain
from tests.support.daemon import wait_until
from tests.support.native import Answer
from tests.support.ondemand import BOUNDARY, FORM

SOURCES = (
    "HTTP/EVIL.png", "HTTP/a.png?EVIL", "http://EVIL:pw@HOST/a.png", "FTP/EVIL.png", "s3://good/EVIL.png",
    "s3://EVIL/a.png", f"data:image/EVIL;base64,{base64.b64encode(PICTURE).decode()}",
)  # fmt: skip
DESTINATIONS = (
    "HTTP/EVIL.png", "HTTP/b.png?EVIL", "http://EVIL:pw@HOST/b.png", "HTTP/{$name}-EVIL.{$ext}", "FTP/EVIL.png",
    "FTP/EVIL/b.png", "s3://good/EVIL.png", "s3://EVIL/b.png",
)  # fmt: skip
FORMS = ("HTTP/up:EVIL.png", "HTTP/EVIL:b.png")
HOOKS = ("HTTP/EVIL", "HTTP/hook?EVIL", "http://EVIL:pw@HOST/hook")
IMAGES = ("HTTP/EVIL.png", "s3://good/EVIL.png")
OBJECTS = "s3://good/b.png"
SOURCE: dict[str, object] = {"url": "HTTP/a.png"}
PUT: dict[str, object] = {"url": "HTTP/b.png"}
HOOK: dict[str, object] = {"url": "HTTP/hook"}


def headers(at: dict[str, object], name: str = GIVEN, value: str = "x") -> dict[str, object]:
    return {**at, "headers": {name: value}}


def drawn(image: object) -> dict[str, object]:
    return of_output("HTTP/b.png", operations=[{"operation": "composite", "image": image}])


# The fields that may take any text, each with jobs of it. EVIL stands for the text.
OPEN: dict[str, list[Change]] = {
    "source": [{"source": url} for url in SOURCES],
    "source.url": [{"source": {"url": SOURCES[0]}}],
    "source.headers.{name}": [{"source": headers(SOURCE, "EVIL")}],
    "source.headers.{value}": [{"source": headers(SOURCE, value="EVIL")}],
    "outputs.[].destination": [of_output(url) for url in DESTINATIONS],
    "outputs.[].destination.url": [
        of_output({"url": DESTINATIONS[0]}), *(of_output({"url": url, "method": "POST"}) for url in FORMS)
    ],
    "outputs.[].destination.field_name": [of_output({"url": "HTTP/up:b.png", "field_name": "EVIL"})],
    "outputs.[].destination.headers.{name}": [
        of_output(headers(PUT, "EVIL")), of_output(headers({"url": OBJECTS}, "X-Amz-Meta-EVIL")),
        of_output(headers({"url": "HTTP/up:b.png", "method": "POST"}, "EVIL")),
    ],
    "outputs.[].destination.headers.{value}": [
        of_output(headers(PUT, value="EVIL")), of_output(headers({"url": OBJECTS}, "Content-Disposition", "EVIL")),
        of_output(headers({"url": "HTTP/up:b.png", "method": "POST"}, value="EVIL")),
    ],
    "outputs.[].placeholder.text": [of_output("HTTP/b.png", placeholder={"text": "EVIL"})],
    "outputs.[].operations.[composite].image": [drawn(url) for url in IMAGES],
    "outputs.[].operations.[composite].image.url": [drawn({"url": IMAGES[0]})],
    "metadata.{name}": [{"metadata": {"EVIL": "x"}, "webhook": "HTTP/hook"}],
    "metadata.{value}": [{"metadata": {GIVEN: "EVIL"}, "webhook": "HTTP/hook"}],
    "webhook": [{"webhook": url} for url in HOOKS],
    "webhook.url": [{"webhook": {"url": HOOKS[0]}}],
    "webhook.headers.{name}": [{"webhook": headers(HOOK, "EVIL")}],
    "webhook.headers.{value}": [{"webhook": headers(HOOK, value="EVIL")}],
}  # fmt: skip
# Those that the server reads, beside the ones that frame the message.
HEADERS = (
    "authorization", "content-encoding", "content-type", "idempotency-key", "last-event-id", "origin", "prefer",
    "traceparent", "user-agent", "x-request-id",
)  # fmt: skip
# Fields that take these take them in one text as well.
TOGETHER = (
    ("encoded line ends", "encoded NUL", "encoded quotes"), ("quotes", "turned", "line separators", "backslash"),
)  # fmt: skip
UPLOAD = "source.upload"  # needs a form


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with receivers(tmp_path_factory.mktemp("fields")) as made:
        yield made


def test_every_field_refuses_the_texts_or_is_among_the_open_ones(world: World) -> None:
    fields = fields_in(world.document, "JobBody")
    known = {*OPEN, UPLOAD}
    assert {".".join(place) for place in fields} >= known
    closed = [place for place in fields if ".".join(place) not in known]
    of_outputs = [place[2:] for place in closed if place[:2] == ("outputs", "[]") and place[2:]]
    assert len(of_outputs) > 150
    for evil in EVIL.values():
        for start in range(0, len(of_outputs), 30):  # fewer faults than an answer has at most
            some = of_outputs[start : start + 30]
            outputs = [{"destination": f"HTTP/{index}.png", **placed(place, evil)} for index, place in enumerate(some)]
            paths = [f"outputs[{index}].{path_of(place)}".rstrip(".") for index, place in enumerate(some)]
            refuses(world.call.submit(world.job({"outputs": outputs}, "")), *paths)
        for place in closed:
            if place[0] != "outputs":
                refuses(world.call.submit(world.job(placed(place, evil), "")), path_of(place))
    assert world.seen().counts == (0, 0, 0)


def refuses(answer: Answer, *paths: str) -> None:
    """Each path is named, or the list of an item that is at fault."""
    assert answer.status == 422, answer
    faulty = {path for path, _ in answer.faults}
    missed = [path for path in paths if not faulty & {path, re.sub(r"(\[0\])+$", "", path)}]
    assert not missed, (missed, answer)


@pytest.mark.parametrize("field", OPEN)
def test_receivers_see_what_they_see_of_a_harmless_text(world: World, field: str) -> None:
    for change in OPEN[field]:
        if "s3:" in str(change):
            submitted(world, change, GOOD)  # the first one asks a store what it can
        harmless = shape_of_harmless(world, change)
        path = path_of(tuple(field.split("."))).removesuffix(f".{GIVEN}")
        for name, evil in EVIL.items():
            if not any(name in names for names in TOGETHER):
                is_taken(world, change, evil, harmless, path)
        for names in TOGETHER:
            if not is_taken(world, change, "".join(EVIL[name] for name in names), harmless, path):
                for name in names:
                    is_taken(world, change, EVIL[name], harmless, path)


def shape_of_harmless(world: World, change: Change) -> Shape:
    since = world.seen().counts
    answer = submitted(world, change, GOOD)
    assert answer.body["status"] == "succeeded", answer
    assert is_silent(change) or GOOD.encode() in world.seen(since).texts()
    return world.seen(since).shape(GOOD)


def is_silent(change: Change) -> bool:
    """Whether receivers are not shown the text."""
    return "data:" in str(change) or "'text'" in str(change)


def is_taken(world: World, change: Change, evil: str, harmless: Shape, path: str) -> bool:
    since = world.seen().counts
    answer = submitted(world, change, evil)
    seen = world.seen(since)
    are_plain(seen.requests)
    assert not re.search(r"[\x00-\x1f]", "".join(argument for _, argument in seen.commands))
    if answer.status == 200 and answer.body["status"] == "succeeded":
        assert seen.shape(evil) == harmless
        # The last colon parts a form's page from the name of the file.
        pieces = unquote_to_bytes(evil).lower().split(b":")
        assert is_silent(change) or all(piece in seen.texts() for piece in pieces)
        return True
    assert set(seen.shape(evil)) <= set(harmless)
    if answer.status == 200:
        assert answer.body["status"] == "failed"
    else:
        assert answer.status == 422, answer
        named = [fault["path"] for fault in answer.body["errors"]]
        assert any(one and (one.startswith(path) or path.startswith(one)) for one in named), answer
    return False


def submitted(world: World, change: Change, text: str) -> Answer:
    since = world.seen().counts
    job = world.job(change, text)
    answer = world.call.submit(job, Prefer="wait=20")
    assert answer.status in (200, 422), answer
    if answer.status == 200 and "webhook" in job:
        wait_until(lambda: any(head.startswith(b"POST") for head, _ in world.seen(since).requests))
    return answer


def part(name: bytes, *more: bytes) -> bytes:
    return b'--%s\r\nContent-Disposition: form-data; name="%s"%s\r\n\r\n' % (BOUNDARY.encode(), name, b"".join(more))


def uploaded(world: World, upload: str, name: bytes, file_name: bytes) -> Answer:
    job = json.dumps(world.job({"source": {"upload": upload}}, "")).encode()
    picture = part(name, b'; filename="%s"' % file_name)
    body = part(b"job") + job + b"\r\n" + picture + PICTURE + b"\r\n--%s--\r\n" % BOUNDARY.encode()
    return world.call.raw(body, Prefer="wait=20", **FORM)


@pytest.mark.parametrize("is_escaped", [True, False], ids=["escaped", "as it is"])
def test_the_names_of_parts_and_of_their_files_go_no_further(world: World, *, is_escaped: bool) -> None:
    since = world.seen().counts
    assert uploaded(world, GOOD, GOOD.encode(), GOOD.encode()).body["status"] == "succeeded"
    harmless = world.seen(since).shape(GOOD)
    for evil in EVIL.values():
        name = evil.encode()
        if is_escaped:  # as a browser does
            name = name.replace(b'"', b"%22").replace(b"\r", b"%0D").replace(b"\n", b"%0A")
            answer = uploaded(world, evil, name, name)
        else:
            answer = uploaded(world, GOOD, GOOD.encode(), name)
        assert answer.status in (200, 400, 422), answer
        if answer.status == 422:
            assert {path.partition(".")[0] for path, _ in answer.faults} == {"source"}
    seen = world.seen(since)
    are_plain(seen.requests)
    assert set(seen.shape(GOOD)) == set(harmless)


def test_parameters_of_calls_are_looked_for_or_refused_by_name(world: World) -> None:
    job_id = submitted(world, {}, GOOD).body["id"]
    parameters = [one for one in parameters_in(world.document) if one.place != "header"]
    assert {one.place for one in parameters} == {"query", "path"}
    for one, evil in itertools.product(parameters, EVIL.values()):
        path = one.path.replace("{job_id}", quote(evil, safe="") if one.place == "path" else job_id)
        query = "" if one.place == "path" else f"?{urlencode({one.name: evil})}"
        is_picture = one.method == "POST" and one.path in ("/v1/render", "/v1/info")
        head = f"{one.method} {path}{query} HTTP/1.1\r\n".encode()
        reply = exchanged(world.server, head, PICTURE if is_picture else b"", "image/png")
        assert reply.status in ((404, 405) if one.place == "path" else (200, 422)), (one, evil, reply)
        if reply.status == 422:
            assert f"query.{one.name}" in {error["path"] for error in reply.body["errors"]}, (one, evil, reply)


def test_headers_of_requests_change_nothing_in_the_answer(world: World) -> None:
    described = {one.name.lower() for one in parameters_in(world.document) if one.place == "header"}
    preflight = f"OPTIONS /v1/jobs HTTP/1.1\r\nOrigin: {ORIGIN}\r\nAccess-Control-Request-Method: POST\r\n"
    allowed = exchanged(world.server, preflight.encode()).headers["access-control-allow-headers"]
    assert described | set(allowed.split(", ")) <= set(HEADERS)
    job = json.dumps(world.job({}, "")).encode()
    for start, body in ((b"POST /v1/jobs?dry_run=true HTTP/1.1\r\n", job), (b"GET /v1/events HTTP/1.1\r\n", b"")):
        harmless = set(exchanged(world.server, start, body).headers)
        for name, evil in itertools.product(HEADERS, EVIL.values()):
            if "\r" in evil:
                continue  # a line of its own, which is the client's; tests/hostile/test_framing.py
            line = f"{name}: {evil}\r\n".encode()
            reply = exchanged(world.server, start + line, body)
            assert reply.status == 200 or 400 <= reply.status < 500, (name, evil, reply)
            assert set(reply.headers) <= harmless | {"content-length"}, (name, evil, reply)
            assert re.fullmatch(r"[!-~]{1,128}", reply.headers["x-request-id"])
            if reply.status == 422:
                assert [error["path"].lower() for error in reply.body["errors"]] == [f"header.{name}"], reply


def test_names_of_outputs_to_retry_are_refused(world: World) -> None:
    job = submitted(world, of_output("FTP/directory.png"), "").body
    assert job["status"] == "failed"
    for evil in EVIL.values():
        answer = world.call("POST", f"/v1/jobs/{job['id']}/retry", {"outputs": [evil]})
        if answer.status == 409:
            assert re.fullmatch(r"the job has no output [ -~]{1,80}", answer.body["detail"]), answer
        else:
            refuses(answer, "outputs[0]")
    assert world.call("POST", f"/v1/jobs/{job['id']}/retry", {"outputs": ["0"]}).status == 200


def test_the_log_holds_one_line_an_event(world: World) -> None:
    lines = world.server.log.splitlines()
    assert lines
    assert [line for line in lines if not re.match(r"\d{4}-\d\d-\d\dT|\s*INFO", line) and "listening" not in line] == []
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u202e\u2066]", world.server.log)
