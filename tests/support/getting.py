"""A real server with mounted dialects and a real host of sources, and clients that send paths as they are written."""

import http.client
import io
import re
import socket
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple, Self

import msgspec
from examples.receivers import HttpReceiver
from PIL import Image

from imgserve.request.dialects.signing import KeyPair, imgproxy_signature, thumbor_signature
from tests.support.daemon import LOOPBACK, Daemon
from tests.support.pictures import encoded, scene, svg
from tests.support.sizes import PATIENCE_S

KEY, SALT = "0a" * 16, "0b" * 16
SECOND_KEY, SECOND_SALT = "1a" * 16, "1b" * 16
THUMBOR_KEY = "a-key-of-thumbor-1"
PHOTO = encoded(scene(320, 240), "jpeg")
LOGO = encoded(Image.new("RGB", (16, 16), (255, 0, 0)), "png")
EVIL_SVG = svg(
    '<script>alert(1)</script><rect width="40" height="20" fill="#00ff00" onclick="alert(2)"/>'
    '<a href="javascript:alert(3)"><text>x</text></a>'
)


class Reply(msgspec.Struct, frozen=True):
    """``headers`` are in order, with lower-case names."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def __getitem__(self, name: str) -> str:
        """The value of a header; empty where it is missing, joined where it is there several times."""
        return ", ".join(value for named, value in self.headers if named == name)

    @property
    def picture(self) -> Image.Image:
        assert self.status in (200, 206), self
        image = Image.open(io.BytesIO(self.body))
        image.load()
        return image

    @property
    def size(self) -> tuple[int, int]:
        return self.picture.size


class Client:
    """One connection that stays open. Paths are sent as they are."""

    def __init__(self, url: str, source_address: str = "") -> None:
        place = url.removeprefix("http://")
        source = (source_address, 0) if source_address else None
        self._connection = http.client.HTTPConnection(place, timeout=PATIENCE_S, source_address=source)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def ask(self, path: str, method: str = "GET", headers: Sequence[tuple[str, str]] = (), body: bytes = b"") -> Reply:
        connection = self._connection
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        if not any(name.lower() == "host" for name, _ in headers):
            connection.putheader("Host", f"{connection.host}:{connection.port}")
        for name, value in headers:
            connection.putheader(name, value)
        if body:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body or None)
        response = connection.getresponse()
        named = tuple((name.lower(), value) for name, value in response.getheaders())
        return Reply(response.status, named, response.read())

    def get(self, path: str, **headers: str) -> Reply:
        """``If_None_Match`` is If-None-Match."""
        return self.ask(path, headers=[(name.replace("_", "-"), value) for name, value in headers.items()])


def raw(url: str, sent: bytes) -> bytes:
    """All that the server answers until it hangs up."""
    host, _, port = url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=PATIENCE_S) as connection:
        connection.sendall(sent)
        return b"".join(iter(lambda: connection.recv(65_536), b""))


def begun(gets: "Gets", path: str, **headers: str) -> socket.socket:
    """A client that has asked, and reads nothing yet."""
    host, _, port = gets.server.url.removeprefix("http://").partition(":")
    connection = socket.create_connection((host, int(port)), timeout=PATIENCE_S)
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: a.test\r\n{lines}\r\n".encode())
    return connection


class Gets(NamedTuple):
    """A server, the hosts of its sources, and the directory of both, which is a read root too."""

    server: Daemon
    web: HttpReceiver
    other: HttpReceiver
    directory: Path

    def client(self) -> Client:
        return Client(self.server.url)

    def get(self, path: str, **headers: str) -> Reply:
        with self.client() as client:
            return client.get(path, **headers)

    def put(self, name: str, data: bytes = PHOTO) -> str:
        """A new source; its URL."""
        place = self.directory / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
        return f"{self.web.url}/{name}"

    def fetches(self, name: str) -> list[int]:
        """The statuses that were answered to those who asked for a source."""
        return [event.status for event in self.web.log.all() if event.name == f"/{name}"]

    def metric(self, name: str, *headers: tuple[str, str]) -> float:
        """The sum over all labels that are not in ``name``."""
        request = urllib.request.Request(self.server.url + "/metrics", headers=dict(headers))
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            text = answer.read().decode()
        return sum(float(value) for value in re.findall(rf"^imgserve_{re.escape(name)}\S* (\S+)$", text, re.MULTILINE))


@contextmanager
def gets(
    top: Path,
    tables: str,
    *arguments: str,
    switches: Mapping[str, object] | None = None,
    environment: Mapping[str, str] | None = None,
    is_closed: bool = False,
) -> Iterator[Gets]:
    """``tables``: the settings, in which WEB and OTHER stand for the URLs of the sources' hosts, PORT for the first
    one's, DIR for their directory. ``is_closed``: the server may not reach this machine.
    """
    directory = top / "sources"
    directory.mkdir(parents=True, exist_ok=True)
    for name, data in (("photo.jpg", PHOTO), ("logo.png", LOGO), ("evil.svg", EVIL_SVG), ("words.jpg", b"words" * 99)):
        (directory / name).write_bytes(data)
    with ExitStack() as held:
        web, other = (held.enter_context(HttpReceiver(directory)) for _ in range(2))
        config = top / "imgserve.toml"
        config.write_text(
            tables.replace("WEB", web.url)
            .replace("OTHER", other.url)
            .replace("PORT", str(web.port))
            .replace("DIR", str(directory))
        )
        given = (*(() if is_closed else LOOPBACK), "--read-root", str(directory), "--config", str(config), *arguments)
        server = Daemon(top / "data", *given, switches=switches, environment=environment)
        yield Gets(held.enter_context(server), web, other, directory)


def imgproxy_signed(rest: str, key: str = KEY, salt: str = SALT, size: int = 32) -> str:
    """``rest`` begins with a slash."""
    return f"/{imgproxy_signature(KeyPair(bytes.fromhex(key), bytes.fromhex(salt)), rest, size)}{rest}"


def thumbor_signed(rest: str, key: str = THUMBOR_KEY) -> str:
    """``rest`` begins without a slash."""
    return f"/{thumbor_signature(key.encode(), rest)}/{rest}"
