"""What the server's processes hold together: at rest, during each cell, and a while after the last one.

    python -m bench.memory [--cells WORD ...] [--roads NAME ...] [--rounds N] [--seconds S] [--settle S] [--photos DIR]
    python -m bench.memory --roads mixed --rounds 26 --seconds 20  # an hour

Counted is the proportional set size (PSS) of the tree, in MiB: pages that n processes share count 1/n for each. Each
road has a server of its own, on its defaults, and takes all cells one after the other, so that a peak which a process
keeps falls on the next cells too; ``mixed`` is one server that is asked on all roads in turns. Pictures in memory
(memfds) are in a PSS only while a process maps them; all of them are counted beside it.
"""

import argparse
import asyncio
import io
import itertools
import signal
import sys
import tempfile
import time
from collections.abc import Awaitable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import msgspec
import uvloop
from bench import client, processes
from bench.figures import verdict
from bench.peers import Peers
from bench.picture import photo
from PIL import Image
from tests.support.daemon import LOOPBACK, Daemon

REST_MIB, DURING_MIB, AFTER_MIB = 110, 300, 160
ROADS, MIXED = ("render", "jobs", "imgproxy"), "mixed"
_MB_A_MIB = (1 << 20) / 1e6
_SAMPLE_EVERY_S = 0.2
_PATIENCE_S = 120.0
_FIRST_REST_S = 3.0
_GOOD, _BUSY = (200, 201, 202), (429, 503, 504)  # on a slow machine a client may wait longer than a server lets it
_MEMFD = "/memfd:imgserve"


class Cell(NamedTuple):
    """A source of this size and format, and what is made of it."""

    name: str
    width_px: int
    height_px: int
    source: str
    result: str
    fit: str
    box: tuple[int, int]
    quality: int | None


CELLS = (
    Cell("JPEG 2040->512", 2040, 1360, "jpeg", "jpeg", "inside", (512, 512), 80),
    Cell("PNG 2040->512", 2040, 1360, "png", "png", "inside", (512, 512), None),
    Cell("WebP 2040->512", 2040, 1360, "webp", "webp", "inside", (512, 512), 75),
    Cell("AVIF 2040->512", 2040, 1360, "avif", "avif", "inside", (512, 512), 65),
    Cell("2 MP->200x120", 1632, 1224, "jpeg", "jpeg", "cover", (200, 120), 80),
    Cell("12 MP->WebP 1200", 4000, 3000, "jpeg", "webp", "inside", (1200, 1200), 75),
    Cell("24 MP->1200", 6000, 4000, "jpeg", "jpeg", "inside", (1200, 1200), 80),
)


class Reading(NamedTuple):
    """MiB of the server process, of all its workers, and of pictures in memory, mapped or not; processes in all."""

    server: float
    workers: float
    pictures: float
    processes: int

    @property
    def tree(self) -> float:
        return self.server + self.workers

    def __str__(self) -> str:
        parts = f"server {self.server:.0f}, {self.processes - 1} others {self.workers:.0f}"
        return f"{self.tree:4.0f} ({parts}; pictures in memory {self.pictures:.0f})"


def read(pid: int) -> Reading:
    below = list(descendants(pid))
    workers = sum(map(processes.pss_mb, below)) / _MB_A_MIB
    return Reading(processes.pss_mb(pid) / _MB_A_MIB, workers, memfds_mib(pid), 1 + len(below))


def descendants(pid: int) -> Iterator[int]:
    for child in processes.children(pid):
        yield child
        yield from descendants(child)


def memfds_mib(pid: int) -> float:
    """Of the pictures that this process has open, mapped or not."""
    sizes: dict[int, int] = {}
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            if str(descriptor.readlink()).startswith(_MEMFD):
                stat = descriptor.stat()
                sizes[stat.st_ino] = stat.st_blocks * 512
    return sum(sizes.values()) / (1 << 20)


