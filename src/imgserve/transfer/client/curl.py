"""The one libcurl client: every HTTP and FTP byte of the server passes here, and the guard sees every connection.

In: a ``Call``. Out: an ``Answer``, whatever its status, or ``Broken`` when none came. Called by ``http``, ``upload``
and ``ftp``. libcurl's errors end here. One client has one guard, because pooled connections are shared.
"""

import asyncio
import functools
from collections.abc import Awaitable

import msgspec
import pycurl

from imgserve import descriptors
from imgserve.descriptors import OutOfDescriptors
from imgserve.limiter import Key, Limiter
from imgserve.request.protocols import for_libcurl
from imgserve.transfer.client import location
from imgserve.transfer.client.authorities import Authorities
from imgserve.transfer.client.breakage import broken_by, late
from imgserve.transfer.client.call import FTP_METHODS, WRITES, Answer, Call
from imgserve.transfer.client.exchange import Exchange
from imgserve.transfer.client.ftp_sessions import FtpSessions
from imgserve.transfer.client.handle import Referer, configure, dressed, route
from imgserve.transfer.client.multi import Multi
from imgserve.transfer.client.proxy import Proxy
from imgserve.transfer.client.watch import Watch
from imgserve.transfer.config import Config
from imgserve.transfer.faults import Broken
from imgserve.transfer.guard import Guard

_POOLED_CONNECTIONS = 128
# A connection that was used before may have been dropped on its way by a router, without a word to either end. What it
# was to do needs time for a second try: of a placeholder's 5 s, 2 s are left to the first.
_SILENCE_S = 5.0
_SILENCE_SHARE = 0.4
_UNAUTHORISED = 401
_REMEMBERED_LOGINS = 1024
_ENDING_S = 3.0  # libcurl looks up once a second


class Session:
    """A handle of its own with a cookie engine, for exchanges that belong together."""

    def __init__(self) -> None:
        self.curl = pycurl.Curl()
        self.curl.setopt(pycurl.COOKIEFILE, "")

    def forget(self) -> None:
        """No cookies any more."""
        self.curl.setopt(pycurl.COOKIELIST, "ALL")


