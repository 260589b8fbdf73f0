"""Webhooks while the server is killed at random moments: each end is told at least once, in the same bytes."""

import random
import time
from collections import defaultdict
from pathlib import Path

from tests.support.daemon import LOOPBACK, Daemon, wait_until
from tests.support.hooks import SECRET, TAKEN, Receiver, event_of, verify
from tests.support.native import Caller
from tests.support.pictures import encoded, scene
from tests.support.postgres_house import NewQueue
from tests.support.sites import Reply, Seen
from tests.support.sizes import IS_FULL, Figures, sized

SEED = 1207
BURST, KILLS = 20, sized(1, 60)
LONGEST_LIFE_S, ANSWER_S = 0.3, 0.03
EVENTS = ("job.succeeded", "job.failed", "output.delivered", "output.failed")
SETTINGS = """
[credential.hook]
type = "webhook"
secret_file = "secret"
for = ["{hook}/"]

[webhook.all]
url = "{hook}/"
events = {events}
"""


def test_each_end_is_told(tmp_path: Path, figures: Figures, new_queue: NewQueue) -> None:
    chance = random.Random(SEED)
    (tmp_path / "photo.png").write_bytes(encoded(scene(40, 30), "png"))
    whole = (tmp_path / "photo.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    with Receiver(slow) as hook:
        (tmp_path / "secret").write_text(SECRET)
        config = tmp_path / "imgserve.toml"
        config.write_text(SETTINGS.format(hook=hook.url, events=list(EVENTS)))
        roots = ("--read-root", str(tmp_path), "--write-root", str(tmp_path))
        queue = {"queue": new_queue() or "sqlite"}
        server = Daemon(tmp_path / "data", *LOOPBACK, *roots, "--config", str(config), switches=queue)
        with server:
            caller = Caller(server)
            accepted: list[str] = []
            for _ in range(KILLS):
                for _ in range(BURST):
                    accepted.append(caller.submit(job(tmp_path, len(accepted))).body["id"])
                time.sleep(chance.uniform(0.0, LONGEST_LIFE_S))
                server.kill()
                server.start()
            wanted = {(job_id, kind) for number, job_id in enumerate(accepted) for kind in kinds(number)}
            wait_until(lambda: told(hook).keys() >= wanted)
            server.stop()
        ids = told(hook)
    assert ids.keys() == wanted
    assert {len(one) for one in ids.values()} == {1}, "no end has two messages, nor other bytes in another try"
    assert all(verify(post) for post in hook.posts())
    assert len(hook.posts()) > len(ids) or not IS_FULL, "no kill came between a message and its end"
    figures("messages", f"{len(ids)} of {len(accepted)} jobs, {KILLS} kills, sent {len(hook.posts())} times")


def slow(_: Seen) -> Reply:
    time.sleep(ANSWER_S)
    return TAKEN


def kinds(number: int) -> tuple[str, str]:
    return ("job.failed", "output.failed") if is_broken(number) else ("job.succeeded", "output.delivered")


def is_broken(number: int) -> bool:
    return number % 5 == 4


def job(top: Path, number: int) -> dict[str, object]:
    source = "cut.png" if is_broken(number) else "photo.png"
    output = {"destination": f"file://{top}/out-{number}.png", "operations": [{"operation": "resize", "width": 8}]}
    return {"source": f"file://{top}/{source}", "outputs": [output]}


def told(hook: Receiver) -> dict[tuple[str, str], set[tuple[str, bytes]]]:
    """By job and type: the ids and bodies that came."""
    came = defaultdict(set)
    for post in hook.posts():
        event = event_of(post)
        came[event["data"]["job"]["id"], event["type"]].add((post.headers["webhook-id"], post.body))
    return dict(came)