def picture(cell: Cell, photos: Path | None) -> bytes:
    """The cell's source, of one of the photographs if there are any."""
    first = None if photos is None else min(photos.glob("*.jpg"))
    data = photo(cell.width_px, cell.height_px) if first is None else first.read_bytes()
    if cell.source == "jpeg" and photos is None:
        return data
    out = io.BytesIO()
    with Image.open(io.BytesIO(data)) as image:
        options = {"compress_level": 6} if cell.source == "png" else {"quality": 89}
        image.resize((cell.width_px, cell.height_px)).save(out, cell.source, **options)
    return out.getvalue()


class Road:
    """One way in, or all three in turns."""

    def __init__(self, name: str, server: Daemon, peers: Peers) -> None:
        self._server, self._peers = server, peers
        asked = dict(zip(ROADS, (self._render, self._job, self._get), strict=True))
        self._asked = itertools.cycle(asked.values() if name == MIXED else [asked[name]])
        self._numbers = itertools.count()
        self._arrivals: dict[str, asyncio.Future[None]] = {}
        peers.on_final = self._arrived

    async def load(self, cell: Cell, source: bytes, clients: int, seconds: float) -> int:
        """The number of pictures. Raises RuntimeError for a refused one."""
        self._peers.picture = _answer(cell, source)
        ends_at = time.monotonic() + seconds
        return sum(await asyncio.gather(*(self._keep_asking(cell, source, ends_at) for _ in range(clients))))

    async def _keep_asking(self, cell: Cell, source: bytes, ends_at: float) -> int:
        count = 0
        connection = await client.connect(self._server.url)
        while time.monotonic() < ends_at:
            ask = next(self._asked)
            try:
                reply = await ask(cell, source, connection)
            except client.HungUp:  # on a slow machine a job takes longer than an idle connection is kept
                connection.close()
                connection = await client.connect(self._server.url)
                continue
            if reply.status not in (*_GOOD, *_BUSY):
                raise RuntimeError(f"{cell.name}: {reply.status} {reply.body[:300]!r}")
            count += reply.status in _GOOD
        connection.close()
        return count

    async def _render(self, cell: Cell, source: bytes, connection: client.Connection) -> client.Reply:
        target = "/v1/render?recipe=" + quote(msgspec.json.encode(_recipe(cell)))
        return await connection.ask(target, source, f"Content-Type: image/{cell.source}\r\n")

    async def _job(self, cell: Cell, _source: bytes, connection: client.Connection) -> client.Reply:
        path = f"/{next(self._numbers)}"
        source_url = f"http://127.0.0.1:{self._peers.source_port}/source"
        output = _recipe(cell) | {"destination": f"http://127.0.0.1:{self._peers.sink_port}{path}"}
        arrival = self._arrivals[path] = asyncio.get_running_loop().create_future()
        body = msgspec.json.encode({"source": source_url, "outputs": [output]})
        reply = await connection.ask("/v1/jobs", body, "Content-Type: application/json\r\n")
        if reply.status in _GOOD:
            await asyncio.wait_for(arrival, _PATIENCE_S)
        del self._arrivals[path]
        return reply

    async def _get(self, cell: Cell, _source: bytes, connection: client.Connection) -> client.Reply:
        kind = "fill" if cell.fit == "cover" else "fit"
        quality = "" if cell.quality is None else f"/q:{cell.quality}"
        options = f"rs:{kind}:{cell.box[0]}:{cell.box[1]}{quality}/f:{cell.result}"
        source_url = f"http://127.0.0.1:{self._peers.source_port}/{next(self._numbers)}"
        return await connection.get(f"/_/{options}/plain/{source_url}")

    def _arrived(self, path: str) -> None:
        arrival = self._arrivals.get(path)
        if arrival is not None and not arrival.done():
            arrival.set_result(None)


def _answer(cell: Cell, source: bytes) -> bytes:
    head = f"HTTP/1.1 200 OK\r\nContent-Type: image/{cell.source}\r\nContent-Length: {len(source)}\r\n\r\n"
    return head.encode() + source