class Client:
    """Lives in the event loop that first uses it. ``aclose`` ends all transfers."""

    def __init__(
        self, guard: Guard, config: Config, proxy: Proxy | None = None, referers: tuple[Referer, ...] = ()
    ) -> None:
        """Raises OSError, ValueError for a ``ca_file`` that cannot be used."""
        self._guard = guard
        self._config = config
        self._slots = Limiter(config.max_transfers)
        self._multi = Multi(_POOLED_CONNECTIONS)
        self._watch = Watch(self._multi.break_off)
        self._ftp = FtpSessions()
        self._idle: list[pycurl.Curl] = []
        self._sessions: list[Session] = []
        self._authorities = Authorities(config.ca_file)
        self._proxy = proxy
        self._referers = referers
        self._digest: set[tuple[str, str]] = set()

    async def perform(self, call: Call, session: Session | None = None) -> Answer:
        """Carry out one exchange, with the login that the URL has as the peer wants it: Basic, or Digest.

        Raises Broken, or the fault of the call's own ``fetch``.
        """
        user = location.user_of(call.url) if call.method not in FTP_METHODS else ""
        if not user:
            return await self._perform(call, session)
        login = (location.origin_url(call.url), user)
        digest = msgspec.structs.replace(call, uses_digest=True)
        answer = await self._perform(digest if login in self._digest else call, session)
        if answer.status == _UNAUTHORISED and answer.wants_digest and login not in self._digest:
            if len(self._digest) >= _REMEMBERED_LOGINS:
                self._digest.clear()
            self._digest.add(login)  # so that the password does not go out as it is each time
            left_s = max(0.001, call.timeout_s - answer.seconds)
            answer = await self._perform(msgspec.structs.replace(digest, timeout_s=left_s), session)
        return answer

    async def _perform(self, call: Call, session: Session | None) -> Answer:
        """What a connection of an earlier exchange was dead for is done again over a fresh one."""
        place = location.origin(call.url)
        if not place.host.isascii():
            raise Broken(f"The host of {place} is not written in ASCII", "write an international name in its xn-- form")
        refusal = self._guard.blind_refusal(place.host, place.port)
        if refusal is not None:
            raise Broken(refusal.detail, refusal.hint, is_refused=True)
        per_host = self._config.max_per_host_ftp if call.method in FTP_METHODS else self._config.max_per_host
        loop = asyncio.get_running_loop()
        deadline = loop.time() + call.timeout_s
        host = Key(str(place), per_host)
        if not self._slots.take(host):
            try:
                async with asyncio.timeout_at(deadline if call.method in WRITES else None):
                    await self._slots.acquire(host)
            except TimeoutError as error:
                raise Broken(f"No transfer slot to {place} was free in time", is_busy=True) from error
        try:
            started_at = loop.time()
            timeout_s = max(0.001, deadline - started_at) if call.method in WRITES else call.timeout_s
            try:
                return await self._exchange(call, session, place, timeout_s)
            except Broken as broken:
                if not broken.is_stale:
                    raise
            left_s = max(0.001, timeout_s - (loop.time() - started_at))
            return await self._exchange(msgspec.structs.replace(call, is_fresh=True), session, place, left_s)
        except TimeoutError:
            raise late(place) from None
        finally:
            self._slots.release(host)

    def take_session(self) -> Session:
        """One without cookies; to be followed by ``give_back``."""
        return self._sessions.pop() if self._sessions else Session()

    def give_back(self, session: Session) -> None:
        session.forget()
        self._sessions.append(session)

    @property
    def under_way(self) -> tuple[int, int]:
        """Exchanges that run, and that wait for their turn."""
        return self._slots.held, self._slots.waiting

    async def aclose(self) -> None:
        await self._multi.aclose()
        for curl in self._idle:
            curl.close()
        self._idle.clear()
        self._sessions.clear()
        await self._ftp.aclose()
        self._authorities.close()

    async def _exchange(self, call: Call, session: Session | None, place: location.Origin, timeout_s: float) -> Answer:
        patience_s = min(_SILENCE_S, timeout_s * _SILENCE_SHARE)
        if call.method in FTP_METHODS:
            return await self._by_thread(call, place, timeout_s, patience_s)
        return await self._by_loop(call, session, place, timeout_s, patience_s)

    async def _by_loop(
        self, call: Call, session: Session | None, place: location.Origin, timeout_s: float, patience_s: float
    ) -> Answer:
        curl = session.curl if session else self._idle.pop() if self._idle else pycurl.Curl()
        exchange = Exchange(curl, dressed(call, place.host, self._referers), self._guard, timeout_s)
        exchange.break_off = functools.partial(self._multi.break_off, curl)
        try:
            self._set_up(curl, call, call.url, place, timeout_s)
            self._watch.begin(exchange, patience_s)
            try:
                return await self._outcome(exchange, self._multi.perform(curl), place)
            finally:
                self._watch.end(exchange)
        finally:
            curl.reset()
            if session is None:
                self._idle.append(curl)

    async def _by_thread(self, call: Call, place: location.Origin, timeout_s: float, patience_s: float) -> Answer:
        session = self._ftp.take(call.url, is_fresh=call.is_fresh)
        exchange = Exchange(session.curl, call, self._guard, timeout_s)
        exchange.patience_s = patience_s if session.is_used else None
        url = location.with_empty_segments(for_libcurl(call.url), session.other_spelling())
        self._set_up(session.curl, call, url, place, timeout_s)
        done = self._ftp.run(session.curl.perform)
        try:
            return await self._outcome(exchange, asyncio.wrap_future(done), place)
        except (asyncio.CancelledError, TimeoutError):
            if call.method in WRITES:
                # What is still under way may yet put a file in its place: a later write must not begin before.
                ended = asyncio.wrap_future(done)
                ended.add_done_callback(_mark_as_seen)
                await asyncio.wait([ended], timeout=_ENDING_S)
            raise
        finally:
            if done.done() and not exchange.is_lost_in_directories and not exchange.has_wrong_type:
                self._ftp.give_back(session)
            else:
                done.add_done_callback(lambda _: self._ftp.drop(session))

    async def _outcome(self, exchange: Exchange, transfer: Awaitable[None], place: location.Origin) -> Answer:
        """Raises Broken, TimeoutError, or the fetch's own faults."""
        try:
            if exchange.call.fetch is None:
                await transfer
            else:
                async with exchange.limit:
                    await transfer
            exchange.finish()
        except pycurl.error as error:
            exchange.has_wrong_type = error.args[0] == pycurl.E_FTP_COULDNT_SET_TYPE
            if not exchange.is_answered or exchange.is_silent or exchange.fault is not None:
                raise _fault(exchange, error, place) from None
        finally:
            exchange.end()
        return exchange.answer()

    def _set_up(self, curl: pycurl.Curl, call: Call, url: str, place: location.Origin, timeout_s: float) -> None:
        configure(curl, call, url, timeout_s, self._config, self._authorities.path)
        route(curl, call, place, self._proxy, self._authorities.path)


def _mark_as_seen(ended: asyncio.Future[None]) -> None:
    """An exchange that was broken off ends with an error of libcurl's, which tells nothing new."""
    if not ended.cancelled():
        ended.exception()


def _fault(exchange: Exchange, error: pycurl.error, place: location.Origin) -> Exception:
    """What an exchange that libcurl broke off means."""
    if exchange.is_silent:
        return late(place, is_stale=True)
    if exchange.fault is not None:
        return exchange.fault
    if not exchange.is_sent() and descriptors.are_used_up():  # a resolver's, say: libcurl names no reason
        return OutOfDescriptors()
    return broken_by(error.args[0], exchange, place)
