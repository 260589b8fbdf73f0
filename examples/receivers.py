"""Small real servers that take pictures: an HTTP server with an upload form, and an FTP server.

The demo, the tests and the benches start them; each runs in a thread of its own and is a context manager. Both keep
an ordered log of what happened, so that a reader can tell which picture was last where.
"""

import hashlib
import logging
import secrets
import threading
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import unquote

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # pyftpdlib still builds on asyncore
    from pyftpdlib.authorizers import DummyAuthorizer
    from pyftpdlib.handlers import FTPHandler
    from pyftpdlib.ioloop import IOLoop
    from pyftpdlib.servers import FTPServer

logging.getLogger("pyftpdlib").setLevel(logging.WARNING)

CHUNK_BYTES = 65_536


@dataclass(frozen=True)
class Event:
    """One thing that happened. ``kind`` is the method or command; ``state`` is X-Imgserve-State, if any.

    ``is_complete`` is False for bytes that were cut off.
    """

    at: float
    kind: str
    name: str
    state: str = ""
    size: int = 0
    digest: str = ""
    is_complete: bool = True
    status: int = 0


class Log:
    """Events in the order in which they happened; may be read while it grows."""

    def __init__(self) -> None:
        self._events: list[Event] = []
        self._news = threading.Condition()

    def add(self, event: Event) -> None:
        with self._news:
            self._events.append(event)
            self._news.notify_all()

    def all(self) -> tuple[Event, ...]:
        with self._news:
            return tuple(self._events)

    def of(self, *kinds: str) -> tuple[Event, ...]:
        return tuple(event for event in self.all() if event.kind in kinds)

    def wait_for(self, wanted: Callable[[tuple[Event, ...]], bool], timeout_s: float = 10.0) -> bool:
        with self._news:
            return self._news.wait_for(lambda: wanted(tuple(self._events)), timeout_s)


@dataclass
class Behaviour:
    """How requests under a path misbehave; ``times`` counts them down, -1 is for ever.

    ``status`` is answered instead of doing anything; ``redirect`` goes into Location. ``delay_s`` passes after the
    work and before the answer. ``cut`` closes the connection after the work, without an answer. ``never`` keeps it
    open until the server ends. ``kinds`` limits all this to some methods.
    """

    status: int = 0
    redirect: str = ""
    delay_s: float = 0.0
    cut: bool = False
    never: bool = False
    times: int = -1
    headers: dict[str, str] = field(default_factory=dict)
    kinds: tuple[str, ...] = ()


def digest_of(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()


class HttpReceiver:
    """Serves and takes files beneath ``directory`` at ``url``; its upload form is at /upload.html."""

    def __init__(self, directory: Path, host: str = "127.0.0.1", port: int = 0) -> None:
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

        self._server = _HttpServer((host, port), Handler)
        self.host, self.port = host, int(self._server.server_address[1])
        self.url = f"http://{host}:{self.port}"
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

    def behaviour_of(self, path: str, kind: str) -> Behaviour | None:
        with self._lock:
            for prefix in sorted(self._behaviours, key=len, reverse=True):
                found = self._behaviours[prefix]
                if path.startswith(prefix) and found.times and (not found.kinds or kind in found.kinds):
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

    def __init__(self, address: tuple[str, int], handler: type["_HttpHandler"]) -> None:
        self._open: set[_HttpHandler] = set()
        self._open_lock = threading.Lock()
        super().__init__(address, handler)

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
        self._answer(200 if data is not None else 404, data or b"", size=len(data or b""))

    do_HEAD = do_GET

    def do_PUT(self) -> None:
        data, is_complete = self._read_body()
        place = self.owner.place(self.path)
        behaviour = self.owner.behaviour_of(self.path, "PUT")
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
        behaviour = self.owner.behaviour_of(self.path, "POST")
        parts = _multipart(data, self.headers.get("Content-Type", ""))
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
                size, digest, is_complete, status,
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
        if status >= 200 and status != 204:
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
        if how.cut or how.never:
            self.close_connection = True
            return True
        return False


def _store(place: Path, data: bytes) -> None:
    temporary = place.with_name(f".{secrets.token_hex(4)}")
    temporary.write_bytes(data)
    temporary.rename(place)


def _multipart(data: bytes, media_type: str) -> dict[str, tuple[str, bytes]]:
    """Field name -> (file name, value), as RFC 7578 has it and browsers escape it."""
    boundary = media_type.partition("boundary=")[2].strip('"').encode()
    parts: dict[str, tuple[str, bytes]] = {}
    if not boundary:
        return parts
    for part in data.split(b"--" + boundary)[1:-1]:
        head, _, value = part.partition(b"\r\n\r\n")
        text = head.decode("utf-8", "replace")
        name = text.partition(' name="')[2].partition('"')[0]
        file_name = text.partition('filename="')[2].partition('"')[0]
        file_name = file_name.replace("%22", '"').replace("%0D", "\r").replace("%0A", "\n")
        parts[name] = (file_name, value.removesuffix(b"\r\n"))
    return parts


class FtpReceiver:
    """An FTP server on ``directory`` for user/password. ``rename_over=False`` refuses RNTO onto a file (as IIS does);

    ``knows_rnfr=False`` answers 500 to RNFR.
    """

    def __init__(
        self, directory: Path, *, rename_over: bool = True, knows_rnfr: bool = True, host: str = "127.0.0.1"
    ) -> None:
        self.directory = directory
        self.log = Log()
        receiver = self

        class Handler(_FtpHandler):
            owner = receiver
            may_rename_over = rename_over
            authorizer = DummyAuthorizer()

        if not knows_rnfr:
            Handler.proto_cmds = {name: how for name, how in FTPHandler.proto_cmds.items() if name != "RNFR"}
        Handler.authorizer.add_user("user", "password", str(directory), perm="elradfmwMT")
        self._loop = IOLoop()
        self._server = FTPServer((host, 0), Handler, ioloop=self._loop)
        self.host, self.port = host, int(self._server.address[1])
        self.url = f"ftp://user:password@{host}:{self.port}"
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._thread.join()

    def _serve(self) -> None:
        while not self._stopping.is_set():
            self._loop.loop(timeout=0.01, blocking=False)
        self._server.close_all()
        self._loop.close()


class _FtpHandler(FTPHandler):  # type: ignore[misc]
    """Logs what changes files: STOR when all bytes are there, RNFR, RNTO, DELE."""

    owner: FtpReceiver
    may_rename_over: bool
    use_sendfile = True
    use_encoding = "utf-8"
    timeout = 60

    def on_file_received(self, file: str) -> None:
        data = Path(file).read_bytes()
        self._add("STOR", file, len(data), digest_of(data))

    def on_incomplete_file_received(self, file: str) -> None:
        self._add("STOR", file, Path(file).stat().st_size, is_complete=False)

    def ftp_RNTO(self, path: str) -> str | None:
        if not self.may_rename_over and Path(path).exists():
            self._rnfr = None
            self.respond("553 The file exists.")
            return None
        done = super().ftp_RNTO(path)
        if done:
            data = Path(path).read_bytes() if Path(path).is_file() else b""
            self._add("RNTO", path, len(data), digest_of(data))
        return path if done else None

    def ftp_DELE(self, path: str) -> str | None:
        done = super().ftp_DELE(path)
        if done:
            self._add("DELE", path)
        return path if done else None

    def _add(self, kind: str, file: str, size: int = 0, digest: str = "", *, is_complete: bool = True) -> None:
        name = "/" + str(Path(file).relative_to(self.owner.directory.resolve()))
        self.owner.log.add(Event(time.monotonic(), kind, name, "", size, digest, is_complete))
