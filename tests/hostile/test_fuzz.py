"""Damaged pictures through real, locked-in workers, and damaged jobs through the door: every one gets its code.

At full size (``make fuzz``) ten times as many. A picture that ends a worker is kept in ``crashers/`` and tried for ever
after. The workers are asked without the pool, which would replace one after each broken picture.
"""

import asyncio
import contextlib
import hashlib
import os
import random
import signal
import socket
from collections import Counter
from pathlib import Path

import pytest

from imgserve.blob import Blob
from imgserve.imaging.config import Config
from imgserve.imaging.faults import RenderTimeout, WorkerDied
from imgserve.imaging.messages import WORKER, Failed, Probed, ProbeRequest, RenderRequest, Written
from imgserve.imaging.process import Child, start
from imgserve.request.encode import Encode
from imgserve.request.imageinfo import Size
from imgserve.request.limits import Limits
from imgserve.request.operations.rasterize import Rasterize
from imgserve.request.operations.resize import Resize
from imgserve.request.recipe import LoadOptions, Recipe
from imgserve.request.rendering import Rendering
from tests.hostile import mutants
from tests.support.daemon import Daemon
from tests.support.sizes import Figures, sized

PICTURES, JOBS, DOOR_KNOCKS, SEED = sized(2000, 20_000), sized(1000, 10_000), sized(150, 1500), 2011
CRASHERS = Path(__file__).parent / "crashers"
CODES = {101, 102, 103, 104, 105, 106, 107, 108, 109, 110, 111, 112, 113, 114, 115, 116, 201, 202, 203, 204, 205, 206}
# WebP takes all frames; the second half reads what stands beside the pixels too.
ENCODES = (
    Encode("png"), Encode("webp"), Encode("jpeg", metadata="all", keep_position=True, profile="source"),
    Encode("tiff", metadata="copyright", profile="p3", bit_depth=16),
)  # fmt: skip
CONFIG = Config()
DEADLINE_S = 10.0


async def outcome(child: Child, data: bytes, number: int) -> str:
    """What the worker says of it: drawn, or a fault's code. Raises WorkerDied, RenderTimeout."""
    # Those that are not strict go deeper into the decoders. Some take a later page, stored pixels, and all frames.
    load = LoadOptions(strict=number % 2 == 0, page=int(number % 16 > 12), orient=number % 8 != 3)
    limits = Limits()
    with Blob.of(data) as source, Blob() as result:
        reply = await child.ask(ProbeRequest(True, limits, load), [source.fd], DEADLINE_S)
        if isinstance(reply, Failed):
            assert not reply.trace, reply.trace
            return reply.code
        assert isinstance(reply, Probed)
        assert reply.info is not None
        operation = Rasterize() if reply.info.is_svg else Resize()
        encode = ENCODES[number // 2 % len(ENCODES)]
        assert encode.format is not None
        recipe = Recipe((operation,), encode, load)
        request = RenderRequest(Rendering(recipe, Size(24, 18), encode.format), limits)
        reply = await child.ask(request, [source.fd, result.fd], DEADLINE_S)
        if isinstance(reply, Failed):
            assert not reply.trace, reply.trace
            return reply.code
        assert isinstance(reply, Written)
        return "drawn"


async def carried_out(pictures: list[bytes], first: int, found: Counter[str], crashers: list[bytes]) -> None:
    child = await start(CONFIG, WORKER, Child)
    try:
        for number, data in enumerate(pictures, first):
            try:
                found[await outcome(child, data, number)] += 1
            except (WorkerDied, RenderTimeout) as error:
                found[error.code] += 1
                crashers.append(data)
                await child.reaped()
                child = await start(CONFIG, WORKER, Child)
    finally:
        child.kill("surplus")
        await child.reaped()


async def test_every_damaged_picture_gets_its_code(figures: Figures) -> None:
    pictures = list(mutants.pictures(PICTURES, SEED))
    found: Counter[str] = Counter()
    crashers: list[bytes] = []
    half = PICTURES // 2
    halves = (carried_out(pictures[:half], 0, found, crashers), carried_out(pictures[half:], half, found, crashers))
    await asyncio.gather(*halves)
    for data in crashers:
        (CRASHERS / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)
    assert found.total() == PICTURES
    assert not crashers, f"{len(crashers)} pictures ended a worker; they are in {CRASHERS}"
    # Mutants that all fail in the same early place would try nothing.
    assert min(found["drawn"], found["source_unreadable"], found["svg_invalid"]) > PICTURES // 100
    figures("pictures", PICTURES)
    figures("ends", dict(found.most_common()))


async def test_what_once_ended_a_worker_no_longer_does() -> None:
    kept = [path.read_bytes() for path in sorted(CRASHERS.iterdir()) if path.suffix != ".md"]
    crashers: list[bytes] = []
    await carried_out(kept, 0, Counter(), crashers)
    await carried_out(kept, 1, Counter(), crashers)
    assert not crashers


async def test_a_worker_that_ends_would_be_noticed() -> None:
    child = await start(CONFIG, WORKER, Child)
    os.kill(child.pid, signal.SIGSEGV)
    with pytest.raises(WorkerDied):
        await outcome(child, mutants.seeds()[0], 0)
    await child.reaped()


def test_every_damaged_job_gets_its_code(tmp_path: Path, figures: Figures) -> None:
    found: Counter[object] = Counter()
    with Daemon(tmp_path / "data") as server:
        for body in mutants.jobs(JOBS, SEED):
            reply = server.post(body)
            assert (reply.status, set(reply.body) - {"detail"}) in (
                (200, {"msg"}), (200, {"msg", "code"}),
            ), body  # fmt: skip
            found[reply.body.get("code", "parse error")] += 1
        assert found.keys() <= CODES | {"parse error"}
        assert len(found) > 7, found
        assert server.stop() == 0
    assert "bug" not in server.log
    assert "Traceback" not in server.log
    figures("jobs", JOBS)
    figures("codes", dict(found.most_common()))


def test_no_bytes_at_the_door_end_the_server(tmp_path: Path, figures: Figures) -> None:
    """What is no HTTP at all, and HTTP that is damaged."""
    good = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"
    with Daemon(tmp_path / "data", switches={"request_header_timeout_s": 0.2, "request_body_timeout_s": 0.2}) as server:
        port = int(server.url.rpartition(":")[2])
        chance = random.Random(SEED)
        for _ in range(DOOR_KNOCKS):
            with (
                socket.create_connection(("127.0.0.1", port), timeout=10) as connection,
                contextlib.suppress(ConnectionError),
            ):
                connection.sendall(mutants.damaged(good, [good], chance))
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(4096):
                    pass
        assert server.post({}).body["code"] == 101
        assert server.stop() == 0
    assert "Traceback" not in server.log
    figures("requests", DOOR_KNOCKS)
