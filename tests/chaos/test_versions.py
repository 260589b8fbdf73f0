"""A release and the version of today on one database: an upgrade without downtime, and the way back.

What ``docs/howto/scale-out.md`` promises of neighbouring versions, judged by what the receivers were sent. The release
is taken from the history of git, which not every copy of the sources has, so this is no part of ``make test``.
"""

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Self

import pytest

from tests.chaos.fleet import Fleet
from tests.chaos.lane import KINDS, Kind
from tests.service.conftest import opened
from tests.service.test_cache_calls import colour_of
from tests.support.daemon import Daemon, wait_until
from tests.support.earlier import RECIPES, python_of
from tests.support.hooks import SECRET, Receiver, event_of
from tests.support.mounted import BLUE, GREEN, RED, fetch, paint, settings
from tests.support.native import Caller
from tests.support.operating import ask
from tests.support.postgres import Postgres
from tests.support.sizes import Figures

pytestmark = pytest.mark.full_size

RELEASE = "0.11.3"
BEFORE_NEW = "0.10.0"  # the last release that does not know what NEW has
PLACES: tuple[Kind, ...] = (*KINDS, "s3")
ENDS = ("job.succeeded", "job.failed", "job.cancelled", "job.superseded")


class Versions(Fleet):
    """``old`` and ``new`` may be stopped and started; jobs go to either. The old one makes the tables."""

    def __init__(self, root: Path, queue: str, python: Path) -> None:
        super().__init__(root, queue, has_bucket=True)
        self.hook = Receiver()
        secret = root / "secret"
        secret.write_text(SECRET)
        table = f'[credential.hook]\ntype = "webhook"\nsecret_file = "{secret}"\nfor = ["{self.hook.url}/"]\n'
        self.settings.write_text(self.settings.read_text() + table)
        # The seal of the recipes.
        seal = root / "seal.png"
        paint(seal, RED)
        self.settings.write_text(self.settings.read_text() + f'[picture.seal]\npath = "{seal}"\n')
        self._python = str(python)
        self.old, self.new = self.node("old", "all", is_old=True), self.node("new", "all", is_old=False)
        self.daemon = self.old
        self.api_nodes, self.runners = [self.old], []
        self.held: list[int] = []

    def __enter__(self) -> Self:
        self._open.enter_context(self.hook)
        return super().__enter__()

    def node(self, name: str, role: str, *, is_old: bool) -> Daemon:
        node = self.server(name, "--role", role)
        if is_old:
            node.python = self._python
        return node

    def post_to(self, server: Daemon, kind: Kind, word: str = "good", how: str = "plain", at: str = "") -> int:
        """The number of a new job. ``at``: a destination that others have too."""
        number = len(self.posted)
        place = self.place(kind, f"{kind}-{at or number}")
        self.daemon = server
        self.accept(self.job(number, place, f"{how}/{word}-{number}.png"))
        if how == "held":
            self.held.append(number)
        return number

    def post_all(self, *servers: Daemon, how: str = "plain", at: str = "") -> list[int]:
        """One for each kind of destination, by each server."""
        return [self.post_to(server, kind, how=how, at=at) for kind in PLACES for server in servers]

    def release(self) -> None:
        for number in self.held:
            self.sources.release(f"good-{number}.png")
        self.held.clear()

    def versions(self) -> list[str]:
        nodes = ask(self.new.data_dir, "GET", "/v1/server").body["nodes"]
        return sorted(node["version"] for node in nodes if node["is_alive"])

    def ends_of_jobs(self) -> Counter[int]:
        """How often each has ended."""
        words = ", ".join(f"'{word}'" for word in ENDS)
        rows = self.stored.select(f"SELECT job FROM event WHERE type IN ({words})")
        return Counter(int(number) for (number,) in rows)

    def check(self) -> None:
        """All jobs until now: each has ended once, and its destination shows what it has to."""
        self.release()
        self.daemon = self.new if self.new.is_running else self.old
        self.until_ended(self.posted)
        faults = self.faults(self.posted)
        assert not faults, "\n".join(faults)
        ends = self.ends_of_jobs()
        assert len(ends) == len(self.stored.select("SELECT number FROM job"))
        assert set(ends.values()) == {1}, ends


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("earlier")


