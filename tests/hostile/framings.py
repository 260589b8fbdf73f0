"""Ways to write where a request ends: what one reader takes for one request and another for two (SAFETY, row 24).

Each holds, or is followed in the same packet by, another whole request: ``smuggled``, which must never be carried out.
"""

from collections.abc import Iterator
from typing import NamedTuple

HOST = b"Host: localhost\r\n"
TE = b"Transfer-Encoding: chunked\r\n"
NO_JOB = b'{"an": "object"}'  # parsed as JSON, then refused: the body came whole
LONG = b"99999999999999999999"


class Framing(NamedTuple):
    """``parts`` come in packets of their own. ``status`` is the answer's, and the only one there may be.

    ``says`` is a piece of its body. ``goes_on``: the connection serves the next request.
    """

    name: str
    parts: tuple[bytes, ...]
    status: int = 400
    says: bytes = b""
    goes_on: bool = False


def request(fields: bytes, body: bytes = b"", line: bytes = b"POST / HTTP/1.1", host: bytes = HOST) -> bytes:
    return line + b"\r\n" + host + fields + b"\r\n" + body


def counted(body: bytes) -> bytes:
    return b"Content-Length: %d\r\n" % len(body)


def chunked(body: bytes, trailers: bytes = b"") -> bytes:
    return b"%x\r\n%b\r\n0\r\n%b\r\n" % (len(body), body, trailers)


def _lengths(smuggled: bytes) -> Iterator[Framing]:
    for name, fields in {
        "both lengths": b"Content-Length: 4\r\n" + TE,
        "both, the other way round": TE + b"Content-Length: 4\r\n",
        "both, the length 0": TE + b"Content-Length: 0\r\n",
        "two lengths": b"Content-Length: 0\r\nContent-Length: 40\r\n",
        "two equal lengths": b"Content-Length: 0\r\nContent-Length: 0\r\n",
        "a list of lengths": b"Content-Length: 0, 0\r\n",
        "a negative length": b"Content-Length: -1\r\n",
        "a length with a plus": b"Content-Length: +4\r\n",
        "a length in hex": b"Content-Length: 0x4\r\n",
        "a length with a point": b"Content-Length: 4.0\r\n",
        "a length with an exponent": b"Content-Length: 1e1\r\n",
        "a length with a blank in it": b"Content-Length: 4 4\r\n",
        "a length in quotes": b'Content-Length: "4"\r\n',
        "a length in wide digits": b"Content-Length: \xef\xbc\x94\r\n",
        "no number for a length": b"Content-Length: \r\n",
        "a length beyond 64 bits": b"Content-Length: " + LONG + b"\r\n",
        "a blank before the colon": b"Content-Length : 4\r\n",
        "a tab before the colon": b"Content-Length\t: 4\r\n",
        "a length with a vertical tab": b"Content-Length: \x0b4\r\n",
        "a length in a folded line": b"Content-Length:\r\n 4\r\n",
        "a length after a folded line": b"X: a\r\n b\r\nContent-Length: 4\r\n",
        "a length in a line that begins with a blank": b" Content-Length: 4\r\n",
    }.items():
        yield Framing(name, (request(fields, b"0\r\n\r\n" + smuggled),))
    yield Framing("a length in HTTP/1.0 and chunks", (request(TE, chunked(b"{}"), b"POST / HTTP/1.0") + smuggled,))


def _codings(smuggled: bytes) -> Iterator[Framing]:
    for name, value in {
        "chunked not last": b"chunked, identity",
        "chunked twice": b"chunked, chunked",
        "chunked and nothing": b"chunked,",
        "nothing and chunked": b", chunked",
        "gzip alone": b"gzip",
        "identity alone": b"identity",
        "chunked by another name": b"xchunked",
        "chunked with a parameter": b"chunked;q=1",
        "chunked in quotes": b'"chunked"',
        "chunked with a vertical tab": b"\x0bchunked",
        "chunked with a byte beyond ASCII": b"chunked\xa0",
        "no coding": b"",
        "chunked in another line": b"chunked\r\nTransfer-Encoding: gzip",
        "chunked in two lines": b"chunked\r\nTransfer-Encoding: chunked",
        "chunked in a folded line": b"\r\n chunked",
    }.items():
        yield Framing(name, (request(b"Transfer-Encoding: " + value + b"\r\n", b"0\r\n\r\n" + smuggled),))
    for value in (b"gzip, chunked", b"identity, chunked", b"gzip\r\nTransfer-Encoding: chunked", b"x, chunked"):
        name = value.decode().replace("\r\n", " | ")
        yield Framing(name, (request(b"Transfer-Encoding: " + value + b"\r\n", chunked(b"{}") + smuggled),), 501)


