"""A secret of its own in every URL, header and key: none of them is in a log, a reply, the metrics or ``ps``."""

import json
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from examples.receivers import Behaviour, FtpReceiver, HttpReceiver

from tests.hostile.test_live_worker import run_inside
from tests.service.conftest import put_pictures
from tests.service.test_doors import get
from tests.support.daemon import LOOPBACK, Daemon, wait_until
from tests.support.hooks import SECRET, Receiver, event_of
from tests.support.native import Caller
from tests.support.operating import ask
from tests.support.processes import below
from tests.support.sites import Reply

KEY = "s3cr3t-of-the-api-key"
WORDS = (
    "source-user", "source-word", "source-query", "put-user", "put-word", "put-query", "ftp-word", "form-word",
    "form-query", "refused-word", "absent-word", "cookie", "header", "other-key", "text", "path",
)  # fmt: skip
S = {word: f"s3cr3t-{word}-{number * 7919 + 12345}" for number, word in enumerate(WORDS)}


def jobs(http: str, ftp: str) -> Iterator[dict[str, object]]:
    login = http.replace("//", f"//{S['source-user']}:{S['source-word']}@")
    source = f"{login}/Ex.png?token={S['source-query']}"
    put = http.replace("//", f"//{S['put-user']}:{S['put-word']}@")
    box = {"width": 20, "height": 15}
    signed = f"?X-Amz-Signature={S['put-query']}"
    with_put: dict[str, object] = {
        "operationType": "resize",
        "srcURL": source,
        "dstURL": f"{put}/b.png{signed}",
        "args": {**box, "method": "PUT"},
    }
    yield with_put
    form = http.replace("//", f"//u:{S['form-word']}@") + f"/upload.html?{S['form-query']}:c.png"
    yield {**with_put, "dstURL": form, "args": {**box, "field_name": "image_file"}}
    yield {**with_put, "dstURL": f"{ftp.replace('password', S['ftp-word'])}/d.png", "args": box}
    for path in ("fails", "lost", "moved"):
        yield {**with_put, "dstURL": f"{put}/{path}/e.png{signed}"}
    yield {**with_put, "srcURL": f"{login}/cut.jpg?{S['source-query']}", "dstURL": f"{put}/cut.png"}
    yield {**with_put, "srcURL": f"{login}/absent.png?{S['source-query']}"}
    yield {**with_put, "srcURL": f"http://u:{S['absent-word']}@no-such-host.invalid/{S['absent-word']}.png"}
    yield {**with_put, "dstURL": f"http://u:{S['refused-word']}@10.0.0.1/{S['refused-word']}.png"}
    yield {**with_put, "srcURL": f"gopher://u:{S['refused-word']}@host/"}
    yield {**with_put, "srcURL": f"http://u:{S['refused-word']}@[::1/x.png"}
    yield {**with_put, "placeholder": {"text": S["text"]}}


def native(job: dict[str, object]) -> dict[str, object]:
    """The same as a job of the native API."""
    args = job["args"]
    assert isinstance(args, dict)
    own = {name: args[name] for name in ("method", "field_name") if name in args}
    output = {
        "operations": [{"operation": "resize", "width": 20, "height": 15}],
        "destination": {"url": job["dstURL"], **own}, "placeholder": job.get("placeholder", "text"),
    }  # fmt: skip
    return {"source": job["srcURL"], "outputs": [output]}


def hits(where: str, text: str, *, but: tuple[str, ...] = ()) -> list[str]:
    return [f"{where}: {word}" for word, secret in S.items() if secret in text and word not in but]


