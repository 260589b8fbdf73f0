"""The table of routes, row by row against the real server: rights, limits of bodies, headers, other origins."""

import json
from collections.abc import Iterator
from http.client import HTTPConnection
from typing import Any, NamedTuple

import pytest

from imgserve.api.config import Config
from imgserve.api.http.body import Body
from imgserve.api.http.headers import STREAM, STRICT
from imgserve.api.routes import ELSEWHERE, Route, table
from imgserve.request.limits import Limits
from imgserve.server.calls import upload_limits
from imgserve.transfer.config import Config as TransferConfig
from tests.support.daemon import Daemon
from tests.support.operating import SocketConnection

KEY = "a-key-of-some-length-01"
KEYED = {"Authorization": f"Bearer {KEY}"}
LISTED = "https://app.example.com"
CONFIG = Config(max_body_bytes=2000, body_timeout_s=0.6)
SLOWEST = TransferConfig(low_speed_bytes_s=1000, low_speed_time_s=1)
ROWS = table(CONFIG, upload_limits(Limits(source_bytes=3000), SLOWEST))
IDS = [f"{row.method} {row.path}" for row in ROWS]
WITH_BODY = [row for row in ROWS if row.body is not None]
# Rows that read a body of some media types only.
FORM = {"Content-Type": "multipart/form-data; boundary=x"}
SENT_AS = {"/v1/render": FORM, "/v1/info": FORM}
STREAMS = {"/v1/events", "/v1/jobs/{job_id}/events"}
NO_PAGE = {"no_such_page", "method_not_allowed", "request_invalid"}

every_row = pytest.mark.parametrize("row", ROWS, ids=IDS)
every_body = pytest.mark.parametrize("row", WITH_BODY, ids=[f"{row.method} {row.path}" for row in WITH_BODY])


class Reply(NamedTuple):
    status: int
    headers: list[tuple[str, str]]
    text: bytes

    @property
    def code(self) -> Any:
        """The code of a problem, or of the original protocol; None when the answer is no refusal of a request."""
        is_json = self.text and dict(self.headers).get("content-type", "").endswith("json")  # a HEAD's has no text
        return json.loads(self.text).get("code") if is_json else None


class Server:
    def __init__(self, daemon: Daemon) -> None:
        self.daemon = daemon

    def tcp(self, row: Route, headers: dict[str, str] | None = None, body: bytes | None = None) -> Reply:
        connection = HTTPConnection(self.daemon.url.removeprefix("http://"), timeout=20)
        return exchange(connection, row, headers or {}, body)

    def socket(self, row: Route, headers: dict[str, str] | None = None, body: bytes | None = None) -> Reply:
        return exchange(SocketConnection(self.daemon.data_dir / "control.sock"), row, headers or {}, body)

    def own(self, row: Route, headers: dict[str, str] | None = None, body: bytes | None = None) -> Reply:
        """On the listener of the row, by a principal that may call it."""
        headers = {**SENT_AS.get(row.path, {}), **(headers or {})}
        if row.right == "local":
            return self.socket(row, headers, body)
        return self.tcp(row, {**KEYED, **headers}, body)


def exchange(connection: HTTPConnection, row: Route, headers: dict[str, str], body: bytes | None) -> Reply:
    """A Content-Length among the headers is sent as it is, however long the body."""
    connection.request(row.method, row.path.replace("{job_id}", "nobody"), body, headers)
    response = connection.getresponse()
    named = [(name.lower(), value) for name, value in response.getheaders()]
    has_end = dict(named).get("content-type") != "text/event-stream"
    reply = Reply(response.status, named, response.read() if has_end else b"")
    connection.close()
    return reply


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    top = tmp_path_factory.mktemp("routes")
    (top / "keys").write_text(KEY)
    switches = {
        "max_job_bytes": CONFIG.max_body_bytes, "request_body_timeout_s": CONFIG.body_timeout_s,
        "max_source_bytes": 3000, "low_speed_bytes_s": SLOWEST.low_speed_bytes_s,
        "low_speed_time_s": SLOWEST.low_speed_time_s,
    }  # fmt: skip
    arguments = ("--api-key-file", str(top / "keys"), "--cors-origin", LISTED)
    with Daemon(top / "data", *arguments, switches=switches) as daemon:
        yield Server(daemon)


