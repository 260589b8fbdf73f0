"""What was refused: the log says to whom and why, and the operator can list the last thousand."""

import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from imgserve.api.refusals import Refusals
from imgserve.jobs.views import MAX_REFUSALS
from imgserve.request.classic.parse import parse
from imgserve.request.classic.spelling import sentence_of
from imgserve.request.faults import RequestInvalid
from tests.service.conftest import put_pictures
from tests.support.daemon import Daemon, wait_until
from tests.support.native import Caller
from tests.support.operating import Operator, ask
from tests.unit.request.samples import FTP_REQUEST

KEY = "the-key-of-the-shop-1"
SECRET = "s3cr3t-0f-the-user"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    top = tmp_path_factory.mktemp("refusals")
    (top / "keys").write_text(f"shop:{KEY}")
    put_pictures(top / "in")
    roots = ("--read-root", str(top / "in"), "--write-root", str(top))
    with Daemon(top / "data", "--api-key-file", str(top / "keys"), *roots) as running:
        yield running


def job(server: Daemon, **changes: object) -> dict[str, object]:
    top = server.data_dir.parent
    good = {"operationType": "resize", "srcURL": f"file://{top}/in/Ex.png", "dstURL": f"file://{top}/x.png"}
    return {**good, "args": {"width": 4, "height": 3}, **changes}


def post(server: Daemon, body: object, host: str = "shop.example", key: str = KEY) -> None:
    server.post(body, headers={"Host": host, "Authorization": f"Bearer {key}"})


def newest(server: Daemon) -> dict[str, object]:
    answer = ask(server.data_dir, "GET", "/v1/refusals?limit=1")
    told: dict[str, object] = answer.body["refusals"][0]
    return told


def test_a_refusal_says_who_asked_and_why(server: Daemon) -> None:
    top = server.data_dir.parent
    absent = f"file://{top}/in/absent.png"
    outside = {"srcURL": "http://me:word@10.0.0.1/a.png?token=t", "dstURL": f"file://{top}/y-{{$width}}.png"}
    form = "http://me:word@10.0.0.1/up?token=t:{$basename}.png"
    inside = {"dstURL": form, "args": {"width": 3, "field_name": "file"}}
    for body, code, classic_code, detail in (
        (b"no JSON", "parse_error", None, "JSON"),
        (job(server, args={"width": "x", "height": 3}), "request_invalid", 107, "args.width: expected an integer"),
        (job(server, srcURL=absent), "source_not_found", 201, "srcURL: There is no such source file"),
        (job(server, **outside), "request_invalid", 115, "srcURL: "),
        (job(server, **inside), "request_invalid", 116, "dstURL: "),
        (b"x" * 1_100_000, "parse_error", None, "longer than 1,000,000 bytes"),
    ):
        post(server, body)
        seen = newest(server)
        assert (seen["code"], seen["classic_code"]) == (code, classic_code)
        assert detail in str(seen["detail"])
        assert (seen["client"], seen["host"], seen["principal"]) == ("127.0.0.1", "shop.example", "shop")
        number = f"classic_code={classic_code} " if classic_code else ""
        line = rf" refused request=\w+ code={code} {number}principal=shop client=127.0.0.1 host=shop.example detail="
        wait_until(lambda line=line: re.search(line, server.log))  # type: ignore[misc]
        if code == "source_not_found":
            assert (seen["source"], seen["destinations"]) == (absent, [f"file://{top}/x.png"])
        if classic_code == 115:
            assert seen["source"] == "http://10.0.0.1/a.png?..."
            assert seen["destinations"] == [f"file://{top}/y-{{$width}}.png"]
        if classic_code == 116:
            assert seen["destinations"] == ["http://10.0.0.1/up?...:{$basename}.png"]


