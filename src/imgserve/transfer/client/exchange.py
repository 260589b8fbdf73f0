"""One exchange under way: libcurl's callbacks and what they saw. ``curl`` makes one for each call.

libcurl calls these from inside the event loop, or in the thread of an FTP exchange. An exception must not leave them,
so a fault is remembered and the transfer aborted. They run up to once for each 16 KB, so they do little.
"""

import asyncio
import socket
import time
from collections.abc import Callable
from typing import Any  # libcurl's callback arguments are untyped

import pycurl

from imgserve.descriptors import NONE_LEFT, OutOfDescriptors
from imgserve.errors import ImgserveError
from imgserve.timeout import limit
from imgserve.transfer.client import location
from imgserve.transfer.client.call import FTP_METHODS, WRITES, Answer, Call
from imgserve.transfer.client.head import Head, text_of
from imgserve.transfer.client.receiving import ThreadReceiver
from imgserve.transfer.client.replies import Replies
from imgserve.transfer.client.sending import Sending
from imgserve.transfer.faults import ExchangeFailed
from imgserve.transfer.guard import Guard, Refusal
from imgserve.transfer.version import UNKNOWN

_ABORT = 0
_HEADER_ABORT = -1
_DISCARD_BYTES = 1_000_000
_UNAUTHORISED = 401
# A pooled connection may have been dropped by a router, without a word to either end. A second try needs time too: of
# a placeholder's 5 s the first one gets 2 s.
_PATIENCE_S = 5.0
_PATIENCE_RATIO = 0.4


