"""A small real HTTP server that takes pictures, with an upload form; over TLS when it is given a context.

The demo, the tests and the benches start it; it runs in a thread of its own and is a context manager. It keeps an
ordered log of what happened, so that a reader can tell which picture was last where.
"""

import secrets
import socket
import ssl
import struct
import threading
import time
import zlib
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import unquote

from examples.events import Event, Log, digest_of
from examples.ftp_receiver import FtpReceiver
from examples.multipart import parts_of

__all__ = ["Behaviour", "Event", "FtpReceiver", "HttpReceiver", "Log", "digest_of"]

CHUNK_BYTES = 65_536


@dataclass
class Behaviour:
    """How requests under a path misbehave; ``times`` counts them down, -1 is for ever.

    ``status`` is answered instead of doing anything; ``redirect`` goes into Location. ``hold_s`` passes before the
    work, ``delay_s`` after it and before the answer. ``cut`` closes the connection after the work, without an answer;
    ``reset`` does so with a TCP reset. ``never`` keeps it open until the server ends. ``kinds`` limits all this to some
    methods, ``states`` to some values of X-Imgserve-State.
    """

    status: int = 0
    redirect: str = ""
    hold_s: float = 0.0
    delay_s: float = 0.0
    cut: bool = False
    reset: bool = False
    never: bool = False
    times: int = -1
    headers: dict[str, str] = field(default_factory=dict)
    kinds: tuple[str, ...] = ()
    states: tuple[str, ...] = ()


class HttpReceiver:
    """Serves and takes files beneath ``directory`` at ``url``; its upload form is at /upload.html."""

    def __init__(
        self, directory: Path, host: str = "127.0.0.1", port: int = 0, *, tls: ssl.SSLContext | None = None
    ) -> None:
        self.directory = directory
        self.log = Log()
        self.tokens: dict[str, str] = {}
        self.connections = 0
        self.stopping = threading.Event()
        self._behaviours: dict[str, Behaviour] = {}
        self._lock = threading.Lock()
        receiver = self

        class Handler(_HttpHandler):
            owner = receiver

        self._server = _HttpServer((host, port), Handler, tls)
        self.host, self.port = host, int(self._server.server_address[1])
        self.url = f"{'https' if tls else 'http'}://{host}:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stopping.set()
        self._server.shutdown()
        self._server.close_connections()
        self._server.server_close()
        self._thread.join()

    def behave(self, prefix: str, behaviour: Behaviour) -> None:
        """From now on requests whose path starts with ``prefix`` behave so; the longest prefix wins."""
        with self._lock:
            self._behaviours[prefix] = behaviour

    def behaviour_of(self, path: str, kind: str, state: str = "") -> Behaviour | None:
        with self._lock:
            for prefix in sorted(self._behaviours, key=len, reverse=True):
                found = self._behaviours[prefix]
                is_meant = (not found.kinds or kind in found.kinds) and (not found.states or state in found.states)
                if path.startswith(prefix) and found.times and is_meant:
                    found.times -= 1
                    return found
        return None

    def new_token(self) -> tuple[str, str]:
        """A one-use form token and the cookie that belongs to it."""
        token, cookie = secrets.token_hex(8), secrets.token_hex(8)
        with self._lock:
            self.tokens[token] = cookie
        return token, cookie

    def spend(self, token: str, cookie: str) -> bool:
        with self._lock:
            return bool(cookie) and self.tokens.pop(token, None) == cookie

    def place(self, path: str) -> Path:
        plain = unquote(path.partition("?")[0]).lstrip("/")
        if ".." in plain.split("/"):
            raise ValueError("no path outside the directory")
        return self.directory / plain


