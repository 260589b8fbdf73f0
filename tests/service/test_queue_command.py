"""``imgserve queue compact`` as an operator uses it: on a stopped server's directory, and on one that runs."""

import re
from pathlib import Path

import pytest

from imgserve.cli.main import main
from imgserve.jobs.sqlite.connection import connect
from imgserve.jobs.sqlite.queue import FILE_NAME
from tests.support.daemon import LOOPBACK, Daemon


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
