"""One exchange under way: libcurl's callbacks and what they saw. Made by ``curl`` for each call, gone after it.

libcurl calls these from inside the event loop; an exception must not leave them, so a fault is remembered and the
transfer aborted. They run up to once for each 16 KB, so they do little.
"""

import asyncio
import os
import socket
from collections.abc import Callable
from typing import Any  # libcurl's callback arguments are untyped

import pycurl

from imgserve.descriptors import NONE_LEFT, OutOfDescriptors
from imgserve.errors import ImgserveError
from imgserve.transfer import location
from imgserve.transfer.call import WRITES, Answer, Call, Field, Method
from imgserve.transfer.faults import Broken
from imgserve.transfer.guard import Guard, Refusal

_ABORT = 0
_HEADER_ABORT = -1
_RENAMING = "350 "  # the answer to RNFR; RNTO follows it at once
_DISCARD_BYTES = 1_000_000
_FTP: frozenset[Method] = frozenset({"RETR", "STOR", "COMMANDS"})


class Exchange:
    """``clock`` is the time-out around a fetch; it stands still while the fetch waits for memory."""

    def __init__(self, curl: pycurl.Curl, call: Call, guard: Guard) -> None:
        self.curl = curl
        self.call = call
        self.fault: ImgserveError | Broken | None = None
        self.clock: asyncio.Timeout | None = None
        self._guard = guard
        self._refusal: Refusal | None = None
        self._is_permitted = False
        self._url = call.url
        self._next_url = ""
        self._is_ftp = call.method in _FTP
        self._keep: Callable[[bytes], None] | None = None
        self._is_cut = False
        self._is_over = False
        self._is_body_read = False
        self._memory: asyncio.Future[None] | None = None
        self._time_left_s = 0.0
        self._body = bytearray()
        self._discarded = 0
        self._replies: list[str] = []
        self._status = 0
        self._length: int | None = None
        self._position = 0
        self._mime: pycurl.CurlMime | None = None
        self._bind()

    @property
    def refusal(self) -> Refusal | None:
        """Why policy ended it; None when an address of the peer was permitted, for then that one's fault counts."""
        return None if self._is_permitted else self._refusal

    @property
    def is_answered(self) -> bool:
        """Whether the peer said all that matters before the transfer broke: we cut it, or a write was answered."""
        if self._is_ftp:
            return False
        has_status = self.curl.getinfo(pycurl.RESPONSE_CODE) >= 200
        return has_status and (self._is_cut or self.call.method in WRITES)

    def is_sent(self) -> bool:
        """Whether bytes of a write, or the command that puts them in their place, may have reached the peer."""
        if self._is_ftp:
            return self._is_body_read or any(line.startswith(_RENAMING) for line in self._replies)
        return self.call.method in WRITES and self.curl.getinfo(pycurl.REQUEST_SIZE) > 0

    def last_reply(self) -> int:
        """The number of the FTP server's last reply, 0 without one."""
        finals = [line for line in self._replies if line[:3].isdigit() and line[3:4] == " "]
        return int(finals[-1][:3]) if finals else 0

    def replies(self) -> tuple[str, ...]:
        return tuple(self._replies)

    def answer(self) -> Answer:
        info = self.curl.getinfo
        if self._is_ftp:
            return Answer(status=self.last_reply(), url=self.call.url, replies=tuple(self._replies))
        length = info(pycurl.CONTENT_LENGTH_DOWNLOAD_T)
        return Answer(
            status=info(pycurl.RESPONSE_CODE),
            url=info(pycurl.EFFECTIVE_URL),
            redirect=info(pycurl.REDIRECT_URL) or "",
            media_type=info(pycurl.CONTENT_TYPE) or "",
            length=int(length) if length >= 0 else None,
            retry_after_s=float(info(pycurl.RETRY_AFTER)) or None,
            body=bytes(self._body),
            is_cut=self._is_cut,
        )

    def end(self) -> None:
        """Nothing may touch the handle any more."""
        self._is_over = True
        if self._memory is not None:
            self._memory.cancel()
        if self._mime is not None:
            self.curl.unsetopt(pycurl.MIMEPOST)
            self._mime.close()

    def _bind(self) -> None:
        setopt, call = self.curl.setopt, self.call
        setopt(pycurl.OPENSOCKETFUNCTION, self._open_socket)
        setopt(pycurl.PREREQFUNCTION, self._before_request)
        setopt(pycurl.WRITEFUNCTION, self._take)
        if call.headers:
            setopt(pycurl.HTTPHEADER, list(call.headers))
        if self._is_ftp:
            self._bind_ftp()
        elif call.fetch is not None or call.follows_redirects:
            setopt(pycurl.HEADERFUNCTION, self._hear_header)
        if call.method in ("PUT", "STOR"):
            assert call.body is not None
            setopt(pycurl.UPLOAD, 1)
            setopt(pycurl.INFILESIZE_LARGE, call.body.size)
            setopt(pycurl.READFUNCTION, self._give)
            setopt(pycurl.SEEKFUNCTION, self._seek)
        elif call.method == "POST":
            self._bind_parts()
        elif call.method == "DELETE":
            setopt(pycurl.CUSTOMREQUEST, "DELETE")
        elif call.method in ("HEAD", "COMMANDS"):
            setopt(pycurl.NOBODY, 1)

    def _bind_ftp(self) -> None:
        setopt = self.curl.setopt
        setopt(pycurl.HEADERFUNCTION, self._hear_reply)
        setopt(pycurl.FTP_SKIP_PASV_IP, 1)
        if self.call.method == "STOR":
            setopt(pycurl.FTP_CREATE_MISSING_DIRS, 1)
        if self.call.before:
            setopt(pycurl.PREQUOTE, list(self.call.before))
        if self.call.after:
            setopt(pycurl.POSTQUOTE, list(self.call.after))

    def _bind_parts(self) -> None:
        call = self.call
        # libcurl repeats a request by itself when a connection that was used before dies: a form would be posted twice.
        self.curl.setopt(pycurl.FRESH_CONNECT, 1)
        self._mime = pycurl.CurlMime(self.curl)
        for part in call.parts:
            if isinstance(part, Field):
                self._mime.add(name=part.name, data=part.value)
                continue
            file = self._mime.add(name=part.field, filename=part.name, content_type=part.media_type)
            if part.is_empty or call.body is None:
                file.data(b"")
            else:
                file.data_cb(call.body.size, self._give_part, self._seek_part)
        self.curl.setopt(pycurl.MIMEPOST, self._mime)

    def _open_socket(self, _purpose: int, address: Any) -> Any:
        if address.family not in (socket.AF_INET, socket.AF_INET6):
            return pycurl.SOCKET_BAD
        refusal = self._guard.refusal(address.addr[0], address.addr[1])
        if refusal is not None:
            self._refusal = refusal
            return pycurl.SOCKET_BAD
        self._is_permitted = True
        try:
            return socket.socket(address.family, address.socktype, address.protocol).detach()
        except OSError as error:
            if error.errno in NONE_LEFT:
                self.fault = OutOfDescriptors()
            return pycurl.SOCKET_BAD

    def _before_request(self, ip: str, _local_ip: str, port: int, _local_port: int) -> int:
        # Pooled connections never pass _open_socket again.
        # What comes after it, a redirect's or an FTP data connection, is judged by itself.
        self._refusal, self._is_permitted = self._guard.refusal(ip, port), False
        return int(pycurl.PREREQFUNC_OK if self._refusal is None else pycurl.PREREQFUNC_ABORT)

    def _hear_reply(self, line: bytes) -> None:
        self._replies.append(line.decode("utf-8", "replace").rstrip("\r\n"))
        if line.startswith(b"213 ") and line[4:].strip().isdigit():
            self._length = int(line[4:])

    def _hear_header(self, line: bytes) -> int | None:
        # libcurl's own figures cannot be asked for while it runs; redirects bring a set of headers each.
        if line.startswith(b"HTTP/"):
            self._status, self._length = int(line.split(maxsplit=2)[1]), None
            self._url, self._next_url = self._next_url or self._url, ""
        elif line[:15].lower() == b"content-length:" and line[15:].strip().isdigit():
            self._length = int(line[15:])
        elif line[:9].lower() == b"location:" and 300 <= self._status < 400 and self.call.follows_redirects:
            return self._hear_location(line[9:].decode("latin-1").strip())
        return None

    def _hear_location(self, reference: str) -> int | None:
        # REDIR_PROTOCOLS knows only the first URL's scheme: http -> https -> http would pass it.
        try:
            self._next_url = location.resolve(self._url, reference)
            place = location.origin(self._next_url)
            refusal = self._guard.blind_refusal(place.host, place.port)
            if refusal is not None:
                self.fault = Broken(refusal.detail, refusal.hint, is_refused=True)
                return _HEADER_ABORT
            if not location.is_downgrade(self._url, self._next_url):
                return None
            self.fault = Broken(f"{location.origin(self._url)} redirects from https to a scheme without TLS")
        except ValueError:
            self.fault = Broken(f"{location.origin(self._url)} redirects to a place that cannot be used")
        return _HEADER_ABORT

    def _give(self, size: int) -> bytes:
        assert self.call.body is not None
        self._is_body_read = True
        data = os.pread(self.call.body.fd, min(size, self.call.body.size - self._position), self._position)
        self._position += len(data)
        return data

    def _seek(self, offset: int, origin: int) -> int:
        if origin != os.SEEK_SET:
            return int(pycurl.SEEKFUNC_CANTSEEK)
        self._position = offset
        return int(pycurl.SEEKFUNC_OK)

    def _give_part(self, _context: object, size: int) -> bytes:
        return self._give(size)

    def _seek_part(self, _context: object, offset: int, origin: int) -> int:
        return self._seek(offset, origin)

    def _take(self, data: bytes) -> int | None:
        try:
            if self._keep is None:
                return self._take_first(data)
            self._keep(data)
        except ImgserveError as fault:
            self.fault = fault
            return _ABORT
        return None

    def _take_first(self, data: bytes) -> int | None:
        fetch = self.call.fetch
        if fetch is None:
            return self._take_small(data)
        if not self._is_ftp and not 200 <= self._status < 300:
            self._is_cut = True
            return _ABORT
        if self._memory is None:
            self._memory = fetch.reserve(self._length)
            if not self._memory.done():
                self._stop_clock()
                self._memory.add_done_callback(self._resume)
        if not self._memory.done():
            return int(pycurl.WRITEFUNC_PAUSE)
        self._keep = fetch.write
        fetch.write(data)
        return None

    def _resume(self, memory: asyncio.Future[None]) -> None:
        if not self._is_over and not memory.cancelled():
            if self.clock is not None and not self.clock.expired():
                self.clock.reschedule(asyncio.get_running_loop().time() + self._time_left_s)
            self.curl.pause(pycurl.PAUSE_CONT)

    def _stop_clock(self) -> None:
        until = self.clock.when() if self.clock is not None else None
        if self.clock is not None and until is not None and not self.clock.expired():
            self._time_left_s = until - asyncio.get_running_loop().time()
            self.clock.reschedule(None)

    def _take_small(self, data: bytes) -> int | None:
        limit = self.call.body_limit_bytes
        if limit == 0:
            self._discarded += len(data)
            self._is_cut = self._discarded > _DISCARD_BYTES
        else:
            self._body += data
            self._is_cut = len(self._body) > limit
        return _ABORT if self._is_cut else None
