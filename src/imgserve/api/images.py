"""GET of a picture in a dialect: the handler of one mount. In: ASGI, from ``entrance``. Out: the dialect's answer.

The dialect reads the raw path and says how errors look; ``engine/images`` has the pictures. Nothing here knows a
dialect by name.
"""

import time
from collections.abc import Iterable, Mapping
from math import ceil

from imgserve.api.accesslog import Outcome, note, note_hot
from imgserve.api.caching import Caching
from imgserve.api.hot import Hot, HotHits
from imgserve.api.http.asgi import NO_CONTENT, Headers, Receive, Scope, Send, answer
from imgserve.api.http.hangup import ClientGone, while_connected
from imgserve.api.http.network import Clients
from imgserve.api.http.ranges import range_of
from imgserve.api.http.sending import send_blob
from imgserve.api.judged import Judged
from imgserve.engine.cache.entry import Header, Meta
from imgserve.engine.cache.freshness import Lifetimes, is_not_modified
from imgserve.engine.cache.memory import Hit
from imgserve.engine.images import Images
from imgserve.engine.mounts import Mount
from imgserve.engine.served import Served, Wanted
from imgserve.errors import ImgserveError, let_go
from imgserve.request.dialects import accept
from imgserve.request.dialects.dialect import Answer, Called, Negotiable
from imgserve.telemetry import gets

_ALLOW: Headers = ((b"allow", b"GET, HEAD, OPTIONS"),)
# Of the server's own trouble. Errors are kept by no cache: tomorrow the picture may be there.
_NO_STORE = (b"cache-control", b"no-store")
RETRY_AFTER_S = 5
_BUSY = (429, 503)
_NOTHING = Negotiable()
_HINTS = frozenset({b"dpr", b"sec-ch-dpr", b"width", b"sec-ch-width"})
_MOST_JUDGED = 4_000
# What a picture of a stranger must not do if a browser opens it as a page: run, load, frame.
SAFE: Headers = (
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox"),
)