def has_strict_headers(reply: Reply) -> bool:
    names = [name for name, _ in reply.headers]
    strict = {name.decode(): value.decode() for name, value in STRICT}
    return len(names) == len(set(names)) and dict(reply.headers) | strict == dict(reply.headers)


@every_row
def test_a_row_has_its_handler(server: Server, row: Route) -> None:
    reply = server.own(row, body=b"{}" if row.body else None)
    assert reply.status in (200, 422) or reply.code not in NO_PAGE or row.body, reply
    assert reply.status not in (401, 405), reply
    assert b"no page" not in reply.text


@every_row
def test_the_right_of_a_row(server: Server, row: Route) -> None:
    stranger, principal, local = server.tcp(row), server.tcp(row, KEYED), server.socket(row)
    assert (stranger.status == 401) == (row.right != "open"), stranger
    assert principal.status != 401
    assert (principal.code == "no_such_page") == (row.right == "local"), principal
    is_elsewhere = local.code in ("no_such_page", "method_not_allowed")
    if row.method == "HEAD":
        is_elsewhere = local.status in (404, 405)
    assert is_elsewhere == (row.right != "local" and not row.is_operators), local


@every_row
def test_without_keys_a_page_of_another_site_is_a_stranger(row: Route, protected: Server) -> None:
    evil = protected.tcp(row, {"Origin": "https://evil.example"})
    assert (evil.status == 401) == (row.right != "open"), evil
    assert protected.tcp(row).status != 401


