"""Drives libcurl's transfers by the event loop: its sockets, its timer and their ends. Called by ``curl``.

libcurl asks to watch a socket for each exchange, and uvloop would make and end a watcher each time, by seven system
calls. An epoll instance of our own, which the loop watches, needs two (epoll(7): instances can be nested, and a closed
descriptor leaves them by itself).
"""

import asyncio
import contextlib
import math
import select

import pycurl

_EVENTS = {
    pycurl.POLL_IN: select.EPOLLIN,
    pycurl.POLL_OUT: select.EPOLLOUT,
    pycurl.POLL_INOUT: select.EPOLLIN | select.EPOLLOUT,
}
_BROKEN = select.EPOLLERR | select.EPOLLHUP


class Multi:
    """Lives in the running event loop. ``aclose`` ends all transfers."""

    def __init__(self, max_connections: int) -> None:
        """``max_connections`` are pooled."""
        self._multi = pycurl.CurlMulti()
        self._multi.setopt(pycurl.M_MAXCONNECTS, max_connections)
        self._multi.setopt(pycurl.M_SOCKETFUNCTION, self._watch)
        self._multi.setopt(pycurl.M_TIMERFUNCTION, self._set_timer)
        self._running: dict[pycurl.Curl, asyncio.Future[None]] = {}
        self._wanted: dict[int, int] = {}  # what libcurl waits for, by descriptor
        self._known: set[int] = set()  # descriptors that may be in the epoll instance
        self._epoll = select.epoll()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._epoll.fileno(), self._look)
        self._due_s: float | None = None  # libcurl's one timer, by the loop's clock
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at_s = math.inf
        self._is_call_due = False

    async def perform(self, curl: pycurl.Curl) -> None:
        """Run the handle's transfer. Nothing uses the handle any more when this ends, however it ends.

        Raises pycurl.error.
        """
        future: asyncio.Future[None] = self._loop.create_future()
        self._multi.add_handle(curl)
        self._running[curl] = future
        try:
            await future
        finally:
            if self._running.pop(curl, None) is not None:
                self._multi.remove_handle(curl)

    async def aclose(self) -> None:
        if self._multi.closed:
            return
        while self._running:
            curl, future = self._running.popitem()
            self._multi.remove_handle(curl)
            future.cancel()
        if self._timer is not None:
            self._timer.cancel()
        self._multi.close()
        self._loop.remove_reader(self._epoll.fileno())
        self._epoll.close()

    def end(self, curl: pycurl.Curl, error: Exception | None = None) -> None:
        """End the handle's transfer, if one runs. Its ``perform`` raises the error, if there is one."""
        future = self._running.pop(curl, None)
        if future is None:
            return
        self._multi.remove_handle(curl)
        if error is not None and not future.done():
            future.set_exception(error)
        elif not future.done():
            future.set_result(None)

    def _watch(self, what: int, fd: int, _multi: pycurl.CurlMulti, _data: object) -> None:
        """libcurl's CURLMOPT_SOCKETFUNCTION."""
        events = _EVENTS.get(what)
        if events is None:
            # It stays in the epoll instance for the next exchange over this connection.
            self._wanted.pop(fd, None)
            return
        self._wanted[fd] = events
        if fd in self._known:
            try:  # twice an exchange, and a suppress is three calls more
                self._epoll.modify(fd, events)
            except FileNotFoundError:
                self._known.discard(fd)  # the number is another socket's by now
            else:
                return
        with contextlib.suppress(FileExistsError):
            self._epoll.register(fd, events)
        self._known.add(fd)

    def _set_timer(self, timeout_ms: int) -> None:
        """libcurl's CURLMOPT_TIMERFUNCTION. A timer that fires too early is started again, which costs less than
        moving it with each call.
        """
        if timeout_ms == 0:
            if not self._is_call_due:
                self._is_call_due = True
                self._loop.call_soon(self._call)  # libcurl must not be called in its own callback
            return
        self._due_s = self._loop.time() + timeout_ms / 1000 if timeout_ms > 0 else None
        if self._due_s is not None and self._due_s < self._timer_at_s:
            self._start_timer(self._due_s)

    def _start_timer(self, when_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at_s = when_s
        self._timer = self._loop.call_at(when_s, self._on_timer)

    def _on_timer(self) -> None:
        self._timer_at_s = math.inf
        if self._due_s is None:
            return
        if self._due_s > self._loop.time():
            self._start_timer(self._due_s)
        else:
            self._call()

    def _call(self) -> None:
        self._is_call_due = False
        if not self._multi.closed:
            self._due_s = None
            self._multi.socket_action(pycurl.SOCKET_TIMEOUT, 0)
            self._end_finished()

    def _look(self) -> None:
        """Tell libcurl about all sockets that are ready."""
        for fd, events in self._epoll.poll(0):
            wanted = self._wanted.get(fd)
            if wanted is None:
                self._forget(fd)
                continue
            if events & _BROKEN:
                events |= wanted
            is_readable, is_writable = bool(events & select.EPOLLIN), bool(events & select.EPOLLOUT)
            self._multi.socket_action(fd, pycurl.CSELECT_IN * is_readable | pycurl.CSELECT_OUT * is_writable)
        self._end_finished()

    def _forget(self, fd: int) -> None:
        """A pooled connection has news, mostly its end, which libcurl finds out itself."""
        self._known.discard(fd)
        with contextlib.suppress(OSError):
            self._epoll.unregister(fd)

    def _end_finished(self) -> None:
        _, done, failed = self._multi.info_read()
        for curl in done:
            self.end(curl)
        for curl, code, text in failed:
            self.end(curl, pycurl.error(code, text))