@pytest.mark.parametrize("lines", ["json", "text"])
def test_no_secret_is_shown(tmp_path: Path, lines: str) -> None:
    put_pictures(tmp_path / "http")
    whole = (tmp_path / "http" / "photo.jpg").read_bytes()
    (tmp_path / "http" / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "keys").write_text(f"{KEY}\n")
    web, ftp = HttpReceiver(tmp_path / "http"), FtpReceiver(tmp_path / "http")
    web.behave("/fails", Behaviour(status=500, times=3))
    web.behave("/lost", Behaviour(cut=True, times=2))
    web.behave("/moved", Behaviour(status=307, redirect=f"/else.png?{S['put-query']}"))
    switches = ("--log-level", "debug", "--log-format", lines, "--api-key-file", str(tmp_path / "keys"))
    headers = {
        "Authorization": f"Bearer {KEY}",
        "Cookie": S["cookie"],
        "X-Own": S["header"],
        "Traceparent": S["header"],
    }
    found: list[str] = []
    statuses: set[int] = set()
    with web, ftp, Daemon(tmp_path / "data", *LOOPBACK, *switches, may_fork=False) as server:
        for job in jobs(web.url, ftp.url):
            reply = server.post(job, headers=headers)
            # The good reply gives dstURL back to its own sender, and to nobody else.
            own = tuple(word for word, secret in S.items() if "dstURL" in reply.body and secret in str(job["dstURL"]))
            found += hits(f"reply to {job['dstURL']}", json.dumps(reply.body), but=own)
            found += hits("headers", str(reply.headers))
        caller = Caller(server, KEY)
        for number, job in enumerate(jobs(web.url, ftp.url)):
            keyed = {"Idempotency_Key": f"{S['header']}-{number}", "X_Own": S["header"]}
            answer = caller.submit(native(job), **keyed, Prefer="wait=1")
            found += hits(f"answer to {job['dstURL']}", str(answer))
            statuses.add(answer.status)
        found += hits("list", str(caller.page()))
        # A path is no secret, as in the list of jobs.
        shown = str(ask(server.data_dir, "GET", "/v1/refusals").body)
        for word in ("refused-word", "absent-word"):
            shown = shown.replace(f"/{S[word]}.png", "")
        found += hits("refusals", shown)
        refused = server.post({}, headers={"Authorization": f"Bearer {S['other-key']}"})
        found += hits("refusal", str(refused))
        wait_until(lambda: server.log.count("settled") + server.log.count("ends") >= 4)
        for path in ("/metrics", "/health", "/", f"/{S['path']}"):
            found += hits(path, get(server.url + path, headers)[1], but=("path",))
        tree = [server.pid, *below(server.pid)]
        for pid in tree:
            for name in ("cmdline", "environ"):
                found += hits(name, Path(f"/proc/{pid}/{name}").read_text(errors="replace"))
        ps = subprocess.run(["ps", "axww"], capture_output=True, text=True, timeout=20, check=False).stdout
        server.stop()
        log = server.log
    assert found + hits("log", log) + hits("ps", ps) == []
    assert KEY not in log + ps
    assert "ftp" in log or "deliver" in log, "the log was at its most talkative"
    assert {200, 422} <= statuses, "some native jobs were done, and some refused"
    # The receivers did get them: the secrets were really on their way.
    assert any(event.login for event in web.log.all())


def first_job(web: HttpReceiver, ftp: FtpReceiver) -> dict[str, object]:
    return next(jobs(web.url, ftp.url))


@pytest.mark.parametrize(
    ("lines", "fields", "fault"),
    [
        ("text", ["$.destination.url"], "attempt_bug"),
        ("json", ["$.destination.url", "$.recipe.operations"], "outbox_bug"),  # nothing but a failure picture is left
    ],
    ids=["attempt", "outbox"],
)
def test_a_fault_in_the_runner_shows_none(tmp_path: Path, lines: str, fields: list[str], fault: str) -> None:
    """A stored job that became another in the file, which nothing foresees."""
    put_pictures(tmp_path / "http")
    switches = ("--log-level", "debug", "--log-format", lines)
    server = Daemon(tmp_path / "data", *LOOPBACK, *switches, switches={"failpoint": "claimed"})
    with HttpReceiver(tmp_path / "http") as web, FtpReceiver(tmp_path / "http") as ftp, server:
        with suppress(OSError):  # it may end before it has answered
            server.post(first_job(web, ftp))
        assert server.wait(20) == 137
        with sqlite3.connect(tmp_path / "data" / "queue.sqlite") as database:
            change = "UPDATE output SET spec = CAST(json_set(CAST(spec AS TEXT), ?, 'nowhere') AS BLOB)"
            for field in fields:
                assert database.execute(change, (field,)).rowcount == 1
        database.close()
        server.switches = {}
        server.start()
        wait_until(lambda: fault in server.log)
        server.stop()
        log = server.log
    assert "Traceback (most recent call last)" in log
    assert "Error" in log
    assert hits("log", log) == []
    assert any(event.login for event in web.log.all()), "the secrets were under way"


