"""Bare servers for odd pages, which keep what they were sent."""

import ssl
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, NamedTuple, Self


class _ThreadingHttp(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A peer that hangs up is no news."""


class Seen(NamedTuple):
    """One request, as it came. ``headers`` have lower-case names."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


class Reply(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes = b""


class Serving:
    """A server in a thread of its own."""

    def __init__(self, server: Any, tls: ssl.SSLContext | None = None) -> None:
        self._server = server
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        host, self.port = server.server_address[0], int(server.server_address[1])
        self.url = f"{'https' if tls else 'http'}://{host}:{self.port}"
        self._thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class Site(Serving):
    """Keeps what comes, and answers as a subclass says."""

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        self.seen: list[Seen] = []
        site = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def log_message(self, *_arguments: object) -> None:
                pass

            def do_GET(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
                headers = {name.lower(): value for name, value in self.headers.items()}
                seen = Seen(self.command, self.path, headers, body)
                site.seen.append(seen)
                reply = site.reply(seen)
                self.send_response(reply.status)
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                if reply.status != 204:
                    self.send_header("Content-Length", str(len(reply.body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(reply.body)

            do_HEAD = do_POST = do_PUT = do_DELETE = do_GET

        super().__init__(_ThreadingHttp((host, port), Handler))

    def reply(self, seen: Seen) -> Reply:
        raise NotImplementedError

    def posts(self) -> list[Seen]:
        return [one for one in self.seen if one.method == "POST"]


class OddSite(Site):
    """Answers a GET with ``page`` and ``headers``, everything else with ``status``."""

    def __init__(self, page: bytes = b"", headers: Mapping[str, str] | None = None, status: int = 200) -> None:
        self.page = page
        self.headers = dict(headers or {"Content-Type": "text/html"})
        self.page_status = 200
        self.answer_headers: dict[str, str] = {}
        self._status = status
        super().__init__()

    def reply(self, seen: Seen) -> Reply:
        if seen.method == "GET":
            return Reply(self.page_status, self.headers, self.page)
        return Reply(self._status, self.answer_headers)


class Given(NamedTuple):
    """What a site answers."""

    status: int
    body: str | bytes = ""
    media_type: str = "text/html"
    location: str | None = None
    encoding: str | None = None


class PagesSite(Site):
    """A site of many pages: ``pages`` are answered to a GET of their path, ``answers`` to a POST; else 404."""

    def __init__(self) -> None:
        self.pages: dict[str, Given] = {}
        self.answers: dict[str, Given] = {}
        super().__init__()

    def reply(self, seen: Seen) -> Reply:
        known = self.pages if seen.method == "GET" else self.answers
        given = known.get(seen.path.partition("?")[0], Given(404))
        fields = {"Location": given.location, "Content-Type": given.media_type, "Content-Encoding": given.encoding}
        headers = {name: value for name, value in fields.items() if value is not None}
        return Reply(given.status, headers, given.body if isinstance(given.body, bytes) else given.body.encode())