class ImageHandler:
    def __init__(self, mount: Mount, images: Images, hot: HotHits, lifetimes: Lifetimes, clients: Clients) -> None:
        self._mount = mount
        self._images = images
        self._hot = hot
        self._clients = clients
        self._caching = Caching(mount, lifetimes)
        self._judged: Judged[Wanted] = Judged(_MOST_JUDGED)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "OPTIONS":
            await answer(send, NO_CONTENT, (*_ALLOW, *self._mount.dialect.preflight()))
            return
        started, get = time.perf_counter(), gets.begin(self._mount.name)
        headers = _joined(scope["headers"])
        if scope["method"] != "GET":
            headers.pop(b"range", None)  # RFC 9110, 14.2: it is for GET alone
        outcome = Outcome()
        try:
            wanted = self._wanted(scope, headers)
            get.host = wanted.source.host
            outcome = await self._answer(wanted, scope, headers, send)
        except ClientGone:
            pass
        except ImgserveError as error:
            outcome = await self._refuse(error, send)
        finally:
            note(get, outcome, time.perf_counter() - started)

    def _wanted(self, scope: Scope, headers: Mapping[bytes, str]) -> Wanted:
        """Raises UrlRefused, RequestInvalid, SourceRefused."""
        mount, now_s = self._mount, time.time()
        negotiable = accept.negotiable(scope["headers"], mount.formats, takes_hints=mount.takes_hints)
        place = scope["mount_path"], negotiable
        wanted = self._judged.get(place)
        if wanted is None:
            asked = plain = mount.dialect.parse(scope["mount_path"], negotiable, now_s)
            if negotiable != _NOTHING:
                plain = mount.dialect.parse(scope["mount_path"], _NOTHING, now_s, needs_signature=False)
            wanted = self._images.wanted(mount, asked, plain)
            self._judged.add(place, wanted)
        elif _is_over(wanted.asked.answer, now_s):
            mount.dialect.parse(scope["mount_path"], negotiable, now_s)  # which says so in its own words
        return wanted

    async def _answer(self, wanted: Wanted, scope: Scope, headers: Mapping[bytes, str], send: Send) -> Outcome:
        known, since = headers.get(b"if-none-match", ""), headers.get(b"if-modified-since", "")
        if wanted.asked.answer.kind == "redirect":
            place = (b"location", wanted.asked.answer.location.encode("latin-1"))
            await answer(send, 303, (place, *SAFE, *self._mount.dialect.preflight()))
            return Outcome(303, "redirect")
        if wanted.asked.answer.kind == "info":
            return await self._describe(wanted, scope, headers, send)
        if wanted.asked.answer.kind == "raw":
            async with while_connected(scope["on_gone"]):
                served = await self._images.raw(wanted, known, since, self._client(scope, headers))
            with served:
                return await self._send(wanted, served, scope, headers, send)
        hit = self._images.hit(wanted)
        if hit is not None:
            with hit:
                body = None if is_not_modified(hit.meta, known, since) else hit.body
                if isinstance(body, bytes) and scope["method"] == "GET":
                    self._heat(wanted, scope, headers)
                return await self._send(wanted, Served(hit.meta, body, "hit"), scope, headers, send)
        client = self._client(scope, headers)
        async with while_connected(scope["on_gone"]):
            try:
                served = await self._images.served(wanted, known, since, client)
            except ImgserveError as error:
                fallback = await self._images.fallback(wanted, error, client)
                if fallback is None:
                    raise
                let_go(error)
                gets.failed(error.code, error.detail)
                served = fallback
        with served:
            return await self._send(wanted, served, scope, headers, send)

    def _heat(self, wanted: Wanted, scope: Scope, headers: Mapping[bytes, str]) -> None:
        """The next request of this URL is answered at once, if its headers do not depend on the time."""
        asked = wanted.asked.answer
        is_timed = self._mount.config.follows_source or asked.expires_at_s is not None
        # A hit is looked up by URL and Accept alone.
        is_hinted = self._mount.takes_hints and not _HINTS.isdisjoint(headers)
        if is_timed or is_hinted or b"origin" in headers:
            return
        query = scope["query_string"]
        url = scope["raw_path"] + (b"?" + query if query else b"")
        self._hot.add(url, headers.get(b"accept", "").encode("latin-1"), _Renewing(self, wanted, scope["cors"]).renew)

    def hit(self, wanted: Wanted) -> Hit | None:
        return self._images.hit(wanted)

    def lines(self, wanted: Wanted, hit: Hit, common: Headers) -> bytes:
        """The header of the whole picture. ``common``: that of each answer to such a request."""
        served = Served(hit.meta, hit.body, "hit")
        kind, length = hit.meta.media_type.encode("latin-1"), b"%d" % hit.size_bytes
        fields = (
            *common, (b"content-type", kind), (b"content-length", length), (b"accept-ranges", b"bytes"), *SAFE,
            *self._caching.of(wanted, served), *hit.meta.headers,
        )  # fmt: skip
        return b"".join(name + b": " + value + b"\r\n" for name, value in fields)

    async def _describe(self, wanted: Wanted, scope: Scope, headers: Mapping[bytes, str], send: Send) -> Outcome:
        base_url = self._mount.config.public_url or self._base_url(scope, headers)
        accepted = tuple(value for name, value in scope["headers"] if name == b"accept")
        called = Called(base_url, scope["mount_path"], accepted)
        async with while_connected(scope["on_gone"]):
            described, etag = await self._images.described(wanted, called, self._client(scope, headers))
        meta = Meta(described.media_type, etag, 0.0, 0.0, headers=described.headers)
        body = None if is_not_modified(meta, headers.get(b"if-none-match", ""), "") else described.body
        return await self._send(wanted, Served(meta, body, "made"), scope, headers, send)

    def _base_url(self, scope: Scope, headers: Mapping[bytes, str]) -> str:
        """The mount's URL as the client called it, or as a trusted proxy says that it did."""
        scheme, host = scope["scheme"], headers.get(b"host", "localhost")
        if self._clients.is_proxy(scope["client"][0] if scope.get("client") else ""):
            scheme = headers.get(b"x-forwarded-proto", scheme).partition(",")[0].strip()
            host = headers.get(b"x-forwarded-host", host).partition(",")[0].strip()
        path = self._mount.config.path.rstrip("/")
        return f"{'https' if scheme == 'https' else 'http'}://{host}{path}"

    def _client(self, scope: Scope, headers: Mapping[bytes, str]) -> str:
        address = scope["client"][0] if scope.get("client") else ""
        return self._clients.network(address, headers, scope["http_version"])

    async def _send(
        self, wanted: Wanted, served: Served, scope: Scope, headers: Mapping[bytes, str], send: Send
    ) -> Outcome:
        common = (*SAFE, *self._caching.of(wanted, served), *served.meta.headers)
        body = served.body
        if body is None:
            await send({"type": "http.response.start", "status": 304, "headers": [*common]})
            await send({"type": "http.response.body", "body": b""})
            return Outcome(304, served.state)
        size, status, start, end = served.size_bytes, served.status, 0, served.size_bytes
        part = None
        if b"range" in headers and status == 200:
            part = range_of(headers[b"range"], headers.get(b"if-range", ""), served.meta.etag, size)
        if part == "none":
            unit = (b"content-range", b"bytes */%d" % size)
            await answer(send, 416, (*SAFE, _NO_STORE, *self._caching.vary, unit, *served.meta.headers))
            return Outcome(416, served.state)
        extra: Headers = ((b"accept-ranges", b"bytes"),)
        if part is not None:
            (start, end), status = part, 206
            extra = ((b"content-range", b"bytes %d-%d/%d" % (start, end - 1, size)),)
        kind = (b"content-type", served.meta.media_type.encode("latin-1"))
        length = (b"content-length", b"%d" % (end - start))
        with gets.stage("send"):
            await send({"type": "http.response.start", "status": status, "headers": [kind, length, *extra, *common]})
            if isinstance(body, bytes):
                await send({"type": "http.response.body", "body": body[start:end] if part else body})
            else:
                await send_blob(body, scope, send, start, end)
        return Outcome(status, served.state, end - start)

    async def _refuse(self, error: ImgserveError, send: Send) -> Outcome:
        let_go(error)
        gets.failed(error.code, error.detail)
        refusal = self._mount.dialect.refusal(error)
        kind = ((b"content-type", refusal.media_type.encode()),) if refusal.body else ()
        retry: Headers = ()
        if refusal.status in _BUSY and not any(name == b"retry-after" for name, _ in refusal.headers):
            retry = ((b"retry-after", str(ceil(error.retry_after_s or RETRY_AFTER_S)).encode()),)
        await answer(
            send, refusal.status, (*kind, _NO_STORE, *SAFE, *self._caching.vary, *retry, *refusal.headers), refusal.body
        )
        return Outcome(refusal.status, "refused", len(refusal.body))


