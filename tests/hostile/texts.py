"""Texts that break a line, a header, a part or a path where they are not refused or encoded, and a receiver that shows
what became of them."""

import re
import socket
import threading
from contextlib import suppress
from typing import Self

from tests.support.pictures import encoded, scene
from tests.support.transfers import Listener

EVIL = {
    "line ends": "a\r\nX-Injected: 1\r\n\r\nGET /injected HTTP/1.1\r\n\r\n",
    "encoded line ends": "a%0d%0aX-Injected:%201%0d%0a%0d%0aGET%20/injected%20HTTP/1.1%0d%0a%0d%0a",
    "new line": "a\nX-Injected: 1",
    "NUL": "a\0b",
    "encoded NUL": "a%00b",
    "quotes": 'a"; filename="injected.png',
    "encoded quotes": "a%22;%20filename=%22injected.png",
    "turned": "\u202egnp.exe\u2066",
    "boundary": "a\r\n--x\r\nContent-Disposition: form-data; name=injected\r\n\r\n1",
    "long": "a" * 4096,
    "backslash": "a\\",
    "line separators": "a\u2028X-Injected: 1\u0085b",
}
PICTURE = encoded(scene(40, 30), "png")


class Raw:
    """Takes requests as bytes, one at a time and each on a connection of its own; whatever follows one is kept too."""

    def __init__(self) -> None:
        self.seen: list[tuple[bytes, bytes]] = []
        self._listener = Listener(self._accept)
        self.url = f"http://127.0.0.1:{self._listener.port}"

    def __enter__(self) -> Self:
        self._listener.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.__exit__()

    def _accept(self, peer: socket.socket) -> None:
        threading.Thread(target=self.serve, args=(peer.dup(),), daemon=True).start()

    def serve(self, peer: socket.socket) -> None:
        peer.settimeout(10)
        with peer, suppress(OSError), peer.makefile("rb") as lines:
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                line = lines.readline()
                if not line:
                    return
                head += line
            length = re.search(rb"(?i)\r\ncontent-length: (\d+)", head)
            body = lines.read(int(length[1])) if length else b""
            self.seen.append((head, body))
            answer = PICTURE if head.startswith(b"GET") else b""
            peer.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(answer) + answer)
            peer.shutdown(socket.SHUT_WR)
            rest = lines.read()
            if rest:
                self.seen.append((b"UNASKED " + rest, b""))


def are_plain(requests: list[tuple[bytes, bytes]]) -> None:
    for head, body in requests:
        assert re.match(rb"(GET|PUT|POST|HEAD) /[!-~]* HTTP/1\.1\r\n", head), head
        assert not re.search(rb"(?i)\n(x-injected|get /)", head), head
        assert head.count(b"\r\n\r\n") == 1
        assert not re.search(rb"[^\r]\n|\r[^\n]|[\x00-\x09\x0b\x0c\x0e-\x1f\x7f]", head)
        if b"multipart/form-data" in head:
            parts = re.findall(rb"(?m)^Content-Disposition: ([^\r\n]*)\r$", body)
            assert len(parts) == 1, parts
            assert re.fullmatch(rb'form-data; name="[^"]*"; filename="[^"]*"', parts[0]), parts
