"""Who answers in the arena: a listener on each port of every address, a hostile public server, a DNS server that lies.

They run in one event loop in a thread.
"""

import asyncio
import ipaddress
import struct
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Self, cast

import msgspec

from tests.hostile.ssrf_cases import CLOSED_PORT, FTP_PORT, PICTURE_PORT, PUBLIC, TARGETS
from tests.support.pictures import encoded, scene

HTTP_PORTS = (80, 6379)
PROXY_PORT = 3128
SILENT_PORTS = (21, 22, CLOSED_PORT, 443, 990, PROXY_PORT)
A, CNAME, AAAA = 1, 5, 28
NAMES = {
    "private.test": ("10.0.0.7",), "metadata.test": ("169.254.169.254",), "mapped.test": ("::ffff:127.0.0.1",),
    "six.test": ("fd12::7",), "nat64.test": ("64:ff9b::7f00:1",), "mixed.test": ("10.0.0.8", PUBLIC),
}  # fmt: skip
PICTURE = encoded(scene(40, 30), "png")
FTP_ANSWERS = {"USER": "331 ok", "PASS": "230 ok", "PWD": '257 "/"', "TYPE": "200 ok", "SIZE": "213 5", "CWD": "250 ok"}
Answer = tuple[int, tuple[str, ...], bytes]


class Hit(msgspec.Struct):
    """A connection that the defaults forbid. ``name``: what was asked for, where the listener speaks HTTP."""

    address: str
    port: int
    name: str = ""


class Peers:
    """``hits`` grows with each forbidden connection."""

    def __init__(self) -> None:
        self.hits: list[Hit] = []
        self._loop = asyncio.new_event_loop()
        self._is_up = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._asked: Counter[tuple[str, int]] = Counter()

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._is_up.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._listen())
        self._is_up.set()
        self._loop.run_forever()

    async def _listen(self) -> None:
        await asyncio.start_server(self._public, PUBLIC, PICTURE_PORT, backlog=100)
        await asyncio.start_server(self._ftp, PUBLIC, FTP_PORT)
        for port in HTTP_PORTS + SILENT_PORTS:
            for everywhere in ("0.0.0.0", "::"):
                await asyncio.start_server(self._target, everywhere, port, backlog=100)
        await self._loop.create_datagram_endpoint(lambda: _Dns(self._records), ("127.0.0.1", 53))

    async def _target(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        address, port = writer.get_extra_info("sockname")[:2]
        hit = Hit(address.partition("%")[0], port)
        if address != PUBLIC or port == CLOSED_PORT:  # a data connection to a public address is nothing to refuse
            self.hits.append(hit)

        def answer(method: str, path: str) -> Answer:
            hit.name = path.rpartition("/")[2]
            return _picture(method)

        if port in HTTP_PORTS:
            await _answered(reader, writer, answer)
        writer.close()

    async def _public(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _answered(reader, writer, _misled)
        writer.close()

    async def _ftp(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 hello\r\n")
        where = ""
        with suppress(ConnectionError):
            while line := (await reader.readline()).decode("latin-1").strip():
                command, _, argument = line.partition(" ")
                where = argument if command == "CWD" and "-" in argument else where
                answers = FTP_ANSWERS | {"EPSV": _epsv(where), "PASV": _pasv(where)}
                writer.write(f"{answers.get(command, '502 no')}\r\n".encode())
        writer.close()

    def _records(self, name: str, kind: int) -> tuple[str, ...]:
        self._asked[name, kind] += 1
        if name.startswith("rebind-"):
            return (PUBLIC if self._asked[name, kind] == 1 else "10.0.0.9",)
        return NAMES.get(name, ())


def _epsv(where: str) -> str:
    if where.startswith("epsv"):
        return f"229 ok (|||{CLOSED_PORT if where.endswith('port') else 22}|)"
    return "500 no"


def _pasv(where: str) -> str:
    host = "127,0,0,1" if where.endswith("host") else PUBLIC.replace(".", ",")
    return f"227 ok ({host},0,{CLOSED_PORT if where.endswith('port') else 22})"


async def _answered(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: Callable[[str, str], Answer]
) -> None:
    with suppress(ConnectionError, asyncio.IncompleteReadError):
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        length = [line.split(":")[1] for line in head.lower().split("\r\n") if line.startswith("content-length:")]
        await reader.readexactly(int(length[0]) if length else 0)
        method, path, _ = head.split(" ", 2)
        status, headers, body = answer(method, path)
        lines = (f"HTTP/1.1 {status} x", *headers, f"Content-Length: {len(body)}", "Connection: close", "", "")
        writer.write("\r\n".join(lines).encode("latin-1") + (b"" if method == "HEAD" else body))
        await writer.drain()


def _picture(method: str) -> Answer:
    return 200, (), PICTURE if method in ("GET", "HEAD") else b""


def _misled(method: str, path: str) -> Answer:
    """``/redirect/302/0/x.png`` sends to the first of TARGETS, to x.png; the other ways do it by a page."""
    *way_and_more, name = path.strip("/").split("/")
    if not way_and_more:
        return _picture(method)
    way, *rest = way_and_more
    if way == "hop":
        return 302, (f"Location: /redirect/301/0/{name}",), b""
    target = TARGETS[int(rest[-1])].replace("x.png", name)
    if way in ("redirect", "page"):
        return int(rest[0]), (f"Location: {target}",), b""
    if method == "POST":
        return 303 if way == "seen-other" else 307, (f"Location: {target}",), b""
    base = f'<base href="{target}">' if way == "base" else ""
    action = {"action": target, "base": name}.get(way, "")
    page = f'{base}<form method=post action="{action}"><input type=file name=f></form>'
    return 200, ("Content-Type: text/html",), page.encode()


class _Dns(asyncio.DatagramProtocol):
    """Answers A and AAAA (RFC 1035, section 4); ``alias.test`` is a CNAME, everything unknown has no address."""

    def __init__(self, records: Callable[[str, int], tuple[str, ...]]) -> None:
        self._records = records

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, peer: tuple[str, int]) -> None:
        labels, at = [], 12
        while data[at]:
            labels.append(data[at + 1 : at + 1 + data[at]].decode("latin-1"))
            at += 1 + data[at]
        name, kind = ".".join(labels).lower(), int.from_bytes(data[at + 1 : at + 3], "big")
        answers, owner = [], b"\xc0\x0c"
        if name == "alias.test":
            alias = b"\x07private\x04test\0"
            answers.append(owner + struct.pack(">HHIH", CNAME, 1, 0, len(alias)) + alias)
            name, owner = "private.test", alias
        for text in self._records(name, kind):
            address = ipaddress.ip_address(text)
            if kind == (AAAA if address.version == 6 else A):
                packed = address.packed
                answers.append(owner + struct.pack(">HHIH", kind, 1, 0, len(packed)) + packed)
        head = data[:2] + struct.pack(">HHHHH", 0x8580, 1, len(answers), 0, 0)
        self._transport.sendto(head + data[12 : at + 5] + b"".join(answers), peer)
