"""Follows the redirects of a GET by our own rules: libcurl parses a Location otherwise than browsers do.

Each hop is an exchange of its own, so the guard judges each. All hops share one cookie engine, because sources set a
cookie and redirect to themselves.
"""

import msgspec
import pycurl

from imgserve.transfer.client import location
from imgserve.transfer.client.call import Answer, Call
from imgserve.transfer.client.curl import Client
from imgserve.transfer.faults import ExchangeFailed

_MAX_REDIRECTS = 5


async def get(client: Client, call: Call, session: pycurl.Curl) -> Answer:
    """The answer at the end of all redirects. Raises as ``perform`` does."""
    for _ in range(_MAX_REDIRECTS + 1):
        answer = await _decoded(client, call, session)
        if not 300 <= answer.status < 400 or not answer.location:
            return answer
        call = msgspec.structs.replace(call, url=_target(answer), deadline_s=answer.deadline_s)
    raise ExchangeFailed(f"{location.origin(call.url)} redirects too often", "use the URL that the redirects lead to")


async def _decoded(client: Client, call: Call, session: pycurl.Curl) -> Answer:
    """Some servers call a plain body encoded, or by a name that is no encoding (aws-chunked). It is taken as it is."""
    try:
        return await client.perform(call, session)
    except ExchangeFailed as failure:
        if not failure.is_undecodable:
            raise
    return await client.perform(msgspec.structs.replace(call, is_decoded=False), session)


def _target(answer: Answer) -> str:
    """Raises ExchangeFailed for a URL that is not followed."""
    try:
        return location.redirected(answer.url, answer.location)
    except ValueError as error:
        raise ExchangeFailed(
            f"{location.origin(answer.url)} redirects to {error}", "use a URL that does not redirect"
        ) from None
