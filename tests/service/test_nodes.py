"""Servers that share a queue on PostgreSQL: who takes jobs and who carries them out, and what each tells of the others.

They are processes of one machine, each with a data directory of its own.
"""

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest

from tests.chaos.sources import Sources
from tests.service.conftest import opened, put_pictures
from tests.service.test_doors import get
from tests.support.daemon import LOOPBACK, Daemon, wait_until
from tests.support.operating import Operator, ask, command
from tests.support.postgres import PASSWORD, Postgres

TIMES = {"lease_s": 2, "heartbeat_s": 0.5}


class Cluster(NamedTuple):
    """Two servers; ``top`` has ``in`` with pictures, ``out``, and ``password``."""

    top: Path
    url: str
    api: Daemon
    runner: Daemon

    def node(self, name: str, role: str, url: str = "", times: Mapping[str, object] | None = None) -> Daemon:
        """``url``: with the password in it."""
        roots = ("--read-root", str(self.top / "in"), "--write-root", str(self.top / "out"))
        words = ("--queue", url) if url else ("--queue", self.url, "--queue-password-file", str(self.top / "password"))
        return Daemon(self.top / name, *words, *roots, *LOOPBACK, "--role", role, switches=times or TIMES)

    def job(self, name: str) -> dict[str, object]:
        return {
            "operationType": "resize", "srcURL": f"file://{self.top}/in/Ex.png",
            "dstURL": f"file://{self.top}/out/{name}", "args": {"width": 20},
        }  # fmt: skip


@pytest.fixture(scope="module")
def cluster(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    top = tmp_path_factory.mktemp("cluster")
    put_pictures(top / "in")
    (top / "out").mkdir()
    (top / "password").write_text(PASSWORD)
    unset = Daemon(top / "none")
    plan = Cluster(top, postgres.url(postgres.database(), "other"), unset, unset)
    with plan.node("api", "api") as api, plan.node("runner", "runner") as runner:
        yield plan._replace(api=api, runner=runner)


def alive(server: Daemon) -> list[dict[str, Any]]:
    return [node for node in ask(server.data_dir, "GET", "/v1/server").body["nodes"] if node["is_alive"]]


def name_of(server: Daemon) -> str:
    return f"{os.uname().nodename}:{server.pid}"


def test_one_takes_the_job_and_another_carries_it_out(cluster: Cluster) -> None:
    reply = cluster.api.post(cluster.job("a.png"))
    job_id = reply.headers["x-imgserve-job"]
    with_password = cluster.url.replace("other@", f"other:{quote(PASSWORD, safe='')}@")
    late_dir = cluster.top / "late"
    late_dir.mkdir(0o700)
    (late_dir / "queue.sqlite").touch()
    with cluster.node("late", "runner", with_password) as late:
        left = f'queue_file_left detail="no server carries out the jobs in {late_dir}/queue.sqlite'
        wait_until(lambda: left in late.log)  # the log is written by a thread
        for server in (cluster.api, late):
            Operator(server).until(job_id, "succeeded")
        assert opened((cluster.top / "out/a.png").read_bytes()).size == (20, 15)
        wait_until(lambda: "settled" in cluster.runner.log + late.log)
        assert "settled" not in cluster.api.log
        assert {node["name"] for node in alive(cluster.api)} == set(map(name_of, (cluster.api, cluster.runner, late)))
        assert ask(late.data_dir, "GET", "/v1/server").body["queue_url"] == cluster.url
        for server in (cluster.api, cluster.runner, late):
            assert PASSWORD not in server.log
            assert quote(PASSWORD, safe="") not in server.log
        late.kill()
        wait_until(lambda: name_of(late) not in {node["name"] for node in alive(cluster.api)})


def test_a_runner_answers_its_probes_alone(cluster: Cluster) -> None:
    status, health = get(cluster.runner.url + "/health")
    assert (status, json.loads(health)["states"]) == (200, ["queue_not_durable"]), "the tests' database has no fsync"
    assert get(cluster.runner.url + "/metrics")[0] == 200
    assert {get(cluster.runner.url + path)[0] for path in ("/", "/v1/jobs", "/v1/openapi.json")} == {404}
    assert cluster.runner.post(cluster.job("b.png")).status == 404


def test_each_lists_both(cluster: Cluster) -> None:
    nodes = [(name_of(cluster.api), "api"), (name_of(cluster.runner), "runner")]
    for server in (cluster.api, cluster.runner):
        assert [(node["name"], node["role"]) for node in alive(server)] == nodes
    view = ask(cluster.api.data_dir, "GET", "/v1/server").body
    assert (view["role"], view["queue_url"]) == ("api", cluster.url)
    wait_until(lambda: f"queue_joined queue={cluster.url} role=api" in cluster.api.log)
    told = Operator(cluster.api)("status", "--cluster").stdout.decode()
    lines = [line.split() for line in told.splitlines()[1:]]
    assert [(name, role) for name, role, *_, seen, _running in lines if seen != "dead"] == nodes
    assert f"role     api, one of the servers on {cluster.url}" in Operator(cluster.api)("status").stdout.decode()


def test_a_data_directory_has_one_server(cluster: Cluster) -> None:
    words = ("--data-dir", cluster.api.data_dir, "--queue", cluster.url, "--port", "0", "--foreground")
    told = command("start", *words)
    assert told.returncode == 1
    assert b"belongs to another running imgserve" in told.stderr


def test_a_job_that_is_cancelled_at_one_ends_at_once_at_another(postgres: Postgres, cluster: Cluster) -> None:
    """Long before the next heartbeat, in the middle of a download."""
    plan = cluster._replace(url=postgres.url(postgres.database(), "other"))
    times = {"lease_s": 3600, "heartbeat_s": 600}
    api, runner = (plan.node(f"lasting-{role}", role, times=times) for role in ("api", "runner"))
    with Sources() as sources, api, runner:
        job = cluster.job("cancelled.png") | {"srcURL": f"{sources.url}/held/good-1.png"}
        job_id = api.post(job).headers["x-imgserve-job"]
        wait_until(lambda: ask(api.data_dir, "GET", f"/v1/jobs/{job_id}").body["status"] == "running")
        assert ask(api.data_dir, "POST", f"/v1/jobs/{job_id}/cancel").body["status"] == "cancelled"
        wait_until(lambda: "is_ours=false" in runner.log)


def test_without_the_database_jobs_are_refused_for_a_while(cluster: Cluster, postgres: Postgres) -> None:
    """The last test of this file, whose servers end without it."""
    name = cluster.url.rpartition("/")[2]
    postgres.execute(f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS false")
    postgres.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
    for _ in range(2):
        refused = cluster.api.post(cluster.job("b.png"))
        assert (refused.status, refused.body["code"], refused.headers["retry-after"]) == (503, 301, "5")
        assert str(postgres.port) not in str(refused.body["detail"])
    status, health = get(cluster.api.url + "/health")
    assert (status, json.loads(health)["status"]) == (503, "storage_failing")
    (state, _) = ask(cluster.api.data_dir, "GET", "/v1/server").body["states"]
    assert state["severity"] == "refusing"
    assert Operator(cluster.api)("status", "--cluster").stdout == b"unknown: the queue cannot be read now\n"
