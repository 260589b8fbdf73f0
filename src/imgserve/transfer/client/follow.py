"""Redirects of a GET, followed by our own rules: libcurl's parser reads a Location otherwise than browsers do.

Called by ``http`` and ``upload``. Each hop is an exchange of its own, so the guard judges each. All hops share one
cookie engine, because sources set a cookie and redirect to themselves; it ends with the transfer.
"""

import msgspec

from imgserve.transfer.client import location
from imgserve.transfer.client.call import Answer, Call
from imgserve.transfer.client.curl import Client, Session
from imgserve.transfer.faults import Broken

_MAX_REDIRECTS = 5


async def get(client: Client, call: Call, session: Session | None = None) -> Answer:
    """The answer at the end of all redirects. ``call.timeout_s`` covers them all. Raises the same as ``perform``."""
    if session is not None:
        return await _followed(client, call, session)
    session = client.take_session()
    try:
        return await _followed(client, call, session)
    finally:
        client.give_back(session)


async def _followed(client: Client, call: Call, session: Session) -> Answer:
    left_s = call.timeout_s
    for _ in range(_MAX_REDIRECTS + 1):
        answer = await _decoded(client, call, session)
        if not 300 <= answer.status < 400 or not answer.location:
            return answer
        left_s = max(0.001, left_s - answer.seconds)
        call = msgspec.structs.replace(call, url=_next(call.url, answer.location), timeout_s=left_s)
    raise Broken(f"{location.origin(call.url)} redirects too often", "use the URL that the redirects lead to")


async def _decoded(client: Client, call: Call, session: Session) -> Answer:
    """Some call a body encoded that is not, or by a name that is no encoding (aws-chunked): that is taken as it is."""
    try:
        return await client.perform(call, session)
    except Broken as broken:
        if not broken.is_plain:
            raise
    return await client.perform(msgspec.structs.replace(call, decodes=False), session)


def _next(url: str, reference: str) -> str:
    """Raises Broken for a place that is not followed."""
    try:
        return location.redirected(url, reference)
    except ValueError as error:
        raise Broken(f"{location.origin(url)} redirects to {error}", "use a URL that does not redirect") from None
