"""A host that takes connections and says nothing keeps those waiting who named it, and nobody else."""

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple, Self

import pytest
from examples.receivers import HttpReceiver

from tests.service.conftest import put_pictures
from tests.support.daemon import LOOPBACK, Daemon, Reply, wait_until
from tests.support.sizes import PATIENCE_S
from tests.support.stalling import Receiver

TURNS = 8
SILENCE_S = PATIENCE_S  # what a silent host costs those who wait for it
AT_ONCE_S = SILENCE_S / 4
Job = dict[str, object]


class Silence:
    """A port that accepts and never answers; ``connections`` is how many have come by now."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=256)
        self._socket.setblocking(False)
        self._taken: list[socket.socket] = []
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    @property
    def connections(self) -> int:
        with suppress(BlockingIOError):
            while True:
                self._taken.append(self._socket.accept()[0])
        return len(self._taken)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for one in (*self._taken, self._socket):
            one.close()


class Scene(NamedTuple):
    server: Daemon
    silence: Silence
    root: Path

    def job(self, **changes: object) -> Job:
        job: Job = {
            "operationType": "resize",
            "srcURL": f"file://{self.root}/read/Ex.png",
            "dstURL": f"file://{self.root}/write/good.png",
            "args": {"width": 20, "height": 15},
        }
        return {**job, **changes}

    def to_silence(self, number: int) -> Job:
        return self.job(dstURL=f"{self.silence.url}/{number}.png", args={"width": 20, "height": 15, "method": "PUT"})

    def from_silence(self, number: int) -> Job:
        return self.job(srcURL=f"{self.silence.url}/{number}.png", dstURL=f"file://{self.root}/write/{number}.png")

    @contextmanager
    def posted(self, jobs: list[Job]) -> Iterator[list[Reply]]:
        """All of them, each in a thread; what has been answered by now. At the end the server is killed under them."""
        replies: list[Reply] = []

        def post(job: Job) -> None:
            with suppress(OSError):
                replies.append(self.server.post(job, timeout_s=2 * SILENCE_S))

        threads = [threading.Thread(target=post, args=(job,)) for job in jobs]
        for thread in threads:
            thread.start()
        try:
            yield replies
        finally:
            self.server.kill()
            for thread in threads:
                thread.join()


@contextmanager
def scene(tmp_path: Path, **settings: object) -> Iterator[Scene]:
    put_pictures(tmp_path / "read")
    (tmp_path / "write").mkdir()
    roots = ("--read-root", str(tmp_path / "read"), "--write-root", str(tmp_path / "write"))
    with Silence() as silence, Daemon(tmp_path / "data", *LOOPBACK, *roots, switches=settings) as server:
        yield Scene(server, silence, tmp_path)


@pytest.mark.parametrize(("job", "turns"), [(Scene.to_silence, TURNS // 2), (Scene.from_silence, TURNS // 4)])
def test_others_are_answered_meanwhile(tmp_path: Path, job: Callable[[Scene, int], Job], turns: int) -> None:
    with (
        scene(tmp_path, max_intake=TURNS, placeholder_timeout_s=SILENCE_S) as made,
        made.posted([job(made, number) for number in range(2 * TURNS)]) as replies,
    ):
        wait_until(lambda: made.silence.connections >= turns)
        asked = time.monotonic()
        for _ in range(3):
            assert "dstURL" in made.server.post(made.job()).body
        assert time.monotonic() - asked < AT_ONCE_S
        assert made.silence.connections == turns
        assert replies == [], "the silence was over"


def test_a_silent_destination_keeps_no_source_busy(tmp_path: Path) -> None:
    """The jobs that wait for it come from where the others' pictures come from, too."""
    put_pictures(tmp_path / "http")
    with scene(tmp_path, max_intake=TURNS, placeholder_timeout_s=SILENCE_S) as made, _web(tmp_path / "http") as source:
        jobs = [{**made.to_silence(number), "srcURL": source} for number in range(2 * TURNS)]
        with made.posted(jobs) as replies:
            wait_until(lambda: made.silence.connections >= TURNS // 2)
            asked = time.monotonic()
            assert "dstURL" in made.server.post(made.job(srcURL=source)).body
            assert time.monotonic() - asked < AT_ONCE_S
            assert replies == [], "the silence was over"


def test_more_for_one_host_than_may_wait_are_turned_away(tmp_path: Path) -> None:
    """One has its slot and two wait, of eight that may wait; with a share of 1 nobody would be turned away."""
    with (
        scene(
            tmp_path, max_intake=4, max_intake_waiting=8, intake_host_quota=0.25, placeholder_timeout_s=SILENCE_S
        ) as made,
        made.posted([made.to_silence(number) for number in range(6)]) as replies,
    ):
        wait_until(lambda: len(replies) == 3)
        for reply in replies:
            assert (reply.status, reply.body["code"]) == (503, 301)
            assert "3 requests for results to this host wait for their reply" in str(reply.body["detail"])
            assert int({name.lower(): value for name, value in reply.headers.items()}["retry-after"]) >= 1
        assert "dstURL" in made.server.post(made.job()).body
        assert len(replies) == 3, "the silence was over"


async def test_entries_for_others_are_sent_meanwhile(tmp_path: Path) -> None:
    """Placeholders are taken; the failure pictures that are owed later are not answered."""
    cut = {"srcURL": f"file://{tmp_path}/read/cut.png"}
    with scene(tmp_path, max_outbox_at_once=2, delivery_timeout_s=SILENCE_S) as made:
        whole = (tmp_path / "read" / "Ex.png").read_bytes()
        (tmp_path / "read" / "cut.png").write_bytes(whole[: len(whole) * 2 // 3])
        async with Receiver.listening() as receiver:
            receiver.stall("failed")
            args = {"width": 20, "height": 15, "method": "PUT"}
            for number in range(8):
                job = made.job(**cut, dstURL=f"http://127.0.0.1:{receiver.port}/{number}.png", args=args)
                assert "dstURL" in (await asyncio.to_thread(made.server.post, job)).body
            await receiver.until_came(8 + 1)  # of a host of which nothing is known the other entries wait
            assert "dstURL" in (await asyncio.to_thread(made.server.post, made.job(**cut))).body
            await asyncio.to_thread(wait_until, lambda: "outbox_done" in made.server.log)
            assert receiver.log.count("put failed") == 1, "the silence was over"
            made.server.kill()


@contextmanager
def _web(directory: Path) -> Iterator[str]:
    with HttpReceiver(directory) as receiver:
        yield f"{receiver.url}/Ex.png"
