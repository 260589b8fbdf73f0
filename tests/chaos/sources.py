"""An HTTP server of sources that can be held in the middle of a download, so that a test decides when a job goes on.

/plain/good-7.png    at once
/held/good-7.png     24 KB, the rest after ``release``; ``break_off`` ends the connection there instead
/plain/broken-7.png  says in its header that it is a picture, and is cut short
"""

import io
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType

import numpy as np
from PIL import Image

from tests.chaos.receiving import RED
from tests.support.sites import Serving
from tests.support.sizes import PATIENCE_S

HELD_AFTER_BYTES = 24_000


def _picture() -> bytes:
    """Red on the left, where the tests look; noise on the right, so that the file is long."""
    pixels = np.random.default_rng(3).integers(0, 256, (150, 200, 3), dtype=np.uint8)
    pixels[:, :100] = RED
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


GOOD = _picture()
BROKEN = GOOD[: len(GOOD) * 2 // 3]


class Sources(Serving):
    def __init__(self, extra: Mapping[str, bytes] | None = None, host: str = "127.0.0.1", port: int = 0) -> None:
        self._released: dict[str, threading.Event] = {}
        self._broken_off: set[str] = set()
        self._lock = threading.Lock()
        self._extra = dict(extra or {})
        sources = self

        class Handler(_Handler):
            owner = sources

        super().__init__(_Server((host, port), Handler))

    def release(self, name: str) -> None:
        """All downloads of ``/held/name`` go on, later ones too."""
        self.gate(name).set()

    def break_off(self, name: str) -> None:
        """The download that is being held ends short; later ones are whole."""
        with self._lock:
            self._broken_off.add(name)
        self.release(name)

    def gate(self, name: str) -> threading.Event:
        with self._lock:
            return self._released.setdefault(name, threading.Event())

    def is_cut_short(self, name: str) -> bool:
        with self._lock:
            found = name in self._broken_off
            self._broken_off.discard(name)
            return found

    def bytes_of(self, name: str) -> bytes:
        return self._extra.get(name, BROKEN if name.startswith("broken") else GOOD)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            gates = tuple(self._released.values())
        for gate in gates:
            gate.set()
        super().__exit__(kind, error, trace)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, request: object, client_address: object) -> None:
        """A killed server hangs up; that is what the tests are about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    owner: Sources

    def log_message(self, *_arguments: object) -> None:
        """Nobody reads it."""

    def do_GET(self) -> None:
        how, name = self.path.strip("/").split("/")
        data = self.owner.bytes_of(name)
        gate = self.owner.gate(name)
        is_held = how == "held" and not gate.is_set()
        self.send_response_only(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if is_held:
            self.wfile.write(data[:HELD_AFTER_BYTES])
            gate.wait(PATIENCE_S)
            data = data[HELD_AFTER_BYTES:]
            if self.owner.is_cut_short(name):
                self.close_connection = True
                return
        self.wfile.write(data)
