"""Jobs that bring their picture to servers that share a queue: one receives it, another one renders it."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import pytest
from PIL import Image

from imgserve.request.principal import OPERATOR_ID
from tests.support.buckets import ObjectStore, settings_of
from tests.support.daemon import Daemon, wait_until
from tests.support.native import Caller
from tests.support.pictures import encoded, scene
from tests.support.postgres import Postgres

PHOTO = encoded(scene(200, 150), "jpeg")


class Plan(NamedTuple):
    """Servers that share a queue. ``kept`` tells how many pictures are kept, and ``words`` where."""

    top: Path
    words: tuple[str, ...]
    kept: Callable[[], int]

    def server(self, role: str) -> Daemon:
        words = ("--role", role, "--write-root", str(self.top / "out"), "--config", str(self.top / "settings.toml"))
        return Daemon(self.top / role, *self.words, *words, environment={"SECRET": "key-of-a-test"})


@pytest.fixture(params=["database", "bucket"])
def plan(request: pytest.FixtureRequest, postgres: Postgres, tmp_path: Path) -> Iterator[Plan]:
    (tmp_path / "out").mkdir()
    (tmp_path / "settings.toml").touch()
    database = postgres.database()
    words = ("--queue", postgres.url(database))
    with ExitStack() as held:
        if request.param == "bucket":
            store = held.enter_context(ObjectStore())
            place = f"{store.url}/uploads"
            own = f'principals = ["{OPERATOR_ID}"]\n'
            (tmp_path / "settings.toml").write_text(settings_of(store.endpoint, place) + own)
            yield Plan(tmp_path, (*words, "--queue-uploads", place), lambda: len(store.names()))
        else:
            statement = "SELECT DISTINCT upload FROM imgserve.upload_part"
            yield Plan(tmp_path, words, lambda: len(postgres.execute(statement, database)))


def test_a_picture_that_one_server_received_is_anothers_too(plan: Plan) -> None:
    job = {"source": {"upload": "photo.jpg"}, "outputs": [{"destination": f"file://{plan.top}/out/{{$width}}.png"}]}
    later = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    with plan.server("api") as api:
        shop = Caller(api)
        ids = [shop.upload(fields | job, ("photo.jpg", PHOTO)).body["id"] for fields in ({}, {"not_before": later})]
        assert plan.kept() == 2
        with plan.server("runner"):
            wait_until(lambda: shop.job(ids[0])["status"] == "succeeded")
            with Image.open(plan.top / "out/200.png") as picture:
                assert picture.size == (200, 150)
            wait_until(lambda: plan.kept() == 1)
        assert shop("POST", f"/v1/jobs/{ids[1]}/cancel").status == 200
        wait_until(lambda: plan.kept() == 0)
    assert not list(plan.top.glob("*/uploads"))
