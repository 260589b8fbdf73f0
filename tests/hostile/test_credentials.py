"""Headers and credentials of jobs: each arrives where the settings and its job say, and nothing of them anywhere else.

Two sites on loopback keep what they were sent: the shop's own storage, and a stranger's.
"""

import base64
import json
import os
import signal
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

import pytest

from tests.support.daemon import LOOPBACK, Daemon, wait_until
from tests.support.native import Answer, Caller, sha256
from tests.support.ondemand import render
from tests.support.operating import ask
from tests.support.pictures import encoded, scene
from tests.support.sites import Reply, Seen, Site

SHOP, BLOG = "key-of-the-shop-01", "key-of-the-blog-02"
TOKEN, PASSWORD, API_KEY, TENANT = "t0ken-hunter2", "passw0rd-hunter2", "apikey-hunter2", "tenant-hunter2"
SECRETS = ("hunter2", base64.b64encode(f"shop:{PASSWORD}".encode()).decode())
HEADERS = {"X-Tenant": TENANT, "Cache-Control": "max-age=86400", "User-Agent": "shop/1"}
BEARER = f"Bearer {TOKEN}"
PHOTO, OTHER_PHOTO = (encoded(scene(width, 30), "png") for width in (40, 41))


class Storage(Site):
    """Has a picture everywhere, takes everything, and redirects from ``/…/to?URL`` as asked.

    ``/…/form?ACTION`` is a page whose form posts to ACTION.
    """

    photo = PHOTO

    def reply(self, seen: Seen) -> Reply:
        path, _, query = seen.path.partition("?")
        if path.endswith("/to"):
            return Reply(307, {"Location": unquote(query)})
        if path.endswith("/form") and seen.method == "GET":
            form = (
                f'<form method=post enctype=multipart/form-data action="{unquote(query)}"><input type=file name=file>'
            )
            return Reply(200, {"Content-Type": "text/html"}, f"{form}<button>Send</button></form>".encode())
        if path.endswith("/refuses") and seen.headers.get("x-imgserve-state") != "placeholder":
            return Reply(204 if seen.method == "DELETE" else 403, {})
        return Reply(200, {}, self.photo if seen.method in ("GET", "HEAD") else b"")

    def at(self, name: str) -> list[Seen]:
        """The requests whose path holds this name."""
        return [seen for seen in self.seen if name in seen.path]


class World(NamedTuple):
    own: Storage
    stranger: Storage
    server: Daemon
    shop: Caller
    blog: Caller
    settings: Path

    def configure(self, text: str) -> None:
        """Replace the credentials, and wait until they hold."""
        before = self.server.log.count(" reloaded ")
        self.settings.write_text(text)
        os.kill(self.server.pid, signal.SIGHUP)
        wait_until(lambda: self.server.log.count(" reloaded ") > before)