@pytest.mark.skipif(shutil.which("gdb") is None, reason="gdb is not installed; to run this: apt-get install gdb")
def test_a_fault_at_intake_shows_none(tmp_path: Path) -> None:
    """The table of media types is emptied in the live server; a placeholder for the job's destination looks into it."""
    put_pictures(tmp_path / "http")
    with (
        HttpReceiver(tmp_path / "http") as web,
        FtpReceiver(tmp_path / "http") as ftp,
        Daemon(tmp_path / "data", *LOOPBACK, "--log-level", "debug") as server,
    ):
        assert "dstURL" in server.post(first_job(web, ftp)).body, "without the fault it is taken"
        run_inside(server.pid, "import imgserve.request.recipe as recipe\nrecipe.MEDIA_TYPE.clear()")
        reply = server.post({**first_job(web, ftp), "args": {"width": 21, "height": 15, "method": "PUT"}})
        wait_until(lambda: "intake_bug" in server.log)
        server.stop()
        log = server.log
    assert "Traceback (most recent call last)" in log
    assert "KeyError" in log
    assert hits("log", log) + hits("reply", f"{reply.body} {reply.headers}") == []


def test_no_webhook_shows_one(tmp_path: Path) -> None:
    """Messages about jobs with secrets everywhere, to a receiver that refuses them at first."""
    put_pictures(tmp_path / "http")
    whole = (tmp_path / "http" / "Ex.png").read_bytes()
    (tmp_path / "http" / "cut.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "secret").write_text(SECRET)
    with HttpReceiver(tmp_path / "http") as web, Receiver() as hook:
        config = tmp_path / "imgserve.toml"
        config.write_text(f'[credential.hook]\ntype = "webhook"\nsecret_file = "secret"\nfor = ["{hook.url}"]\n')
        login = hook.url.replace("//", f"//{S['put-user']}:{S['put-word']}@")
        webhook = {
            "url": f"{login}/in?token={S['other-key']}", "headers": {"X-Token": S["header"]},
            "events": ["job.succeeded", "job.failed", "output.delivered", "output.failed"],
        }  # fmt: skip
        hook.answer = lambda seen: Reply(500, {"X-Echo": S["header"]}) if len(hook.seen) <= 2 else Reply(204, {})
        options = ("--config", str(config), "--log-level", "debug")
        with Daemon(tmp_path / "data", *LOOPBACK, *options) as server:
            caller = Caller(server)
            job = next(jobs(web.url, ""))
            cut = {"srcURL": f"{web.url}/cut.png?{S['source-query']}", "dstURL": f"{web.url}/c.png?{S['put-query']}"}
            good, broken = (caller.submit({**native(one), "webhook": webhook}) for one in (job, {**job, **cut}))
            wait_until(lambda: len(hook.seen) >= 4)
            log_of = [caller("GET", f"/v1/jobs/{answer.body['id']}") for answer in (good, broken)]
            server.stop()
        assert {event_of(one)["type"] for one in hook.seen} == set(webhook["events"])
        assert all(one.headers["x-token"] == S["header"] and S["other-key"] in one.path for one in hook.seen)
        found = [hit for one in hook.seen for hit in hits("body", one.body.decode())]
        assert found + hits("log", server.log) + hits("job", str(log_of)) == []
        assert SECRET.removeprefix("whsec_") not in server.log + str(log_of)