class Exchange:
    """``refusal`` is the guard's, unless it permitted another address of the host. ``limit`` is for a fetch.

    ``patient_until_s``: when a silent pooled connection counts as dead, by ``time.monotonic``. ``is_silent``: one was,
    in an FTP exchange. ``abort`` ends an exchange in the event loop. ``has_wrong_type``: the FTP server refused TYPE,
    and libcurl takes it for set.
    """

    abort: Callable[[Exception], None]
    has_wrong_type = False
    is_silent = False

    def __init__(self, curl: pycurl.Curl, call: Call, guard: Guard, timeout_s: float) -> None:
        self.curl = curl
        self.call = call
        self.origin = location.origin(call.url)
        self.fault: ImgserveError | ExchangeFailed | None = None
        self.limit: limit | None = None
        self.patient_until_s = time.monotonic() + min(_PATIENCE_S, timeout_s * _PATIENCE_RATIO)
        self.body_bytes = 0
        self.replies = Replies()
        self._guard = guard
        self.refusal: Refusal | None = None
        self._is_permitted = False
        self._has_opened = False
        self._head = Head()
        self._is_ftp = call.method in FTP_METHODS
        self._is_cut = False
        self._is_over = False
        self._body = bytearray()
        self._memory: asyncio.Future[None] | None = None
        self._receiver: ThreadReceiver | None = None
        self._write: Callable[[bytes], None] | None = None
        if call.fetch is not None:
            self.limit = limit(timeout_s)
            self._receiver = ThreadReceiver(call.fetch, self.limit) if self._is_ftp else None
        self._sending = Sending(curl, call)
        curl.setopt(pycurl.OPENSOCKETFUNCTION, self._open_socket)
        curl.setopt(pycurl.PREREQFUNCTION, self._check_connection)
        curl.setopt(pycurl.WRITEFUNCTION, self._receive)
        curl.setopt(pycurl.HEADERFUNCTION, self._receive_reply if self._is_ftp else self._head.add)
        if self._is_ftp:
            curl.setopt(pycurl.NOPROGRESS, 0)
            curl.setopt(pycurl.XFERINFOFUNCTION, self._check_progress)

    @property
    def is_answered(self) -> bool:
        """Whether everything that matters came before the transfer failed: we cut it, or a write was answered."""
        if self._is_ftp:
            return False
        has_status = self.curl.getinfo(pycurl.RESPONSE_CODE) >= 200
        return has_status and (self._is_cut or self.call.method in WRITES)

    @property
    def is_reused(self) -> bool:
        """Whether it went over a pooled connection."""
        return not self._has_opened and bool(self.curl.getinfo_raw(pycurl.PRIMARY_IP))

    @property
    def is_undecodable(self) -> bool:
        """Whether decoding failed at the first byte, so that the body may be used as it came."""
        return not self.body_bytes and not self._head.read().is_compressed

    @property
    def is_untouched(self) -> bool:
        """Whether the server has shown no sign that it received anything of this exchange."""
        return self.replies.is_empty and self._head.is_empty and not self._sending.has_started

    @property
    def is_late(self) -> bool:
        """Whether a pooled connection of this exchange would count as dead by now."""
        return time.monotonic() >= self.patient_until_s and not self._has_opened and self.is_untouched

    @property
    def is_lost_in_directories(self) -> bool:
        """Whether the FTP server did not tell its first directory: then libcurl cannot return to it."""
        return self.replies.has_data and self._has_opened and not self.curl.getinfo_raw(pycurl.FTP_ENTRY_PATH)

    @property
    def is_sent(self) -> bool:
        """Whether bytes of a write, or the command that renames the file, may have reached the server."""
        if self._is_ftp:
            return self._sending.has_started or self.replies.is_renaming
        return self.call.method in WRITES and self.curl.getinfo(pycurl.REQUEST_SIZE) > 0

    def answer(self) -> Answer:
        """Called after the transfer. Raises the fetch's own faults."""
        call, info, replies = self.call, self.curl.getinfo, self.replies
        if self._receiver is not None:
            self._receiver.finish()
        if self._is_ftp:
            return Answer(status=replies.last, url=call.url, deadline_s=call.deadline_s, replies=replies.finals)
        status, length = info(pycurl.RESPONSE_CODE), info(pycurl.CONTENT_LENGTH_DOWNLOAD_T)
        head = self._head
        if call.method != "PUT" or status >= 300:  # of a PUT that was taken nothing else counts
            head.read()
        return Answer(
            status=status,
            url=call.url,
            deadline_s=call.deadline_s,
            location=head.location,
            media_type=text_of(self.curl.getinfo_raw(pycurl.CONTENT_TYPE) or b""),
            length=int(length) if length >= 0 and not head.is_encoded else None,
            retry_after_s=float(info(pycurl.RETRY_AFTER)) or None,
            body=bytes(self._body),
            is_cut=self._is_cut,
            along=call.along,
            version=head.version if call.fetch is not None else UNKNOWN,
            wants_digest=status == _UNAUTHORISED and bool(info(pycurl.HTTPAUTH_AVAIL) & pycurl.HTTPAUTH_DIGEST),
        )

    def end(self) -> None:
        """After this nothing touches the handle."""
        self._is_over = True
        self._write = None
        if self._memory is not None:
            self._memory.cancel()
        if self._receiver is not None:
            self._receiver.end()
        self._sending.end()

    def _open_socket(self, _purpose: int, address: Any) -> Any:
        if address.family not in (socket.AF_INET, socket.AF_INET6):
            return pycurl.SOCKET_BAD
        self._has_opened = self._has_opened or self.replies.is_empty  # after replies come FTP's data connections
        refusal = self._guard.refusal(address.addr[0], address.addr[1])
        if refusal is not None:
            self.refusal = None if self._is_permitted else refusal
            return pycurl.SOCKET_BAD
        self.refusal, self._is_permitted = None, True
        try:
            return socket.socket(address.family, address.socktype, address.protocol).detach()
        except OSError as error:
            if error.errno in NONE_LEFT:
                self.fault = OutOfDescriptors()
            return pycurl.SOCKET_BAD

    def _check_connection(self, ip: str, _local_ip: str, port: int, _local_port: int) -> int:
        # Pooled connections do not pass _open_socket. What follows, an FTP data connection, is judged by itself.
        self.refusal, self._is_permitted = self._guard.refusal(ip, port), False
        return int(pycurl.PREREQFUNC_OK if self.refusal is None else pycurl.PREREQFUNC_ABORT)

    def _receive_reply(self, line: bytes) -> int | None:
        if self.replies.add(line):
            return None
        self.fault = ExchangeFailed(f"{self.origin} says more than any FTP server has to")
        return _HEADER_ABORT

    def _check_progress(self, *_progress: int) -> int:
        # libcurl calls this about once a second, also while it waits: the only place where a thread can be ended.
        self.is_silent = self.is_silent or self.is_late
        return int(self._is_over or self.is_silent)

    def _receive(self, data: bytes) -> int | None:
        self.body_bytes += len(data)
        try:
            if self._write is not None:
                self._write(data)
                return None
            return self._receive_first(data)
        except ImgserveError as fault:
            self.fault = fault
            return _ABORT

    def _receive_first(self, data: bytes) -> int | None:
        if self.call.fetch is None:
            return self._receive_small(data)
        if self._receiver is not None:
            return self._receiver.receive(data, self.replies.size_bytes)
        head = self._head.read()
        if 300 <= head.status < 400:
            return self._receive_small(data)  # to its end, so that the connection can be used again
        if not 200 <= head.status < 300:
            self._is_cut = True
            return _ABORT
        if self._memory is None:
            self._memory = self.call.fetch.reserve(head.length_bytes)
            if not self._memory.done() and self.limit is not None:
                self.limit.stop()
                self._memory.add_done_callback(self._resume)
        if not self._memory.done():
            return int(pycurl.WRITEFUNC_PAUSE)
        self._write = self.call.fetch.write
        self._write(data)
        return None

    def _receive_small(self, data: bytes) -> int | None:
        if self.call.body_limit_bytes:
            self._body += data
        self._is_cut = self.body_bytes > (self.call.body_limit_bytes or _DISCARD_BYTES)
        return _ABORT if self._is_cut else None

    def _resume(self, memory: asyncio.Future[None]) -> None:
        if memory.cancelled() or self._is_over or self.limit is None:
            return
        self.limit.go_on()
        try:
            self.curl.pause(pycurl.PAUSE_CONT)
        except pycurl.error as error:  # libcurl would report a refusal of the held bytes only when more of them come
            self.abort(error)