@pytest.fixture(scope="module")
def protected(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Daemon(tmp_path_factory.mktemp("protected") / "data") as daemon:
        yield Server(daemon)


@every_row
def test_the_headers_of_a_row(server: Server, row: Route) -> None:
    expected = {name.decode(): value.decode() for name, value in row.headers}
    for reply in (server.own(row), server.own(row, body=b"no JSON")):
        assert dict(reply.headers) | expected == dict(reply.headers)
        assert len(reply.headers) == len(dict(reply.headers)), "a header came twice"


@every_row
def test_who_is_refused_gets_the_strict_headers(server: Server, row: Route) -> None:
    refused = [server.tcp(row, {"Authorization": "Bearer wrong-key-0123456789"})]
    refused += [server.tcp(row, {**KEYED, "Host": "two words"}), server.socket(row, {"Host": "two words"})]
    assert [reply.status for reply in refused[1:]] == [400, 400]
    assert all(map(has_strict_headers, refused))


@every_row
def test_pages_of_listed_origins(server: Server, row: Route) -> None:
    for origin, named in ((LISTED, LISTED), ("https://evil.example", None)):
        page = {"Origin": origin}
        reply = server.own(row, page)
        before = server.own(row, {**page, "Access-Control-Request-Method": row.method})
        preflight = server.own(Route("OPTIONS", row.path, row.right), {**page, "Access-Control-Request-Method": "GET"})
        for answer in (reply, before, preflight):
            assert dict(answer.headers).get("access-control-allow-origin") == (named if row.has_cors else None)


@every_body
def test_the_most_bytes_of_a_body(server: Server, row: Route) -> None:
    assert row.body is not None
    for size, is_refused in ((row.body.max_bytes, False), (row.body.max_bytes + 1, True)):
        reply = server.own(row, body=b" " * size)
        assert (reply.status == 413) == is_refused, reply
        assert has_strict_headers(reply)


@every_body
def test_the_deadline_of_a_body(server: Server, row: Route) -> None:
    """It is the server that ends the waiting: the client sends no more, and does not hang up."""
    assert row.body is not None
    reply = server.own(row, {"Content-Length": "100"}, b"{")
    told = dict(reply.headers).get("x-imgserve-detail", "") + reply.text.decode()
    lowest = row.body.lowest_bytes
    reason = "the body was not complete after" if lowest is None else f"less than {lowest:,} bytes in"
    assert f"{reason} {row.body.within_s:g} s" in told
    assert dict(reply.headers)["connection"] == "close"
    assert has_strict_headers(reply)


@pytest.mark.parametrize("row", [row for row in ROWS if row.body is None], ids=lambda row: f"{row.method} {row.path}")
def test_a_body_that_a_row_does_not_read_keeps_nobody_waiting(server: Server, row: Route) -> None:
    whole, half = server.own(row), server.own(row, {"Content-Length": "100"}, b"{")
    assert (half.status, half.code) == (whole.status, whole.code)


@every_row
def test_the_methods_of_a_path(server: Server, row: Route) -> None:
    listener = {"local"} if row.right == "local" else {"open", "key"}
    there = {other.method for other in ROWS if other.path == row.path and other.right in listener}
    allow = ", ".join(sorted({*there, "OPTIONS"}))
    options = server.own(Route("OPTIONS", row.path, row.right))
    assert (options.status, dict(options.headers)["allow"]) == (204, allow)
    for method in {"GET", "HEAD", "POST", "PUT", "DELETE"} - there:
        other = server.own(Route(method, row.path, row.right))
        assert (other.status, dict(other.headers)["allow"]) == (405, allow)
        assert has_strict_headers(other)


def test_a_head_of_the_health_is_its_get_without_a_body(server: Server) -> None:
    for path in ("/health", "/health/live"):
        get, head = (server.tcp(Route(method, path, "open")) for method in ("GET", "HEAD"))
        assert (head.status, head.text) == (get.status, b"")
        assert dict(head.headers).get("content-length") == dict(get.headers).get("content-length")


def test_elsewhere_is_no_page_and_only_a_principal_is_told(server: Server) -> None:
    for path in ("/nowhere", "/v1", "/v1/jobs/a/b", "/docs", "/openapi.json", "/schema"):
        row = Route("GET", path, ELSEWHERE.right)
        assert server.tcp(row).status == 401
        for reply in (server.tcp(row, KEYED), server.socket(row)):
            assert (reply.status, reply.code) == (404, "no_such_page")
            assert has_strict_headers(reply)


def test_the_values_of_the_table() -> None:
    """By default. The other tests here ask whether the server keeps to the table, and this one what is in it."""
    rows = {(row.method, row.path): row for row in table(Config())}
    health = [(method, path) for method in ("GET", "HEAD") for path in ("/health", "/health/live")]
    openly = [*health, ("GET", "/v1/openapi.json"), ("GET", "/v1/docs")]
    assert [route for route, row in rows.items() if row.right == "open"] == openly
    assert {row.path.split("/")[2] for row in rows.values() if row.right == "local"} == {"refusals"}
    bodies = {route: row.body for route, row in rows.items() if row.body is not None}
    uploads = dict.fromkeys((("POST", "/v1/render"), ("POST", "/v1/info")), upload_limits(Limits(), TransferConfig()))
    jobs = (("POST", "/"), ("POST", "/v1/jobs"), ("POST", "/v1/jobs/{job_id}/retry"), ("POST", "/v1/cache/purge"))
    assert bodies == dict.fromkeys(jobs, Body(1_000_000, 10.0)) | uploads
    assert uploads["POST", "/v1/render"] == Body(51_065_536, 10.0, 10_240, 300.0)
    assert {path for (_, path), row in rows.items() if row.headers == STREAM} == STREAMS
    assert {row.headers for row in rows.values() if row.path not in STREAMS} == {STRICT}
    assert len(rows) == len(table(Config())), "two rows for one route"
