"""Started with some of descriptors 0 to 2 closed, as some supervisors and cron scripts do: they lead to /dev/null."""

import itertools
import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.service.conftest import opened, put_pictures
from tests.service.test_daemon import House
from tests.support.daemon import wait_until
from tests.support.ports import free_port
from tests.support.sizes import PATIENCE_S

ALL = (0, 1, 2)
COMBINATIONS = [some for count in ALL for some in itertools.combinations(ALL, count + 1)]
LOOK = """
import json, os, sys
from imgserve.__main__ import fill_standard_streams
fill_standard_streams()
found = [os.readlink(f"/proc/self/fd/{number}") for number in range(3)]
next_one = os.open("/", os.O_RDONLY)
print("a word", file=sys.stdout, flush=True)
print("a word", file=sys.stderr, flush=True)
print(json.dumps([found, next_one, sys.stdin.read()]), file=open(sys.argv[1], "w"))
"""


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path)
    put_pictures(tmp_path / "in")
    (tmp_path / "out").mkdir()
    yield house
    house.end()


def closing(numbers: tuple[int, ...]) -> tuple[str, ...]:
    """Words before a command."""
    return ("sh", "-c", f'exec "$@" {" ".join(f"{number}>&-" for number in numbers)}', "sh")


@pytest.mark.parametrize("closed", COMBINATIONS, ids=str)
def test_each_that_is_closed_is_dev_null(tmp_path: Path, closed: tuple[int, ...]) -> None:
    told = tmp_path / "told"
    command = [*closing(closed), sys.executable, "-c", LOOK, str(told)]
    subprocess.run(command, input=b"", capture_output=True, timeout=PATIENCE_S, check=True)
    found, next_one, read = json.loads(told.read_text())
    assert {number for number, place in enumerate(found) if place == "/dev/null"} == set(closed)
    assert (next_one, read) == (3, "")


def render_twice(url: str, top: Path) -> None:
    for number in range(2):
        place = top / "out" / f"{number}.png"
        job = {
            "operationType": "resize", "srcURL": f"file://{top}/in/Ex.png", "dstURL": f"file://{place}",
            "args": {"width": 20, "height": 15}, "placeholder": "none",
        }  # fmt: skip
        with urllib.request.urlopen(url + "/", json.dumps(job).encode(), timeout=PATIENCE_S) as answer:
            assert b"dstURL" in answer.read()
        wait_until(place.exists)
        assert opened(place.read_bytes()).size == (20, 15)


def roots(top: Path) -> tuple[str, ...]:
    return ("--read-root", str(top / "in"), "--write-root", str(top / "out"))


def streams(pid: int) -> list[str]:
    return [os.readlink(f"/proc/{pid}/fd/{number}") for number in ALL]


def test_a_detached_server(house: House) -> None:
    house.run("start", *roots(house.top), before=closing(ALL))
    render_twice(house.url, house.top)
    assert streams(house.pid) == ["/dev/null", str(house.log_file), str(house.log_file)]
    house.run("stop")
    assert house.log.endswith("info stopped\n")


@pytest.mark.parametrize("redirected", ["0<&- 1>&- 2>&-", "1>/dev/full 2>/dev/full"])
def test_a_server_in_the_foreground(house: House, redirected: str) -> None:
    """Without streams, and with a log on a full disk."""
    port = str(free_port())
    words = ("start", "--foreground", "--host", "127.0.0.1", "--port", port, "--workers", "1")
    before = ("sh", "-c", f'exec "$@" {redirected}', "sh")
    command = [*before, sys.executable, "-m", "imgserve", *words, *roots(house.top)]
    with subprocess.Popen([*command, "--data-dir", str(house.data)]) as server:
        url = f"http://127.0.0.1:{port}"
        wait_until(lambda: answers(url) or server.poll() is not None)
        render_twice(url, house.top)
        if redirected.startswith("0"):
            assert streams(server.pid) == ["/dev/null"] * 3
        server.terminate()
        assert server.wait(PATIENCE_S) == 0


def answers(url: str) -> bool:
    with suppress(OSError), urllib.request.urlopen(url + "/health", timeout=PATIENCE_S):
        return True
    return False