class _Renewing:
    """The answer to a URL that was asked for before, made anew when its picture is another one.

    It keeps no picture: that would be memory beside the cache's, which has a cap.
    """

    __slots__ = ("_common", "_handler", "_header", "_lines", "_wanted")

    def __init__(self, handler: ImageHandler, wanted: Wanted, common: Headers) -> None:
        self._handler, self._wanted, self._common = handler, wanted, common
        self._header: Header | None = None
        self._lines = b""

    def renew(self, request_id: str) -> Hot | None:
        started = time.perf_counter()
        hit = self._handler.hit(self._wanted)
        if hit is None:
            return None
        if not isinstance(hit.body, bytes):  # too large for the memory, and still being written
            hit.close()
            return None
        if hit.header is not self._header:
            self._header, self._lines = hit.header, self._handler.lines(self._wanted, hit, self._common)
        note_hot(self._wanted, len(hit.body), time.perf_counter() - started, request_id)
        return Hot(self._lines, hit.body)


def _is_over(asked: Answer, now_s: float) -> bool:
    return asked.expires_at_s is not None and asked.expires_at_s <= now_s


def _joined(fields: Iterable[tuple[bytes, bytes]]) -> dict[bytes, str]:
    """Fields of one name as one list (RFC 9110, 5.3)."""
    joined: dict[bytes, str] = {}
    for name, raw in fields:
        value = raw.decode("latin-1")
        joined[name] = f"{joined[name]}, {value}" if name in joined else value
    return joined
