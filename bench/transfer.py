"""What fetching costs this process: CPU per source from a loopback HTTP server in another process.

Run as ``.venv/bin/python bench/transfer.py [size_bytes] [fetches]``. Prints milliseconds of CPU (user + system) per
fetch of ``Transfers.open(...).finish()``; the best and the median of several rounds, since other work disturbs.
"""

import asyncio
import multiprocessing
import socket
import statistics
import sys
import time
from multiprocessing.connection import Connection

from imgserve.request.limits import Limits
from imgserve.request.source import Source
from imgserve.transfer.config import Config
from imgserve.transfer.dispatch import Transfers

_ROUNDS = 9


def serve(size_bytes: int, tell: Connection) -> None:
    """Answer every request on one connection after another with ``size_bytes`` bytes."""
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size_bytes + bytes(size_bytes)
    with socket.create_server(("127.0.0.1", 0)) as server:
        tell.send(server.getsockname()[1])
        while True:
            peer, _ = server.accept()
            with peer:
                while peer.recv(65_536):
                    peer.sendall(answer)


async def measure(port: int, size_bytes: int, fetches: int) -> list[float]:
    """CPU milliseconds per fetch, one figure for each round."""
    source = Source(f"http://127.0.0.1:{port}/x", "http", "127.0.0.1", port, "/x")
    transfers = Transfers(Config(allow_networks=("127.0.0.0/8",)), Limits())
    figures = []
    for _ in range(_ROUNDS):
        before = time.process_time()
        for _ in range(fetches):
            blob = await transfers.open(source).finish()
            assert blob.size == size_bytes
        figures.append((time.process_time() - before) / fetches * 1000)
    await transfers.aclose()
    return figures


def main() -> None:
    size_bytes = int(sys.argv[1]) if len(sys.argv) > 1 else 759_000
    fetches = int(sys.argv[2]) if len(sys.argv) > 2 else 200
    here, there = multiprocessing.Pipe()
    server = multiprocessing.get_context("fork").Process(target=serve, args=(size_bytes, there), daemon=True)
    server.start()
    try:
        figures = asyncio.run(measure(int(here.recv()), size_bytes, fetches))
    finally:
        server.kill()
        server.join()
    print(f"fetch of {size_bytes} bytes: best {min(figures):.3f} ms, median {statistics.median(figures):.3f} ms CPU")


if __name__ == "__main__":
    main()
