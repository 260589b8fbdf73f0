"""``imgserve queue`` as an operator uses it: on a stopped server's directory, and on one that runs."""

import asyncio
import re
from pathlib import Path

import msgspec
import pytest

from imgserve.cli.main import main
from imgserve.jobs.config import Config
from imgserve.jobs.protocol import KeptUpload
from imgserve.jobs.sqlite.connection import connect
from imgserve.jobs.sqlite.queue import FILE_NAME, SqliteQueue
from imgserve.request.principal import OPERATOR_ID
from imgserve.request.source import received, sent_source
from tests.service.conftest import put_pictures
from tests.support.buckets import settings_of
from tests.support.daemon import LOOPBACK, Daemon
from tests.support.operating import Operator
from tests.support.postgres import PASSWORD, Postgres
from tests.support.queues import START, new_job


def test_compact(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["queue", "compact", "--data-dir", str(tmp_path / "data")]
    assert main(words) == 1
    assert "there is no queue file in" in capsys.readouterr().err
    with Daemon(tmp_path / "data", *LOOPBACK) as server:
        assert main(words) == 1
        assert "belongs to another running imgserve" in capsys.readouterr().err
        server.stop()
        db = connect(server.data_dir / FILE_NAME)
        db.execute("CREATE TABLE ballast AS SELECT zeroblob(5000000) AS room")
        db.execute("DROP TABLE ballast")
        db.close()
        assert main(words) == 0
        assert re.search(r"the queue file had 5\.\d MB, and has 0\.\d MB now\n", capsys.readouterr().out)
        server.start()
        assert server.stop() == 0


def test_move(tmp_path: Path, postgres: Postgres, capsys: pytest.CaptureFixture[str]) -> None:
    put_pictures(tmp_path / "in")
    (tmp_path / "out").mkdir()
    (tmp_path / "password").write_text(PASSWORD)
    roots = ("--read-root", str(tmp_path / "in"), "--write-root", str(tmp_path / "out"))
    place = ("--queue", postgres.url(postgres.database(), "other"), "--queue-password-file", str(tmp_path / "password"))
    words = ["queue", "move", "--data-dir", str(tmp_path / "data")]
    with Daemon(tmp_path / "data", *LOOPBACK, *roots) as server:
        reply = server.post(
            {
                "operationType": "resize", "srcURL": f"file://{tmp_path}/in/Ex.png",
                "dstURL": f"file://{tmp_path}/out/a.png", "args": {"width": 20},
            }
        )  # fmt: skip
        job_id = reply.headers["x-imgserve-job"]
        Operator(server).until(job_id, "succeeded")
        before = Operator(server).shown(job_id)
        assert main([*words, *place]) == 1
        assert "belongs to another running imgserve" in capsys.readouterr().err
        server.stop()
    assert main(words) == 2
    assert "--queue names it" in capsys.readouterr().err
    assert main([*words, *place]) == 0
    told = capsys.readouterr().out
    assert told.endswith(f"{place[1]} has the jobs of {tmp_path}/data now: 1, all rows compared\n")
    assert main([*words, *place]) == 0
    assert "has the jobs of" in capsys.readouterr().out
    with Daemon(tmp_path / "node", *roots, *place) as node:
        assert Operator(node).shown(job_id) == before


async def test_pictures_for_a_bucket_are_copied_by_hand(
    tmp_path: Path, postgres: Postgres, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store of objects has tools of its own, and the files have the objects' names."""
    (tmp_path / "data").mkdir()
    queue = await SqliteQueue.open(tmp_path / "data", Config(), START)
    await queue.reserve_upload(KeptUpload("a" * 32, "", 1), START)
    source = received(sent_source("a"), "a" * 32, bytes(32))
    await queue.enqueue(msgspec.structs.replace(new_job(), source=source, source_bytes=1), START)
    await queue.aclose()
    monkeypatch.setenv("SECRET", "key-of-a-test")
    settings = settings_of("http://127.0.0.1:9", "s3://pics/uploads") + f'principals = ["{OPERATOR_ID}"]\n'
    (tmp_path / "settings.toml").write_text(settings.replace("[", 'queue_uploads = "s3://pics/uploads"\n[', 1))
    words = ("--data-dir", str(tmp_path / "data"), "--config", str(tmp_path / "settings.toml"))
    database = postgres.database()
    assert await asyncio.to_thread(main, ["queue", "move", *words, "--queue", postgres.url(database)]) == 0
    assert f"copy the files of {tmp_path}/data/uploads to s3://pics/uploads now" in capsys.readouterr().out
    assert postgres.execute("SELECT id, state FROM imgserve.upload", database) == [("a" * 32, "kept")]