class _HttpServer(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def __init__(self, address: tuple[str, int], handler: type["_HttpHandler"], tls: ssl.SSLContext | None) -> None:
        self._tls = tls
        self._open: set[_HttpHandler] = set()
        self._open_lock = threading.Lock()
        super().__init__(address, handler)

    def get_request(self) -> tuple[socket.socket, tuple[str, int]]:
        request, address = super().get_request()
        if self._tls is not None:
            # The handshake waits for the peer, so it is left to the handler's thread: it comes with the first read.
            request = self._tls.wrap_socket(request, server_side=True, do_handshake_on_connect=False)
        return request, address

    def opened(self, handler: "_HttpHandler") -> None:
        with self._open_lock:
            self._open.add(handler)

    def closed(self, handler: "_HttpHandler") -> None:
        with self._open_lock:
            self._open.discard(handler)

    def close_connections(self) -> None:
        with self._open_lock:
            handlers = tuple(self._open)
        for handler in handlers:
            handler.hang_up()

    def handle_error(self, request: object, client_address: object) -> None:
        """A peer that hangs up is no news."""


class _HttpHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    owner: HttpReceiver
    server: _HttpServer

    def setup(self) -> None:
        super().setup()
        self.owner.connections += 1
        self.server.opened(self)

    def finish(self) -> None:
        self.server.closed(self)
        with suppress(OSError):
            super().finish()

    def hang_up(self) -> None:
        with suppress(OSError):
            self.connection.shutdown(2)

    def log_message(self, *_arguments: object) -> None:
        """The event log is the only one."""

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/upload.html":
            self._serve_form()
            return
        place = self.owner.place(self.path)
        data = place.read_bytes() if place.is_file() else None
        if data is None:
            self._answer(404, b"")
            return
        etag = f'"{zlib.crc32(data):08x}"'
        is_known = self.headers.get("If-None-Match") == etag
        self._answer(304 if is_known else 200, b"" if is_known else data, size=len(data), headers={"ETag": etag})

    do_HEAD = do_GET

    def do_PUT(self) -> None:
        data, is_complete = self._read_body()
        place = self.owner.place(self.path)
        behaviour = self.owner.behaviour_of(self.path, "PUT", self.headers.get("X-Imgserve-State", ""))
        if behaviour is not None and behaviour.hold_s:
            self.owner.stopping.wait(behaviour.hold_s)
        status = 201
        if is_complete and (behaviour is None or not behaviour.status):
            place.parent.mkdir(parents=True, exist_ok=True)
            status = 204 if place.exists() else 201
            _store(place, data)
        self._answer(status, data=b"", size=len(data), digest=digest_of(data), is_complete=is_complete, how=behaviour)

    def do_DELETE(self) -> None:
        behaviour = self.owner.behaviour_of(self.path, "DELETE")
        place = self.owner.place(self.path)
        status = 204 if place.is_file() else 404
        if behaviour is None or not behaviour.status:
            place.unlink(missing_ok=True)
        self._answer(status, b"", how=behaviour)

    def do_POST(self) -> None:
        data, is_complete = self._read_body()
        behaviour = self.owner.behaviour_of(self.path, "POST", self.headers.get("X-Imgserve-State", ""))
        parts = parts_of(data, self.headers.get("Content-Type", ""))
        name, picture = parts.get("image_file", ("", b""))
        cookie = self.headers.get("Cookie", "").partition("upload=")[2].partition(";")[0]
        token = parts.get("token", ("", b""))[1].decode("ascii", "replace")
        if behaviour is None or not behaviour.status:
            is_direct = self.path.startswith("/direct")
            if is_complete and name and "/" not in name and (is_direct or self.owner.spend(token, cookie)):
                place = self.owner.directory / "uploads" / name
                place.parent.mkdir(parents=True, exist_ok=True)
                _store(place, picture)
                status = 200 if is_direct else 303
                self._answer(status, b"", name=name, size=len(picture), digest=digest_of(picture), how=behaviour)
                return
            behaviour = behaviour or Behaviour(status=403)
        self._answer(
            403, b"", name=name, size=len(picture), digest=digest_of(picture), is_complete=is_complete, how=behaviour
        )

    def _serve_form(self) -> None:
        token, cookie = self.owner.new_token()
        page = (
            "<!doctype html><title>Upload</title><form action=/search><input name=q></form>"
            '<form method=post enctype="multipart/form-data" action="/take">'
            f'<input type=hidden name=token value="{token}"><input type=file name=image_file>'
            "<button name=go value=1>Send</button></form>"
        )
        headers = {"Set-Cookie": f"upload={cookie}; HttpOnly", "Content-Type": "text/html; charset=utf-8"}
        self._answer(200, page.encode(), headers=headers)

    def _read_body(self) -> tuple[bytes, bool]:
        length = int(self.headers.get("Content-Length", "0"))
        data = bytearray()
        while len(data) < length:
            chunk = self.rfile.read1(min(CHUNK_BYTES, length - len(data)))
            if not chunk:
                break
            data += chunk
        return bytes(data), len(data) == length

    def _answer(
        self,
        status: int,
        data: bytes,
        *,
        name: str = "",
        size: int = 0,
        digest: str = "",
        is_complete: bool = True,
        how: Behaviour | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        if self.command in ("GET", "HEAD"):
            how = self.owner.behaviour_of(self.path, self.command)
        status = how.status if how and how.status else status
        data = b"" if how and how.status else data
        self.owner.log.add(
            Event(
                time.monotonic(), self.command, name or unquote(self.path), self.headers.get("X-Imgserve-State", ""),
                size, digest, is_complete, status, self.headers.get("Authorization", ""),
            )
        )  # fmt: skip
        if how is not None and self._misbehave(how):
            return
        self.send_response_only(status)
        if status == 303 and not (how and how.redirect):
            self.send_header("Location", "/upload.html")
        if how is not None and how.redirect:
            self.send_header("Location", how.redirect)
        for key, value in {**(headers or {}), **(how.headers if how else {})}.items():
            self.send_header(key, value)
        if status >= 200 and status not in (204, 304):
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _misbehave(self, how: Behaviour) -> bool:
        """Whether there is no answer at all."""
        if how.delay_s:
            self.owner.stopping.wait(how.delay_s)
        if how.never:
            self.owner.stopping.wait()
        if how.reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
        if how.cut or how.never or how.reset:
            self.close_connection = True
            return True
        return False


def _store(place: Path, data: bytes) -> None:
    temporary = place.with_name(f".{secrets.token_hex(4)}")
    temporary.write_bytes(data)
    temporary.rename(place)
