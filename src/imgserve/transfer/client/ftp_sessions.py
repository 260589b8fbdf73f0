"""FTP exchanges, each in a thread of its own, and the sessions that are kept between them. Called by ``curl``.

libcurl waits for an FTP server's last replies (226, and those to commands behind a transfer) without letting anything
else run: in the event loop a server that is slow with them would stop everybody. A session is a libcurl handle with one
control connection; closing one says QUIT and waits, so that is a thread's work too.
"""

import asyncio
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future

import pycurl

_KEPT_SESSIONS = 64
_KEPT_S = 60.0  # servers end sessions that rest for longer, some without a word
_CLOSING_S = 2.0


class FtpSession:
    """Belongs to one server and login. ``is_used``: it may have a connection by now."""

    def __init__(self, key: str) -> None:
        self.key = key
        self.curl = pycurl.Curl()
        self.is_used = False
        self.rests_since = 0.0
        self._spelling = 0

    def other_spelling(self) -> int:
        """0 or 1, never the one before: libcurl then takes the same directory for another, and enters it anew."""
        self._spelling = 1 - self._spelling
        return self._spelling


class FtpSessions:
    """The sessions that rest. Lives in one event loop."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._resting: OrderedDict[int, FtpSession] = OrderedDict()
        self._running: set[Future[None]] = set()

    def take(self, url: str, *, is_fresh: bool) -> FtpSession:
        """The one that has rested for the shortest time, or a new one."""
        self._forget_old()
        key = "/".join(url.split("/", 3)[:3])
        if not is_fresh:
            for name, session in reversed(self._resting.items()):
                if session.key == key:
                    return self._resting.pop(name)
        return FtpSession(key)

    def give_back(self, session: FtpSession) -> None:
        session.curl.reset()
        session.is_used = True
        session.rests_since = self._clock()
        self._resting[id(session)] = session
        self._forget_old()

    def drop(self, session: FtpSession) -> None:
        self.run(session.curl.close)

    def run(self, work: Callable[[], None]) -> "Future[None]":
        """In a thread of its own."""
        outcome = _in_thread(work)
        self._running.add(outcome)
        outcome.add_done_callback(self._running.discard)
        return outcome

    async def aclose(self) -> None:
        """Say QUIT to all, and wait a moment for it, and for exchanges that have been given up."""
        while self._resting:
            self.drop(self._resting.popitem()[1])
        running = [asyncio.wrap_future(outcome) for outcome in tuple(self._running)]
        if running:
            # An exchange that was broken off ends with an error of libcurl's, which tells nothing new.
            await asyncio.wait([asyncio.gather(*running, return_exceptions=True)], timeout=_CLOSING_S)

    def _forget_old(self) -> None:
        while self._resting:
            oldest = next(iter(self._resting.values()))
            if len(self._resting) <= _KEPT_SESSIONS and oldest.rests_since + _KEPT_S > self._clock():
                return
            self.drop(self._resting.pop(id(oldest)))


def _in_thread(work: Callable[[], None]) -> "Future[None]":
    """Runs ``work`` in a daemon thread, which cannot keep the server from ending when it hangs."""
    outcome: Future[None] = Future()

    def run() -> None:
        outcome.set_running_or_notify_cancel()  # from now on a cancelled wait does not stop the work
        try:
            work()
        except pycurl.error as error:
            outcome.set_exception(error)
        else:
            outcome.set_result(None)

    threading.Thread(target=run, name="imgserve-ftp", daemon=True).start()
    return outcome
