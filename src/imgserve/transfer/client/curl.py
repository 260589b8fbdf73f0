"""The one libcurl client: every HTTP and FTP byte of the server passes here, and the guard sees every connection.

In: a ``Call``. Out: an ``Answer``, whatever its status, or ``ExchangeFailed`` when there is none. Called by the
protocols. One client has one guard, because pooled connections are shared.
"""

import asyncio
import functools
import math
from collections.abc import Awaitable

import msgspec
import pycurl

from imgserve.limiter import Key, Limiter
from imgserve.request.protocols import for_libcurl
from imgserve.transfer.client import location
from imgserve.transfer.client.call import FTP_METHODS, WRITES, Answer, Call, deadline_in, seconds_to
from imgserve.transfer.client.errors import failure_of, time_out
from imgserve.transfer.client.exchange import Exchange
from imgserve.transfer.client.ftp_sessions import FtpSessions, wait_for
from imgserve.transfer.client.handle import Setup
from imgserve.transfer.client.multi import Multi
from imgserve.transfer.client.proxy import Proxy
from imgserve.transfer.client.watch import Watch
from imgserve.transfer.config import Config
from imgserve.transfer.faults import ExchangeFailed
from imgserve.transfer.guard import Guard

_POOLED_CONNECTIONS = 128
_MAX_REDIRECTS = 5
_MAX_DIGEST_LOGINS = 1024
_ENDING_S = 3.0  # libcurl calls back about once a second


class _Session:
    """Takes a handle from the pool for one block. Each transfer enters one, and a generator would cost more."""

    __slots__ = ("_curl", "_idle")

    def __init__(self, idle: list[pycurl.Curl]) -> None:
        self._idle = idle

    def __enter__(self) -> pycurl.Curl:
        if self._idle:
            self._curl = self._idle.pop()
        else:
            self._curl = pycurl.Curl()
            self._curl.setopt(pycurl.COOKIEFILE, "")
        return self._curl

    def __exit__(self, *_: object) -> None:
        self._curl.setopt(pycurl.COOKIELIST, "ALL")  # deletes them
        self._idle.append(self._curl)