def test_who_has_no_key_is_told_of_too_and_other_pages_are_no_jobs(server: Daemon) -> None:
    post(server, job(server), key="no-key-of-anybody-1")
    seen = newest(server)
    assert (seen["code"], seen["classic_code"], seen["principal"]) == ("not_authorised", 302, "")
    with socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2])), timeout=8) as connection:
        connection.sendall(b"GET /metrics HTTP/1.1\r\nHost: another.example\r\nConnection: close\r\n\r\n")
        assert b" 401 " in connection.recv(100)
    wait_until(lambda: "host=another.example" in server.log)
    assert newest(server)["host"] == "shop.example"
    assert Caller(server, "no-key-of-anybody-1").submit({}).status == 401
    assert str(newest(server)["host"]).startswith("127.0.0.1")
    assert newest(server)["classic_code"] is None


def test_what_a_request_says_itself_is_not_repeated(server: Daemon) -> None:
    """It may be a password in the wrong field."""
    for body in (
        job(server, args={"width": SECRET, "height": 3}), job(server, args={SECRET: 1}), job(server, **{SECRET: 1}),
        job(server, operationType=SECRET), job(server, placeholder=SECRET), {SECRET: SECRET},
        job(server, srcURL=f"http://{SECRET}@[::1/"), job(server, srcURL=f"http://me:{SECRET}@127.0.0.1/{SECRET}?{SECRET}"),
    ):  # fmt: skip
        post(server, body)
    told = str(ask(server.data_dir, "GET", "/v1/refusals?limit=8").body)
    assert told.count("request_invalid") == 8
    place = f"http://127.0.0.1/{SECRET}"  # a path is no secret, as in the list of jobs
    assert SECRET not in told.replace(place, "")
    assert SECRET not in server.log


def test_log_lines_stay_lines(server: Daemon) -> None:
    post(server, b"no JSON", host="a.example:1")
    with socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2])), timeout=8) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x=1,y\r\nConnection: close\r\n\r\n")
        connection.recv(100)
    wait_until(lambda: 'host="x=1,y"' in server.log)
    assert [line for line in server.log.splitlines() if not re.match(r"20\d\d-|imgserve .* listening", line)] == []


def test_the_command(server: Daemon, tmp_path: Path) -> None:
    operator = Operator(server)
    post(server, job(server, args={}))
    text = operator("jobs", "refused", "--limit", "1").stdout.decode()
    assert re.search(
        r"^20\d\d-\d\d-\d\d \d\d:\d\d:\d\d  106  request_invalid  shop 127.0.0.1 shop.example\n +args.width", text
    )
    (line,) = operator("jobs", "refused", "--limit", "1", "--json").stdout.splitlines()
    assert json.loads(line)["classic_code"] == 106
    submitted = operator("submit", "-", stdin=json.dumps(job(server, srcURL="file:///etc/passwd")).encode())
    assert submitted.returncode == 1
    assert json.loads(operator("jobs", "refused", "--json").stdout.splitlines()[0])["principal"] == "operator"
    assert operator("submit", "-", stdin=json.dumps(job(server, args={"width": "x"})).encode()).returncode == 1
    seen = newest(server)
    assert (seen["principal"], seen["classic_code"]) == ("operator", 107)
    with Daemon(tmp_path / "data") as fresh:
        empty = Operator(fresh)("jobs", "refused")
        assert (empty.returncode, empty.stdout) == (1, b"")
        assert b"no job was refused" in empty.stderr


def test_no_more_than_a_thousand_are_kept() -> None:
    refusals = Refusals()
    for number in range(MAX_REFUSALS + 10):
        refusals.note({}, "code", str(number))
    assert len(refusals.newest(10**6)) == MAX_REFUSALS
    assert [refusal.detail for refusal in refusals.newest(2)] == ["1009", "1008"]


def test_quoted_values_are_left_out() -> None:
    for args, shown in (
        ({"width": 'd" e; f', "height": 0}, (
            "args.height: expected an integer from 1 to 16384, got 0; "
            "args.width: expected an integer from 1 to 16384, got another text"
        )),
        ({"width": 1, "widht": 1}, 'args.widht: unknown, did you mean "width"?'),
        ({"width": 1, "word-1": 1}, "args.another name: unknown"),
    ):  # fmt: skip
        with pytest.raises(RequestInvalid) as caught:
            parse(json.dumps(FTP_REQUEST | {"args": args}).encode())
        assert sentence_of(caught.value, is_discreet=True) == shown