def _chunks(smuggled: bytes) -> Iterator[Framing]:
    for name, body in {
        "a chunk size that is none": b"zz\r\n{}\r\n0\r\n\r\n",
        "a negative chunk size": b"-1\r\n{}\r\n0\r\n\r\n",
        "a chunk size with a plus": b"+2\r\n{}\r\n0\r\n\r\n",
        "a chunk size with 0x": b"0x2\r\n{}\r\n0\r\n\r\n",
        "a chunk size before a blank": b"2 \r\n{}\r\n0\r\n\r\n",
        "a chunk size after a blank": b" 2\r\n{}\r\n0\r\n\r\n",
        "no chunk size": b"\r\n{}\r\n0\r\n\r\n",
        "a chunk size beyond 64 bits": b"f" * 17 + b"\r\n{}\r\n0\r\n\r\n",
        "a chunk longer than it says": b"1\r\n{}\r\n0\r\n\r\n",
        "a chunk whose end is other bytes": b"2\r\n{}xx0\r\n\r\n",
        "a chunk that ends with LF": b"2\r\n{}\n0\r\n\r\n",
        "a chunk size that ends with LF": b"2\n{}\r\n0\r\n\r\n",
        "a chunk size that ends with CR": b"2\r{}\r\n0\r\n\r\n",
        "LF in a chunk's extension": b"2;a\n{}\r\n0\r\n\r\n",
        "CR in a chunk's extension": b"2;a\rb\r\n{}\r\n0\r\n\r\n",
        "NUL in a chunk's extension": b"2;a\0\r\n{}\r\n0\r\n\r\n",
        "an end that is no end": b"2\r\n{}\r\n0\r\nX\r\n\r\n",
        "a trailer in a folded line": b"2\r\n{}\r\n0\r\nX: y\r\n z\r\n\r\n",
        "a trailer that ends with LF": b"2\r\n{}\r\n0\r\nX: y\n\r\n",
        "an end with LF": b"2\r\n{}\r\n0\r\n\n",
    }.items():
        yield Framing(name, (request(TE, body + smuggled),))


