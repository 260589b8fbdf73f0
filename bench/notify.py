"""How soon a listener knows of a job's end, by webhook and by SSE; method in README.md beside this file.

    python -m bench.notify [--jobs N] [--data-dir DIR]

Each job is posted once the one before has been told to both. The time is from the event's timestamp, which is taken
before the commit that stores it, to the first byte at the listener: the disk's sync is a part of it.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import cast
from urllib.parse import urlsplit

import uvloop
from bench import client
from bench.figures import percentile, verdict
from bench.peers import Peers
from bench.picture import photo
from tests.support.daemon import LOOPBACK, Daemon

TARGET_MS = 100.0
SECRET = "whsec_" + "YmVuY2g5" * 4
_TAKEN = b"HTTP/1.1 204 No Content\r\n\r\n"
_PATIENCE_S = 30.0


class Heard:
    """The events of one listener: each with the time of its first byte, by the wall clock."""

    def __init__(self) -> None:
        self.latencies_s: list[float] = []
        self._one = asyncio.Event()

    def take(self, body: bytes, at: float) -> None:
        event = json.loads(body)
        self.latencies_s.append(at - datetime.fromisoformat(event["timestamp"]).timestamp())
        self._one.set()

    async def next(self) -> None:
        async with asyncio.timeout(_PATIENCE_S):
            await self._one.wait()
        self._one.clear()


class Hook(asyncio.Protocol):
    """A receiver of webhooks, one message at a time on each kept connection."""

    def __init__(self, heard: Heard) -> None:
        self._heard = heard
        self._buffer = b""
        self._began_at = 0.0
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass

    def data_received(self, data: bytes) -> None:
        self._began_at = self._began_at if self._buffer else time.time()
        self._buffer += data
        head, gap, body = self._buffer.partition(b"\r\n\r\n")
        lengths = [line.split(b":")[1] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        if not gap or len(body) < int(lengths[0]):
            return
        assert self._transport is not None
        self._transport.write(_TAKEN)
        self._heard.take(body, self._began_at)
        self._buffer = b""


async def read_stream(url: str, heard: Heard) -> None:
    """Take the ends of jobs from the server's stream of events until it is cancelled."""
    place = urlsplit(url)
    reader, writer = await asyncio.open_connection(place.hostname, place.port)
    writer.write(f"GET /v1/events?type=job.succeeded HTTP/1.1\r\nHost: {place.netloc}\r\n\r\n".encode())
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        assert b" 200 " in head.partition(b"\r\n")[0], head
        while line := await reader.readline():
            if line.startswith(b"data:"):
                heard.take(line.removeprefix(b"data:"), time.time())
    finally:
        writer.close()


def _settings(directory: Path, port: int) -> Path:
    (directory / "secret").write_text(SECRET)
    path = directory / "imgserve.toml"
    url = f"http://127.0.0.1:{port}/"
    path.write_text(f'[credential.bench]\ntype = "webhook"\nsecret_file = "secret"\nfor = ["{url}"]\n')
    return path


def _job(peers: Peers, hook_port: int, number: int) -> bytes:
    output = {
        "operations": [{"operation": "resize", "width": 40}],
        "destination": f"http://127.0.0.1:{peers.sink_port}/{number}.jpg",
        "placeholder": "none",
    }
    source, webhook = f"http://127.0.0.1:{peers.source_port}/a.jpg", f"http://127.0.0.1:{hook_port}/"
    return json.dumps({"source": source, "outputs": [output], "webhook": webhook}).encode()


async def measure(jobs: int, data_dir: Path) -> int:
    hooked, streamed = Heard(), Heard()
    peers = Peers(photo(160, 120))
    await peers.start()
    listener = await asyncio.get_running_loop().create_server(lambda: Hook(hooked), "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    options = (*LOOPBACK, "--config", str(_settings(data_dir, port)))
    with Daemon(data_dir / "data", *options) as server:
        stream = asyncio.create_task(read_stream(server.url, streamed))
        connection = await client.connect(server.url)
        for number in range(jobs + 1):
            reply = await connection.ask("/v1/jobs", _job(peers, port, number), "Content-Type: application/json\r\n")
            assert reply.status == 202, reply
            await asyncio.gather(hooked.next(), streamed.next())
        connection.close()
        stream.cancel()
        await asyncio.wait([stream])
    listener.close()
    peers.close()
    return _report({"webhook": hooked, "SSE": streamed})


def _report(listeners: dict[str, Heard]) -> int:
    """The first job's are left out: its connections are new. 1 where a target is missed."""
    is_met = True
    for name, heard in listeners.items():
        values = [1000 * latency for latency in heard.latencies_s[1:]]
        is_good = median(values) < TARGET_MS
        is_met = is_met and is_good
        print(
            f"{name:<8} {len(values)} jobs: p50 {median(values):.1f} ms, p95 {percentile(values, 0.95):.1f} ms", end=""
        )
        print(f", target < {TARGET_MS:g} ms: {verdict(is_good)}")
    return 0 if is_met else 1


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="bench.notify", description=__doc__)
    parser.add_argument("--jobs", type=int, default=200)
    parser.add_argument("--data-dir", type=Path, help="a directory on the disk to measure (default: a new one in /tmp)")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(dir=options.data_dir) as directory:
        return uvloop.run(measure(options.jobs, Path(directory)))


if __name__ == "__main__":
    sys.exit(main())