class Client:
    """Lives in the running event loop. ``aclose`` ends all transfers."""

    def __init__(self, guard: Guard, config: Config, proxy: Proxy | None = None) -> None:
        """Raises OSError, ValueError for settings that cannot be used."""
        self._guard = guard
        self._config = config
        self._setup = Setup(config, proxy)
        self.slots = Limiter(config.max_transfers)
        self._multi = Multi(_POOLED_CONNECTIONS)
        self._watch = Watch(self._multi.end)
        self._ftp = FtpSessions()
        self._idle: list[pycurl.Curl] = []
        self._digest_logins: set[tuple[location.Origin, str]] = set()

    async def perform(self, call: Call, session: pycurl.Curl | None = None) -> Answer:
        """Perform one exchange, with the URL's login as the server wants it: Basic, or Digest.

        Raises ExchangeFailed, or the fault of the call's own ``fetch``.
        """
        user = location.user_of(call.url)
        if not user:
            return await self._perform(call, session)
        login = (location.origin(call.url), user)
        is_known = login in self._digest_logins
        answer = await self._perform(msgspec.structs.replace(call, has_digest=is_known), session)
        if is_known or not answer.wants_digest:
            return answer
        if len(self._digest_logins) >= _MAX_DIGEST_LOGINS:
            self._digest_logins.clear()
        self._digest_logins.add(login)  # so that the password is not sent in clear each time
        return await self._perform(
            msgspec.structs.replace(call, has_digest=True, deadline_s=answer.deadline_s), session
        )

    async def get(self, call: Call, session: pycurl.Curl | None = None) -> Answer:
        """Perform a GET and follow its redirects. Raises as ``perform``.

        libcurl parses a Location otherwise than browsers do, so each hop is an exchange of its own, which the guard
        judges. All hops share one cookie engine, because sources set a cookie and redirect to themselves.
        """
        if session is None:
            with self.session() as session:
                return await self.get(call, session)
        for _ in range(_MAX_REDIRECTS + 1):
            answer = await self._get_decoded(call, session)
            if not 300 <= answer.status < 400 or not answer.location:
                return answer
            try:
                url = location.redirect_target(call.url, answer.location)
            except ValueError as error:
                reason = f"{location.origin(call.url)} redirects to {error}"
                raise ExchangeFailed(reason, "use a URL that does not redirect") from None
            if not call.follows(url):
                reason = f"{location.origin(call.url)} redirects to {location.origin(url)}, to a URL that is not listed"
                raise ExchangeFailed(reason, "add its beginning to the mount's sources", is_refused=True)
            call = call.redirected(url, answer.deadline_s)
        reason = f"{location.origin(call.url)} redirects too often"
        raise ExchangeFailed(reason, "use the URL that the redirects lead to")

    def session(self) -> "_Session":
        """A block with a handle that has cookies of its own, for HTTP exchanges that belong together."""
        return _Session(self._idle)

    async def aclose(self) -> None:
        await self._multi.aclose()
        while self._idle:
            self._idle.pop().close()
        await self._ftp.aclose()
        self._setup.authorities.close()

    async def _get_decoded(self, call: Call, session: pycurl.Curl) -> Answer:
        """Some servers call a plain body encoded, or by a name that is no encoding (aws-chunked): it is taken as is."""
        try:
            return await self.perform(call, session)
        except ExchangeFailed as failure:
            if not failure.is_undecodable:
                raise
        return await self.perform(msgspec.structs.replace(call, is_raw=True), session)

    async def _perform(self, call: Call, session: pycurl.Curl | None) -> Answer:
        """Take a transfer slot for the exchange. It is repeated over a new connection if a pooled one was dead."""
        origin, is_write, config = location.origin(call.url), call.method in WRITES, self._config
        if not origin.host.isascii():
            raise ExchangeFailed(
                f"The host of {origin} is not written in ASCII", "write an international name in its xn-- form"
            )
        # A proxy's connections cannot be judged, so the text is.
        if self._guard.proxy_port and (refusal := self._guard.text_refusal(origin.host, origin.port)):
            raise ExchangeFailed(refusal.detail, refusal.hint, is_refused=True)
        host = Key(str(origin), config.max_per_host_ftp if call.method in FTP_METHODS else config.max_per_host)
        if not self.slots.take(host):
            left_s = seconds_to(call.deadline_s)
            try:
                async with asyncio.timeout(left_s if is_write else None):
                    await self.slots.acquire(host)
            except TimeoutError as error:
                raise ExchangeFailed(f"No transfer slot to {origin} was free in time", is_busy=True) from error
            if not is_write:
                call = msgspec.structs.replace(call, deadline_s=deadline_in(left_s))
        try:
            try:
                return await self._exchange(call, session)
            except ExchangeFailed as failure:
                if not failure.is_stale:
                    raise
            return await self._exchange(msgspec.structs.replace(call, is_fresh=True), session)
        except TimeoutError:
            raise time_out(origin) from None
        finally:
            self.slots.release(host)

    async def _exchange(self, call: Call, session: pycurl.Curl | None) -> Answer:
        timeout_s = seconds_to(call.deadline_s)
        if call.method in FTP_METHODS:
            return await self._exchange_in_thread(call, timeout_s)
        if session is None:
            with self.session() as session:
                return await self._exchange(call, session)
        exchange = Exchange(session, call, self._guard, timeout_s)
        exchange.abort = functools.partial(self._multi.end, session)
        try:
            self._setup.apply(session, call, call.url, timeout_s)
            self._watch.start(exchange)
            return await _answer(exchange, self._multi.perform(session))
        finally:
            self._watch.stop(exchange)
            session.reset()

    async def _exchange_in_thread(self, call: Call, timeout_s: float) -> Answer:
        session = self._ftp.take(call.url, is_fresh=call.is_fresh)
        exchange = Exchange(session.curl, call, self._guard, timeout_s)
        if not session.is_used:
            exchange.patient_until_s = math.inf
        url = location.with_empty_segments(for_libcurl(call.url), next(session.slashes))
        self._setup.apply(session.curl, call, url, timeout_s)
        body = None if call.body is None else call.body.share()
        transfer = self._ftp.run(session.curl.perform)
        if body is not None:
            transfer.add_done_callback(lambda _: body.close())  # the thread may run on after this call
        try:
            return await _answer(exchange, asyncio.wrap_future(transfer))
        except (asyncio.CancelledError, TimeoutError):
            if call.method in WRITES:
                # The thread may still rename the file: a later write must not start before.
                await wait_for([transfer], _ENDING_S)
            raise
        finally:
            if transfer.done() and not exchange.is_lost_in_directories and not exchange.has_wrong_type:
                self._ftp.give_back(session)
            else:
                transfer.add_done_callback(lambda _: self._ftp.drop(session))


async def _answer(exchange: Exchange, transfer: Awaitable[None]) -> Answer:
    """Raises ExchangeFailed, TimeoutError, OutOfDescriptors, or the fetch's own faults."""
    try:
        if exchange.limit is None:
            await transfer
        else:
            async with exchange.limit:
                await transfer
    except pycurl.error as error:
        exchange.has_wrong_type = error.args[0] == pycurl.E_FTP_COULDNT_SET_TYPE
        if not exchange.is_answered or exchange.is_silent or exchange.fault is not None:
            raise failure_of(exchange, error.args[0]) from None
    finally:
        exchange.end()
    return exchange.answer()