def _lines(smuggled: bytes) -> Iterator[Framing]:
    for line in (
        b"POST / RTSP/1.0", b"POST / RTSP/1.1", b"POST / ICE/1.0", b"POST / http/1.1", b"POST / HTTP/0.9", b"POST /",
        b"POST / HTTP/1.2", b"POST / HTTP/1.10", b"POST / HTTP/01.1", b"POST / HTTP/1", b"POST / HTTP/2.0",
        b"POST / HTTP/3.7", b"POST / HTTP/1.1 ", b"POST  / HTTP/1.1", b"POST /  HTTP/1.1", b" POST / HTTP/1.1",
        b"POST\t/\tHTTP/1.1", b"POST / x HTTP/1.1", b"post / HTTP/1.1", b"FETCH / HTTP/1.1", b"P\0ST / HTTP/1.1",
        b"POST /\0 HTTP/1.1", b"POST /\xc3\xa4 HTTP/1.1", b"POST /#a HTTP/1.1", b"POST x HTTP/1.1",
        b"POST * HTTP/1.1", b"POST localhost:80 HTTP/1.1", b"CONNECT 127.0.0.1:22 HTTP/1.1", b"CONNECT / HTTP/1.1",
        b"POST http://other.example/ HTTP/1.1", b"POST http://localhost:81/ HTTP/1.1",
        b"POST http://other.example HTTP/1.0", b"POST http://me@localhost/ HTTP/1.1", b"POST http:/// HTTP/1.1",
        b"POST https://localhost:80/ HTTP/1.1", b"POST ftp://localhost/ HTTP/1.1", b"DESCRIBE / RTSP/1.0",
    ):  # fmt: skip
        name = line.decode("latin-1").replace("\0", "NUL").replace("\t", "TAB")
        yield Framing(name, (request(b"Content-Length: 16\r\n", NO_JOB, line) + smuggled,))
    yield Framing("HTTP/2 by prior knowledge", (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0",))
    yield Framing("a TLS hello", (bytes.fromhex("16030100c8010000c40303") + bytes(200),))


def _fields(smuggled: bytes) -> Iterator[Framing]:
    for name, host in {
        "no host": b"",
        "two hosts": HOST + HOST,
        "a host with a path": b"Host: localhost/x\r\n",
        "a host with a user": b"Host: me@localhost\r\n",
        "a host with a blank": b"Host: localhost other.example\r\n",
        "a host with two ports": b"Host: localhost:80:80\r\n",
        "a host with a named port": b"Host: localhost:http\r\n",
        "LF at a line's end": HOST[:-2] + b"\nX: y\r\n",
        "CR at a line's end": HOST[:-2] + b"\rX: y\r\n",
        "NUL in a value": HOST + b"X: a\0b\r\n",
        "an escape in a value": HOST + b"X: a\x1bb\r\n",
        "NUL in a name": HOST + b"X\0: a\r\n",
        "a blank in a name": HOST + b"X Y: a\r\n",
        "a bracket in a name": HOST + b"X(: a\r\n",
        "a name beyond ASCII": HOST + b"\xc3\xa4: a\r\n",
        "a line without a colon": HOST + b"nonsense\r\n",
        "a line without a name": HOST + b": x\r\n",
    }.items():
        yield Framing(name, (request(b"Content-Length: 16\r\n", NO_JOB, host=host) + smuggled,))
    yield Framing("LF alone", (request(b"", NO_JOB).replace(b"\r\n", b"\n") + smuggled,))
    yield Framing("CR alone", (request(b"", NO_JOB).replace(b"\r\n", b"\r") + smuggled,))


UPGRADES = (
    b"Connection: Upgrade\r\nUpgrade: h2c\r\n",
    b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABk\r\n",
    b"Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
    b"Upgrade: nonsense\r\nConnection: keep-alive, UPGRADE\r\n",
    b"Upgrade: TLS/1.0, HTTP/1.1\r\nConnection: Upgrade\r\n",
    b"Connection: Upgrade\r\nConnection: keep-alive\r\nUpgrade: a\r\nUpgrade: b\r\n",
)


def _upgrades(smuggled: bytes) -> Iterator[Framing]:
    """The body is its request's: never a request of its own, and never lost."""
    for number, fields in enumerate(UPGRADES):
        for body, says in ((NO_JOB, b"request invalid"), (smuggled, b"request parse error")):
            kind = "a job" if body == NO_JOB else "a request"
            for length, sent in ((counted(body), body), (TE, chunked(body))):
                head, how = request(fields + length), "chunked" if length == TE else "counted"
                name = f"upgrade {number} with {kind}, {how}"
                yield Framing(f"{name}, in one packet", (head + sent,), 200, says, True)
                yield Framing(f"{name}, in two", (head, sent), 200, says, True)
    whole = request(UPGRADES[0] + TE, chunked(NO_JOB))
    yield Framing("upgrade byte by byte", tuple(bytes([byte]) for byte in whole), 200, b"request invalid", True)
    yield Framing("upgrade without a body", (request(UPGRADES[0], line=b"GET /health HTTP/1.1"),), 200, b"ok", True)


TRAILERS = (
    b"Host: other.example\r\n", b"Host: localhost\r\n", b"Origin: http://x.example\r\n", b"X-Forwarded-For: ::1\r\n",
    b"Authorization: Bearer none\r\n", b"Content-Length: 5\r\n", b"Transfer-Encoding: gzip\r\n", b"Via: 1.1 x\r\n",
    b"Connection: close\r\nUpgrade: h2c\r\n", b"X: y\r\n" * 100,
)  # fmt: skip


def _trailers(_smuggled: bytes) -> Iterator[Framing]:
    """What stands behind the body is neither routed by nor judged."""
    for number, trailers in enumerate(TRAILERS):
        whole = request(TE, chunked(NO_JOB, trailers))
        yield Framing(f"trailer {number}", (whole,), 200, b"request invalid", True)
    half = whole.index(b"\r\n0\r\n") + 5
    parts = (whole[:half], b"X: ", b"y\r", b"\n", b"\r\n")
    yield Framing("trailers in packets", parts, 200, b"request invalid", True)
    other = request(TE, chunked(NO_JOB, HOST), host=b"Host: other.example\r\n")
    yield Framing("a trailer for a better host", (other,), 401)


def _odd(smuggled: bytes) -> Iterator[Framing]:
    """What looks odd and can be read in one way only."""
    length = b"Content-Length: 16\r\n"
    for name, whole in {
        "blank lines before it": b"\r\n\r\n" + request(length, NO_JOB),
        "tabs around a length": request(b"Content-Length:\t16 \t\r\n", NO_JOB),
        "a length with zeros": request(b"Content-Length: 0016\r\n", NO_JOB),
        "bytes beyond ASCII in a value": request(b"X: \xc3\xa4\xff\r\n" + length, NO_JOB),
        "chunked in capitals": request(b"Transfer-Encoding: CHUNKED\r\n", chunked(NO_JOB)),
        "a chunk with extensions": request(TE, b'10;a;b="c" ; d\r\n' + NO_JOB + b"\r\n0;e\r\n\r\n"),
        "a chunk size with zeros": request(TE, b"00010\r\n" + NO_JOB + b"\r\n000\r\n\r\n"),
        "many chunks": request(TE, b"".join(b"1\r\n%c\r\n" % byte for byte in NO_JOB) + b"0\r\n\r\n"),
        "an absolute target": request(length, NO_JOB, b"POST http://localhost/ HTTP/1.1"),
        "an absolute target in capitals": request(length, NO_JOB, b"POST HTTP://LOCALHOST:80/ HTTP/1.1"),
        "an absolute target of https": request(length, NO_JOB, b"POST https://localhost:443/ HTTP/1.1"),
        "an absolute target without a path": request(length, NO_JOB, b"POST http://localhost HTTP/1.1"),
    }.items():
        yield Framing(name, (whole,), 200, b"request invalid", True)
    for name, rest in {
        "LF": b"\n", "a blank": b" \r\n", "a form feed": b"\x0c", "a TLS hello": b"\x16\x03\x01",
        "no line": b"a b c\r\n",
        "a request with two lengths": request(length + length, NO_JOB),
    }.items():  # fmt: skip
        yield Framing(f"{name} behind it, which ends it", (request(length, NO_JOB) + rest,), 200, b"request invalid")
    for line in (b"GET ", b"GET http://localhost"):
        whole = request(counted(smuggled), smuggled, line + b"/health HTTP/1.1")
        yield Framing(f"{line.decode()} with a body", (whole,), 200, b"ok", True)
    yield Framing("GET with chunks", (request(TE, chunked(smuggled), b"GET /health HTTP/1.1"),), 200, b"ok", True)
    yield Framing("an empty host", (request(length, NO_JOB, host=b"Host:\r\n"),), 401)
    old = request(length, NO_JOB, b"POST / HTTP/1.0")
    for name, whole in {
        "HTTP/1.0": old,
        "HTTP/1.0 without a host": old.replace(HOST, b""),
        "HTTP/1.0 that would go on": old.replace(HOST, HOST + b"Connection: keep-alive\r\n"),
        "close": request(b"Connection: close\r\n" + length, NO_JOB),
    }.items():
        status = 401 if HOST not in whole else 200
        yield Framing(f"{name}, and more behind it", (whole + smuggled,), status)


def framings(smuggled: bytes) -> tuple[Framing, ...]:
    groups = (_lengths, _codings, _chunks, _lines, _fields, _upgrades, _trailers, _odd)
    return tuple(case for group in groups for case in group(smuggled))
