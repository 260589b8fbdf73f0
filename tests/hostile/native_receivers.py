"""A server beside an HTTP, an FTP and an S3 receiver, and what these see of a job. For ``test_native_fields``."""

import base64
import http.client
import json
import re
import socket
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote, unquote_to_bytes

from examples.ftp_receiver import FtpReceiver

from tests.hostile.texts import EVIL, PICTURE, Raw
from tests.support import hooks
from tests.support.buckets import Environ, ObjectStore, StartResponse, WsgiApp
from tests.support.daemon import LOOPBACK, Daemon
from tests.support.native import Caller

GOOD = "good"
"""A harmless text. The bucket has it as its name."""
ORIGIN = "https://page.example"
Change = Mapping[str, Any]
"""Fields of a job, in which EVIL stands for the text and HTTP, HOST and FTP for the receivers."""
Shape = Counter[tuple[str, ...]]
"""Requests: of HTTP the method and the names of the headers, of FTP a command that reads or changes a file."""

_FILE_COMMANDS = {"RETR", "STOR", "APPE", "STOU", "RNFR", "RNTO", "DELE", "RMD", "SITE"}
_STATE = {"content-length", "if-match", "if-none-match"}


def of_output(destination: object, **more: object) -> dict[str, object]:
    return {"outputs": [{"destination": destination, **more}]}


class World(NamedTuple):
    """``commands`` and ``objects`` are what FTP and S3 were sent; of a request to S3 the method, path and headers."""

    server: Daemon
    call: Caller
    raw: Raw
    ftp: FtpReceiver
    commands: list[tuple[str, str]]
    objects: list[tuple[str, bytes]]
    document: Any

    def job(self, change: Change, evil: str) -> Any:
        """Without placeholders, whose transfers are those of results."""
        plain = {"source": "HTTP/a.png", **of_output("HTTP/b.png"), **change}
        outputs = [{"placeholder": "none", **output} for output in plain["outputs"]]
        return self._filled({**plain, "outputs": outputs}, evil)

    def _filled(self, value: Any, evil: str) -> Any:
        if isinstance(value, dict):
            return {self._filled(name, evil): self._filled(one, evil) for name, one in value.items()}
        if isinstance(value, list):
            return [self._filled(one, evil) for one in value]
        if not isinstance(value, str):
            return value
        host = self.raw.url.removeprefix("http://")
        return (
            value.replace("HTTP/", f"{self.raw.url}/")
            .replace("HOST/", f"{host}/")
            .replace("FTP/", f"{self.ftp.url}/")
            .replace("EVIL", evil)
        )

    def seen(self, since: tuple[int, ...] = (0, 0, 0)) -> "Seen":
        return Seen(self.raw.seen[since[0] :], self.commands[since[1] :], self.objects[since[2] :])


class Seen(NamedTuple):
    requests: list[tuple[bytes, bytes]]
    commands: list[tuple[str, str]]
    objects: list[tuple[str, bytes]]

    @property
    def counts(self) -> tuple[int, ...]:
        return len(self.requests), len(self.commands), len(self.objects)

    def shape(self, evil: str) -> Shape:
        """The text as a header's name counts as any other."""
        heads = [head for head, _ in self.requests]
        shape = Counter((head.split(b" ")[0].decode(), *names_in(head.partition(b"\r\n")[2], evil)) for head in heads)
        shape.update((f"S3 {method}", *names_in(lines, evil)) for method, lines in self.objects)
        shape.update((command,) for command, _ in self.commands if command in _FILE_COMMANDS)
        return shape

    def texts(self) -> bytes:
        """All that came in lower case, without the spellings of URLs, logins and JSON."""
        came = [*(part for request in self.requests for part in request), *(lines for _, lines in self.objects)]
        came += [argument.encode() for _, argument in self.commands]
        logins = re.findall(rb"(?m)^authorization: Basic ([^\r\n]+)", b"\n".join(came), re.IGNORECASE)
        metadata = [json.loads(body)["data"]["job"]["metadata"] for _, body in self.requests if body.startswith(b"{")]
        came += [base64.b64decode(login) for login in logins]
        came += [text.encode() for fields in metadata for pair in fields.items() for text in pair]
        return unquote_to_bytes(b"\n".join(came)).lower()


def names_in(lines: bytes, evil: str) -> list[str]:
    names = [line.partition(b":")[0].decode().lower() for line in lines.strip().split(b"\r\n")]
    return sorted("*" if evil.lower() in name else name for name in names if name not in _STATE)


@contextmanager
def receivers(top: Path) -> Iterator[World]:
    """The files ``EVIL.png`` of each text are there, where a name of a file can hold it."""
    shelf = top / "shelf"
    shelf.mkdir()
    commands: list[tuple[str, str]] = []
    objects: list[tuple[str, bytes]] = []

    def note(_session: object, command: str, argument: str) -> bool:
        commands.append((command, argument))
        return False

    def front(app: WsgiApp) -> WsgiApp:
        def noted(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
            fields = [
                f"{name[5:].replace('_', '-')}: {value}" for name, value in environ.items() if name[:5] == "HTTP_"
            ]
            lines = [f"x-path: {environ['PATH_INFO'].encode('latin-1').decode()}", *fields]
            objects.append((environ["REQUEST_METHOD"], "\r\n".join(lines).encode()))
            return app(environ, start_response)

        return noted

    config = top / "imgserve.toml"
    with ExitStack() as stack:
        raw, ftp = stack.enter_context(Raw()), stack.enter_context(FtpReceiver(shelf))
        store = stack.enter_context(ObjectStore(front, bucket=GOOD))
        for text in (GOOD, *EVIL.values()):
            name = unquote(text)
            with suppress(OSError, ValueError):  # no name of a file
                (shelf / f"{name}.png").write_bytes(PICTURE)
                store.put(f"{name}.png", PICTURE)
        store.put("a.png", PICTURE)
        (shelf / "directory.png").mkdir()
        objects.clear()
        ftp.script = note
        hook = f'[credential.hook]\ntype = "webhook"\nsecret_env = "HOOK"\nfor = ["{raw.url}"]\n'
        config.write_text(f'cors_origin = ["{ORIGIN}"]\n{store.settings}{hook}')
        secrets = {"SECRET": "a-key", "HOOK": hooks.SECRET}
        server = stack.enter_context(Daemon(top / "data", *LOOPBACK, "--config", str(config), environment=secrets))
        call = Caller(server)
        yield World(server, call, raw, ftp, commands, objects, call("GET", "/v1/openapi.json").body)


class Reply(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: Any


def exchanged(server: Daemon, head: bytes, body: bytes = b"", media_type: str = "application/json") -> Reply:
    """What comes back; of a stream its header."""
    with socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2])), 10) as connection:
        lines = "Host: localhost\r\nConnection: close\r\n"
        if body:
            lines += f"Content-Type: {media_type}\r\nContent-Length: {len(body)}\r\n"
        connection.sendall(head + lines.encode() + b"\r\n" + body)
        with http.client.HTTPResponse(connection) as response:
            response.begin()
            headers = {name.lower(): value for name, value in response.getheaders()}
            assert len(headers) == len(response.getheaders()), "none is doubled"
            is_json = "json" in headers.get("content-type", "")
            return Reply(response.status, headers, json.loads(response.read()) if is_json else None)