def _recipe(cell: Cell) -> dict[str, object]:
    resize = {"operation": "resize", "width": cell.box[0], "height": cell.box[1], "fit": cell.fit}
    quality = {} if cell.quality is None else {"quality": cell.quality}
    return {"operations": [resize], "encode": {"format": cell.result} | quality}


async def highest(pid: int, work: Awaitable[int]) -> tuple[Reading, int]:
    """The reading with the largest tree while the work ran, and the work's result."""
    task = asyncio.ensure_future(work)
    most = read(pid)
    while not task.done():
        await asyncio.wait([task], timeout=_SAMPLE_EVERY_S)
        most = max(most, read(pid), key=lambda reading: reading.tree)
    return most, task.result()


def settings(directory: Path, peers: Peers) -> Path:
    """A mount at the root whose sources are those of the bench."""
    path = directory / "imgserve.toml"
    url = f"http://127.0.0.1:{peers.source_port}/"
    path.write_text(f'[get.imgproxy]\npath = "/"\nallow_unsigned = true\nsources = ["{url}"]\n')
    return path


async def measure(road: str, options: argparse.Namespace, pictures: dict[Cell, bytes], directory: Path) -> bool:
    """Whether all figures of this road are within their targets."""
    peers = Peers(b"")
    await peers.start()
    config = str(settings(directory, peers))
    daemon = Daemon(directory / f"data-{road}", *LOOPBACK, "--config", config, workers=2, python=options.python)
    with daemon as server:
        await asyncio.sleep(_FIRST_REST_S)
        rest = read(server.pid)
        print(f"\n{road}, {options.clients} clients, MiB PSS of the tree\n{'at rest':<18} {rest}", flush=True)
        met, way = [rest.tree <= REST_MIB], Road(road, server, peers)
        for cell, source in [*pictures.items()] * options.rounds:
            most, count = await highest(server.pid, way.load(cell, source, options.clients, options.seconds))
            met.append(most.tree <= DURING_MIB)
            print(f"{cell.name:<18} {most}; {count} pictures", flush=True)
        await asyncio.sleep(options.settle)
        after = read(server.pid)
        met.append(after.tree <= AFTER_MIB)
        print(f"{f'{options.settle:.0f} s after':<18} {after}", flush=True)
        print(f"targets {REST_MIB}, {DURING_MIB}, {AFTER_MIB}: {verdict(all(met))}", flush=True)
        await asyncio.to_thread(server.stop)
    peers.close()
    return all(met)


async def bench(options: argparse.Namespace) -> int:
    cells = [cell for cell in CELLS if not options.cells or any(word in cell.name for word in options.cells)]
    pictures = {cell: picture(cell, options.photos) for cell in cells}
    with tempfile.TemporaryDirectory(prefix="imgserve-bench-") as directory:
        results = [await measure(road, options, pictures, Path(directory)) for road in options.roads]
    return 0 if all(results) else 1


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser("bench.memory", description="PSS at rest, at work and a while after.")
    parser.add_argument("--cells", nargs="+", metavar="WORD", help="those whose names have one of these words")
    parser.add_argument(
        "--roads", nargs="+", default=[*ROADS], choices=[*ROADS, MIXED], help="one server each (default: %(default)s)"
    )
    parser.add_argument("--rounds", type=int, default=1, help="all cells so many times (default: %(default)s)")
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=8.0, help="of each cell (default: %(default)s)")
    parser.add_argument("--settle", type=float, default=60.0, help="seconds after the last cell (default: %(default)s)")
    parser.add_argument(
        "--photos", type=Path, help="a directory of JPEGs; the first one is made as large as each cell's"
    )
    parser.add_argument("--python", default=sys.executable, help="the interpreter of another checkout's server")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # whoever ends the bench ends its servers too
    return uvloop.run(bench(parser.parse_args(arguments)))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
