"""Servers that share a queue on PostgreSQL, each with a cache of its own: a purge at one reaches all."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.service.test_cache_calls import colour_of
from tests.support.daemon import LOOPBACK, Daemon, wait_until
from tests.support.mounted import BLUE, GREEN, RED, fetch, paint, settings
from tests.support.native import Caller
from tests.support.operating import Operator
from tests.support.postgres import PASSWORD, Postgres

CYAN = "#00ffff"
TARGET = "/thumbor/unsafe/20x20/a.png"
TIMES = {"lease_s": 20, "heartbeat_s": 0.5}


class Cluster(NamedTuple):
    """Two servers with mounts, which take jobs, and a runner without, which carries them out."""

    nodes: tuple[Daemon, Daemon]
    runner: Daemon
    pictures: Path

    def paint(self, colour: str, name: str = "a.png") -> str:
        """The URL of the picture."""
        paint(self.pictures / name, colour)
        return f"file://{self.pictures}/{name}"

    def shown(self) -> list[str]:
        return [colour_of(fetch(node, TARGET).body) for node in self.nodes]


@pytest.fixture(scope="module")
def cluster(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    top = tmp_path_factory.mktemp("cluster")
    pictures, file, plain = top / "pictures", top / "imgserve.toml", top / "plain.toml"
    pictures.mkdir()
    (top / "password").write_text(PASSWORD)
    roots = (f'read_root = ["{pictures}"]', f'write_root = ["{pictures}"]')
    file.write_text(settings(pictures, *roots))
    plain.write_text("\n".join(roots))
    queue = ("--queue", postgres.url(postgres.database(), "other"), "--queue-password-file", str(top / "password"))

    def node(name: str, role: str, config: Path) -> Daemon:
        return Daemon(top / name, "--config", str(config), *queue, *LOOPBACK, "--role", role, switches=TIMES)

    with node("one", "api", file) as one, node("two", "api", file) as two, node("runner", "runner", plain) as runner:
        wait_until(lambda: all(server.log.count("cache_distrusted") for server in (one, two)))
        yield Cluster((one, two), runner, pictures)


def test_a_purge_at_one_reaches_the_other(cluster: Cluster) -> None:
    source = cluster.paint(RED)
    wait_until(lambda: cluster.shown() == [RED, RED])
    cluster.paint(BLUE)
    assert cluster.shown() == [RED, RED]
    assert Caller(cluster.nodes[0])("POST", "/v1/cache/purge", {"source": source}).body["purged"] == 1
    wait_until(lambda: cluster.shown() == [BLUE, BLUE])
    cluster.paint(GREEN)
    assert cluster.shown() == [BLUE, BLUE]
    assert Caller(cluster.nodes[1])("POST", "/v1/cache/purge", {"url": TARGET}).status == 200
    wait_until(lambda: cluster.shown() == [GREEN, GREEN])


def test_the_operator_of_a_server_without_mounts_purges_those_of_the_others(cluster: Cluster) -> None:
    cluster.paint(RED)
    cluster.shown()
    cluster.paint(CYAN)  # which none of them shows until the purge has reached it
    Operator(cluster.runner)("cache", "purge", "--all")
    wait_until(lambda: cluster.shown() == [CYAN, CYAN])
    cluster.paint(BLUE)
    assert cluster.shown() == [CYAN, CYAN]
    told = Operator(cluster.runner)("cache", "purge", "--all")
    assert (told.returncode, told.stdout) == (0, b"0 pictures and 0 sources purged\n")
    wait_until(lambda: cluster.shown() == [BLUE, BLUE])


def test_a_delivery_of_one_purges_the_pictures_of_all(cluster: Cluster) -> None:
    source, new = cluster.paint(RED), cluster.paint(GREEN, "new.png")
    Operator(cluster.runner)("cache", "purge", "--all")
    wait_until(lambda: cluster.shown() == [RED, RED])
    resize = {"operation": "resize", "width": 30}
    job = {"source": new, "outputs": [{"operations": [resize], "destination": source}]}
    answer = Caller(cluster.nodes[0])("POST", "/v1/jobs", job, Prefer="wait=20")
    assert answer.body["status"] == "succeeded", answer
    wait_until(lambda: cluster.shown() == [GREEN, GREEN])


def test_a_server_that_was_away_asks_the_sources_of_what_it_has(cluster: Cluster) -> None:
    cluster.paint(RED)
    Operator(cluster.runner)("cache", "purge", "--all")
    wait_until(lambda: cluster.shown() == [RED, RED])
    one, two = cluster.nodes
    two.stop()
    source = cluster.paint(BLUE)
    Caller(one)("POST", "/v1/cache/purge", {"source": source})
    two.start()
    assert cluster.shown() == [BLUE, BLUE]
    assert "cache_entry_damaged" not in two.log