@pytest.fixture(scope="module")
def python(earlier: Path) -> Path:
    return python_of(RELEASE, earlier)


@pytest.fixture
def versions(tmp_path: Path, postgres: Postgres, python: Path) -> Iterator[Versions]:
    with beside(RELEASE, python, tmp_path, postgres) as versions:
        yield versions


@contextmanager
def beside(release: str, python: Path, root: Path, postgres: Postgres) -> Iterator[Versions]:
    with Versions(root / "versions", postgres.url(postgres.database()), python) as versions:
        assert f"imgserve {release} listening" in versions.old.log
        yield versions
        if versions.new.is_running:
            versions.new.stop()


def test_an_upgrade_and_the_way_back(versions: Versions, figures: Figures) -> None:
    old, new = versions.old, versions.new
    # The release alone: jobs that have ended, that have failed, and that are under way.
    versions.post_all(old)
    versions.post_to(old, "put", "broken")
    versions.post_all(old, how="held", at="shared")
    # Both, of which each overtakes jobs of the other.
    new.start()
    assert versions.versions() == sorted([RELEASE, version("imgserve")])
    versions.post_all(old, new, old, at="shared")
    versions.post_all(new, old, how="held")
    versions.check()
    # The release goes in order, with jobs under way that it has taken, and the other one carries them on.
    versions.post_all(old, new, how="held")
    assert old.stop() == 0
    versions.check()
    versions.post_all(new, how="held", at="shared")
    # The way back, and both again.
    old.start()
    versions.post_all(old, new, at="shared")
    versions.post_all(old, new, how="held")
    # The new one dies, and the release takes over what it was doing.
    new.kill()
    versions.api_nodes = [old]
    versions.take_over_from(new)
    versions.check()
    # And the other way round.
    new.start()
    versions.post_all(old, new, how="held", at="shared")
    versions.post_all(old, new, how="held")
    old.kill()
    versions.api_nodes = [new]
    versions.take_over_from(old)
    versions.check()
    old.start()
    versions.post_all(old, new)
    versions.check()
    figures("jobs", len(versions.posted))
    figures("ends", dict(Counter(entry.status for entry in versions.entries(versions.posted))))


def test_native_jobs_are_the_same_at_either_version(versions: Versions) -> None:
    """Also their webhooks, and the keys under which they are repeated."""
    new = versions.new
    new.start()
    ids = [_posted_twice(versions, number) for number in range(6)]
    assert Caller(versions.old)("POST", f"/v1/jobs/{ids[1]}/cancel").status == 200
    for number in range(6):
        versions.sources.release(f"good-native-{number}.png")
    ends = {job_id: "cancelled" if job_id == ids[1] else "succeeded" for job_id in ids}
    for server in (versions.old, new):
        assert {job_id: Caller(server).ended(job_id)["status"] for job_id in ids} == ends
    hook = versions.hook
    wait_until(lambda: len({post.headers["webhook-id"] for post in hook.posts()}) >= len(ids))
    messages = {post.headers["webhook-id"]: event_of(post) for post in hook.posts()}
    told = sorted((one["data"]["job"]["id"], one["type"]) for one in messages.values())
    assert told == sorted((job_id, f"job.{end}") for job_id, end in ends.items())


def _posted_twice(versions: Versions, number: int) -> str:
    """The id of a job that one version took and the other one knows."""
    operations = [{"operation": "resize", "width": 50 + number}]
    urls = [versions.place(kind, f"native-{number}").url for kind in ("file", "ftp")]
    job = {
        "source": f"{versions.sources.url}/held/good-native-{number}.png",
        "outputs": [{"name": url[:3], "operations": operations, "destination": url} for url in urls],
        "webhook": f"{versions.hook.url}/ends",
    }
    first, second = (versions.old, versions.new) if number % 2 else (versions.new, versions.old)
    answer = Caller(first).submit(job, Idempotency_Key=f"key-{number}")
    assert answer.status == 202, answer
    again = Caller(second).submit(job, Idempotency_Key=f"key-{number}")
    assert (again.body["id"], again.headers["idempotent-replayed"]) == (answer.body["id"], "true")
    return str(answer.body["id"])


