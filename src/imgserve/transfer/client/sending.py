"""Gives libcurl the body of a request from a blob, in the event loop or in the thread of an FTP exchange.

``exchange`` makes one ``Sending`` for each call.
"""

import os

import pycurl

from imgserve.transfer.client.call import Call, FilePart


class Sending:
    """``has_started``: libcurl has read bytes of the blob, which may have reached the server."""

    def __init__(self, curl: pycurl.Curl, call: Call) -> None:
        self.has_started = False
        self._curl = curl
        # The blob stays open as long as the exchange.
        self._fd, self._size = (call.body.fd, call.body.size) if call.body else (-1, 0)
        self._position = 0
        self._mime: pycurl.CurlMime | None = None
        if call.parts:
            self._mime = self._parts(call)
        elif call.body is not None:
            curl.setopt(pycurl.UPLOAD, 1)
            curl.setopt(pycurl.INFILESIZE_LARGE, self._size)
            curl.setopt(pycurl.READFUNCTION, self._read)
            curl.setopt(pycurl.SEEKFUNCTION, self._seek)

    def end(self) -> None:
        if self._mime is not None:
            self._curl.unsetopt(pycurl.MIMEPOST)
            self._mime.close()

    def _parts(self, call: Call) -> pycurl.CurlMime:
        # libcurl repeats a request when a pooled connection dies: a form would be posted twice.
        self._curl.setopt(pycurl.FRESH_CONNECT, 1)
        mime = pycurl.CurlMime(self._curl)
        for part in call.parts:
            if isinstance(part, FilePart):
                file = mime.add(name=part.field, filename=part.name, content_type=part.media_type)
                file.data_cb(self._size, lambda _, size: self._read(size), lambda _, *to: self._seek(*to))
            elif part.is_file:
                mime.add(name=part.name, filename=b"", content_type="application/octet-stream").data(b"")
            else:
                mime.add(name=part.name, data=part.value)
        self._curl.setopt(pycurl.MIMEPOST, mime)
        return mime

    def _read(self, size: int) -> bytes:
        self.has_started = True
        data = os.pread(self._fd, min(size, self._size - self._position), self._position)
        self._position += len(data)
        return data

    def _seek(self, offset: int, origin: int) -> int:
        if origin != os.SEEK_SET:
            return int(pycurl.SEEKFUNC_CANTSEEK)
        self._position = offset
        return int(pycurl.SEEKFUNC_OK)
