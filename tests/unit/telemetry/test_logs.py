"""Log lines: what they look like, that nobody waits for them, what happens when they cannot be written."""

import json
import logging
import os
import threading
import time
from collections.abc import Iterator
from datetime import datetime

import pytest

from imgserve.telemetry import logs
from imgserve.telemetry.config import Format, Level, LogsConfig
from tests.support.daemon import wait_until


class Sink:
    """Takes what is written; while not ``open`` it is a pipe that nobody reads, ``is_broken`` is a full disk."""

    def __init__(self) -> None:
        self.data = b""
        self.writes = 0
        self.is_broken = False
        self.open = threading.Event()
        self.open.set()

    def __call__(self, data: bytes) -> None:
        self.writes += 1
        self.open.wait(30)
        if self.is_broken:
            raise OSError(28, "No space left on device")
        self.data += data

    @property
    def lines(self) -> list[str]:
        return self.data.decode().splitlines()


@pytest.fixture
def sink() -> Iterator[Sink]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield Sink()
    logs.stop()
    root.handlers[:] = handlers
    root.setLevel(level)


def test_a_line_of_text(sink: Sink) -> None:
    logs.start(LogsConfig(), sink)
    logs.event("render", output=3, ms=12.345, is_ours=True, code="", reason=None)
    logs.stop()
    at, rest = sink.lines[0].split(" ", 1)
    assert rest == "info render output=3 ms=12.3 is_ours=true"
    assert abs(datetime.fromisoformat(at).timestamp() - time.time()) < 60


def test_a_line_of_json(sink: Sink) -> None:
    logs.start(LogsConfig(format="json"), sink)
    logs.event("render", output=3, ms=12.345, is_ours=True, code="")
    logs.stop()
    seen = json.loads(sink.lines[0])
    assert seen.pop("time").endswith("Z")
    assert seen == {"level": "info", "action": "render", "output": 3, "ms": 12.3, "is_ours": True}


@pytest.mark.parametrize("shape", ["text", "json"])
@pytest.mark.parametrize("evil", ["a\nb", "a b", "a=c", '"', "\x1b[2J", "\x9b2J", "\u2028x", "\u202etxt", "\udc80"])
def test_no_value_can_look_like_another_line_or_field(sink: Sink, shape: Format, evil: str) -> None:
    logs.start(LogsConfig(format=shape), sink)
    logs.event("x", detail=evil, last=1)
    logs.stop()
    text = sink.data.decode()
    assert text.endswith("\n")
    assert text[:-1].isprintable()
    if shape == "json":
        assert json.loads(text)["last"] == 1
    else:
        shown = text.partition(" detail=")[2].removesuffix(" last=1\n")
        assert shown == json.dumps(evil)


@pytest.mark.parametrize(("level", "expected"), [("debug", 4), ("info", 3), ("warning", 2), ("error", 1)])
def test_the_level_is_the_least_that_is_written(sink: Sink, level: Level, expected: int) -> None:
    logs.start(LogsConfig(level=level), sink)
    for number in (logs.DEBUG, logs.INFO, logs.WARNING, logs.ERROR):
        logs.event("x", level=number)
    logs.stop()
    assert len(sink.lines) == expected


def test_events_carry_the_job_of_their_task(sink: Sink) -> None:
    logs.start(LogsConfig(), sink)
    token = logs.job.set("j1")
    logs.event("one")
    logs.event("two", job="j2")
    logs.job.reset(token)
    logs.event("three")
    logs.stop()
    assert [line.split(" ", 2)[2] for line in sink.lines] == ["one job=j1", "two job=j2", "three"]


def test_a_bug_has_its_traceback_on_its_line(sink: Sink) -> None:
    logs.start(LogsConfig(format="json"), sink)
    try:
        _ = 1 / 0
    except ZeroDivisionError:
        logs.bug("attempt_bug")
    logs.bug("other_bug", error=KeyError("second"))
    logs.stop()
    assert "test_logs.py" in json.loads(sink.lines[0])["trace"]
    assert "KeyError: 'second'" in json.loads(sink.lines[1])["trace"]


def test_libraries_come_as_events(sink: Sink) -> None:
    logs.start(LogsConfig(format="json"), sink)
    logging.getLogger("some.library").warning("went %s", "wrong")
    logging.getLogger("some.library").info("not told")
    logs.stop()
    [line] = sink.lines
    seen = json.loads(line)
    assert (seen["level"], seen["action"], seen["logger"], seen["message"]) == (
        "warning", "log", "some.library", "went wrong",
    )  # fmt: skip


def test_a_library_tells_its_traceback_and_the_job_of_the_task(sink: Sink) -> None:
    logs.start(LogsConfig(format="json"), sink)
    token = logs.job.set("j1")
    try:
        _ = 1 / 0
    except ZeroDivisionError:
        logging.getLogger("some.library").exception("went wrong")
    logs.job.reset(token)
    logs.stop()
    seen = json.loads(sink.lines[0])
    assert (seen["level"], seen["job"], seen["message"]) == ("error", "j1", "went wrong")
    assert "ZeroDivisionError" in seen["trace"]


def test_the_end_does_not_wait_for_a_writer_that_is_stuck(sink: Sink) -> None:
    logs.start(LogsConfig(), sink)
    sink.open.clear()
    logs.event("first")
    wait_until(lambda: sink.writes == 1)
    began = time.perf_counter()
    logs.stop()
    assert time.perf_counter() - began < 20  # the write itself takes 30 s
    sink.open.set()


def test_nobody_waits_for_a_writer_that_is_stuck(sink: Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "MAX_WAITING", 100)
    logs.start(LogsConfig(), sink)
    sink.open.clear()
    logs.event("first")
    wait_until(lambda: sink.writes == 1)
    began = time.perf_counter()
    for _ in range(150):
        logs.event("more")
    assert time.perf_counter() - began < 1.0
    assert logs.lost() == 50
    sink.open.set()
    logs.event("last")  # may be the one too many still
    wait_until(lambda: "log_lost" in sink.data.decode())
    logs.stop()
    assert sum(" more" in line for line in sink.lines) == 100
    assert any("log_lost events=5" in line for line in sink.lines)


def test_a_full_disk_loses_lines_and_says_so_later(sink: Sink) -> None:
    logs.start(LogsConfig(), sink)
    sink.is_broken = True
    logs.event("gone")
    wait_until(lambda: logs.lost() == 1)
    sink.is_broken = False
    logs.event("here")
    logs.stop()
    assert [line.split(" ", 1)[1] for line in sink.lines] == ["info here", "warning log_lost events=1"]


def test_many_events_are_one_write(sink: Sink) -> None:
    logs.start(LogsConfig(), sink)
    for number in range(1000):
        logs.event("x", number=number)
    logs.stop()
    assert [line.rpartition("=")[2] for line in sink.lines] == [str(number) for number in range(1000)]
    assert sink.writes < 20


def test_a_full_pipe_holds_up_nobody() -> None:
    """The real thing: stderr is a pipe that is not read."""
    reader, writer = os.pipe()
    kept = os.dup(2)
    os.dup2(writer, 2)
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        logs.start(LogsConfig())
        began = time.perf_counter()
        for _ in range(5000):
            logs.event("x", detail="y" * 100)  # 600 KB into a pipe of 64 KB
        assert time.perf_counter() - began < 2.0
        received = 0
        while received < 5000:
            received += os.read(reader, 65536).count(b"\n")
    finally:
        logs.stop()
        os.dup2(kept, 2)
        for fd in (reader, writer, kept):
            os.close(fd)
        root.handlers[:] = handlers
        root.setLevel(level)
