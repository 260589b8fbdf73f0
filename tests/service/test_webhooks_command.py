"""``imgserve webhooks listen``: it shows the webhooks that are signed with its secret, and refuses all others."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from pathlib import Path

import pytest
from standardwebhooks import Webhook

from tests.support.daemon import wait_until
from tests.support.sizes import PATIENCE_S
from tests.support.streams import Shops, posted

JOB = "5e6e5f0c1c2d4f0f9a61d2f4b7a8c9d0"
BODY = json.dumps(
    {"type": "job.succeeded", "timestamp": "2026-11-29T12:00:00Z", "data": {"job": {"id": JOB, "status": "succeeded"}}}
).encode()
COMMAND = (sys.executable, "-m", "imgserve", "webhooks", "listen")


class Listener:
    """The command, once it listens. ``port``, and the path of its secret, are those that it printed."""

    def __init__(self, directory: Path, *words: str) -> None:
        self._process = subprocess.Popen(
            [*COMMAND, "--port", "0", *words], cwd=directory, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert self._process.stderr is not None
        told = ""
        while not (found := re.search(r'secret_file = "(.+)"\n(?s:.+)A job.+127\.0\.0\.1:(\d+)/', told)):
            line = self._process.stderr.readline()
            assert line, told
            told += line
        self.told, self.secret_file, self.port = told, Path(found[1]), int(found[2])

    def post(self, body: bytes, headers: dict[str, str]) -> int:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        connection.request("POST", "/", body, headers)
        status = connection.getresponse().status
        connection.close()
        return status

    def line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()

    def complaint(self) -> str:
        assert self._process.stderr is not None
        return self._process.stderr.readline()

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


def signed(secret: str, body: bytes = BODY, at: datetime | None = None) -> dict[str, str]:
    at = at or datetime.now(UTC)
    signature = Webhook(secret).sign("msg_1", at, body.decode())
    return {"webhook-id": "msg_1", "webhook-timestamp": str(int(at.timestamp())), "webhook-signature": signature}


@pytest.fixture(scope="module")
def listener(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Listener]:
    listener = Listener(tmp_path_factory.mktemp("listen"))
    yield listener
    listener.close()


def test_a_server_with_the_printed_settings_sends_there_and_once_more_on_request(
    listener: Listener, tmp_path: Path
) -> None:
    shops = Shops(tmp_path, "--config", str(tmp_path / "imgserve.toml"))
    lines = re.search(r"allow_network(?s:.+?)\n(?=\nA job)", listener.told)
    assert lines is not None
    settings = lines[0].replace('# principals = ["NAME"]', 'principals = ["shop-0", "shop-1"]')
    (tmp_path / "imgserve.toml").write_text(settings)
    hook = re.search(r'"webhook": (\{.+\})', listener.told)
    assert hook is not None
    with shops.daemon:
        shop, other = shops.shop(), shops.shop()
        job = posted(shop, shops.job(webhook=json.loads(hook[1])))
        line = listener.line().split()[1:]
        assert line[:3] == ["job.succeeded", job, "succeeded"]
        place = f"/v1/jobs/{job}/webhooks"
        wait_until(lambda: [one["state"] for one in shop("GET", place).body["webhooks"]] == ["done"])
        answer = shop("POST", f"{place}/replay")
        assert (answer.status, [one["id"] for one in answer.body["webhooks"]]) == (200, [line[3]])
        assert listener.line().split()[1:] == line
        wait_until(lambda: len(shop("GET", place).body["webhooks"][0]["tries"]) == 2)
        [sent] = shop("GET", place).body["webhooks"]
        assert [(one["status"], one["error"]) for one in sent["tries"]] == [(204, None)] * 2
        for method, target in (("GET", place), ("POST", f"{place}/replay")):
            hidden = other(method, target)
            assert (hidden.status, hidden.body["code"]) == (404, "no_such_job")
            assert shop(method, f"{target}?limit=1").faults == [("query.limit", "field_unknown")]


def test_it_makes_a_secret_that_only_its_user_may_read(listener: Listener) -> None:
    assert listener.secret_file.name == "imgserve-webhook-secret"
    assert listener.secret_file.stat().st_mode & 0o777 == 0o600
    assert listener.secret_file.read_text().strip() not in listener.told


def test_it_shows_what_is_signed_with_its_secret(listener: Listener) -> None:
    secret = listener.secret_file.read_text().strip()
    assert listener.post(BODY, signed(secret)) == 204
    assert listener.line().split()[1:] == ["job.succeeded", JOB, "succeeded", "msg_1"]


@pytest.mark.parametrize("fault", ["body", "secret", "time", "missing", "malformed", "no event"])
def test_it_refuses_what_is_not(listener: Listener, fault: str) -> None:
    secret = listener.secret_file.read_text().strip()
    other = b"whsec_".decode() + "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    old = datetime.now(UTC) - timedelta(minutes=6)
    body, headers = {
        "body": (BODY + b" ", signed(secret)),
        "secret": (BODY, signed(other)),
        "time": (BODY, signed(secret, at=old)),
        "missing": (BODY, {}),
        "malformed": (BODY, signed(secret) | {"webhook-signature": "v1"}),
        "no event": (b"[]", signed(secret, b"[]")),
    }[fault]
    assert listener.post(body, headers) == 401
    assert "is not verified: " in listener.complaint()


def test_a_body_without_a_length_is_not_read(listener: Listener) -> None:
    assert listener.post(b"", {"Content-Length": "9" * 9}) == 413


def test_it_prints_bodies_for_programs_and_keeps_the_secret_that_there_is(tmp_path: Path) -> None:
    secret = "whsec_" + "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    (tmp_path / "mine").write_text(secret + "\n")
    listener = Listener(tmp_path, "--json", "--secret-file", "mine")
    try:
        assert listener.post(BODY, signed(secret)) == 204
        assert json.loads(listener.line()) == json.loads(BODY)
    finally:
        listener.close()


@pytest.mark.parametrize(
    "text", ["", "whsec_", "whsec_MfKQ9r8G", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_" + "é" * 32]
)
def test_what_is_no_secret(tmp_path: Path, text: str) -> None:
    (tmp_path / "mine").write_text(text)
    done = subprocess.run(
        [*COMMAND, "--secret-file", "mine"], cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE_S
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert "mine holds no secret (expected whsec_ and 24 to 64 bytes in base64" in done.stderr
