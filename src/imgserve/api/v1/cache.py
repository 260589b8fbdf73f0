"""``GET /v1/cache`` and ``POST /v1/cache/purge``: what the caches of GETs hold, and what is to go.

Any key may purge any picture: what goes is only made anew. In the cluster a purge is told to all servers.
"""

from typing import Annotated

import msgspec

from imgserve.api.control_socket import CacheView, PurgeView
from imgserve.api.http import asgi
from imgserve.api.http.asgi import Receive, Scope, Send
from imgserve.api.openapi import Call
from imgserve.api.query import query_of
from imgserve.api.v1.json_body import object_in, read_json
from imgserve.engine.purging import Purging
from imgserve.jobs.purge import Purge
from imgserve.request.faults import Fault, RequestInvalid, beneath
from imgserve.request.fields import read_struct

_EXPECTED = "expected one of source, url, prefix and all"
_Text = Annotated[str, msgspec.Meta(min_length=1, max_length=8192)]


class PurgeBody(msgspec.Struct, frozen=True):
    """One of the four. `source`: the URL of a source, all of whose pictures go. `url`: a URL of a mounted dialect, or
    its path: the picture that it shows goes, in each format that clients got; its signature is not looked at. `prefix`:
    how the URLs of sources begin, host included. `all`: everything goes.
    """

    source: _Text | None = None
    url: _Text | None = None
    prefix: _Text | None = None
    all: bool | None = None


CALLS = (
    Call(
        "GET",
        "/v1/cache",
        "cache",
        "What this server's caches of pictures and of their sources hold, and what they have answered since the start.",
        {"application/json": CacheView},
        (401, 422),
    ),
    Call(
        "POST",
        "/v1/cache/purge",
        "purge_cache",
        "Purge cached pictures, and their sources, on all servers of the queue. From the answer on this server sends"
        " none of them any more.",
        {"application/json": PurgeView},
        (400, 401, 408, 413, 415, 422, 503),
        bodies={"application/json": PurgeBody},
        uses=(PurgeBody,),
    ),
)


class Caches:
    def __init__(self, purging: Purging) -> None:
        self._purging = purging

    async def show(self, scope: Scope, _receive: Receive, send: Send) -> None:
        query_of(scope, {})
        names, pictures, sources = self._purging.stats()
        await asgi.answer_json(send, CacheView(mounts=names, pictures=pictures, sources=sources))

    async def purge(self, scope: Scope, receive: Receive, send: Send) -> None:
        query_of(scope, {})
        body = read_struct(object_in(await read_json(scope, receive)), PurgeBody)
        purged = await self._purging.purge(self._purge_in(body))
        await asgi.answer_json(send, msgspec.convert(purged, PurgeView, from_attributes=True))

    def _purge_in(self, body: PurgeBody) -> Purge:
        """Raises RequestInvalid."""
        given = [name for name in PurgeBody.__struct_fields__ if getattr(body, name) is not None]
        if len(given) != 1:
            raise RequestInvalid(
                Fault("field_invalid", note=f"{_EXPECTED}, got {' and '.join(given) or 'none of them'}")
            )
        if body.all is not None:
            if not body.all:
                raise RequestInvalid(Fault("field_invalid", ("all",), expected="true", got=False))
            return Purge("", is_prefix=True)
        with beneath(given[0]):
            if body.url is not None:
                return self._purging.of_url(body.url)
            if body.source is not None:
                return self._purging.of_source(body.source)
            return self._purging.of_prefix(body.prefix or "")
