"""One exchange under way: libcurl's callbacks and what they saw. Made by ``curl`` for each call, gone after it.

libcurl calls these from inside the event loop; an exception must not leave them, so a fault is remembered and the
transfer aborted. They run up to once for each 16 KB, so they do little.
"""

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
from imgserve.transfer.client.receiving import FromLoop, FromThread
from imgserve.transfer.client.replies import Replies
from imgserve.transfer.client.sending import Sending
from imgserve.transfer.faults import Broken
from imgserve.transfer.guard import Guard, Refusal

_ABORT = 0
_HEADER_ABORT = -1
_MAKE_AND_RETRY = 2  # CURLFTP_CREATE_DIR_RETRY
_DISCARD_BYTES = 1_000_000
_UNAUTHORISED = 401


class Exchange:
    """``limit`` is the time-out of a fetch. ``patience_s``: how long a connection of an earlier FTP exchange may stay
    silent before it is taken for dead. ``break_off`` ends an exchange in the event loop. ``has_wrong_type``: the FTP
    server refused TYPE, and libcurl takes it for set.
    """

    patience_s: float | None = None
    break_off: Callable[[Exception], None] | None = None
    has_wrong_type = False

    def __init__(self, curl: pycurl.Curl, call: Call, guard: Guard, timeout_s: float) -> None:
        self.curl = curl
        self.call = call
        self.fault: ImgserveError | Broken | None = None
        self.limit = limit(timeout_s)
        self._guard = guard
        self._refusal: Refusal | None = None
        self._is_permitted = False
        self._has_opened = False
        self.begun_at_s = time.monotonic()
        self.is_silent = False
        self.body_bytes = 0
        self._head = Head()
        self.replies = Replies()
        self._is_ftp = call.method in FTP_METHODS
        self._is_cut = False
        self._is_over = False
        self._body = bytearray()
        self._discarded = 0
        self._into: FromLoop | FromThread | None = None
        self._keep: Callable[[bytes], None] | None = None
        if call.fetch is not None and self._is_ftp:
            self._into = FromThread(call.fetch, self.limit)
        elif call.fetch is not None:
            self._into = FromLoop(call.fetch, self.limit, self._resume)
        self._bind()
        self._sending = Sending(curl, call)

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

    @property
    def is_reused(self) -> bool:
        """Whether it went over a connection that an earlier exchange had opened."""
        return not self._has_opened and bool(self.curl.getinfo_raw(pycurl.PRIMARY_IP))

    @property
    def is_plain(self) -> bool:
        """Whether the body may be used as it came, because it could not be decoded from its first byte on."""
        return not self.body_bytes and not self._head.read().is_compressed

    @property
    def is_untouched(self) -> bool:
        """Whether the peer has shown no sign of having heard anything of this exchange."""
        return self.replies.are_none and self._head.is_none and not self._sending.has_begun

    @property
    def is_lost_in_directories(self) -> bool:
        """Whether the FTP server would not say where a session begins: then libcurl does not find back to there."""
        return self.replies.has_begun and self._has_opened and not self.curl.getinfo_raw(pycurl.FTP_ENTRY_PATH)

    @property
    def is_repeatable(self) -> bool:
        """Whether it may be done again after a connection was lost: a STOR until bytes of the file have left."""
        return self.call.method == "STOR" or self.is_untouched

    def is_sent(self) -> bool:
        """Whether bytes of a write, or the command that puts them in their place, may have reached the peer."""
        if self._is_ftp:
            return self._sending.has_begun or self.replies.is_renaming
        return self.call.method in WRITES and self.curl.getinfo(pycurl.REQUEST_SIZE) > 0

    def answer(self) -> Answer:
        info = self.curl.getinfo
        if self._is_ftp:
            return Answer(
                status=self.replies.last, url=self.call.url, replies=self.replies.finals, is_reused=self.is_reused
            )
        head = self._head.read()
        status, length = info(pycurl.RESPONSE_CODE), info(pycurl.CONTENT_LENGTH_DOWNLOAD_T)
        return Answer(
            status=status,
            url=self.call.url,
            location=head.location,
            media_type=text_of(self.curl.getinfo_raw(pycurl.CONTENT_TYPE) or b""),
            length=int(length) if length >= 0 and not head.is_encoded else None,
            retry_after_s=float(info(pycurl.RETRY_AFTER)) or None,
            body=bytes(self._body),
            is_cut=self._is_cut,
            seconds=info(pycurl.TOTAL_TIME),
            wants_digest=status == _UNAUTHORISED and bool(info(pycurl.HTTPAUTH_AVAIL) & pycurl.HTTPAUTH_DIGEST),
        )

    def end(self) -> None:
        """Nothing may touch the handle any more."""
        self._is_over = True
        self._keep = None
        if self._into is not None:
            self._into.end()
        self._sending.end()

    def finish(self) -> None:
        """All of the body has come. Raises the fetch's own faults."""
        if self._into is not None:
            self._into.finish()

    def _bind(self) -> None:
        setopt, call = self.curl.setopt, self.call
        setopt(pycurl.OPENSOCKETFUNCTION, self._open_socket)
        setopt(pycurl.PREREQFUNCTION, self._before_request)
        setopt(pycurl.WRITEFUNCTION, self._take)
        if call.decodes:
            setopt(pycurl.ACCEPT_ENCODING, "")  # all that libcurl knows; what is asked for is in the headers
        if call.headers:
            setopt(pycurl.HTTPHEADER, list(call.headers))
        if self._is_ftp:
            self._bind_ftp()
        else:
            setopt(pycurl.HEADERFUNCTION, self._head.hear)
        if call.method in ("DELETE", "MKCOL"):
            setopt(pycurl.CUSTOMREQUEST, call.method)
        elif call.method in ("HEAD", "COMMANDS"):
            setopt(pycurl.NOBODY, 1)

    def _bind_ftp(self) -> None:
        setopt = self.curl.setopt
        setopt(pycurl.HEADERFUNCTION, self._hear_reply)
        setopt(pycurl.NOPROGRESS, 0)
        setopt(pycurl.XFERINFOFUNCTION, self._look_up)
        setopt(pycurl.FTP_SKIP_PASV_IP, 1)
        if self.call.method == "STOR":
            # Somebody else may make the directory at the same moment: after a refused MKD, CWD is tried once more.
            setopt(pycurl.FTP_CREATE_MISSING_DIRS, _MAKE_AND_RETRY)
        if self.call.is_path_whole:
            setopt(pycurl.FTP_FILEMETHOD, pycurl.FTPMETHOD_SINGLECWD)
        if self.call.before:
            setopt(pycurl.PREQUOTE, list(self.call.before))
        if self.call.after:
            setopt(pycurl.POSTQUOTE, list(self.call.after))

    def _open_socket(self, _purpose: int, address: Any) -> Any:
        if address.family not in (socket.AF_INET, socket.AF_INET6):
            return pycurl.SOCKET_BAD
        self._has_opened = self._has_opened or self.replies.are_none  # after replies come FTP's data connections
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

    def _hear_reply(self, line: bytes) -> int | None:
        if self.replies.hear(line):
            return None
        self.fault = Broken(f"{location.origin(self.call.url)} says more than any FTP server has to")
        return _HEADER_ABORT

    def _look_up(self, *_progress: int) -> int:
        # Called about once a second, also where libcurl waits: the only place where a thread can be ended.
        is_late = self.patience_s is not None and time.monotonic() > self.begun_at_s + self.patience_s
        self.is_silent = self.is_silent or (is_late and not self._has_opened and self.is_untouched)
        return int(self._is_over or self.is_silent)

    def _take(self, data: bytes) -> int | None:
        self.body_bytes += len(data)
        try:
            if self._keep is not None:
                self._keep(data)
                return None
            return self._take_first(data)
        except ImgserveError as fault:
            self.fault = fault
            return _ABORT

    def _take_first(self, data: bytes) -> int | None:
        if self._into is None:
            return self._take_small(data)
        if self._is_ftp:
            return self._into.take(data, self.replies.size_bytes)
        head = self._head.read()
        if not 200 <= head.status < 300:
            return self._take_other(data, head.status)
        is_refused = self._into.take(data, head.length_bytes)
        if is_refused is None and self.call.fetch is not None:
            self._keep = self.call.fetch.write  # there is memory now: what follows needs no more questions
        return is_refused

    def _resume(self) -> None:
        try:
            self.curl.pause(pycurl.PAUSE_CONT)
        except pycurl.error as error:  # libcurl would tell what refuses the held bytes only when more of them come
            assert self.break_off is not None
            self.break_off(error)

    def _take_other(self, data: bytes, status: int) -> int | None:
        # A redirect's body is read to its end, so that its connection can be used again; an error's is not wanted.
        if 300 <= status < 400:
            return self._take_small(data)
        self._is_cut = True
        return _ABORT

    def _take_small(self, data: bytes) -> int | None:
        limit = self.call.body_limit_bytes
        if limit == 0:
            self._discarded += len(data)
            self._is_cut = self._discarded > _DISCARD_BYTES
        else:
            self._body += data
            self._is_cut = len(self._body) > limit
        return _ABORT if self._is_cut else None
