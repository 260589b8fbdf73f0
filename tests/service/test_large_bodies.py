"""Pictures of megabytes in the body of ``/v1/render``: how soon their header is looked at, and by how many requests."""

import socket
import struct
import time
import zlib

import pytest

from imgserve.api.http.inlet import READ_AHEAD_BYTES
from tests.service.conftest import World
from tests.support.daemon import wait_until
from tests.support.ondemand import JPEG, SMALL, call, opened, with_recipe
from tests.support.pictures import encoded, scene

PHOTO = encoded(scene(640, 480), "jpeg")
RENDER = with_recipe({**SMALL, "encode": {"format": "png"}})
LARGE_BYTES = 3_000_000
TRIES = 5  # each is soon enough unless the machine stands still for half a second


def looks(world: World) -> float:
    """The headers that were read by a request of their own."""
    text = call(world.server, None, {}, "/metrics", "GET").body.decode()
    (line,) = (line for line in text.splitlines() if line.startswith('imgserve_stage_seconds_count{stage="probe"'))
    return float(line.split()[-1])


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def test_one_that_comes_at_once_takes_one_request_to_a_worker(world: World) -> None:
    large = PHOTO + bytes(LARGE_BYTES - len(PHOTO))
    expected = call(world.server, PHOTO, JPEG, RENDER).body
    taken = []
    for _ in range(TRIES):
        before = looks(world)
        assert call(world.server, large, JPEG, RENDER).body == expected
        taken.append(looks(world) - before)
    assert 0.0 in taken


@pytest.mark.parametrize("size_bytes", [len(PHOTO), READ_AHEAD_BYTES, READ_AHEAD_BYTES + 1])
def test_one_that_comes_in_two_pieces_is_whole(world: World, size_bytes: int) -> None:
    data = PHOTO + bytes(size_bytes - len(PHOTO))
    expected = call(world.server, PHOTO, JPEG, RENDER).body
    head = {**JPEG, "Content-Length": str(size_bytes), "Connection": "close"}
    for first in (1, 5_000, size_bytes - 1):
        with opened(world.server, head, RENDER, data[:first]) as client:
            time.sleep(0.02)  # too short: it comes in one piece, as in the other tests
            client.sendall(data[first:])
            answer = b"".join(iter(lambda: client.recv(65_536), b""))
        assert answer.partition(b"\r\n\r\n")[2] == expected


def test_one_that_breaks_off_is_refused(world: World) -> None:
    head = {**JPEG, "Content-Length": str(len(PHOTO)), "Connection": "close"}
    before = world.server.log.count("body_cut_off")
    with opened(world.server, head, RENDER, PHOTO[:-1]) as client:
        client.shutdown(socket.SHUT_WR)
        assert client.recv(65_536) == b""
    wait_until(lambda: world.server.log.count("body_cut_off") > before)


def test_one_that_comes_slowly_is_refused_by_its_beginning(world: World) -> None:
    too_large = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0))
    begun = too_large + chunk(b"IDAT", bytes(100_000))
    head = {"Content-Type": "image/png", "Content-Length": str(LARGE_BYTES), "Connection": "close"}
    with opened(world.server, head, RENDER, begun) as client:
        answer = client.recv(65_536)
    assert answer.startswith(b"HTTP/1.1 422 ")
    assert b"picture_too_large" in answer
