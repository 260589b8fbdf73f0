"""file: URLs that lead elsewhere: regular files beneath the roots only, and nobody ever reads half a result."""

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from PIL import Image

from tests.service.conftest import opened, put_pictures
from tests.support.daemon import Daemon, Reply, wait_until
from tests.support.pictures import encoded

RED, GREEN = (255, 0, 0), (0, 255, 0)


class House(NamedTuple):
    server: Daemon
    top: Path

    def post(self, source: str, destination: str) -> Reply:
        base = f"file://{self.top}"
        args = {"width": 20, "height": 15}
        job = {"operationType": "resize", "srcURL": base + source, "dstURL": base + destination, "args": args}
        return self.server.post(job)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    top = tmp_path_factory.mktemp("house")
    for name in ("in", "out", "outside"):
        put_pictures(top / name) if name != "out" else (top / name).mkdir()
    (top / "in-other").mkdir()
    put_pictures(top / "in-other")
    os.mkfifo(top / "in" / "fifo.png")
    os.mkfifo(top / "out" / "fifo.png")
    (top / "in" / "link.png").symlink_to(top / "outside" / "Ex.png")
    (top / "in" / "relative.png").symlink_to("../outside/Ex.png")
    (top / "in" / "proc").symlink_to("/proc/self")
    (top / "in" / "null.png").symlink_to("/dev/zero")
    (top / "out" / "link").symlink_to(top / "outside")
    (top / "in" / "directory.png").mkdir()
    with Daemon(top / "data", "--read-root", str(top / "in"), "--write-root", str(top / "out")) as server:
        yield House(server, top)


SOURCES = (
    "/in/../outside/Ex.png", "/in/%2e%2e/outside/Ex.png", "/in/..%2foutside/Ex.png", "/in/%2e%2e%2foutside%2fEx.png",
    "/in/./../outside/Ex.png", "/in-other/Ex.png", "/outside/Ex.png", "/in/link.png", "/in/relative.png",
    "/in/proc/environ", "/in/proc/root/etc/hostname", "/in/null.png", "/in/fifo.png", "/in/directory.png",
    "/in/Ex.png%00.png", "/in/Ex.png/", "/in", "/in/%c0%ae%c0%ae/outside/Ex.png",
)  # fmt: skip
DESTINATIONS = (
    "/out/../outside/new.png", "/out/%2e%2e/outside/new.png", "/out/..%2foutside/new.png", "/outside/new.png",
    "/in/Ex.png", "/out/link/new.png", "/out-other/new.png", "/out/new%00.png", "/out/", "/out",
)  # fmt: skip


@pytest.mark.parametrize("source", SOURCES)
def test_no_source_but_a_regular_file_beneath_the_root(house: House, source: str) -> None:
    assert house.post(source, "/out/taken.png").body["code"] in (104, 108, 115, 201)
    assert not (house.top / "out" / "taken.png").exists()


@pytest.mark.parametrize("destination", DESTINATIONS)
def test_no_destination_outside_the_root(house: House, destination: str) -> None:
    before = sorted((house.top / "outside").iterdir())
    assert house.post("/in/photo.jpg", destination).body["code"] in (105, 113, 116, 205)
    assert sorted((house.top / "outside").iterdir()) == before


def test_what_is_beneath_the_roots_works(house: House) -> None:
    """The twin: and a FIFO at the destination is replaced, not written to."""
    for name in ("plain.png", "new/deep/one.png", "fifo.png"):
        assert "dstURL" in house.post("/in/Ex.png", f"/out/{name}").body
        assert (house.top / "out" / name).is_file()


def test_a_directory_that_changes_into_a_link_leads_nowhere(house: House) -> None:
    """The race between check and use: ``turn`` is by turns a directory and a link to one outside its root."""
    places = {GREEN: house.top / "in" / "real", RED: house.top / "elsewhere"}
    for colour, place in places.items():
        place.mkdir()
        (place / "a.png").write_bytes(encoded(Image.new("RGB", (40, 30), colour), "png"))
    turn, spare, target = house.top / "in" / "turn", house.top / "in" / "spare", house.top / "out" / "turn"
    stop = threading.Event()

    def spin() -> None:
        while not stop.is_set():
            for leads_to in (places[GREEN].name, str(places[RED])):
                spare.symlink_to(leads_to)
                spare.rename(turn)
            # Where the server was quicker there is a directory of its own by now, and the race is over.
            with contextlib.suppress(OSError):
                target.symlink_to(places[RED])
                target.unlink()

    spinner = threading.Thread(target=spin)
    spinner.start()
    seen = []
    try:
        for number in range(40):
            reply = house.post("/in/turn/a.png", f"/out/race/{number}.png")
            seen.append(reply.body.get("code", 0))
            house.post("/in/Ex.png", f"/out/turn/{number}.png")
    finally:
        stop.set()
        spinner.join()
    assert set(seen) <= {0, 201}
    assert os.listdir(places[RED]) == ["a.png"]
    good = [number for number, code in enumerate(seen) if code == 0]
    for number in good:
        place = house.top / "out" / "race" / f"{number}.png"
        assert opened(place.read_bytes()).convert("RGB").getpixel((9, 9)) != RED


def test_a_reader_never_sees_half_a_file(house: House) -> None:
    place = house.top / "out" / "read.png"
    assert "dstURL" in house.post("/in/Ex.png", "/out/read.png").body
    stop, halves, reads = threading.Event(), [], []

    def read() -> None:
        while not stop.is_set():
            data = place.read_bytes()
            reads.append(hash(data))
            if not data.endswith(b"IEND\xaeB`\x82"):
                halves.append(data)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    try:
        for nth in range(500):
            assert "dstURL" in house.post("/in/Ex.png", "/out/read.png").body
            if nth >= 25 and len(set(reads)) >= 2:
                break
        wait_until(lambda: opened(place.read_bytes()).convert("RGB").getpixel((1, 14)) != (136, 136, 136))
    finally:
        stop.set()
        for reader in readers:
            reader.join()
    assert halves == []
    assert len(set(reads)) >= 2, "placeholder and picture were both seen"
