"""Peers that never stop talking, one shape of it each: ``python -m tests.hostile.endless_peers`` prints a port a shape.

A process of its own, so that their work is not counted as ours.
"""

import json
import socket
import sys
import threading
from collections.abc import Callable
from contextlib import suppress

LINE = b"x" * 90 + b"\r\n"
BODY = b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\n"
FTP_REPLIES = {
    "": b"220 hello\r\n", "USER": b"331 ok\r\n", "PASS": b"230 ok\r\n", "PWD": b'257 "/"\r\n', "SIZE": b"213 7\r\n",
    "RETR": b"150 go\r\n", "STOR": b"150 go\r\n", "RNFR": b"350 go on\r\n", "DELE": b"550 no\r\n",
}  # fmt: skip
HTTP_SHAPES: dict[str, tuple[bytes, bytes]] = {
    "status line": (b"HTTP/1.1 200 ", b"x" * 1000),
    "header": (BODY + b"X-A: ", b"x" * 1000),
    "headers": (BODY, b"X-A: " + LINE),
    "folded header": (BODY + b"X-A: ", b" " + LINE),
    "cookies": (BODY, b"Set-Cookie: a=" + LINE),
    "locations": (b"HTTP/1.1 302 Found\r\n", b"Location: /" + LINE),
    "interim answers": (b"", b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n"),
    "continues": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "chunk extension": (BODY + b"Transfer-Encoding: chunked\r\n\r\n5;", b"a=b;" * 300),
    "chunk length": (BODY + b"Transfer-Encoding: chunked\r\n\r\n", b"0" * 1000),
    "trailers": (BODY + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n", b"X-A: " + LINE),
    "trailer": (BODY + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-A: ", b"x" * 1000),
    "body": (BODY + b"\r\n", b"x" * 1000),
    "error": (b"HTTP/1.1 404 Not Found\r\n\r\n", b"x" * 1000),
    "redirect": (b"HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n", b"x" * 1000),
    "no answer": (b"", b"x" * 1000),
}
FTP_SHAPES: dict[str, bytes] = {
    "lines": b"%d-" + LINE, "a line": b"x" * 1000, "replies": b"%d " + LINE, "zeros": b"\0" * 1000,
    "no lines": b"\r\n" * 500, "first replies": b"150 " + LINE,
}  # fmt: skip
FTP_PLACES = ("", "USER", "PASS", "PWD", "CWD", "EPSV", "TYPE", "SIZE", "RETR", "STOR", "226", "RNFR", "RNTO")


def _for_ever(peer: socket.socket, piece: bytes) -> None:
    many = piece * (65_536 // len(piece) + 1)
    while True:
        peer.sendall(many)


def _http(peer: socket.socket, begin: bytes, piece: bytes) -> None:
    peer.recv(65_536)
    peer.sendall(begin)
    _for_ever(peer, piece)


def _ftp(peer: socket.socket, place: str, piece: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as data:
        replies = FTP_REPLIES | {"EPSV": f"229 ok (|||{data.getsockname()[1]}|)\r\n".encode()}

        def reply(verb: str) -> None:
            usual = replies.get(verb, b"200 ok\r\n")
            if verb == place:
                _for_ever(peer, piece.replace(b"%d", usual[:3]))
            peer.sendall(usual)

        with peer.makefile("rb") as lines:
            reply("")
            for line in lines:
                verb = line.split()[0].decode()
                reply(verb)
                if verb in ("RETR", "STOR"):
                    with data.accept()[0] as stream:
                        if verb == "RETR":
                            stream.sendall(b"picture")
                        else:
                            stream.recv(65_536)
                    reply("226")


def _serve(deal: Callable[[socket.socket], None]) -> int:
    listener = socket.create_server(("127.0.0.1", 0))

    def one(peer: socket.socket) -> None:
        with peer, suppress(OSError):
            deal(peer)

    def accept() -> None:
        while True:
            threading.Thread(target=one, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    return int(listener.getsockname()[1])


def main() -> None:
    ports = {
        f"http {name}": _serve(lambda peer, begin=begin, piece=piece: _http(peer, begin, piece))  # type: ignore[misc]
        for name, (begin, piece) in HTTP_SHAPES.items()
    }
    for name, piece in FTP_SHAPES.items():
        for place in FTP_PLACES:
            ports[f"ftp {name} {place}"] = _serve(lambda peer, place=place, piece=piece: _ftp(peer, place, piece))  # type: ignore[misc]
    print(json.dumps(ports), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