def credentials_for(url: str) -> str:
    return f"""
[credential.token]
type = "bearer"
secret_env = "SHOP_TOKEN"
for = ["{url}/pictures/", "{url}/store/"]
principals = ["shop"]
public_url = "https://cdn.test/p"
[credential.login]
type = "basic"
user = "shop"
secret_env = "SHOP_PASSWORD"
for = ["{url}/store/"]
principals = ["shop", "blog"]
[credential.key]
type = "header"
header = "X-Api-Key"
public_url = "https://cdn.test/"
secret_file = "api.key"
for = ["{url}/store/"]
principals = ["shop"]
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    top = tmp_path_factory.mktemp("credentials")
    (top / "keys").write_text(f"shop:{SHOP}\nblog:{BLOG}\n")
    (top / "api.key").write_text(f"{API_KEY}\n")
    settings, environ = top / "settings.toml", {"SHOP_TOKEN": TOKEN, "SHOP_PASSWORD": PASSWORD}
    with Storage() as own, Storage() as stranger:
        settings.write_text(credentials_for(own.url))
        switches = ("--config", str(settings), "--api-key-file", str(top / "keys"), "--log-level", "debug")
        times = {"retry_delay_s": 0.1, "repeat_after_s": 0.1}
        with Daemon(top / "data", *LOOPBACK, *switches, switches=times, environment=environ) as server:
            yield World(own, stranger, server, Caller(server, SHOP), Caller(server, BLOG), settings)
            shown = server.log + str(Caller(server, SHOP).page(limit=200)) + str(Caller(server, BLOG).page(limit=200))
            shown += str(ask(server.data_dir, "GET", "/v1/refusals").body)
    assert [secret for secret in SECRETS if secret in shown] == []
    assert [secret for secret in SECRETS for seen in stranger.seen if secret in str(seen)] == []


def along(url: str, credential: str = "token", **more: object) -> dict[str, Any]:
    return {"url": url, "headers": HEADERS, "credential": credential, **more}


def job(source: object, destination: object, **fields: object) -> dict[str, Any]:
    recipe = {"operations": [{"operation": "resize", "width": 20}], "encode": {"format": "png"}}
    return {"source": source, "outputs": [{**recipe, "destination": destination}], **fields}


def done(caller: Caller, posted: dict[str, Any]) -> Any:
    """The job, once it has ended. No answer shows a secret."""
    answer = caller.submit(posted)
    assert answer.status == 202, answer
    ended = caller.ended(answer.body["id"])
    assert not any(secret in str(answer) + str(ended) for secret in SECRETS)
    return ended


def faults_of(caller: Caller, posted: dict[str, Any]) -> list[tuple[str, str]]:
    answer = caller.submit(posted)
    assert answer.status == 422, answer
    assert not any(secret in str(answer) for secret in SECRETS)
    return answer.faults


def test_both_go_with_each_request_to_their_own_place(world: World) -> None:
    source, place = f"{world.own.url}/pictures/first.png", f"{world.own.url}/store/first"
    outputs = [
        job("", along(f"{place}-put.png", "token"))["outputs"][0],
        {**job("", along(f"{place}-put2.png", "login"))["outputs"][0], "placeholder": {"if_exists": "keep"}},
        job("", along(f"{place}/form?take:a.png", "key", method="POST"))["outputs"][0],
    ]
    ended = done(world.shop, {"source": along(source), "outputs": outputs})
    assert [output["status"] for output in ended["outputs"]] == ["delivered"] * 3
    urls = [output["url"] for output in ended["outputs"]]
    assert urls == ["https://cdn.test/p/store/first-put.png", f"{place}-put2.png", None]
    seen = world.own.at("first")
    assert {one.method for one in seen} == {"GET", "HEAD", "PUT", "POST"}
    basic = f"Basic {SECRETS[1]}"
    for one in seen:
        is_form = "/first/" in one.path
        login = None if is_form else basic if "put2" in one.path else BEARER
        assert one.headers.get("authorization") == login, one
        assert one.headers.get("x-api-key") == (API_KEY if is_form else None), one
        assert (one.headers["x-tenant"], one.headers["user-agent"]) == (TENANT, "shop/1")
        if state := one.headers.get("x-imgserve-state"):
            expected = "no-store" if state == "placeholder" else HEADERS["Cache-Control"]
            assert one.headers["cache-control"] == expected, one


def test_a_deletion_has_them_too(world: World) -> None:
    place = f"{world.own.url}/store/gone/refuses"
    posted = job(along(f"{world.own.url}/pictures/gone.png"), along(place))
    posted["outputs"][0]["on_failure"] = "delete"
    assert done(world.shop, posted)["status"] == "failed"
    wait_until(lambda: any(one.method == "DELETE" for one in world.own.at("gone/refuses")))
    [deletion] = [one for one in world.own.at("gone/refuses") if one.method == "DELETE"]
    assert (deletion.headers["authorization"], deletion.headers["x-tenant"]) == (BEARER, TENANT)


def refused(world: World) -> list[tuple[Caller, dict[str, Any], list[str]]]:
    own, stranger = world.own.url, world.stranger.url
    good, place = f"{own}/pictures/x.png", f"{own}/store/never.png"
    source, first = "source.credential", "outputs[0].destination.credential"
    port = stranger.rpartition(":")[2]
    return [
        (world.blog, job(along(good), along(place, "login")), [source]),
        (world.blog, job(along(good), along(place)), [source, first]),
        (world.shop, job(along(good, "absent"), place), [source]),
        (world.shop, job(good, along(f"{stranger}/store/never.png")), [first]),
        (world.shop, job(along(f"{stranger}/pictures/never.png"), place), [source]),
        (world.shop, job(along(f"{own}/never.png"), place), [source]),
        (world.shop, job(along(f"{own}/pictures/..%2Fnever.png"), place), [source]),
        (world.shop, job(along(f"{own}/pictures/../never.png"), place), [source]),
        (world.shop, job(along(f"{own}/picturesque/never.png"), place), [source]),
        (world.shop, job(along(f"http://127.0.0.1:{port}/{own}/pictures/never.png"), place), [source]),
        (world.shop, job(good, along(f"{stranger}/store/never/form?{own}/store/:a.png", method="POST")), [first]),
    ]  # fmt: skip


def test_another_principal_or_place_gets_none(world: World) -> None:
    for caller, posted, paths in refused(world):
        assert faults_of(caller, posted) == [(path, "credential_not_allowed") for path in paths], posted
    assert world.own.at("never") == world.stranger.at("never") == []
    answer: Answer = world.blog.submit(refused(world)[0][1])
    absent = world.blog.submit(job(along(f"{world.own.url}/pictures/x.png", "absent"), f"{world.own.url}/a.png"))
    assert (answer.body["code"], answer.body["detail"]) == (absent.body["code"], absent.body["detail"])
    assert answer.body["code"] == "credential_not_allowed"
    with_fault = job(along(f"{world.own.url}/pictures/x.png", "absent"), "http://10.0.0.1/a.png")
    assert faults_of(world.shop, with_fault) == [
        ("outputs[0].destination", "destination_refused"), ("source.credential", "credential_not_allowed"),
    ]  # fmt: skip


def test_a_place_that_the_source_decides_is_judged_once_it_is_known(world: World) -> None:
    """The name of the source leads out of what the credential is for, at a server that decodes it."""
    source = f"{world.own.url}/pictures/..%5C..%5Cleads.png"
    posted = job(source, along(f"{world.own.url}/store/{{$basename}}.png"))
    assert faults_of(world.shop, posted) == [("outputs[0].destination.credential", "credential_not_allowed")]
    assert not [one for one in world.own.at("leads") if one.method != "GET"]


def redirects(world: World) -> list[tuple[str, str]]:
    """Where a request begins, and the name of the one that it ends with."""
    own, stranger = world.own.url, world.stranger.url
    back = f"{stranger}/away/to?{own}/pictures/away-and-back.png"
    return [
        (f"{own}/pictures/to?{stranger}/pictures/away.png", "pictures/away.png"),
        (f"{own}/pictures/to?{back}", "away-and-back.png"),
        (f"{own}/pictures/to?//127.0.0.1:{world.stranger.port}/away-by-slashes.png", "away-by-slashes.png"),
        (f"{own}/pictures/to?http://shop:x@127.0.0.1:{world.stranger.port}/away-by-name.png", "away-by-name.png"),
    ]  # fmt: skip


def test_a_redirect_to_another_origin_takes_nothing_along(world: World) -> None:
    for source, name in redirects(world):
        ended = done(world.shop, job(along(source), f"{world.own.url}/public/{name.rpartition('/')[2]}"))
        assert ended["status"] == "succeeded"
        arrived = [one for one in (*world.own.seen, *world.stranger.seen) if name in one.path.partition("?")[0]]
        gets = [one for one in arrived if one.method == "GET" and "/public/" not in one.path]
        assert gets
        assert not any(secret in str(one) for one in gets for secret in SECRETS), name


def test_a_write_that_is_redirected_takes_nothing_along(world: World) -> None:
    own, stranger = world.own.url, world.stranger.url
    moved = along(f"{own}/store/to?{stranger}/store/moved.png")
    page = along(f"{own}/store/form?{stranger}/take-away:a.png", method="POST")
    post = along(f"{own}/store/second/form?/store/to?{stranger}/moved-post:a.png", method="POST")
    turned = along(f"{own}/store/third/to?{stranger}/form?{own}/store/back-from-afar:a.png", method="POST")
    for place in (moved, page, post, turned):
        assert done(world.shop, job(f"{own}/plain.png", place))["status"] == "succeeded", place
    for name in ("store/moved.png", "take-away", "moved-post"):
        arrived = [one for one in world.stranger.seen if name in one.path and one.method in ("PUT", "POST")]
        assert arrived, name
    [*back] = [one for one in world.own.seen if one.path == "/store/back-from-afar"]
    assert back
    assert not any(secret in str(one) for one in back for secret in SECRETS), "a stranger's page chose this place"


def test_a_redirect_within_the_origin_keeps_headers_and_the_credential_where_it_is_for_it(world: World) -> None:
    own = world.own.url
    for target in ("pictures/inside.png", "elsewhere/outside.png"):
        assert (
            done(world.shop, job(along(f"{own}/pictures/to?/{target}"), f"{own}/public/x.png"))["status"] == "succeeded"
        )
    logins = {one.path: (one.headers.get("authorization"), one.headers["x-tenant"]) for one in world.own.at("side.png")}
    assert logins["/pictures/inside.png"] == (BEARER, TENANT)
    assert logins["/elsewhere/outside.png"] == (None, TENANT)


@pytest.mark.parametrize("value", ["a\r\nX-Evil: 1", "a\nX-Evil: 1", "a\x00", "é", " "])
def test_no_header_is_smuggled(world: World, value: str) -> None:
    posted = job({"url": f"{world.own.url}/pictures/smuggled.png", "headers": {"X-A": value}}, f"{world.own.url}/a.png")
    assert faults_of(world.shop, posted) == [("source.headers.X-A", "field_invalid")]
    assert world.own.at("smuggled") == []


def test_a_picture_on_demand(world: World) -> None:
    request = {"source": along(f"{world.own.url}/pictures/demand.png"), "operations": []}
    reply = render(world.server, request, Authorization=f"Bearer {SHOP}")
    assert reply.status == 200
    [seen] = world.own.at("demand")
    assert (seen.headers["authorization"], seen.headers["x-tenant"]) == (BEARER, TENANT)
    reply = render(world.server, request, Authorization=f"Bearer {BLOG}")
    assert (reply.status, reply.faults) == (422, [("source.credential", "credential_not_allowed")])
    assert len(world.own.at("demand")) == 1


def later(seconds: float) -> str:
    return datetime.fromtimestamp(time.time() + seconds, UTC).isoformat()


def test_a_name_that_vanishes_is_a_fault_that_heals(world: World) -> None:
    posted = job(f"{world.own.url}/plain.png", along(f"{world.own.url}/store/heals.png"), not_before=later(1))
    job_id = world.shop.submit(posted).body["id"]
    whole = world.settings.read_text()
    world.configure(whole.replace("[credential.token]", "[credential.other]"))
    wait_until(lambda: world.shop.job(job_id)["outputs"][0]["error"] is not None)
    error = world.shop.job(job_id)["outputs"][0]["error"]
    assert (error["code"], error["retryable"]) == ("credential_not_allowed", True)
    world.configure(whole)
    assert world.shop.ended(job_id)["status"] == "succeeded"
    assert world.own.at("heals")[-1].headers["authorization"] == BEARER


def test_settings_at_fault_leave_the_credentials_as_they_are(world: World) -> None:
    whole = world.settings.read_text()
    before = world.server.log.count("reload_failed")
    world.settings.write_text(whole.replace('principals = ["shop"]\npublic', "public"))
    os.kill(world.server.pid, signal.SIGHUP)
    wait_until(lambda: world.server.log.count("reload_failed") > before)
    assert "there are several keys" in world.server.log
    world.settings.write_text(whole)
    assert done(world.shop, job(along(f"{world.own.url}/pictures/still.png"), f"{world.own.url}/b.png"))
    assert world.own.at("still")[0].headers["authorization"] == BEARER


def test_a_source_with_another_digest_fails_the_job(world: World) -> None:
    source, place = f"{world.own.url}/plain.png", f"{world.own.url}/store/digest.png"
    right, wrong = f"sha256:{sha256(PHOTO)}", f"sha256:{sha256(OTHER_PHOTO).upper()}"
    assert done(world.shop, job({"url": source, "digest": right}, place))["status"] == "succeeded"
    answer = world.shop.submit(job({"url": source, "digest": wrong}, place))
    assert (answer.status, answer.body["code"]) == (422, "source_digest_mismatch")
    assert answer.faults == [("source", "source_digest_mismatch")]
    reply = render(world.server, {"source": {"url": source, "digest": wrong}}, Authorization=f"Bearer {SHOP}")
    assert (reply.status, reply.faults) == (422, [("source", "source_digest_mismatch")])
    posted = job({"url": f"{world.own.url}/changes.png", "digest": right}, place, not_before=later(0.5))
    job_id = world.shop.submit(posted).body["id"]
    world.own.photo = OTHER_PHOTO
    [output] = world.shop.ended(job_id)["outputs"]
    world.own.photo = PHOTO
    assert (output["status"], output["error"]["code"]) == ("failed", "source_digest_mismatch")
    assert not output["error"]["retryable"]


def test_the_row_of_a_job_holds_no_secret_of_the_settings(world: World) -> None:
    """Names only: the file of the queue may be copied."""
    done(world.shop, job(along(f"{world.own.url}/pictures/row.png"), along(f"{world.own.url}/store/row.png", "login")))
    kept = b"".join(path.read_bytes() for path in world.server.data_dir.glob("queue.sqlite*"))
    assert json.dumps("login").encode() in kept
    assert not any(secret.encode() in kept for secret in (TOKEN, PASSWORD, API_KEY, SECRETS[1]))
