"""The one libcurl client: every HTTP and FTP byte of the server passes here, and the guard sees every connection.

In: a ``Call``. Out: an ``Answer``, whatever its status, or ``Broken`` when none came. Called by ``http``, ``upload``
and ``ftp``. libcurl's errors end here. One client has one guard, because pooled connections are shared.
"""

import asyncio

import msgspec
import pycurl

from imgserve import descriptors, tracing
from imgserve.descriptors import OutOfDescriptors
from imgserve.spec.url import FTP_FAMILY
from imgserve.transfer import location
from imgserve.transfer.authorities import Authorities
from imgserve.transfer.breakage import broken_by
from imgserve.transfer.call import WRITES, Answer, Call
from imgserve.transfer.exchange import Exchange
from imgserve.transfer.faults import Broken
from imgserve.transfer.guard import Guard
from imgserve.transfer.proxy import Proxy, setopts
from imgserve.transfer.slots import Slots

_BUFFER_BYTES = 512 * 1024
_MAX_REDIRECTS = 5
_POOLED_CONNECTIONS = 128
_MEMORY_WAIT_S = 600.0
_HTTP = pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS
_FTP = pycurl.PROTO_FTP | pycurl.PROTO_FTPS


class Pace(msgspec.Struct, frozen=True):
    """How patient and how parallel the client is."""

    connect_timeout_s: float
    low_speed_bytes_s: int
    low_speed_time_s: int
    max_transfers: int
    max_per_host: int
    max_per_host_ftp: int


class Session:
    """A handle of its own with a cookie engine, for exchanges that belong together."""

    def __init__(self) -> None:
        self.curl = pycurl.Curl()
        self.curl.setopt(pycurl.COOKIEFILE, "")


class Client:
    """Lives in the event loop that first uses it. ``aclose`` ends all transfers.

    ``ca_file`` holds certificates (PEM) of authorities that TLS peers may have beside certifi's.
    """

    def __init__(self, guard: Guard, pace: Pace, ca_file: str = "", proxy: Proxy | None = None) -> None:
        """Raises OSError, ValueError for a ``ca_file`` that cannot be used."""
        self._guard = guard
        self._pace = pace
        self._slots = Slots(pace.max_transfers)
        self._multi = pycurl.AsyncCurlMulti()
        self._multi.setopt(pycurl.M_MAXCONNECTS, _POOLED_CONNECTIONS)
        self._idle: list[pycurl.Curl] = []
        self._authorities = Authorities(ca_file)
        self._proxy = proxy

    async def perform(self, call: Call, session: Session | None = None) -> Answer:
        """Carry out one exchange. Raises Broken, or the fault of the call's own ``fetch``."""
        place = location.origin(call.url)
        refusal = self._guard.blind_refusal(place.host, place.port)
        if refusal is not None:
            raise Broken(refusal.detail, refusal.hint, is_refused=True)
        per_host = self._pace.max_per_host_ftp if place.scheme in FTP_FAMILY else self._pace.max_per_host
        loop = asyncio.get_running_loop()
        deadline = loop.time() + call.timeout_s
        peer = str(place)
        if not self._slots.try_acquire(peer, per_host):
            try:
                async with asyncio.timeout_at(deadline if call.method in WRITES else None):
                    await self._slots.acquire(peer, per_host)
            except TimeoutError as error:
                raise Broken(f"No transfer slot to {place} was free in time", is_busy=True) from error
        try:
            timeout_s = max(0.001, deadline - loop.time()) if call.method in WRITES else call.timeout_s
            return await self._exchange(call, session, place, timeout_s)
        except TimeoutError:
            raise Broken(f"{place} did not answer in time", is_retryable=True) from None
        finally:
            self._slots.release(peer)

    @property
    def under_way(self) -> tuple[int, int]:
        """Exchanges that run, and that wait for their turn."""
        return self._slots.busy, self._slots.waiting

    async def aclose(self) -> None:
        await self._multi.aclose()
        for curl in self._idle:
            curl.close()
        self._idle.clear()
        self._authorities.close()

    async def _exchange(self, call: Call, session: Session | None, place: location.Origin, timeout_s: float) -> Answer:
        curl = session.curl if session else self._idle.pop() if self._idle else pycurl.Curl()
        is_free = True
        try:
            exchange = Exchange(curl, _traced(call), self._guard)
            self._configure(curl, call, timeout_s)
            self._route(curl, place)
            if call.fetch is None:
                return await self._run(exchange, place)
            async with asyncio.timeout(timeout_s) as clock:
                exchange.clock = clock
                return await self._run(exchange, place)
        except (asyncio.CancelledError, TimeoutError):
            # The multi lets go of a cancelled handle only at the loop's next turn, so nobody may use it again.
            is_free = False
            raise
        finally:
            if is_free:
                curl.reset()
                if session is None:
                    self._idle.append(curl)

    async def _run(self, exchange: Exchange, place: location.Origin) -> Answer:
        try:
            await self._multi.perform(exchange.curl)
        except pycurl.error as error:
            if exchange.fault is not None:
                raise exchange.fault from None
            if not exchange.is_answered:
                if not exchange.is_sent() and descriptors.are_used_up():  # a resolver's, say: libcurl names no reason
                    raise OutOfDescriptors from None
                raise broken_by(error.args[0], exchange, place) from None
        finally:
            exchange.end()
        return exchange.answer()

    def _configure(self, curl: pycurl.Curl, call: Call, timeout_s: float) -> None:
        setopt = curl.setopt
        setopt(pycurl.URL, location.for_libcurl(call.url).encode())
        setopt(pycurl.PROTOCOLS, _HTTP | _FTP)
        setopt(pycurl.REDIR_PROTOCOLS, _HTTP)
        setopt(pycurl.NOSIGNAL, 1)
        setopt(pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_1_1)
        setopt(pycurl.CONNECTTIMEOUT_MS, max(1, int(min(self._pace.connect_timeout_s, timeout_s) * 1000)))
        setopt(pycurl.CAINFO, self._authorities.path)
        # libcurl's clock runs on while a fetch waits for memory; ``perform`` has one that does not.
        waiting_s = _MEMORY_WAIT_S if call.fetch is not None else 0.0
        setopt(pycurl.TIMEOUT_MS, max(1, int((timeout_s + waiting_s) * 1000)))
        if call.fetch is not None:
            setopt(pycurl.BUFFERSIZE, _BUFFER_BYTES)
            setopt(pycurl.LOW_SPEED_LIMIT, self._pace.low_speed_bytes_s)
            setopt(pycurl.LOW_SPEED_TIME, self._pace.low_speed_time_s)
        if call.follows_redirects:
            setopt(pycurl.FOLLOWLOCATION, 1)
            setopt(pycurl.MAXREDIRS, _MAX_REDIRECTS)

    def _route(self, curl: pycurl.Curl, place: location.Origin) -> None:
        for option, value in setopts(self._proxy, self._authorities.path, is_ftp=place.scheme in FTP_FAMILY):
            curl.setopt(option, value)
        if place.scheme in ("ftps", "ftpes"):
            curl.setopt(pycurl.USE_SSL, pycurl.USESSL_ALL)  # for the data connection too, or not at all
            curl.setopt(pycurl.FTPSSLAUTH, pycurl.FTPAUTH_TLS)


def _traced(call: Call) -> Call:
    """The call with the header that lets an HTTP peer go on with our trace, when we trace."""
    traceparent = tracing.traceparent()
    if not traceparent or call.url[:4].lower() != "http":
        return call
    return msgspec.structs.replace(call, headers=(*call.headers, f"traceparent: {traceparent}"))
