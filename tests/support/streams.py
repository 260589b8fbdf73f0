"""Streams of events in the tests: a client that reads one event by event, as the standard says, and a server for it."""

import http.client
import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self
from urllib.request import Request, urlopen

from tests.support.daemon import Daemon
from tests.support.native import Caller
from tests.support.operating import SocketConnection
from tests.support.pictures import encoded, scene
from tests.support.sizes import PATIENCE_S

KEYS = {f"shop-{number}": f"the-key-of-the-shop-{number:03}" for number in range(40)}
LISTED = "https://app.example.com"
LATER = (datetime.now(UTC) + timedelta(days=1)).isoformat()


class Event(NamedTuple):
    id: int
    type: str
    data: Any

    @property
    def job_id(self) -> str:
        return str(self.data["data"]["job"]["id"])


class Stream:
    """``with Stream(connection, target, headers) as stream``: ``status`` and ``headers`` are the answer's.

    Iterating gives the events until the stream ends. ``pings`` counts the comments passed over, ``last_id`` is what a
    browser would come back with.
    """

    def __init__(
        self, connection: http.client.HTTPConnection, target: str = "/v1/events", headers: dict[str, str] | None = None
    ) -> None:
        self._connection = connection
        connection.timeout = PATIENCE_S
        connection.request("GET", target, headers=headers or {})
        self._response = connection.getresponse()
        self.status = self._response.status
        self.headers = {name.lower(): value for name, value in self._response.getheaders()}
        self.pings = 0
        self.last_id = ""

    def body(self) -> Any:
        """That of an answer that is no stream."""
        return json.loads(self._response.read())

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Event:
        fields: dict[str, str] = {}
        while line := self._response.readline().decode():
            if line == "\n":
                self.last_id = fields.get("id", self.last_id)
                if "data" in fields:
                    return Event(int(fields["id"]), fields["event"], json.loads(fields["data"]))
                fields = {}
            elif line.startswith(":"):
                self.pings += 1
            else:
                name, _, value = line.rstrip("\n").partition(": ")
                fields[name] = value
        raise StopIteration

    def until(self, kind: str) -> list[Event]:
        """The events up to the first of this type."""
        events = []
        for event in self:
            events.append(event)
            if event.type == kind:
                return events
        raise AssertionError(f"the stream ended before {kind}: {events}")

    def close(self) -> None:
        self._response.close()
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Shops:
    """A daemon with keys; each ``shop`` is another principal."""

    def __init__(self, top: Path, *arguments: str) -> None:
        self.top = top
        for name in ("in", "out"):
            (top / name).mkdir()
        (top / "in/a.png").write_bytes(encoded(scene(40, 30), "png"))
        self.key_file = top / "keys"
        self.key_file.write_text("".join(f"{name}:{key}\n" for name, key in KEYS.items()))
        roots = ("--read-root", str(top / "in"), "--write-root", str(top / "out"))
        keys = ("--api-key-file", str(self.key_file), "--cors-origin", LISTED)
        self.daemon = Daemon(top / "data", *roots, *keys, *arguments)
        self._names = iter(KEYS)
        self._numbers = count()

    def shop(self) -> Caller:
        return Caller(self.daemon, KEYS[next(self._names)])

    def job(self, outputs: int = 1, **fields: object) -> dict[str, Any]:
        number = next(self._numbers)
        return {
            "source": f"file://{self.top}/in/a.png",
            "outputs": [
                {"operations": [{"operation": "resize", "width": 8}],
                 "destination": f"file://{self.top}/out/{number}-{index}.png"}
                for index in range(outputs)
            ],
            **fields,
        }  # fmt: skip

    def stream(self, shop: Caller | None, target: str = "/v1/events", **headers: str) -> Stream:
        """``shop`` None: the operator's, over the control socket."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if shop is None:
            return Stream(SocketConnection(self.daemon.data_dir / "control.sock"), target, named)
        connection = HTTPConnection(self.daemon.url.removeprefix("http://"))
        return Stream(connection, target, {"Authorization": f"Bearer {shop.key}", **named})

    def metrics(self, shop: Caller) -> str:
        request = Request(f"{self.daemon.url}/metrics", headers={"Authorization": f"Bearer {shop.key}"})
        with urlopen(request, timeout=PATIENCE_S) as response:
            text: bytes = response.read()
        return text.decode()

    @contextmanager
    def deaf(self, shop: Caller) -> Iterator[None]:
        """A client that opens a stream and takes nothing of it."""
        host, port = self.daemon.url.removeprefix("http://").split(":")
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect((host, int(port)))
            client.sendall(f"GET /v1/events HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {shop.key}\r\n\r\n".encode())
            client.settimeout(PATIENCE_S)
            assert client.recv(1, socket.MSG_PEEK)
            yield


def posted(shop: Caller, job: dict[str, Any]) -> str:
    answer = shop.submit(job)
    assert answer.status == 202, answer
    return str(answer.body["id"])