def test_each_carries_out_what_the_other_has_taken(versions: Versions, earlier: Path) -> None:
    """With all operations that the release has."""
    recipes = json.loads((earlier / RECIPES).read_text())
    del recipes["rasterize"]  # for drawings alone
    assert versions.old.stop() == 0
    pictures = versions.root / "file"
    sizes = []
    for is_old in (True, False):
        outputs = [
            {
                "name": name,
                "operations": recipe,
                "destination": f"file://{pictures}/{name}-{is_old}.png",
                "placeholder": "none",  # the size after a trim is not known before
            }
            for name, recipe in recipes.items()
        ]
        job = {"source": f"{versions.sources.url}/plain/good-1.png", "outputs": outputs}
        api = versions.node(f"api-{is_old}", "api", is_old=not is_old)
        with api, versions.node(f"runner-{is_old}", "runner", is_old=is_old):
            answer = Caller(api).submit(job)
            assert answer.status == 202, answer
            ended = Caller(api).ended(answer.body["id"])
        assert {output["name"]: output["error"] for output in ended["outputs"]} == dict.fromkeys(recipes)
        sizes.append({name: opened((pictures / f"{name}-{is_old}.png").read_bytes()).size for name in recipes})
    assert sizes[0] == sizes[1]


# A field that the release does not have.
NEW = {"encode": {"render_profile": "quality"}}


def test_what_only_the_new_version_knows_fails_at_the_old_one(tmp_path: Path, postgres: Postgres) -> None:
    """It is never rendered without the part that is not known, and is tried again by the new one."""
    python = python_of(BEFORE_NEW, tmp_path / "earlier")
    with (
        beside(BEFORE_NEW, python, tmp_path, postgres) as versions,
        versions.node("api", "api", is_old=False) as api,
    ):
        output = {**NEW, "destination": versions.place("file", "unknown").url}
        answer = Caller(api).submit({"source": f"{versions.sources.url}/plain/good-1.png", "outputs": [output]})
        assert answer.status == 202, answer
        job_id = answer.body["id"]
        ended = Caller(api).ended(job_id)
        assert (ended["status"], ended["outputs"][0]["error"]["code"]) == ("failed", "internal")
        assert versions.old.stop() == 0
        versions.new.start()
        assert Caller(api)("POST", f"/v1/jobs/{job_id}/retry").status == 200
        assert Caller(api).ended(job_id)["status"] == "succeeded"


def test_what_either_delivers_purges_the_cache_of_the_other(versions: Versions) -> None:
    pictures, new = versions.root / "file", versions.new
    config = versions.root / "mounts.toml"
    config.write_text(settings(pictures))
    paint(pictures / "shown.png", RED)
    paint(versions.root / "web" / "blue.png", BLUE)
    paint(versions.root / "web" / "green.png", GREEN)
    with versions.server("api", "--role", "api", "--config", str(config), "--read-root", str(pictures)) as api:

        def shown() -> str:
            return colour_of(fetch(api, "/thumbor/unsafe/20x20/shown.png").body)

        def deliver(colour: str) -> None:
            output = {"destination": f"file://{pictures}/shown.png", "placeholder": "none"}
            answer = Caller(api).submit({"source": f"{versions.web.url}/{colour}.png", "outputs": [output]})
            assert Caller(api).ended(answer.body["id"])["status"] == "succeeded"

        assert shown() == RED
        deliver("blue")
        wait_until(lambda: shown() == BLUE)
        new.start()
        assert versions.old.stop() == 0
        deliver("green")
        wait_until(lambda: shown() == GREEN)
