"""Webhooks of a running server: its settings, its refusals, and what arrives though it dies meanwhile."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from imgserve.client import Client, JobWebhook, Output, Webhook, verify_webhook
from imgserve.failpoint import Name as Failpoint
from tests.service.test_seeing import until_seen
from tests.support.daemon import LOOPBACK, Daemon, wait_until
from tests.support.hooks import NEW_SECRET, SECRET, TAKEN, Receiver, event_of, verify
from tests.support.native import Caller
from tests.support.operating import Operator
from tests.support.pages import programs_in
from tests.support.pictures import encoded, scene
from tests.support.ports import free_port
from tests.support.postgres_house import NewQueue
from tests.support.sites import Reply, Seen

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = """
[credential.shop]
type = "webhook"
secret_file = "secrets"
for = ["{hook}/", "http://127.0.0.1:{page_port}/"]

[webhook.rest]
url = "{hook}/rest"
events = ["job.succeeded", "job.failed"]
"""


class Told:
    """A server whose webhooks go to ``hook``, or to a port without a listener. A picture of 40 x 30 is its source."""

    def __init__(self, top: Path, hook: Receiver, queue: str = "") -> None:
        self.top = top
        self.hook = hook
        self.page_port = free_port()
        (top / "photo.png").write_bytes(encoded(scene(40, 30), "png"))
        (top / "secrets").write_text(SECRET)
        self.config = top / "imgserve.toml"
        self.config.write_text(SETTINGS.format(hook=hook.url, page_port=self.page_port))
        roots = ("--read-root", str(top), "--write-root", str(top))
        words = (*LOOPBACK, *roots, "--config", str(self.config))
        self.server = Daemon(top / "data", *words, switches={"queue": queue or "sqlite"})
        self.call = Caller(self.server)

    def job(self, name: str, webhook: object = None, source: str = "photo.png") -> dict[str, object]:
        recipe = {"operations": [{"operation": "resize", "width": 8, "height": 6}]}
        output = {"name": "card", **recipe, "destination": f"file://{self.top}/{name}"}
        job: dict[str, object] = {"source": f"file://{self.top}/{source}", "outputs": [output]}
        return job if webhook is None else {**job, "webhook": webhook}

    def classic(self, name: str) -> dict[str, object]:
        place = f"file://{self.top}"
        args = {"width": 8, "height": 6}
        return {"operationType": "resize", "srcURL": f"{place}/photo.png", "dstURL": f"{place}/{name}", "args": args}

    def posts(self, path: str) -> list[Seen]:
        return [post for post in self.hook.posts() if post.path == path]

    def events(self, path: str, count: int = 1) -> list[Any]:
        """The verified messages there, once there are so many."""
        wait_until(lambda: len(self.posts(path)) >= count)
        return [verify(post) for post in self.posts(path)]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    with Receiver() as hook:
        world = Told(tmp_path_factory.mktemp("world"), hook)
        with world.server:
            yield world


def test_a_job_tells_its_own_webhook(world: Told) -> None:
    url = f"{world.hook.url}/own"
    events = ["output.delivered", "job.succeeded"]
    webhook = {"url": url, "events": events, "secret": "shop", "headers": {"X-Shop": "7"}}
    answer = world.call.submit(world.job("own.png", webhook))
    assert answer.status == 202, answer
    assert answer.body["webhook"] == {"url": url, "events": events}
    told = world.events("/own", 2)
    assert sorted(event["type"] for event in told) == sorted(events)
    for event in told:
        job, output = event["data"]["job"], event["data"]["output"]
        assert (job["id"], job["webhook"]) == (answer.body["id"], answer.body["webhook"])
        assert output == ("card" if event["type"] == "output.delivered" else None)
        assert "timeline" not in job
    (ended,) = (event for event in told if event["type"] == "job.succeeded")
    assert (ended["data"]["job"]["status"], ended["data"]["job"]["outputs"][0]["status"]) == ("succeeded", "delivered")
    assert {post.headers["x-shop"] for post in world.posts("/own")} == {"7"}
    shown = Operator(world.server)("jobs", "show", answer.body["id"]).stdout.decode()
    assert f"webhook       {url} (output.delivered, job.succeeded)\n" in shown


def test_the_client_reads_what_it_asked_for(world: Told) -> None:
    webhook = Webhook(url=f"{world.hook.url}/client", events=("output.delivered",), secret="shop")
    output = Output(name="card", destination=f"file://{world.top}/client.png")
    with Client(world.server.url) as client:
        submitted = client.submit(f"file://{world.top}/photo.png", [output], webhook=webhook)
        world.events("/client")
        wait_until(lambda: client.webhooks(submitted.id)[0].state == "done")
        (told,) = client.webhooks(submitted.id)
        assert (told.type, [each.status for each in told.tries]) == ("output.delivered", [204])
        assert [each.id for each in client.replay_webhooks(submitted.id)] == [told.id]
        world.events("/client", 2)
    post, again = world.posts("/client")
    assert (again.body, again.headers["webhook-id"]) == (post.body, told.id)
    event = verify_webhook(post.body, post.headers, SECRET)
    assert (event.id, event.type) == (post.headers["webhook-id"], "output.delivered")
    assert event.job is not None
    assert (event.job.id, event.output) == (submitted.id, event.job.output("card"))
    assert submitted.job.webhook == event.job.webhook == JobWebhook(webhook.url, webhook.events)


def test_jobs_that_name_none_tell_that_of_the_settings(world: Told) -> None:
    reply = world.server.post(world.classic("classic.png"))
    assert reply.status == 200
    native = world.call.submit(world.job("native.png")).body["id"]
    told = world.events("/rest", 2)
    assert {event["data"]["job"]["id"] for event in told} == {reply.headers["x-imgserve-job"], native}
    assert {event["data"]["job"]["protocol"] for event in told} == {"classic", "v1"}


def test_what_cannot_be_told_is_refused(world: Told) -> None:
    """All faults at once; the same for a secret that there is not and for one that is for other URLs."""
    private = world.call.submit(world.job("no.png", {"url": "http://10.0.0.1/hook", "secret": "shop"}))
    assert (private.status, private.faults) == (
        422, [("webhook", "webhook_refused"), ("webhook.secret", "credential_not_allowed")],
    )  # fmt: skip
    assert private.body["errors"][1]["detail"].startswith("there is no such credential")
    refused = world.call.submit(world.job("no.png", {"url": f"{world.hook.url}/x", "secret": "other"}))
    elsewhere = world.hook.url.replace("127.0.0.1", "127.0.0.2")
    unsigned = world.call.submit(world.job("no.png", elsewhere))
    assert (refused.status, refused.faults) == (422, [("webhook.secret", "credential_not_allowed")])
    assert (unsigned.status, unsigned.faults) == (422, [("webhook", "credential_not_allowed")])
    assert refused.body["detail"] == unsigned.body["detail"]
    assert not (world.top / "no.png").exists()


def test_a_secret_is_replaced_without_a_gap(world: Told) -> None:
    """First both sign, then the new one alone."""

    def reload(secrets: str) -> None:
        (world.top / "secrets").write_text(secrets)
        count = world.server.log.count("reloaded")
        os.kill(world.server.pid, signal.SIGHUP)
        wait_until(lambda: world.server.log.count("reloaded") > count)

    def posted(name: str) -> Seen:
        world.call.submit(world.job(f"{name}.png", f"{world.hook.url}/{name}"))
        wait_until(lambda: world.posts(f"/{name}"))
        return world.posts(f"/{name}")[0]

    reload(f"{NEW_SECRET}\n{SECRET}\n")
    both = posted("both")
    assert verify(both, SECRET) == verify(both, NEW_SECRET)
    reload(NEW_SECRET)
    new = posted("new")
    assert verify(new, NEW_SECRET)
    assert " " not in new.headers["webhook-signature"]
    reload(SECRET)


def test_metrics_and_log_tell_no_secret(world: Told) -> None:
    world.hook.answer = lambda seen: Reply(410, {}) if seen.path.startswith("/gone") else TAKEN
    job = world.call.submit(world.job("gone.png", f"{world.hook.url}/gone?token=rosebud")).body
    wait_until(lambda: "webhook_gone" in world.server.log)
    assert job["webhook"]["url"].endswith("/gone?...")
    seen = until_seen(world.server, lambda seen: seen["webhooks", "pending"] == 0.0)
    assert (seen["webhooks_ended_total", "gone"], seen["webhooks", "abandoned"]) == (1.0, 1.0)
    assert seen["webhooks_ended_total", "delivered"] >= 3.0
    for word in ("rosebud", SECRET, SECRET.removeprefix("whsec_"), NEW_SECRET):
        assert word not in world.server.log


def test_the_receiver_of_the_page_takes_them(world: Told) -> None:
    (program,) = programs_in((ROOT / "docs/webhooks.md").read_text())
    environment = {**os.environ, "WEBHOOK_SECRET": SECRET, "PORT": str(world.page_port)}
    with subprocess.Popen([sys.executable, "-c", program], env=environment, stdout=subprocess.PIPE) as receiver:
        try:
            wait_until(lambda: is_open(world.page_port))
            job_id = world.call.submit(world.job("page.png", f"http://127.0.0.1:{world.page_port}/")).body["id"]
            assert receiver.stdout is not None
            assert receiver.stdout.readline().decode() == f"job.succeeded {job_id}\n"
        finally:
            receiver.kill()


def is_open(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
        return True
    return False


def test_a_server_that_dies_sends_the_same_bytes_again(tmp_path: Path, new_queue: NewQueue) -> None:
    """At least once: again only if it died before it had stored that the message was taken."""
    points: tuple[Failpoint, ...] = ("webhook_sent", "webhook_settled")
    with Receiver() as hook:
        world = Told(tmp_path, hook, new_queue())
        world.server.switches["failpoint"] = points[0]
        with world.server as server:
            answer = world.call.submit(world.job("a.png", f"{hook.url}/hook"))
            assert server.wait() == 137
            assert len(world.posts("/hook")) == 1
            server.switches["failpoint"] = points[1]
            server.start()
            assert server.wait() == 137
            assert len(world.posts("/hook")) == 2
            del server.switches["failpoint"]
            server.start()
            world.call.submit(world.job("b.png", f"{hook.url}/later"))
            world.events("/later")  # is due after all that the dead server left
            came = world.posts("/hook")
    assert len(came) == 2
    assert len({(post.headers["webhook-id"], post.body) for post in came}) == 1
    event = event_of(came[0])
    assert (event["type"], event["data"]["job"]["id"]) == ("job.succeeded", answer.body["id"])
