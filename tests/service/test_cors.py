"""Pages of other origins: none gets in, until its origin is listed."""

import json
from collections.abc import Iterator, Mapping
from http.client import HTTPConnection
from pathlib import Path

import pytest

from imgserve.api.config import Config
from tests.support.daemon import Daemon

LISTED = "https://app.example.com"
KEY = "a-key-of-some-length-01"
PREFLIGHT = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,content-type"}


@pytest.fixture(scope="module", params=["protected", "keyed"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    top = tmp_path_factory.mktemp("cors")
    (top / "keys").write_text(KEY)
    keys = ("--api-key-file", str(top / "keys")) if request.param == "keyed" else ()
    with Daemon(top / "data", "--cors-origin", LISTED, "--cors-origin", "HTTP://localhost:80", *keys) as daemon:
        yield daemon


class Reply:
    def __init__(self, url: str, method: str, headers: Mapping[str, str], body: bytes = b"") -> None:
        connection = HTTPConnection(url.removeprefix("http://"), timeout=10)
        connection.request(method, "/", body, {"Authorization": f"Bearer {KEY}", **headers})
        answer = connection.getresponse()
        self.status, self.body = answer.status, answer.read()
        self.headers = {name.lower(): value for name, value in answer.getheaders()}
        connection.close()

    @property
    def allowed(self) -> dict[str, str]:
        return {name: value for name, value in self.headers.items() if name.startswith("access-control-")}


@pytest.mark.parametrize("origin", [LISTED, "http://localhost"])
def test_a_listed_page_is_let_in(server: Daemon, origin: str) -> None:
    page = {"Origin": origin, "Sec-Fetch-Site": "cross-site"}
    before = Reply(server.url, "OPTIONS", {**page, **PREFLIGHT, "Authorization": ""})
    assert before.status == 200
    assert before.allowed == {
        "access-control-allow-origin": origin, "access-control-allow-methods": "GET, HEAD, POST",
        "access-control-allow-headers":
            "authorization, content-type, idempotency-key, last-event-id, prefer, x-request-id",
        "access-control-max-age": "600",
    }  # fmt: skip
    reply = Reply(server.url, "POST", page, b"{}")
    assert json.loads(reply.body)["code"] == 101
    assert reply.allowed == {
        "access-control-allow-origin": origin,
        "access-control-expose-headers":
            "idempotent-replayed, location, preference-applied, retry-after, server-timing, x-imgserve-detail,"
            " x-imgserve-job, x-request-id",
    }  # fmt: skip
    assert reply.headers["vary"] == before.headers["vary"] == "Origin"


@pytest.mark.parametrize(
    "origin",
    ["https://evil.example.com", "http://app.example.com", LISTED + ":8443", LISTED + ".evil.test", "null", "*", ""],
)
def test_another_page_is_not(server: Daemon, origin: str) -> None:
    before = Reply(server.url, "OPTIONS", {"Origin": origin, **PREFLIGHT})
    reply = Reply(server.url, "POST", {"Origin": origin}, b"{}")
    assert not before.allowed
    assert not reply.allowed
    assert reply.headers["vary"] == "Origin", "a cache must not give one page's answer to another"


def test_what_else_gives_a_page_away_still_counts(tmp_path: Path) -> None:
    with Daemon(tmp_path / "data", "--cors-origin", LISTED) as server:
        for headers in ({"Host": "evil.test"}, {"X-Forwarded-For": "1.2.3.4"}, {"Origin": "https://evil.test"}):
            reply = Reply(server.url, "POST", {"Origin": LISTED, **headers}, b"{}")
            assert (reply.status, json.loads(reply.body)["code"]) == (401, 302)
        refused = Reply(server.url, "POST", {"Origin": LISTED, "X-Forwarded-For": "1.2.3.4"}, b"{}")
        assert refused.headers["access-control-allow-origin"] == LISTED, "the page may read why"
        private = {"Origin": LISTED, "Access-Control-Request-Private-Network": "true", **PREFLIGHT}
        assert Reply(server.url, "OPTIONS", private).allowed["access-control-allow-private-network"] == "true"


def test_without_a_list_there_is_no_such_header(tmp_path: Path) -> None:
    with Daemon(tmp_path / "data") as server:
        before = Reply(server.url, "OPTIONS", {"Origin": LISTED, **PREFLIGHT})
        reply = Reply(server.url, "POST", {"Origin": LISTED}, b"{}")
    assert (before.status, reply.status) == (401, 401)
    assert not before.allowed
    assert not reply.allowed


@pytest.mark.parametrize(
    "text", ["*", "null", "example.com", "https://a/", "https://*.a.test", "https://u@a", "ftp://a"]
)
def test_what_is_no_origin(text: str) -> None:
    [problem] = Config(cors_origins=(text,)).problems()
    assert problem.field == "cors_origins"
    assert problem.sentence.startswith("expected origins such as")
