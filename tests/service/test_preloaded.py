"""Servers that are forked, and what they have in common with those that are started by a command."""

import os
import signal
from pathlib import Path

import pytest

from tests.support import mounted
from tests.support.daemon import Daemon, wait_until
from tests.support.preloaded import Preloaded
from tests.support.processes import descriptors
from tests.support.sizes import IS_FULL

pytestmark = pytest.mark.skipif(IS_FULL, reason="none is forked at full size")


def parent_of(server: Daemon) -> int:
    return int(Path(f"/proc/{server.pid}/stat").read_text().rpartition(")")[2].split()[1])


def streams_and_count(server: Daemon) -> tuple[list[str], int]:
    """Where the standard ones lead, and the number of all."""
    all_of_them = descriptors(server.pid)
    return [all_of_them[Path(f"/proc/{server.pid}/fd/{number}")] for number in range(3)], len(all_of_them)


def test_a_forked_server_has_what_an_own_interpreter_gives_it(tmp_path: Path) -> None:
    with Daemon(tmp_path / "one") as forked, Daemon(tmp_path / "two", may_fork=False) as plain:
        assert parent_of(plain) == os.getpid()
        assert parent_of(forked) != os.getpid()
        assert streams_and_count(forked)[0] == [os.devnull, str(forked.log_path), str(forked.log_path)]
        wait_until(lambda: all("workers_started" in server.log for server in (forked, plain)))
        wait_until(lambda: streams_and_count(forked)[1] == streams_and_count(plain)[1])
        assert (forked.stop(), plain.stop()) == (0, 0)
        assert not forked.is_running


def test_its_end_is_told_as_that_of_a_child(tmp_path: Path) -> None:
    server = Daemon(tmp_path / "data", switches={"workers": 2})
    server.start()
    os.kill(server.pid, signal.SIGKILL)
    assert server.wait() == -signal.SIGKILL
    server.start()
    server.kill()
    assert server.wait() == -signal.SIGKILL
    server.switches["workers"] = "many"
    with pytest.raises(AssertionError, match="the server ended with 1"):
        server.start()


def test_an_interrupt_ends_servers_before_what_forks_them(tmp_path: Path) -> None:
    """Ctrl-C sends it to all."""
    with Daemon(tmp_path / "data") as server:
        for pid in (parent_of(server), server.pid):
            os.kill(pid, signal.SIGINT)
        assert server.wait() == 0
        server.start()
        assert parent_of(server) != os.getpid()


def test_variables_that_an_interpreter_reads_get_one_of_their_own(tmp_path: Path) -> None:
    with (
        Daemon(tmp_path / "one", environment={"PYTHONDEVMODE": "1"}) as strange,
        Daemon(tmp_path / "two", environment={"IMGSERVE_WORKERS": "2"}) as forked,
    ):
        assert parent_of(strange) == os.getpid()
        assert Preloaded.opened is not None
        assert parent_of(forked) == Preloaded.opened.pid


def test_forked_servers_make_ids_of_their_own(tmp_path: Path) -> None:
    """Those of hits, which are numbered, too."""
    pictures, config = tmp_path / "pictures", tmp_path / "settings.toml"
    pictures.mkdir()
    mounted.paint(pictures / "red.png", mounted.RED)
    config.write_text(mounted.settings(pictures, f'read_root = ["{pictures}"]'))
    ids = list[str]()
    for name in ("one", "two"):
        with Daemon(tmp_path / name, "--config", str(config)) as server, mounted.Line(server) as line:
            answers = [line.get("/thumbor/unsafe/10x10/red.png") for _ in range(4)]
            assert [answer.status for answer in answers] == [200] * 4
            ids += [answer.headers["x-request-id"] for answer in answers]
    assert len(set(ids)) == len(ids)
