"""Runs FTP exchanges, each in a thread of its own, and pools their sessions. Called by ``curl``.

libcurl blocks while it waits for an FTP server's last replies (226, and those to commands after a transfer): in the
event loop a slow server would stop all others. A session is a libcurl handle with one control connection; closing it
sends QUIT and waits, so a thread does that too.
"""

import asyncio
import itertools
import threading
import time
from collections.abc import Callable, Collection
from concurrent.futures import Future

import pycurl

_MAX_IDLE = 64
_MAX_IDLE_S = 60.0  # servers end sessions that are idle for longer, some without a word
_CLOSING_S = 2.0


class FtpSession:
    """Of one server and login. ``is_used``: it may have a connection.

    ``slashes`` are 0 and 1 in turns. So many more after a directory make libcurl take it for another one and enter it
    again.
    """

    def __init__(self, key: str) -> None:
        self.key = key
        self.curl = pycurl.Curl()
        self.is_used = False
        self.idle_since_s = 0.0
        self.slashes = itertools.cycle((1, 0))


class FtpSessions:
    """The idle sessions. Lives in one event loop."""

    def __init__(self) -> None:
        self._idle: list[FtpSession] = []  # the last used one last
        self._running: set[Future[None]] = set()

    def take(self, url: str, *, is_fresh: bool) -> FtpSession:
        """The one that was used last, or a new one."""
        self._drop_old()
        key = "/".join(url.split("/", 3)[:3])
        for session in reversed(self._idle):
            if session.key == key and not is_fresh:
                self._idle.remove(session)
                return session
        return FtpSession(key)

    def give_back(self, session: FtpSession) -> None:
        session.curl.reset()
        session.is_used = True
        session.idle_since_s = time.monotonic()
        self._idle.append(session)
        self._drop_old()

    def drop(self, session: FtpSession) -> None:
        self.run(session.curl.close)

    def run(self, work: Callable[[], None]) -> "Future[None]":
        """Run ``work`` in a daemon thread, which cannot keep the server from ending when it hangs."""
        outcome: Future[None] = Future()

        def run() -> None:
            outcome.set_running_or_notify_cancel()  # from now on cancelling the future does not stop the work
            try:
                work()
            except pycurl.error as error:
                outcome.set_exception(error)
            else:
                outcome.set_result(None)

        self._running.add(outcome)
        outcome.add_done_callback(self._running.discard)
        threading.Thread(target=run, name="imgserve-ftp", daemon=True).start()
        return outcome

    async def aclose(self) -> None:
        """Send QUIT to all servers, and wait a moment for it, and for aborted exchanges."""
        while self._idle:
            self.drop(self._idle.pop())
        await wait_for(self._running, _CLOSING_S)

    def _drop_old(self) -> None:
        while self._idle and (
            len(self._idle) > _MAX_IDLE or self._idle[0].idle_since_s + _MAX_IDLE_S <= time.monotonic()
        ):
            self.drop(self._idle.pop(0))


async def wait_for(transfers: Collection["Future[None]"], timeout_s: float) -> None:
    """Wait for the end of aborted transfers. The errors that libcurl then raises tell nothing new."""
    if transfers:
        outcomes = asyncio.gather(*map(asyncio.wrap_future, transfers), return_exceptions=True)
        await asyncio.wait([outcomes], timeout=timeout_s)
