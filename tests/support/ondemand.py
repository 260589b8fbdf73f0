"""A client of ``/v1/render`` and ``/v1/info``."""

import http.client
import io
import json
import socket
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import quote

from PIL import Image

from tests.support.daemon import Daemon
from tests.support.sizes import PATIENCE_S

JSON = {"Content-Type": "application/json"}
JPEG = {"Content-Type": "image/jpeg"}
BOUNDARY = "a-boundary"
FORM = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
SMALL: dict[str, object] = {"operations": [{"operation": "resize", "width": 200, "height": 120}]}


class Reply(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def problem(self) -> Any:
        assert self.headers["content-type"] == "application/problem+json", self
        problem = json.loads(self.body)
        assert problem["status"] == self.status
        assert problem["request_id"] == self.headers["x-request-id"]
        return problem

    @property
    def faults(self) -> list[tuple[str, str]]:
        return [(fault["path"], fault["code"]) for fault in self.problem["errors"]]

    @property
    def picture(self) -> Image.Image:
        assert self.status == 200, self
        image = Image.open(io.BytesIO(self.body))
        image.load()
        assert image.format is not None
        assert self.headers["content-type"] == f"image/{image.format.lower()}"
        return image


def call(
    server: Daemon, body: bytes | None, headers: Mapping[str, str], target: str = "/v1/render", method: str = "POST"
) -> Reply:
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=PATIENCE_S)
    try:
        connection.request(method, target, body, dict(headers))
        response = connection.getresponse()
        named = {name.lower(): value for name, value in response.getheaders()}
        return Reply(response.status, named, response.read())
    finally:
        connection.close()


def render(server: Daemon, request: object, **headers: str) -> Reply:
    return call(server, json.dumps(request).encode(), {**JSON, **named(headers)})


def named(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


def with_recipe(recipe: object) -> str:
    return "/v1/render?recipe=" + quote(json.dumps(recipe))


def form(*parts: tuple[str, bytes]) -> bytes:
    """A body of multipart/form-data."""
    pieces = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"; filename="file"\r\n\r\n'.encode() + data
        for name, data in parts
    ]
    return b"\r\n".join([*pieces, f"--{BOUNDARY}--\r\n".encode()])


def opened(server: Daemon, head: Mapping[str, str], target: str, sent: bytes = b"") -> socket.socket:
    """A connection with a request whose body is only begun."""
    host, port = server.url.removeprefix("http://").split(":")
    connection = socket.create_connection((host, int(port)), timeout=PATIENCE_S)
    lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
    connection.sendall(f"POST {target} HTTP/1.1\r\nHost: {host}\r\n{lines}\r\n".encode() + sent)
    return connection
